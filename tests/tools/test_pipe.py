"""Pipes as byte streams."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import anyio
import pytest
from anyio import BrokenResourceError, ClosedResourceError, EndOfStream

from callboard.tools.pipe import PipeReader, PipeWriter

pytestmark = pytest.mark.anyio


class Pipe:
    """Both ends of a pipe."""

    def __init__(self) -> None:
        reading, writing = os.pipe()
        self.reader = PipeReader(os.fdopen(reading, "rb", buffering=0))
        self.writer = PipeWriter(os.fdopen(writing, "wb", buffering=0))


@pytest.fixture
async def pipe() -> AsyncIterator[Pipe]:
    found = Pipe()
    yield found
    found.reader.close()
    found.writer.close()


async def test_more_than_a_pipe_holds_arrives_whole(pipe: Pipe) -> None:
    sent, received = os.urandom(1_000_000), bytearray()

    async def send() -> None:
        await pipe.writer.send(sent)
        await pipe.writer.aclose()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send)
            async for piece in pipe.reader:
                received += piece
    assert received == sent


async def test_the_other_side_closing_is_the_end_or_a_broken_stream(pipe: Pipe) -> None:
    other = Pipe()
    pipe.writer.close()
    other.reader.close()
    with anyio.fail_after(5):
        with pytest.raises(EndOfStream):
            await pipe.reader.receive()
        with pytest.raises(BrokenResourceError):
            await other.writer.send(b"x")
    other.writer.close()


async def test_closing_wakes_whoever_waits(pipe: Pipe) -> None:
    woken = []

    async def wait() -> None:
        with pytest.raises(ClosedResourceError):
            await pipe.reader.receive()
        woken.append(True)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            pipe.reader.close()
    assert woken == [True]


async def test_a_closed_end_says_so(pipe: Pipe) -> None:
    await pipe.reader.aclose()
    await pipe.writer.aclose()
    with anyio.fail_after(5):
        with pytest.raises(ClosedResourceError):
            await pipe.reader.receive()
        with pytest.raises(ClosedResourceError):
            await pipe.writer.send(b"x")
