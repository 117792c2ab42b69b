"""The open answer that both clients return: decoding, limits and closing over a source of raw body pieces."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from callboard.errors import RemoteWireError, StreamIncomplete, UpstreamError
from callboard.transport.decoding import BodyDecoder, decoder_for
from callboard.transport.http import Limits


class BodySource(Protocol):
    """Where an answer's body comes from; it owns the connection.

    Attributes:
        over: Whether nothing comes after the piece that was handed out last, and the connection has been
            given back.
        left: What has come and was not handed out, once the connection has been given back.
    """

    over: bool
    left: bytes

    async def receive(self) -> bytes:
        """The next raw piece, empty at the end of the body, when the connection has been given back."""

    async def aclose(self) -> None:
        """Close the connection unless it was given back. Idempotent, never waits for the peer."""


class Answer:
    """An :class:`~callboard.transport.http.HttpResponse` over a body source.

    Raises:
        RemoteWireError: On construction, where the body has an encoding we do not know.
    """

    __slots__ = ("_closed", "_decoder", "_ended", "_fields", "_room", "_source", "status")

    def __init__(
        self,
        status: int,
        fields: Sequence[tuple[bytes, bytes]],
        source: BodySource,
        limits: Limits,
        *,
        bodiless: bool,
        raw: bool = False,
    ) -> None:
        """Take over an answer whose head has come.

        Args:
            status: The status code.
            fields: Header fields in order, names in lower case.
            source: Where the body comes from.
            limits: What is accepted of it.
            bodiless: True for answers to HEAD, whose headers describe a body that is not sent.
            raw: Whether the body is handed out as it is, of any length and with any encoding.
        """
        self.status = status
        self._fields = fields
        self._decoder: BodyDecoder | None = None
        if not raw and not bodiless and b"content-encoding" in dict(fields):
            encodings = [value for name, value in fields if name == b"content-encoding"]
            self._decoder = decoder_for(b",".join(encodings).decode("latin-1"), limits)
        self._room = sys.maxsize if raw else limits.body_bytes
        self._source = source
        self._ended = False
        self._closed = False

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Header fields in order, names in lower case."""
        return tuple((name.decode("latin-1"), _text(value)) for name, value in self._fields)

    @property
    def over(self) -> bool:
        """See the protocol."""
        return self._source.over

    def header(self, name: str) -> str | None:
        """The first field of this lower-case name, None where there is none."""
        wanted = name.encode("latin-1")
        for field, value in self._fields:
            if field == wanted:
                return _text(value)
        return None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        piece = await self._next_or_close()
        if not piece:
            raise StopAsyncIteration
        return piece

    async def _next_or_close(self) -> bytes:
        """The next decoded piece; empty at the end of the body."""
        if self._ended:
            return b""
        if self._closed:
            raise StreamIncomplete("the answer was closed before its end")
        try:
            if self._decoder is not None:
                return await self._next_decoded(self._decoder)
            piece = await self._source.receive()
            self._ended = not piece
            self._room -= len(piece)
            if self._room < 0:
                raise RemoteWireError("the upstream's answer is longer than allowed")
        except UpstreamError:
            await self.aclose()
            raise
        return piece

    async def _next_decoded(self, decoder: BodyDecoder) -> bytes:
        while not (piece := decoder.take()):
            if raw := await self._source.receive():
                decoder.feed(raw)
            else:
                decoder.finish()
                self._ended = True
                break
        return piece

    async def read(self) -> bytes:
        """The rest of the body, whole; the answer is closed then, or where that fails."""
        source = self._source
        if source.left and self._decoder is None and not self._closed and len(source.left) <= self._room:
            self._ended = True  # most answers have come whole with their heads
            return source.left
        try:
            whole = await self._next_or_close()
            if source.over and self._decoder is None:
                self._ended = True
                return whole
            if whole and (piece := await self._next_or_close()):
                pieces = [whole, piece]
                while piece := await self._next_or_close():
                    pieces.append(piece)
                whole = b"".join(pieces)
        except BaseException:
            await self.aclose()
            raise
        return whole

    async def aclose(self) -> None:
        """Close the answer; see the protocol."""
        self._closed = True
        await self._source.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def _text(value: bytes) -> str:
    return value.strip(b" \t").decode("latin-1")
