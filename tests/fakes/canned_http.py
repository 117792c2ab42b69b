"""An HTTP client without a network: it answers what it was given, and keeps what it was sent."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import anyio.lowlevel

from callboard.errors import StreamIncomplete
from callboard.transport.http import ClientStatistics, HttpRequest


class CannedResponse:
    """An answer whose body comes in the given pieces, and is then complete or cut."""

    def __init__(
        self,
        *pieces: bytes,
        status: int = 200,
        headers: Sequence[tuple[str, str]] = (("content-type", "text/event-stream"),),
        cut: bool = False,
    ) -> None:
        self.status = status
        self.headers = tuple(headers)
        self.closed = False
        self.read_to_end = False
        self._pieces = deque(pieces)
        self._cut = cut

    @property
    def over(self) -> bool:
        return self.read_to_end

    def header(self, name: str) -> str | None:
        return next((value for each, value in self.headers if each == name), None)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        await anyio.lowlevel.checkpoint()
        if self.closed:
            raise StreamIncomplete("the answer was closed")
        if self._pieces:
            return self._pieces.popleft()
        if self._cut:
            raise StreamIncomplete("the connection was lost")
        self.read_to_end = True
        raise StopAsyncIteration

    async def read(self) -> bytes:
        return b"".join([piece async for piece in self])

    async def aclose(self) -> None:
        self.closed = True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class CannedClient:
    """Gives the answers in order; an exception among them is raised instead."""

    def __init__(self, *answers: CannedResponse | Exception) -> None:
        self.requests: list[HttpRequest] = []
        self.closed = False
        self._answers = deque(answers)

    async def send(self, request: HttpRequest) -> CannedResponse:
        await anyio.lowlevel.checkpoint()
        self.requests.append(request)
        answer = self._answers.popleft()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def aclose(self) -> None:
        self.closed = True

    def statistics(self) -> ClientStatistics:
        return ClientStatistics(open=0, idle=0, in_use=0, waiting=0)
