"""HTTP as values: what we send, what comes back, and the protocol that both clients keep. No IO.

Two clients implement :class:`HttpClient` and pass one contract suite (``tests/contracts/http_client.py``):
:class:`~callboard.transport.pooled.PooledClient`, thin HTTP/1.1 for the hot path, and
:class:`~callboard.transport.general.GeneralClient` for everything unusual (proxies, HTTP/2).
Neither follows redirects, reads the environment, keeps cookies, upgrades, or sends credentials it was not
given.
"""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

from msgspec import Struct
from msgspec.structs import replace


class Timeouts(Struct, frozen=True, kw_only=True):
    """How long one call may take, in seconds.

    Attributes:
        connect_s: Resolving the name, the TCP connection and the TLS handshake together.
        first_byte_s: From the request's last byte written to the complete head of the answer.
        answer_s: What ``first_byte_s`` and ``idle_s`` are for an answer that comes as a whole: see `whole`.
        idle_s: Between two pieces of the answer's body, or two pieces of a large request.
        total_s: The whole call, from ``send`` to the last byte of the body; waiting for a connection counts.
    """

    connect_s: float = 5.0
    first_byte_s: float = 60.0
    answer_s: float = 600.0
    idle_s: float = 30.0
    total_s: float = 600.0

    @property
    def whole(self) -> Timeouts:
        """The limits of a call whose answer is not streamed: an upstream may be silent until it is whole."""
        return replace(self, first_byte_s=self.answer_s, idle_s=self.answer_s)

    @property
    def either(self) -> Timeouts:
        """The limits of a call of which nobody knows whether its answer is streamed."""
        return replace(self, first_byte_s=self.answer_s)


class Limits(Struct, frozen=True, kw_only=True):
    """How much of an answer is accepted before it is refused with ``RemoteWireError``.

    Attributes:
        header_bytes: Names and values of all header fields; also the framing allowed between two pieces of
        body. header_count: Header fields. body_bytes: The body, after decompression; read whole or streamed
        alike. ratio: Decompressed bytes per compressed byte, once more than ``ratio_floor_bytes`` came out.
        ratio_floor_bytes: Below this much output no ratio is suspicious.
    """

    header_bytes: int = 32 * 1024
    header_count: int = 100
    body_bytes: int = 32 * 1024 * 1024
    ratio: int = 100
    ratio_floor_bytes: int = 1024 * 1024


class Upload(Protocol):
    """A body that is sent as it comes. Read by one call, once."""

    @property
    def length(self) -> int | None:
        """Its bytes, where that is known before; None where only its end will tell."""

    async def piece(self) -> bytes:
        """The next piece; empty at the end. What it raises ends the call and reaches whoever made it."""


class HttpRequest(Struct, frozen=True, kw_only=True):
    """One request. ``Host``, framing and connection headers are the client's business, not the caller's.

    Attributes:
        method: Upper-case method; ``CONNECT`` is refused.
        url: Absolute ``http`` or ``https`` URL in ASCII; no user, no fragment.
        headers: Further header fields, as given; names and values are checked before anything is sent.
        body: The whole body.
        upload: The body instead, where it is sent as it comes; such a request is never sent again.
        raw: The answer's body is handed out as it came, compressed where it is, and however long it is.
        timeouts: Time limits of this call.
        idempotent: This call may be sent again after the connection died with no byte of an answer,
            although its method alone would not allow it.
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    upload: Upload | None = None
    raw: bool = False
    timeouts: Timeouts = Timeouts()
    idempotent: bool = False


class ClientStatistics(Struct, frozen=True, kw_only=True):
    """A client's connections at one moment: ``open == idle + in_use``.

    Attributes:
        open: Connections that exist or are being made.
        idle: Of these, the ones kept for the next call.
        in_use: Of these, the ones that carry a call.
        waiting: Calls waiting for a connection.
    """

    open: int
    idle: int
    in_use: int
    waiting: int


class HttpResponse(Protocol):
    """An open answer: status and headers are there, the body is read on demand.

    It owns its connection until the body was read to its end or it is closed, so always use it as a
    context manager or close it. The socket is read only when asked: a slow reader slows the upstream.
    A cancelled read loses nothing that was promised: close the answer, its connection is not used again.
    """

    @property
    def status(self) -> int:
        """The status code, 200 to 599."""

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Header fields in order, names in lower case."""

    @property
    def over(self) -> bool:
        """Whether its connection has been given back, so that nothing is lost with what was not read."""

    def header(self, name: str) -> str | None:
        """The first field of this lower-case name, None where there is none."""

    def __aiter__(self) -> Self:
        """The body's pieces."""

    async def __anext__(self) -> bytes:
        """The next non-empty piece of the body as soon as it is there, decompressed.

        Raises:
            StreamIncomplete: The body was cut before its end, or the answer was closed.
            RemoteWireError: The framing or the compression is broken, or a limit is exceeded.
            UpstreamTimeout: ``idle_s`` or ``total_s`` passed.
        """

    async def read(self) -> bytes:
        """The rest of the body, whole. Raises what ``__anext__`` raises, and closes the answer then."""

    async def aclose(self) -> None:
        """Give the connection up (or back, where the body was read to its end).

        Idempotent, never waits for the peer, and runs to its end under cancellation.
        """

    async def __aenter__(self) -> Self:
        """The answer itself."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the answer."""


class HttpClient(Protocol):
    """Sends requests over connections that it owns, keeps and bounds."""

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send a request and return when the answer's status and headers are there.

        Cancelling it closes the connection in use and gives its place to the next in line.

        Raises:
            LocalWireError: The request itself breaks HTTP; nothing was sent.
            UpstreamUnreachable: No connection, or it broke before the head of an answer was complete.
            UpstreamTimeout: One of the request's time limits passed.
            RemoteWireError: The peer does not speak HTTP, or a limit is exceeded.
        """

    async def aclose(self) -> None:
        """Close every connection; calls under way and later ones fail."""

    def statistics(self) -> ClientStatistics:
        """The connections now."""
