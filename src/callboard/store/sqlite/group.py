"""Group commit: whoever finds the writer free takes along everybody who waits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import anyio
from anyio.lowlevel import checkpoint

from callboard.errors import CallboardError
from callboard.store.changes import Change

Batches: TypeAlias = Sequence[Sequence[Change]]
Outcomes: TypeAlias = list[CallboardError | None]


class _Job:
    """What one caller wants done, and what came of it."""

    __slots__ = ("batches", "error", "outcomes", "woken")

    def __init__(self, batches: Batches) -> None:
        self.batches = batches
        self.outcomes: Outcomes | None = None
        self.error: BaseException | None = None
        self.woken = anyio.Event()

    @property
    def over(self) -> bool:
        return self.outcomes is not None or self.error is not None


class GroupCommit:
    """Hands batches to ``write``, one call of it at a time, with all that has come up meanwhile in the next.

    There is no task of its own: the caller that finds nobody writing leads. It writes for all who wait by
    then, shielded from its own cancellation, and passes the lead to the first of those who came since.
    """

    def __init__(self, write: Callable[[Batches], Awaitable[Outcomes]]) -> None:
        self._write = write
        self._waiting: list[_Job] = []
        self._led = False

    async def submit(self, batches: Batches) -> Outcomes:
        """Have ``batches`` done, in their order.

        One that is cancelled before its turn has done nothing; later, it is done all the same.
        """
        await checkpoint()
        job = _Job(batches)
        self._waiting.append(job)
        if self._led:
            try:
                await job.woken.wait()
            except BaseException:
                self._withdraw(job)
                raise
        if not job.over:
            await self._lead()
        if job.error is not None:
            raise job.error
        return job.outcomes or []

    async def _lead(self) -> None:
        self._led = True
        jobs, self._waiting = self._waiting, []
        try:
            with anyio.CancelScope(shield=True):
                outcomes = await self._write([batch for job in jobs for batch in job.batches])
            start = 0
            for job in jobs:
                job.outcomes = outcomes[start : start + len(job.batches)]
                start += len(job.batches)
        except BaseException as error:
            for job in jobs:
                job.error = error
            raise
        finally:
            for job in jobs:
                job.woken.set()
            self._pass_on()

    def _pass_on(self) -> None:
        self._led = bool(self._waiting)
        if self._waiting:
            self._waiting[0].woken.set()

    def _withdraw(self, job: _Job) -> None:
        if job in self._waiting:
            self._waiting.remove(job)
            if job.woken.is_set():
                self._pass_on()
