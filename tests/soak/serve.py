"""``python -m tests.soak.serve [--tool] [--lag FILE] [--memory FILE] [--leak BYTES] CONFIG``: the server,
watched.

``--tool`` gives the runtime a tool of its own, so that actors answer. ``--lag`` watches the event loop from
inside: a line for each look at it, with the time, by how much it was late, and how much of that it computed;
the rest is the machine's, which had other things to do. All in seconds. ``--memory`` has every SIGUSR1 add a
line once all garbage is collected: how many pieces of memory Python's own allocator has handed out, and how
many bytes C's has. ``--leak`` keeps an object of so many bytes for each request, to show that it is noticed.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import signal
import sys
import time
from pathlib import Path

import anyio
from msgspec.structs import replace

import callboard
from callboard.cli.serve import GARBAGE
from callboard.runtime import open_runtime
from callboard.serving.app import App
from callboard.serving.assembly import admission_of, build_app, listen_of
from callboard.serving.exchange import Exchange
from callboard.serving.server import serve

LOOK_S = 0.005


@callboard.tool
async def add(a: float, b: float) -> float:
    """Add two numbers."""
    return a + b


async def watch_the_loop(file: Path) -> None:
    """Sleep a little, again and again; what it takes longer is the loop's lag."""
    with file.open("w", buffering=1) as lags:
        while True:
            due, computed = time.perf_counter() + LOOK_S, time.thread_time()
            await anyio.sleep(LOOK_S)
            now, computed = time.perf_counter(), time.thread_time() - computed
            lags.write(f"{now:.6f} {now - due:.6f} {min(now - due, computed):.6f}\n")


class Mallinfo(ctypes.Structure):
    """What glibc tells of its heap: ``struct mallinfo2`` of malloc.h."""

    _fields_ = [
        *((name, ctypes.c_size_t) for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd")),
        *((name, ctypes.c_size_t) for name in ("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")),
    ]


def heap_bytes() -> int:
    """What C's allocator has handed out; 0 where it cannot be asked."""
    ask = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if ask is None:
        return 0
    ask.restype = Mallinfo
    found = ask()
    return int(found.uordblks + found.hblkhd)


async def count_memory(file: Path) -> None:
    """Answer each signal with the counts."""
    with anyio.open_signal_receiver(signal.SIGUSR1) as signals, file.open("w", buffering=1) as counts:
        async for _ in signals:
            gc.collect()
            counts.write(f"{sys.getallocatedblocks()} {heap_bytes()}\n")


class Leaking(App):
    """An application that never forgets a request."""

    def __init__(self, app: App, size: int) -> None:
        vars(self).update(vars(app))
        self._size = size
        self._kept: list[bytes] = []

    async def serve(self, exchange: Exchange) -> None:
        """Keep some bytes, and answer."""
        self._kept.append(bytes(self._size))
        await super().serve(exchange)


def started(url: str) -> None:
    """As the command says it."""
    sys.stdout.write(f"Callboard is running on {url} \n")
    sys.stdout.flush()


async def main(options: argparse.Namespace) -> None:
    async with (
        open_runtime(options.config, tools=[add] if options.tool else []) as runtime,
        anyio.create_task_group() as tasks,
    ):
        if options.lag is not None:
            tasks.start_soon(watch_the_loop, options.lag)
        if options.memory is not None:
            tasks.start_soon(count_memory, options.memory)
        admission = admission_of(runtime.config)
        gc.freeze()  # as the command does
        gc.set_threshold(*GARBAGE)
        listen = replace(listen_of(runtime.config), host="127.0.0.1", port=0)
        app = build_app(runtime, admission)
        if options.leak:
            app = Leaking(app, options.leak)
        with runtime.library_logs():
            await serve(app, admission, listen, started=started)
        tasks.cancel_scope.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--tool", action="store_true")
    parser.add_argument("--lag", type=Path)
    parser.add_argument("--memory", type=Path)
    parser.add_argument("--leak", type=int, default=0)
    parser.add_argument("config")
    anyio.run(main, parser.parse_args(), backend_options={"use_uvloop": True})
