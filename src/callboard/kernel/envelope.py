"""A message on its way: the pure value, and around it what only the kernel needs to know."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from callboard.kernel.reply import Reply
from callboard.kernel.trace import TraceContext


class Envelope(Struct, frozen=True, eq=False):
    """A message with its return address, its trace and its deadline.

    Attributes:
        message: The notice or request as it was sent.
        reply: Where the answer goes; None for a notice.
        trace: The sender's trace.
        deadline: The sender's effective deadline in the event loop's time; infinite where it has none.
    """

    message: object
    reply: Reply[Any] | None
    trace: TraceContext
    deadline: float

    @property
    def abandoned(self) -> bool:
        """Whether the asker has left: nobody would read the answer."""
        return self.reply is not None and self.reply.gone

    def fail(self, error: Exception) -> bool:
        """Answer with ``error``. Returns whether somebody will see it, which for a notice nobody does."""
        return self.reply is not None and self.reply.fail(error)
