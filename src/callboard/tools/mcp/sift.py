"""What comes from a server, before the SDK looks at it.

Lists of tools are cut to what we would ever use, so that a list of a hundred thousand costs little; and lose
their output schemas, which we have no use for and which a hostile one makes expensive to check. The end of
the stream is the one sign of a lost connection that all transports have in common.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeAlias

import anyio
import mcp_types
import msgspec
from mcp.client._transport import ReadStream, WriteStream
from mcp.shared.message import SessionMessage
from msgspec import Raw, Struct

from callboard.tools.mcp.news import News

Incoming: TypeAlias = ReadStream[SessionMessage | Exception]
Outgoing: TypeAlias = WriteStream[SessionMessage]

MAX_TOOLS = 1000
"""Of one server."""

LARGE_BYTES = 256 * 1024


class _Answer(Struct):
    """The outline of an answer; what is inside costs next to nothing until it is looked at."""

    id: Raw
    result: dict[str, Raw]


def slimmed(line: bytes) -> bytes:
    """A line of JSON-RPC, made shorter where it is a long list of tools, before anybody builds all of it.

    The SDK's own reading of a list of 80,000 takes half a second, in which nobody else is served.
    """
    if len(line) < LARGE_BYTES:
        return line
    try:
        answer = msgspec.json.decode(line, type=_Answer)
        tools = msgspec.json.decode(answer.result.get("tools", b"[]"), type=list[Raw])
    except (msgspec.DecodeError, RecursionError):
        return line
    if len(tools) <= MAX_TOOLS:
        return line
    result = {**answer.result, "tools": tools[: MAX_TOOLS + 1]}
    return msgspec.json.encode({"jsonrpc": "2.0", "id": answer.id, "result": result})


class Sifted:
    """A transport's incoming stream, sifted.

    Args:
        inner: The transport's.
        news: Told of its end.
        heard: Told the method of everything that the server asks us for.
    """

    def __init__(self, inner: Incoming, news: News, heard: Callable[[str], None]) -> None:
        self._inner = inner
        self._news = news
        self._heard = heard

    def __getattr__(self, name: str) -> object:
        """What only some streams have: the SDK looks for the sender's context."""
        return getattr(self._inner, name)

    async def receive(self) -> SessionMessage | Exception:
        """The next message."""
        try:
            item = await self._inner.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
            self._news.lose("its connection was closed")
            raise
        if isinstance(item, SessionMessage):
            _sift(item)
            for method in asked_for(item.message):
                self._heard(method)
        return item

    async def aclose(self) -> None:
        """Close the stream."""
        await self._inner.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def asked_for(message: mcp_types.JSONRPCMessage) -> tuple[str, ...]:
    """The methods of what a message asks us for: pushed, or as input that a call needs to go on."""
    match message:
        case mcp_types.JSONRPCRequest():
            return (message.method,)
        case mcp_types.JSONRPCResponse():
            inputs = message.result.get("inputRequests")
            each = inputs.values() if isinstance(inputs, dict) else ()
            return tuple(str(one.get("method")) for one in each if isinstance(one, dict))
        case _:
            return ()


def _sift(item: SessionMessage) -> None:
    message = item.message
    if not isinstance(message, mcp_types.JSONRPCResponse):
        return
    tools = message.result.get("tools")
    if isinstance(tools, list):
        del tools[MAX_TOOLS + 1 :]  # one more than we take, so that it is seen that there are more
        for tool in tools:
            if isinstance(tool, dict):
                tool.pop("outputSchema", None)
