"""One round: everything once, so that what disturbs the machine for a while disturbs all alike."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from http.client import HTTPException
from typing import TypeVar

from msgspec.structs import replace

from benchmarks.gateways.footprint import imports, memory
from benchmarks.gateways.gateway import Gateway
from benchmarks.gateways.growth import stream_counts, with_more_models, with_more_workers, with_open_streams
from benchmarks.gateways.measure import Bench, direct, failure_of, measure, running
from benchmarks.gateways.native import CannotMeasureError
from benchmarks.gateways.results import Cost, Memory, Run, Sample, Start
from benchmarks.gateways.table import GATEWAYS, GROWN, OURS

PARTS = ("gateways", "growth", "memory", "imports")
"""What a round has, in this order."""

FAILURES = (CannotMeasureError, subprocess.SubprocessError, HTTPException, OSError)
"""What a gateway may do to us. The others are measured all the same."""

T = TypeVar("T")


class Round:
    """A round to be measured, with what others before it have found."""

    def __init__(self, bench: Bench, run: Run, number: int) -> None:
        self._bench = bench
        self._run = run
        self._number = number
        self._left_out = dict(run.left_out)

    def measured(self, parts: Sequence[str] = PARTS) -> Run:
        """The run with this round in it."""
        run, bench, number = self._run, self._bench, self._number
        samples, starts = self._gateways() if "gateways" in parts else ([], [])
        costs = self._growth() if "growth" in parts else []
        memories = self._memory() if "memory" in parts else []
        imported = self._tried(OURS[0], partial(imports, bench, number)) if "imports" in parts else []
        return replace(
            run,
            rounds=number,
            left_out=self._left_out,
            samples=(*run.samples, *samples),
            starts=(*run.starts, *starts),
            costs=(*run.costs, *costs),
            memory=(*run.memory, *memories),
            imports=(*run.imports, *imported),
        )

    def _gateways(self) -> tuple[list[Sample], list[Start]]:
        samples, _ = measure(self._bench, direct(self._bench), self._number)
        starts: list[Start] = []
        for gateway in GATEWAYS:
            for found, start in self._tried(gateway.name, partial(self._scenarios, gateway)):
                samples += found
                starts += [start] if start else []
        return samples, starts

    def _scenarios(self, gateway: Gateway) -> Iterator[tuple[list[Sample], Start | None]]:
        with running(self._bench, gateway) as target:
            found = measure(self._bench, target, self._number)
        yield found

    def _growth(self) -> list[Cost]:
        costs: list[Cost] = []
        for gateway in GATEWAYS:
            if gateway.name in GROWN:
                costs += self._tried(gateway.name, partial(self._open_streams, gateway))
        for grow in (with_more_models, with_more_workers):
            costs += self._tried(OURS[0], partial(grow, self._bench, self._number))
        return costs

    def _open_streams(self, gateway: Gateway) -> Iterator[Cost]:
        for count in stream_counts():
            yield with_open_streams(self._bench, gateway, count, self._number)

    def _memory(self) -> list[Memory]:
        memories: list[Memory] = []
        for gateway in GATEWAYS:
            if gateway.name in GROWN:
                memories += self._tried(gateway.name, partial(self._one_memory, gateway))
        return memories

    def _one_memory(self, gateway: Gateway) -> Iterator[Memory]:
        yield memory(self._bench, gateway, self._number)

    def _tried(self, name: str, work: Callable[[], Iterable[T]]) -> list[T]:
        """What ``work`` finds until it fails; nothing for a gateway that is not measured."""
        found: list[T] = []
        if name in self._run.versions:
            try:
                for each in work():
                    found.append(each)  # noqa: PERF402 - what came before a failure counts
            except FAILURES as error:
                self._left_out[name] = f"in round {self._number}: {failure_of(error)}"
                print(f"{name}: {error}", file=sys.stderr, flush=True)
        return found
