"""What asyncio does not tell of a connection, and what it cannot do to one: asked of the socket itself.

A connection that is not read, because its client is ahead of us, does not notice that the client has gone.
Linux says so all the same (``POLLRDHUP``); where the system does not, only a reset is noticed.

Source: poll(2), socket(7).
"""

from __future__ import annotations

import asyncio
import select
import socket
import struct
from collections.abc import Callable

LOOK_S = 0.1


class Lookout:
    """Looks after a client that is not read, now and then; closes the connection where it has gone."""

    __slots__ = ("_looking", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._looking = False

    def begin(self, transport: asyncio.Transport, needed: Callable[[], bool]) -> None:
        """Look after ``transport`` as long as it is ``needed``."""
        if not self._looking:
            self._looking = True
            self._loop.call_later(LOOK_S, self._look, transport, needed)

    def _look(self, transport: asyncio.Transport, needed: Callable[[], bool]) -> None:
        self._looking = False
        if not needed():
            return
        if has_left(transport.get_extra_info("socket").fileno()):
            transport.abort()
        else:
            self.begin(transport, needed)


def has_left(descriptor: int) -> bool:
    """Whether the peer of a socket has closed or reset its side, whatever of it is still unread."""
    if not hasattr(select, "poll"):
        return False
    poll = select.poll()
    poll.register(descriptor, getattr(select, "POLLRDHUP", 0))  # errors are told unasked
    return bool(poll.poll(0))


def reset(transport: asyncio.Transport) -> None:
    """End a connection so that nobody takes what came for the whole: lingering for no time sends a RST."""
    sock: socket.socket = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
