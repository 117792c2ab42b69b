"""The stdio transport: lines of JSON-RPC over the pipes of a child process.

Ours and not the SDK's, which copies a growing line with every piece, lets it grow for ever, and hands
standard error on unbounded. A line of more than 8 MiB ends the connection: what it would have answered can
never be known. Lines that are no JSON-RPC are remarked on and skipped, as many servers print what they should
not. Standard error never stops a server, however much comes: what is beyond the rate is read and dropped.

Source: Model Context Protocol 2025-11-25, basic/transports, "stdio"; basic/lifecycle, "Shutdown".
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import mcp_types
from anyio import BrokenResourceError, EndOfStream
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage

from callboard.tools.child import Child, Command, open_child
from callboard.tools.mcp.lines import Lines, LineTooLong
from callboard.tools.mcp.news import News
from callboard.tools.mcp.protocol import StdioServer
from callboard.tools.mcp.remarks import Remarks
from callboard.tools.mcp.sift import slimmed
from callboard.tools.pipe import PipeReader, PipeWriter
from callboard.tools.process_environment import minimal
from callboard.tools.source import SourceUnavailable

MAX_LINE_BYTES = 8 * 1024 * 1024
MAX_STDERR_LINE_BYTES = 1024 * 1024
POLITE_S = 0.5
"""From the end of its input to SIGTERM, and from there to the end of everything."""

Incoming = MemoryObjectReceiveStream[SessionMessage | Exception]
Outgoing = MemoryObjectSendStream[SessionMessage]


@asynccontextmanager
async def stdio_transport(
    server: StdioServer, news: News, remarks: Remarks
) -> AsyncIterator[tuple[Incoming, Outgoing]]:
    """Start a server and speak to it; on the way out nothing of it is left.

    Raises:
        SourceUnavailable: It cannot be started.
    """
    came, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    outgoing, goes = anyio.create_memory_object_stream[SessionMessage](0)
    with came, incoming, outgoing, goes:
        async with open_child(_command(server)) as child:
            try:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(_read, child.stdout, came, news, remarks)
                    tasks.start_soon(_write, child.stdin, goes, news)
                    tasks.start_soon(_remark, child.stderr, remarks)
                    try:
                        yield incoming, outgoing
                    finally:
                        tasks.cancel_scope.cancel()
            finally:
                news.lose(await _end(child), instead=True)


def _command(server: StdioServer) -> Command:
    environment = minimal(os.environ) | {name: value.reveal() for name, value in server.env.items()}
    program = shutil.which(server.command, path=environment.get("PATH", os.defpath))
    if program is None:
        raise SourceUnavailable("its command is not to be found, or not executable")
    folder = server.cwd or "."
    if not Path(folder).is_dir():
        raise SourceUnavailable("there is no such folder as it is to be started in")
    return Command(argv=(program, *server.args), environment=environment, folder=folder)


async def _end(child: Child) -> str:
    """Ask the server to end, and give it a moment; who leaves `open_child` does not ask any more.

    Returns:
        How it ended, in words.
    """
    with anyio.CancelScope(shield=True):
        for stream in (child.stdin, child.stdout, child.stderr):
            stream.close()
        for hasten in (child.ask_to_end, child.end):
            with anyio.move_on_after(POLITE_S) as patience:
                await child.wait()
            if patience.cancelled_caught:
                hasten()
        ending = await child.wait()
    return f"its process {ending}"


async def _read(
    pipe: PipeReader,
    came: MemoryObjectSendStream[SessionMessage | Exception],
    news: News,
    remarks: Remarks,
) -> None:
    lines = Lines(MAX_LINE_BYTES)
    with came:
        try:
            while True:
                for line in lines.feed(await pipe.receive()):
                    try:
                        message = mcp_types.jsonrpc_message_adapter.validate_json(
                            slimmed(line), by_name=False
                        )
                    except ValueError:
                        remarks.add("stdout", line)
                        continue
                    await came.send(SessionMessage(message))
        except EndOfStream:
            news.lose("its process closed its output")
        except LineTooLong:
            news.lose(f"it wrote a line of more than {MAX_LINE_BYTES >> 20} MiB")
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return  # nobody reads any more


async def _write(pipe: PipeWriter, goes: MemoryObjectReceiveStream[SessionMessage], news: News) -> None:
    with goes:
        async for each in goes:
            text = each.message.model_dump_json(by_alias=True, exclude_unset=True)
            try:
                await pipe.send(text.encode() + b"\n")
            except BrokenResourceError:
                news.lose("its process closed its input")
                return


async def _remark(pipe: PipeReader, remarks: Remarks) -> None:
    lines = Lines(MAX_STDERR_LINE_BYTES, cut=True)
    try:
        while True:
            data = await pipe.receive()
            if remarks.full(data.count(b"\n")):
                lines = Lines(MAX_STDERR_LINE_BYTES, cut=True)
                continue
            for line in lines.feed(data):
                remarks.add("stderr", line)
    except EndOfStream:
        return
