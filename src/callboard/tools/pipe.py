"""Pipes to another process as anyio byte streams, on every event loop in the same way.

Each loop has subprocesses of its own, with buffers, threads and child watchers that differ; a pipe that is
read when the loop says it can be read has none of that.
"""

from __future__ import annotations

import os
from typing import IO

import anyio
from anyio import BrokenResourceError, ClosedResourceError, EndOfStream
from anyio.abc import ByteReceiveStream, ByteSendStream
from anyio.lowlevel import checkpoint

CHUNK = 65536


class _End:
    """Our end of a pipe, which it owns."""

    def __init__(self, file: IO[bytes]) -> None:
        os.set_blocking(file.fileno(), False)
        self._file = file

    @property
    def _fd(self) -> int:
        if self._file.closed:
            raise ClosedResourceError
        return self._file.fileno()

    def close(self) -> None:
        """Close it now; whoever waits for it is told."""
        if not self._file.closed:
            anyio.notify_closing(self._file.fileno())
            self._file.close()


class PipeReader(_End, ByteReceiveStream):
    """What the other process writes."""

    async def receive(self, max_bytes: int = CHUNK) -> bytes:
        """The next bytes.

        Raises:
            EndOfStream: Nobody can write any more.
            ClosedResourceError: It was closed on our side.
        """
        await checkpoint()  # a process that writes without end must not keep the loop for itself
        while True:
            try:
                data = os.read(self._fd, max_bytes)
            except BlockingIOError:
                await anyio.wait_readable(self._fd)
                continue
            if not data:
                raise EndOfStream
            return data

    async def aclose(self) -> None:
        """Close our end."""
        self.close()


class PipeWriter(_End, ByteSendStream):
    """What the other process reads."""

    async def send(self, item: bytes) -> None:
        """Write all of ``item``; cancelled, a part of it.

        Raises:
            BrokenResourceError: Nobody can read it any more.
            ClosedResourceError: It was closed on our side.
        """
        await checkpoint()
        left = memoryview(item)
        while left:
            try:
                left = left[os.write(self._fd, left) :]
            except BlockingIOError:
                await anyio.wait_writable(self._fd)
            except BrokenPipeError as error:
                raise BrokenResourceError from error

    async def aclose(self) -> None:
        """Close our end; the other process reads an end of file."""
        self.close()
