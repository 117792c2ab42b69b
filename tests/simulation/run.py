"""Plays one scenario on one event loop and hands back what happened."""

from __future__ import annotations

import math
import random
from collections.abc import Awaitable, Callable

import anyio

from callboard.errors import ActorFailed, ActorStopped, DeadlineExceeded, Draining, MailboxFull
from callboard.kernel import ActorRef, System, open_system
from tests.simulation.loops import run_on_asyncio, run_on_trio
from tests.simulation.player import Declined, Forgot, Hear, Play, Player, Stage, Watch
from tests.simulation.record import Ended, Outcome, Record
from tests.simulation.scenario import Kind, Operation, Scenario

OUTCOMES: dict[type[BaseException], Outcome] = {
    MailboxFull: Outcome.FULL,
    Draining: Outcome.DRAINING,
    ActorStopped: Outcome.STOPPED,
    DeadlineExceeded: Outcome.LATE,
    Declined: Outcome.REFUSED,
    ActorFailed: Outcome.FAILED,
}


def simulate(scenario: Scenario, *, on_asyncio: bool = False) -> Record:
    """Play ``scenario`` to its end."""
    run = run_on_asyncio if on_asyncio else run_on_trio
    return run(lambda: _Evening(scenario).play(), scenario.seed)


class _Evening:
    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.record = Record()
        self.stage = Stage(self.record)
        self.rng = random.Random(scenario.seed)

    async def play(self) -> Record:
        record, tree = self.record, self.stage.tree(self.scenario.tree)
        record.begin()
        refs: list[ActorRef[Player]] = []
        with anyio.fail_after(600):
            # Senders outlive the system, whatever its end: that is when asks must not hang.
            async with anyio.create_task_group() as senders:
                try:
                    async with open_system(tree, observe=record.observe, chance=self.rng.random) as system:
                        refs += [system.ref(self.stage.children[n]) for n in range(self.scenario.players)]
                        for operation in self.scenario.operations:
                            senders.start_soon(self.send, operation, refs[operation.to])
                        await self.pass_time(system)
                except (ActorFailed, Forgot) as failure:
                    record.write(f"the system failed: {failure}")
        for ref in refs:
            with anyio.fail_after(0):
                await self.ask_the_dead(ref)
        return record

    async def pass_time(self, system: System) -> None:
        scenario = self.scenario
        if scenario.drain_at is None:
            await anyio.sleep(16)
        else:
            await anyio.sleep(scenario.drain_at)
            self.record.drained_from = len(self.record.events)
            await system.drain(grace=scenario.drain_grace)
        self.record.drained_from = self.record.drained_from or len(self.record.events)

    async def ask_the_dead(self, ref: ActorRef[Player]) -> None:
        try:
            await ref.ask(Play(operation=self.scenario.operations[0]))
        except (Draining, ActorStopped):
            return
        raise AssertionError(f"{ref} answered after its end")

    async def send(self, operation: Operation, ref: ActorRef[Player]) -> None:
        await anyio.sleep(operation.at)
        began, record = anyio.current_time(), self.record
        deadline = math.inf if operation.deadline is None else began + operation.deadline
        record.begun.append(operation.number)
        outcomes: list[Outcome] = []

        async def listen() -> None:
            outcomes.append(await self.outcome(operation, ref))

        with anyio.CancelScope(deadline=deadline):
            if operation.cancelled_after is None:
                await listen()
            else:
                await _cancelled(listen, operation.cancelled_after)
        outcome = outcomes[0] if outcomes else Outcome.GONE
        record.write(f"{operation.number} ended {outcome.value}")
        record.ended.append(
            Ended(
                number=operation.number,
                outcome=outcome,
                began=began,
                ended=anyio.current_time(),
                deadline=deadline,
            )
        )

    async def outcome(self, operation: Operation, ref: ActorRef[Player]) -> Outcome:
        try:
            match operation.kind:
                case Kind.ASK:
                    ask = ref.ask_shielded if operation.shielded else ref.ask
                    answer = await ask(Play(operation=operation))
                    assert answer == operation.number
                case Kind.TELL:
                    await ref.tell(Hear(operation=operation))
                    self.record.told[f"player{operation.to}"] += 1
                case Kind.STREAM:
                    return await self.watch(operation, ref)
        except tuple(OUTCOMES) as error:
            return OUTCOMES[type(error)]
        return Outcome.VALUE

    async def watch(self, operation: Operation, ref: ActorRef[Player]) -> Outcome:
        seen = 0
        async with ref.stream(Watch(operation=operation), buffer=operation.items % 2) as items:
            if operation.leaves_after == 0:
                return Outcome.GONE
            async for item in items:
                assert item == seen, "events out of order"
                seen += 1
                if seen == operation.leaves_after:
                    return Outcome.GONE
        assert seen == operation.items, "a stream that ended well lacks events"
        return Outcome.VALUE


async def _cancelled(work: Callable[[], Awaitable[None]], after: float) -> None:
    async with anyio.create_task_group() as tasks:

        async def cancel() -> None:
            await anyio.sleep(after)
            tasks.cancel_scope.cancel()

        tasks.start_soon(cancel)
        await work()
        tasks.cancel_scope.cancel()
