"""One HTTP request and its answer, as the application sees them.

Two shells carry it: `callboard.serving.http1` for our own server, `callboard.serving.asgi` where another
application mounts us. Both pass one contract suite.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Protocol, TypeAlias

from callboard.errors import TooLarge, UnreadableRequest, UnsupportedMedia
from callboard.serving.socket import Socket

Header: TypeAlias = tuple[bytes, bytes]
JSON = b"application/json"


class Beating(Protocol):
    """A streamed answer: kept alive while nothing comes, and told why where it breaks off."""

    def beat(self) -> bytes | None:
        """What to write now so that nobody takes the stream for dead; None where it was written to since."""

    async def break_off(self, error: BaseException) -> None:
        """Tell the client of ``error``, in its own dialect, as the last it hears."""


class ClientGone(Exception):
    """The client closed its connection before it had its answer."""


Serve: TypeAlias = "Callable[[Exchange], Awaitable[None]]"
"""Answers one request; raises nothing but a cancellation."""


class Exchange(ABC):
    """One request. Used by one task.

    Attributes:
        method: As it came, in upper case.
        path: Without the query, percent-decoded.
        target: Path and query as they came, below the place where we are mounted.
        request_id: Ours, or the client's own where it sent a usable one; sent back as ``x-request-id``.
        status: The status that was sent, None before.
        complete: Whether the whole answer was handed over to the socket.
        stream: The answer where it is a stream of events.
        stopped: Why the exchange was cancelled: `ClientGone`, or what the client is to be told.
        afterwards: What goes on on the connection when the request is done, because it has opened a socket.
            Given what serves an exchange.
    """

    __slots__ = (
        "afterwards",
        "complete",
        "headers",
        "method",
        "path",
        "request_id",
        "status",
        "stopped",
        "stream",
        "target",
    )

    def __init__(self, method: str, path: str, headers: Mapping[bytes, bytes], target: bytes) -> None:
        self.method = method
        self.path = path
        self.target = target
        self.headers = headers
        self.request_id = ""
        self.status: int | None = None
        self.complete = False
        self.stream: Beating | None = None
        self.stopped: Exception | None = None
        self.afterwards: Callable[[Serve], Awaitable[None]] | None = None

    @property
    def query(self) -> bytes:
        """What stands behind the question mark of the target."""
        return self.target.partition(b"?")[2]

    @property
    def opens_socket(self) -> bool:
        """Whether the client wants to switch to a WebSocket."""
        upgrade = self.headers.get(b"upgrade")
        return upgrade is not None and self.method == "GET" and b"websocket" in upgrade.lower()

    def header(self, name: bytes) -> bytes | None:
        """The first request header of this lower-case name."""
        return self.headers.get(name)

    @abstractmethod
    async def body(self, limit: int) -> bytes:
        """The whole request body.

        Raises:
            TooLarge: It exceeds ``limit`` bytes, or says that it will.
            UnsupportedMedia: It is compressed, or not declared as JSON.
            ClientGone: The client left while sending it.
        """

    def body_length(self) -> int | None:
        """Bytes of the request body by its head; None where only its end will tell (RFC 9112, 6.3)."""
        announced = self.headers.get(b"content-length")
        if announced is not None and announced.isdigit():
            return int(announced)
        return None if b"transfer-encoding" in self.headers else 0

    @abstractmethod
    async def piece(self, limit: int) -> bytes:
        """The next piece of the request body, as it came, of whatever media type; empty at its end.

        The client is not read faster than pieces are taken. Not together with `body`.

        Raises:
            TooLarge: All pieces together exceed ``limit`` bytes.
            ClientGone: The client left while sending it.
        """

    @abstractmethod
    def attend(
        self, work: Callable[[], Awaitable[None]], *, heartbeat_s: float | None = None
    ) -> Awaitable[None]:
        """Run ``work``, and cancel it as soon as the client has gone.

        Args:
            work: What is done for the client.
            heartbeat_s: How long ``stream`` may be silent before a sign of life is written.

        Raises:
            ClientGone: It went before the work was done; where the exchange is cancelled instead, ``stopped``
                says so.
        """

    @abstractmethod
    async def start(self, status: int, headers: Iterable[Header]) -> None:
        """Send status and headers; the body follows in pieces, and takes them along where it can."""

    @abstractmethod
    async def send(self, piece: bytes, *, more: bool = True) -> None:
        """Send a piece of the body; waits while the client reads more slowly than we write."""

    @abstractmethod
    def stop(self, reason: Exception) -> None:
        """Cancel what is done for the client, which shall be told the reason."""

    async def open_socket(self, limit: int) -> Socket:
        """Accept the client's handshake; it is the answer.

        Args:
            limit: Bytes of a message.

        Raises:
            UnreadableRequest: The request is none, or of another version of the protocol (status 426), or
                malformed.
        """
        raise UnreadableRequest(f"With GET, {self.path} is a WebSocket: ask for an upgrade.", 426)

    async def respond(
        self, status: int, body: bytes, *, media: bytes = JSON, headers: Iterable[Header] = ()
    ) -> None:
        """Send a whole answer."""
        length = str(len(body)).encode()
        await self.start(status, [(b"content-type", media), (b"content-length", length), *headers])
        await self.send(body if self.method != "HEAD" else b"", more=False)

    def check_body(self, limit: int) -> None:
        """Refuse a body by what its headers say of it; raises as `body`."""
        headers = self.headers
        encoding = headers.get(b"content-encoding")
        if encoding is not None and encoding != b"identity":
            raise UnsupportedMedia("Compressed request bodies are not accepted.")
        media = headers.get(b"content-type")
        if media is not None and media != JSON and media.partition(b";")[0].strip().lower() != JSON:
            raise UnsupportedMedia("The request body must be application/json.")
        announced = headers.get(b"content-length")
        if announced is not None and announced.isdigit() and int(announced) > limit:
            raise too_large(limit)


def too_large(limit: int) -> TooLarge:
    """The refusal of a body of more than ``limit`` bytes."""
    return TooLarge(f"The request body exceeds {limit} bytes.")
