"""Several server processes on one port, and the parent that keeps them: supervision, for processes.

Each worker is the whole server, in a process of its own, and all listen on the same port (SO_REUSEPORT): the
system spreads connections over them. The parent serves nothing. It holds the port, starts a worker again that
crashed, gives up where they crash too often, and passes signals on. A worker whose parent is gone stops by
itself: the parent holds its standard input open, and nothing else ever does.

Source: socket(7), SO_REUSEPORT; Linux 3.9 and later, and the BSDs.
"""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import ClassVar, TypeAlias, assert_never

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream
from msgspec import Struct

from callboard.errors import ConfigurationError, Failure
from callboard.kernel import (
    Actor,
    ActorRef,
    Child,
    Context,
    MailboxSpec,
    Notice,
    Observer,
    Supervisor,
    open_system,
)
from callboard.serving.server import BREAK_OFF_S, STOPPING, bind

READY = b"ready\n"
"""What a worker prints when it takes requests."""

START_S = 60.0
"""How long a worker may take until it does; a large model is read meanwhile."""


class Workers(Struct, frozen=True, kw_only=True):
    """What the parent keeps.

    Attributes:
        count: How many.
        command: What starts a worker on a port.
        drain_s: How long a worker's work goes on after the first signal.
    """

    host: str
    port: int
    count: int
    command: Callable[[int], Sequence[str]]
    drain_s: float


class Stop(Notice["Worker"], frozen=True, kw_only=True):
    """Pass a signal on: the first lets the worker drain, the second ends it at once."""


_Message: TypeAlias = Stop


class Worker(Actor[_Message]):
    """One worker process. It crashes where the process ends unasked."""

    mailbox: ClassVar[MailboxSpec] = MailboxSpec(capacity=8)

    def __init__(self, command: Sequence[str], ended: Callable[[], None]) -> None:
        self._command = tuple(command)
        self._ended = ended
        self._process: Process
        self._stopping = False

    @asynccontextmanager
    async def running(self, context: Context[Worker]) -> AsyncIterator[None]:
        """Lives as long as the process, and stops it on the way out."""
        # A session of its own: Ctrl-C in the terminal is the parent's to pass on.
        self._process = await anyio.open_process(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=None, start_new_session=True
        )
        async with self._process, anyio.create_task_group() as tasks:
            try:
                await self._until_ready()
                tasks.start_soon(self._watch)
                yield
            finally:
                if self._process.returncode is None and not self._stopping:
                    self._stopping = True
                    self._process.terminate()
                await self._process.wait()

    async def receive(self, message: _Message, context: Context[Worker]) -> None:
        """Pass a signal on."""
        match message:
            case Stop():
                self._stopping = True
                if self._process.returncode is None:
                    self._process.terminate()
            case _:
                assert_never(message)

    async def _until_ready(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - we asked for a pipe
        try:
            with anyio.fail_after(START_S):
                await BufferedByteReceiveStream(self._process.stdout).receive_until(READY, 4096)
        except (anyio.IncompleteRead, anyio.DelimiterNotFound) as error:
            raise Failure("a worker ended before it took requests") from error

    async def _watch(self) -> None:
        status = await self._process.wait()
        if not self._stopping:
            raise Failure(f"a worker ended with status {status}")
        self._ended()


async def keep(workers: Workers, *, started: Callable[[str], None], observe: Observer) -> None:
    """Keep workers until a signal says stop, and let them drain. Needs the main thread.

    Args:
        workers: Which, and how many.
        started: Told the address when all of them take requests.
        observe: Told when workers start, crash and stop.

    Raises:
        ActorFailed: They crash too often.
        ConfigurationError: The port is in use, or the system cannot share one.
    """
    if not hasattr(socket, "SO_REUSEPORT"):
        raise ConfigurationError("this system cannot share a port between processes: use --workers 1")
    # Bound but not listening: nobody else gets the port, and no connection comes here.
    with (
        bind(workers.host, workers.port, shared=True) as held,
        anyio.open_signal_receiver(*STOPPING) as signals,
    ):
        port = held.getsockname()[1]
        ends = _Countdown(workers.count)
        children = tuple(
            Child(
                name=f"worker:{number}",
                start=lambda: Worker(workers.command(port), ends.one_less),
                grace=START_S,
            )
            for number in range(1, workers.count + 1)
        )
        async with open_system(Supervisor(name="server", children=children), observe=observe) as system:
            host = f"[{workers.host}]" if ":" in workers.host else workers.host
            started(f"http://{host}:{port}/")
            refs = [system.ref(child) for child in children]
            await anext(signals)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_pass_on, signals, refs)
                with anyio.move_on_after(workers.drain_s + 3 * BREAK_OFF_S):
                    await ends.wait()
                tasks.cancel_scope.cancel()


async def _pass_on(signals: AsyncIterator[signal.Signals], refs: Sequence[ActorRef[Worker]]) -> None:
    while True:
        for ref in refs:
            await ref.tell(Stop())
        await anext(signals)


class _Countdown:
    """Counts down to an event."""

    def __init__(self, count: int) -> None:
        self._left = count
        self._over = anyio.Event()

    def one_less(self) -> None:
        self._left -= 1
        if self._left <= 0:
            self._over.set()

    async def wait(self) -> None:
        """Until the count is down."""
        await self._over.wait()
