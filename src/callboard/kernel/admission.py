"""Who may still ask while the system drains.

A drain refuses new work from outside and lets admitted work finish, and that work must be able to ask on.
Which of the two a sender is, is a fact about its task, not about the reference it holds: actors, what they
spawn, and blocks inside `System.admit` are inside. A context variable says so, because tasks inherit it from
the task that starts them.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from types import TracebackType

import anyio

from callboard.errors import Draining

_inside: ContextVar[bool] = ContextVar("callboard_inside", default=False)


def step_inside() -> None:
    """Mark the running task, and every task it starts from here on, as admitted."""
    _inside.set(True)


class Visit:
    """A block of work from outside. A class, because there is one for every request."""

    __slots__ = ("_admission", "_token")

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._token: Token[bool]

    def __enter__(self) -> None:
        admission = self._admission
        if admission.closed:
            admission.check()
        admission.present += 1
        self._token = _inside.set(True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _inside.reset(self._token)
        admission = self._admission
        admission.present -= 1
        if admission.closed and not admission.present:
            admission.emptied.set()


class Admission:
    """The system's door: open until `close`, and counting who came through it.

    Attributes:
        closed: Whether a drain or a stop has begun. Read by every ask, so an attribute and not a method.
        present: Admitted blocks that have not been left.
        emptied: Set once the door is closed and there are none.
    """

    __slots__ = ("closed", "emptied", "present")

    def __init__(self) -> None:
        self.closed = False
        self.present = 0
        self.emptied = anyio.Event()

    def check(self) -> None:
        """Refuse the running task if the door is closed and the task is not inside.

        Raises:
            Draining: The system is stopping.
        """
        if self.closed and not _inside.get():
            raise Draining("the system is stopping and admits nothing new")

    def admit(self) -> Visit:
        """Count the block as work in flight: a drain waits for it, and it may go on asking meanwhile.

        Raises:
            Draining: On entering, if the system is stopping.
        """
        return Visit(self)

    def close(self) -> None:
        """Admit nobody from here on."""
        self.closed = True
        if not self.present:
            self.emptied.set()

    async def wait_empty(self) -> None:
        """Suspend until the door is closed and every admitted block has been left."""
        await self.emptied.wait()
