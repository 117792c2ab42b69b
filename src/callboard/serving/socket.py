"""An open WebSocket, as the application sees it.

Two shells carry it, like exchanges: `callboard.serving.http1.websocket` and `callboard.serving.asgi.socket`.
Both take text messages only, join fragments, answer pings, and close by themselves on what breaks the
protocol or exceeds a bound.

Source: RFC 6455, 5.4 (fragments), 5.5 (control frames), 7.4.1 (close codes).
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from msgspec import Struct

GOING_AWAY = 1001
PROTOCOL_ERROR = 1002
NOT_TEXT = 1003
POLICY = 1008
TOO_BIG = 1009
BUG = 1011


class SocketLimits(Struct, frozen=True, kw_only=True):
    """How long a socket lasts.

    Attributes:
        idle_s: Without a turn in work and without a message. What comes in pieces is a message when it is
            whole.
        lifetime_s: In all; a turn in work comes to its end first. Source: Open Responses specification,
            2026-04-24, "WebSocket Reconnects": 60 minutes.
    """

    idle_s: float = 900.0
    lifetime_s: float = 3600.0


class Socket(ABC):
    """One task receives, any task may send."""

    __slots__ = ()

    @abstractmethod
    async def receive(self) -> bytes | None:
        """The next text message, as UTF-8; None, once, where the server wants its clients to leave.

        A cancelled `receive` loses nothing. The client's pings are answered while one is awaited.

        Raises:
            ClientGone: It has left, or was shown out because of what it sent.
        """

    @abstractmethod
    async def send(self, *texts: bytes) -> None:
        """Send text messages; waits while the client reads more slowly than we write.

        Raises:
            ClientGone: It has left, as far as that is known; else the messages are lost.
        """

    @abstractmethod
    async def close(self, code: int, reason: str) -> None:
        """Say goodbye; nothing can be sent after it. Nothing happens where it is closed already.

        Args:
            code: See RFC 6455, 7.4.1.
            reason: At most 123 bytes.
        """
