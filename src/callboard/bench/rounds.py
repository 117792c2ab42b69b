"""A plan carried out: steps in order, within each step rounds, within each round the targets in turn.

The targets take turns (A B A B ...), so that what else the machine does in the meantime meets all of them
alike; each turn has connections of its own, so that nobody inherits another's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import anyio
from msgspec.structs import replace

from callboard.bench.attempt import Call
from callboard.bench.load import press, workers_of
from callboard.bench.payload import Payload
from callboard.bench.plan import Load, OpenLoop, Plan, Target
from callboard.bench.progress import Progress
from callboard.bench.report import StepReport, TargetReport, latency_curve, measure, ratios
from callboard.bench.sweep import sustained
from callboard.bench.tally import Tally
from callboard.errors import ConfigurationError, LocalWireError
from callboard.secret import Secret
from callboard.transport import DialGuard, HttpRequest, PooledClient, Timeouts
from callboard.transport.outgoing import parse_url, prepare

_CONNECT_S = 10.0
_TICK_S = 0.5


class Bench:
    """A plan under way, and all that was measured so far, which outlives its cancellation."""

    def __init__(
        self,
        plan: Plan,
        payloads: Sequence[Payload],
        *,
        headers: Sequence[tuple[str, Secret]] = (),
        progress: Progress,
        warmed: Callable[[], None],
    ) -> None:
        """Prepare all requests; nothing is sent yet.

        Args:
            plan: What to do.
            payloads: At least one.
            headers: Sent with every request, to every target.
            progress: Told how it goes.
            warmed: Called after each warm-up, when everything that lives long has been made.

        Raises:
            ConfigurationError: A header breaks HTTP.
        """
        self._plan = plan
        self._progress = progress
        self._warmed = warmed
        self._calls = {
            target.name: tuple(_call(plan, target, payload, headers) for payload in payloads)
            for target in plan.targets
        }
        self._tallies: dict[tuple[int, str], list[Tally]] = {}

    async def run(self) -> None:
        """Carry the plan out. Cancellation closes every connection; `reports` then tells what there is."""
        plan = self._plan
        going = plan.targets
        for step, load in enumerate(plan.steps):
            for number in range(plan.rounds):
                for target in going:
                    await self._turn(step, number, load, target)
            if plan.sweep:
                going = tuple(target for target in going if self._kept_up(step, target))

    def reports(self) -> tuple[TargetReport, ...]:
        """What was measured so far; targets and steps without any request are left out."""
        return tuple(report_of(self._plan, self._tallies))

    async def _turn(self, step: int, number: int, load: Load, target: Target) -> None:
        """One target, one load, one window."""
        if isinstance(load, OpenLoop):
            # Each round has arrivals of its own, and the same ones for every target.
            load = replace(load, seed=load.seed + number)
        tally = Tally()
        self._tallies.setdefault((step, target.name), []).append(tally)
        label = self._progress.begin(self._plan, target, load, number)
        try:
            async with anyio.create_task_group() as beside:
                beside.start_soon(self._beside, label, tally)
                await self._press(target, load, tally)
                beside.cancel_scope.cancel()
        except BaseException:
            tally.cut()
            raise
        finally:
            self._progress.end(label, measure([tally]))

    async def _press(self, target: Target, load: Load, tally: Tally) -> None:
        origin, _, _ = parse_url(target.url)
        client = PooledClient(
            max_connections_per_host=workers_of(load),
            guard=DialGuard().also_allowing(origin.host, origin.port),
        )
        async with client:
            await press(load, self._plan.window, client, self._calls[target.name], tally)

    async def _beside(self, label: str, tally: Tally) -> None:
        """What happens beside the load."""
        await anyio.sleep(self._plan.window.warmup_s)
        self._warmed()
        while True:
            self._progress.tick(label, tally)
            await anyio.sleep(_TICK_S)

    def _kept_up(self, step: int, target: Target) -> bool:
        return sustained(measure(self._tallies[step, target.name]), self._plan.max_failures)


def report_of(plan: Plan, tallies: Mapping[tuple[int, str], Sequence[Tally]]) -> list[TargetReport]:
    """Reports of what was measured, by step and target's name. Pure."""
    reports = []
    first_rounds = {}
    for target in plan.targets:
        steps = []
        for number, load in enumerate(plan.steps):
            known = [
                tally for tally in tallies.get((number, target.name), ()) if tally.succeeded or tally.failed
            ]
            if not known:
                continue
            rounds = tuple(measure([tally]) for tally in known)
            merged = measure(known)
            step = StepReport(
                load=load,
                rounds=rounds,
                merged=merged,
                latency_curve=latency_curve(known),
                sustained=sustained(merged, plan.max_failures),
            )
            if target is plan.targets[0]:
                first_rounds[number] = rounds
            elif number in first_rounds:
                step = replace(step, against_first=ratios(rounds, first_rounds[number]))
            steps.append(step)
        if steps:
            rates = [step.load.rate for step in steps if step.sustained and isinstance(step.load, OpenLoop)]
            last = rates[-1] if plan.sweep and rates else None
            reports.append(TargetReport(target=target, steps=tuple(steps), sustained_rate=last))
    return reports


def _call(plan: Plan, target: Target, payload: Payload, headers: Sequence[tuple[str, Secret]]) -> Call:
    request = HttpRequest(
        method="POST",
        url=target.url,
        headers=(
            ("content-type", "application/json"),
            *((name, value.reveal()) for name, value in headers),
        ),
        body=payload.body,
        timeouts=Timeouts(
            connect_s=min(_CONNECT_S, plan.timeout_s),
            first_byte_s=plan.timeout_s,
            idle_s=plan.timeout_s,
            total_s=plan.timeout_s,
        ),
    )
    try:
        prepare(request)
    except LocalWireError as error:
        raise ConfigurationError(f"--header: {error}") from error
    return Call(request=request, api=plan.api, stream=payload.stream)
