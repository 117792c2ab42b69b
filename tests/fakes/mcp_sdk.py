"""An MCP server made with the SDK, run as a script.

``stdio``, or ``old`` for the wire of 2025-11-25; over HTTP ``http`` or ``sse``, on a port that it prints.

Over HTTP it shows what arrived with its requests; ``die`` ends it in the middle of a call.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Annotated, TypeAlias

import anyio
import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.resolve import Elicit, ListRoots, Resolve, Sample
from mcp.server.stdio import stdio_server
from mcp.shared._stream_protocols import ReadStream, WriteStream
from mcp.shared.message import SessionMessage
from mcp_types import (
    METHOD_NOT_FOUND,
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    CreateMessageResult,
    CreateMessageResultWithTools,
    EmbeddedResource,
    ErrorData,
    ImageContent,
    JSONRPCError,
    JSONRPCRequest,
    ListRootsResult,
    SamplingMessage,
    TextContent,
    TextResourceContents,
    Tool,
    ToolAnnotations,
    ToolUseContent,
)
from pydantic import BaseModel

server = MCPServer("sdk")
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


class Colour(BaseModel):
    colour: str


@server.tool()
def add(a: float, b: float) -> float:
    """Add two numbers."""
    return a + b


@server.tool(annotations=ToolAnnotations(idempotent_hint=True))
def pid() -> str:
    """The server's process."""
    return str(os.getpid())


@server.tool()
def wrong() -> str:
    """Go wrong."""
    raise ValueError("the wrong way")


@server.tool(structured_output=False)
def everything() -> CallToolResult:
    """One block of each kind."""
    text = TextResourceContents(uri="file:///a.txt", text="inside", mime_type="text/plain")
    blob = BlobResourceContents(uri="file:///a.bin", blob="AAAA", mime_type="application/octet-stream")
    return CallToolResult(
        content=[
            TextContent(text="hello"),
            ImageContent(data=PIXEL, mime_type="image/png"),
            AudioContent(data="AAAA", mime_type="audio/wav"),
            EmbeddedResource(resource=text),
            EmbeddedResource(resource=blob),
        ]
    )


@server.tool(structured_output=False)
def nothing() -> CallToolResult:
    """No content."""
    return CallToolResult(content=[])


@server.tool(structured_output=False)
def structured() -> CallToolResult:
    """Structured content alone."""
    return CallToolResult(content=[], structured_content={"a": [1, 2]})


def ask_model() -> Sample:
    return Sample([SamplingMessage(role="user", content=TextContent(text="capital?"))], max_tokens=50)


@server.tool()
def sample(answer: Annotated[CreateMessageResult, Resolve(ask_model)]) -> str:
    """Ask the host's model."""
    assert isinstance(answer.content, TextContent)
    return f"{answer.model} says {answer.content.text}"


def offer_tools() -> Sample:
    message = SamplingMessage(role="user", content=TextContent(text="look it up"))
    look = Tool(name="look", description="Look.", input_schema={"type": "object"})
    return Sample([message], max_tokens=50, tools=[look])


@server.tool()
def sample_with_tools(answer: Annotated[CreateMessageResultWithTools, Resolve(offer_tools)]) -> str:
    """Ask the host's model, which may call a tool of ours."""
    called = [each for each in answer.content_as_list if isinstance(each, ToolUseContent)]
    return f"{answer.stop_reason}: {called[0].name} {called[0].input}"


def ask_user() -> Elicit[Colour]:
    return Elicit("Which colour?", Colour)


@server.tool()
def elicit(answer: Annotated[Colour, Resolve(ask_user)]) -> str:
    """Ask the user."""
    return f"likes {answer.colour}"


def ask_roots() -> ListRoots:
    return ListRoots()


@server.tool()
def roots(answer: Annotated[ListRootsResult, Resolve(ask_roots)]) -> str:
    """Ask for the roots."""
    return " ".join(str(each.uri) for each in answer.roots)


@server.tool()
async def work(ctx: Context) -> str:
    """Report on the way."""
    for step in (1, 2, 3):
        await ctx.report_progress(step, 3)
    return "worked"


@server.tool()
async def hang() -> str:
    """Never answer."""
    await anyio.sleep_forever()
    return ""


@server.tool()
async def die() -> str:
    """End."""
    os._exit(3)


@server.tool()
def header(ctx: Context) -> str:
    """A header of the request."""
    return (ctx.headers or {}).get("x-secret", "none")


@server.tool()
async def grow(ctx: Context) -> str:
    """Have one tool more."""
    server.add_tool(lambda: "new", name="grown", description="New.", structured_output=False)
    await ctx.notify_tools_changed()
    return "grown"


Incoming: TypeAlias = ReadStream[SessionMessage | Exception]
Outgoing: TypeAlias = WriteStream[SessionMessage]


async def run_old() -> None:
    """Serve over pipes as a server does that knows no wire later than 2025-11-25."""
    sifted, rest = anyio.create_memory_object_stream[SessionMessage | Exception]()
    low = server._lowlevel_server

    async def sift(incoming: Incoming, outgoing: Outgoing) -> None:
        async with sifted:
            async for item in incoming:
                message = item.message if isinstance(item, SessionMessage) else None
                if isinstance(message, JSONRPCRequest) and message.method == "server/discover":
                    unknown = ErrorData(code=METHOD_NOT_FOUND, message="Method not found")
                    refusal = JSONRPCError(jsonrpc="2.0", id=message.id, error=unknown)
                    await outgoing.send(SessionMessage(refusal))
                else:
                    await sifted.send(item)

    async with stdio_server() as (incoming, outgoing), anyio.create_task_group() as tasks:
        tasks.start_soon(sift, incoming, outgoing)
        await low.run(rest, outgoing, low.create_initialization_options())


def main(transport: str) -> None:
    if transport == "stdio":
        server.run()
        return
    if transport == "old":
        anyio.run(run_old)
        return
    app = server.sse_app() if transport == "sse" else server.streamable_http_app()
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", int(sys.argv[2]) if len(sys.argv) > 2 else 0))
    bound.listen()
    print(bound.getsockname()[1], flush=True)  # noqa: T201 - whoever started it reads it
    uvicorn.Server(uvicorn.Config(app, log_config=None)).run([bound])


if __name__ == "__main__":
    main(sys.argv[1])
