"""A child actor as its supervisor sees it: one slot, one incarnation at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import anyio

from callboard.kernel.cell import Cell
from callboard.kernel.context import Surroundings
from callboard.kernel.lifecycle import Crashed, Started, Stopped
from callboard.kernel.node import Ending
from callboard.kernel.ref import ActorRef
from callboard.kernel.slot import Slot
from callboard.kernel.tree import Child


class ChildNode:
    """Runs one incarnation after another of the actor that ``spec`` describes.

    Attributes:
        ref: The reference that stays valid across them.
    """

    def __init__(self, spec: Child[Any], slot: Slot, surroundings: Surroundings) -> None:
        self.ref: ActorRef[Any] = ActorRef(slot)
        self._spec = spec
        self._slot = slot
        self._surroundings = surroundings
        self._incarnation = 0
        self._cell: Cell | None = None
        self._up = False

    @property
    def name(self) -> str:
        """See `Node.name`."""
        return self._spec.name

    async def run(self, started: Callable[[], None]) -> None:
        """See `Node.run`."""
        self._incarnation += 1
        clock, observe = self._slot.environment.clock, self._slot.environment.observe

        def up() -> None:
            self._up = True
            observe(Started(at=clock(), path=self._slot.path, incarnation=self._incarnation))
            started()

        self._cell = Cell(self._slot, self.ref, self._surroundings)
        try:
            await self._cell.run(self._spec.start, up)
        except Exception as error:
            observe(Crashed(at=clock(), path=self._slot.path, incarnation=self._incarnation, error=error))
            raise
        except BaseException:
            observe(Stopped(at=clock(), path=self._slot.path, incarnation=self._incarnation, cancelled=True))
            raise
        else:
            observe(Stopped(at=clock(), path=self._slot.path, incarnation=self._incarnation))
        finally:
            self._cell = None
            self._up = False

    def finish(self, ending: Ending, until: float | None) -> None:
        """See `Node.finish`."""
        if self._cell is not None:
            self._cell.finish(ending, until)

    def patience(self, until: float | None) -> float:
        """See `Node.patience`: ``until``, or its own grace from now; none while it has not even started."""
        if not self._up:
            return anyio.current_time()
        return anyio.current_time() + self._spec.grace if until is None else until

    def close(self) -> None:
        """See `Node.close`."""
        self._slot.close()

    def snapshot(self) -> Mapping[str, object]:
        """See `Node.snapshot`; message counts are those of the slot, over all incarnations."""
        slot, mailbox, cell = self._slot, self._slot.mailbox, self._cell
        state = "running" if cell is not None else "stopped" if mailbox.closed else "down"
        return {
            "name": self.name,
            "path": slot.path,
            "state": state,
            "incarnation": self._incarnation,
            "queued": len(mailbox),
            "peak": mailbox.peak,
            "capacity": mailbox.spec.capacity,
            "waiting_senders": mailbox.waiting_senders,
            "handled": slot.handled,
            "skipped": slot.skipped,
            "rejected": slot.rejected,
            "dead": slot.dead,
            "working": 0 if cell is None else cell.work.live,
            "sessions": () if cell is None else tuple(node.snapshot() for node in cell.work.sessions),
        }
