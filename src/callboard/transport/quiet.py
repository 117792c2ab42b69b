"""Whether an idle peer has kept quiet: asked of the system itself, which knows before the event loop does."""

from __future__ import annotations

import select
import sys


class Quiet:
    """Watches the socket behind ``descriptor``."""

    __slots__ = ("_descriptor", "_poll")

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        if sys.platform != "win32":
            self._poll = select.poll()
            self._poll.register(descriptor, select.POLLIN)

    def holds(self) -> bool:
        """Whether nothing has come: no end of stream, no reset, no unasked bytes."""
        if sys.platform == "win32":
            return not select.select([self._descriptor], [], [], 0)[0]
        return not self._poll.poll(0)
