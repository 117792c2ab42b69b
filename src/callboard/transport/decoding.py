"""Bounded decoding of bodies: a hostile upstream cannot make a small answer large.

A decoder is fed raw pieces and asked for decoded ones until it has none. Compressed input is unpacked in
steps of at most 64 KiB, so that memory follows what the reader takes and never what the sender packed.
"""

from __future__ import annotations

import zlib
from typing import Protocol

from callboard.errors import RemoteWireError
from callboard.transport.http import Limits

STEP_BYTES = 64 * 1024


class BodyDecoder(Protocol):
    """Turns raw pieces of a body into decoded ones, within limits."""

    def feed(self, raw: bytes) -> None:
        """Take one raw piece. Raises RemoteWireError where a limit is exceeded."""

    def take(self) -> bytes:
        """The next decoded piece; empty where more input is needed."""

    def finish(self) -> None:
        """The body has ended. Raises RemoteWireError where its compression has not."""


def decoder_for(encoding: str, limits: Limits) -> BodyDecoder | None:
    """The decoder for the value of ``Content-Encoding``; None where nothing is to be decoded.

    One layer of gzip or deflate is accepted although we ask for none; anything else is refused.

    Raises:
        RemoteWireError: The encoding is not one we know.
    """
    name = encoding.strip().lower()
    if name in {"", "identity"}:
        return None
    if name in {"gzip", "x-gzip", "deflate"}:
        return InflatingDecoder(limits, gzip=name != "deflate")
    raise RemoteWireError("the upstream's answer has a content encoding that was not asked for")


class InflatingDecoder:
    """Unpacks gzip or deflate in bounded steps.

    Source: RFC 1952 section 2.2 (a gzip file is a series of members); RFC 9110 section 8.4.1.2 (deflate is
    the zlib format, and some senders leave its wrapper away).
    """

    def __init__(self, limits: Limits, *, gzip: bool) -> None:
        self._limits = limits
        self._gzip = gzip
        self._inflater = zlib.decompressobj(zlib.MAX_WBITS | 16) if gzip else None
        self._input = b""
        self._taken_in = 0
        self._given_out = 0

    def feed(self, raw: bytes) -> None:
        """Take one compressed piece; the caller takes everything out before it feeds the next."""
        self._input += raw
        self._taken_in += len(raw)

    def take(self) -> bytes:
        """At most ``STEP_BYTES`` decoded bytes; empty where more input is needed.

        Raises:
            RemoteWireError: The data are corrupt, expand beyond ``ratio``, or exceed ``body_bytes``.
        """
        while self._input:
            inflater = self._inflater or self._begin_deflate()
            if inflater is None:
                return b""
            if inflater.eof:
                inflater = self._inflater = self._next_member()
            piece = self._inflate(inflater, self._input)
            self._input = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
            if piece:
                return piece
        if self._inflater is None or self._inflater.eof:
            return b""
        # zlib may have swallowed all input and still hold output back: a full step hides the rest.
        return self._inflate(self._inflater, b"")

    def finish(self) -> None:
        """Check that the compressed data ended where the body did."""
        if self._taken_in and (self._inflater is None or not self._inflater.eof):
            raise RemoteWireError("the upstream's compressed answer ends in the middle")

    def _inflate(self, inflater: zlib._Decompress, data: bytes) -> bytes:
        try:
            piece = inflater.decompress(data, STEP_BYTES)
        except zlib.error as error:
            raise RemoteWireError("the upstream's compressed answer is corrupt") from error
        self._given_out += len(piece)
        if self._given_out > self._limits.body_bytes:
            raise RemoteWireError("the upstream's answer is longer than allowed")
        suspicious = self._given_out > self._limits.ratio_floor_bytes
        if suspicious and self._given_out > self._taken_in * self._limits.ratio:
            raise RemoteWireError("the upstream's answer expands like a decompression bomb")
        return piece

    def _begin_deflate(self) -> zlib._Decompress | None:
        # The two-byte zlib header is a multiple of 31 and names method 8; without it the data are bare.
        if len(self._input) < 2:
            return None
        first, second = self._input[:2]
        wrapped = first & 0x0F == 8 and (first * 256 + second) % 31 == 0
        self._inflater = zlib.decompressobj(zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS)
        return self._inflater

    def _next_member(self) -> zlib._Decompress:
        if not self._gzip:
            raise RemoteWireError("the upstream's compressed answer goes on after its end")
        return zlib.decompressobj(zlib.MAX_WBITS | 16)
