"""One run of a program: text in, text out, bounded, with nothing left behind."""

from __future__ import annotations

import anyio
from anyio import BrokenResourceError, EndOfStream
from msgspec import Struct

from callboard.tools.child import Child, Command, Ending, open_child
from callboard.tools.pipe import PipeReader

TAIL_BYTES = 2048


class Run(Struct, frozen=True, kw_only=True):
    """What a run came to.

    Attributes:
        ending: How the program ended; None where it wrote more than it may and was ended for that.
        output: All of its standard output; nothing where it was too much.
        complaints: The end of its standard error, for people.
        complaint_bytes: The size of all of that.
    """

    ending: Ending | None
    output: bytes
    complaints: str
    complaint_bytes: int

    @property
    def succeeded(self) -> bool:
        """Whether it ended by itself, and well."""
        return self.ending is not None and self.ending.code == 0


async def run(command: Command, text: bytes, *, most: int) -> Run:
    """Run a program once. There is no time limit: the caller cancels, and it is gone within a second.

    Args:
        command: What to run.
        text: Its standard input. It need not read all of it, or any.
        most: Bytes of standard output that are waited for; with one more it is ended.

    Raises:
        OSError: As `callboard.tools.child.open_child`.
    """
    tail = _Tail()
    async with open_child(command) as child, anyio.create_task_group() as tasks:
        tasks.start_soon(_feed, child, text)
        tasks.start_soon(tail.follow, child.stderr)
        output = await _read(child.stdout, most)
        if output is None:
            child.end()
        ending = await child.wait()
    return Run(
        ending=None if output is None else ending,
        output=output or b"",
        complaints=tail.text.decode(errors="replace").strip(),
        complaint_bytes=tail.bytes,
    )


class _Tail:
    """The end of a stream, and its size."""

    def __init__(self) -> None:
        self.text = b""
        self.bytes = 0

    async def follow(self, stream: PipeReader) -> None:
        """Read to the end; what is not kept is dropped."""
        try:
            while True:
                piece = await stream.receive()
                self.bytes += len(piece)
                self.text = (self.text + piece)[-TAIL_BYTES:]
        except EndOfStream:
            return


async def _feed(child: Child, text: bytes) -> None:
    try:
        await child.stdin.send(text)
    except BrokenResourceError:
        pass  # a program that does not want its input need not read it
    finally:
        child.stdin.close()


async def _read(stream: PipeReader, most: int) -> bytes | None:
    """All of a stream, or None where that is more than ``most`` bytes."""
    read = bytearray()
    try:
        while len(read) <= most:
            read += await stream.receive()
    except EndOfStream:
        return bytes(read)
    return None
