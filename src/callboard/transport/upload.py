"""A request's body on its way: pieces as they come, held to the announced length, framed for HTTP/1.1.

Source: RFC 9112, 6.2 (a body of another length than announced would be read as the next request), 7.1
(chunks).
"""

from __future__ import annotations

from typing import Self

from callboard.errors import LocalWireError
from callboard.transport.http import Upload


class Uploading:
    """Reads an `Upload` to its end, once.

    Attributes:
        over: Whether the end has come.
    """

    __slots__ = ("_left", "_upload", "over")

    def __init__(self, upload: Upload) -> None:
        self.over = False
        self._upload = upload
        self._left = upload.length

    async def next(self) -> bytes:
        """The next piece; empty at the end.

        Raises:
            LocalWireError: There is more or less of it than was announced.
        """
        piece = await self._upload.piece()
        self.over = not piece
        if self._left is not None:
            self._left -= len(piece)
            if self._left < 0 or (self._left and self.over):
                raise LocalWireError("the body has another length than announced")
        return piece

    async def next_framed(self) -> bytes:
        """The next piece as it is written in HTTP/1.1; at the end what ends the body, if anything does."""
        piece = await self.next()
        if self._left is not None:
            return piece
        return b"%x\r\n%b\r\n" % (len(piece), piece)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if piece := await self.next():
            return piece
        raise StopAsyncIteration
