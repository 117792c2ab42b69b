"""The open answer that both clients return: decoding, limits and closing over a source of raw body pieces."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from callboard.errors import StreamIncomplete, UpstreamError
from callboard.transport.decoding import IdentityDecoder, decoder_for
from callboard.transport.http import Limits

ANY_LENGTH = Limits(body_bytes=sys.maxsize)
"""For a body that is passed on and never held."""


class BodySource(Protocol):
    """Where an answer's body comes from; it owns the connection."""

    @property
    def over(self) -> bool:
        """Whether the last piece was handed out, and the connection has been given back."""

    async def receive(self) -> bytes:
        """The next raw piece, empty at the end of the body, when the connection has been given back."""

    async def aclose(self) -> None:
        """Close the connection unless it was given back. Idempotent, never waits for the peer."""


class Answer:
    """An :class:`~callboard.transport.http.HttpResponse` over a body source.

    Raises:
        RemoteWireError: On construction, where the body has an encoding we do not know.
    """

    __slots__ = ("_closed", "_decoder", "_ended", "_fields", "_source", "status")

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
        encodings = [value for name, value in fields if name == b"content-encoding"]
        encoding = b",".join(encodings).decode("latin-1") if encodings and not bodiless else ""
        self._decoder = IdentityDecoder(ANY_LENGTH) if raw else decoder_for(encoding, limits)
        self._source = source
        self._ended = False
        self._closed = False

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Header fields in order, names in lower case."""
        return tuple((name.decode("latin-1"), _text(value)) for name, value in self._fields)

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
        if self._closed and not self._ended:
            raise StreamIncomplete("the answer was closed before its end")
        try:
            while not (piece := self._decoder.take()) and not self._ended:
                if raw := await self._source.receive():
                    self._decoder.feed(raw)
                else:
                    self._decoder.finish()
                    self._ended = True
        except UpstreamError:
            await self.aclose()
            raise
        return piece

    async def read(self) -> bytes:
        """The rest of the body, whole."""
        whole = await self._next_or_close()
        if self._source.over and isinstance(self._decoder, IdentityDecoder):
            self._ended = True  # most answers come in one piece, and nothing has to be waited for
            return whole
        if whole and (piece := await self._next_or_close()):
            pieces = [whole, piece]
            while piece := await self._next_or_close():
                pieces.append(piece)
            whole = b"".join(pieces)
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
