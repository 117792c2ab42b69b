"""``python -m tests.soak.serve [--tool] [--lag FILE] [--blocks FILE] CONFIG``: `callboard serve`, watched.

``--tool`` gives the runtime a tool of its own, so that actors answer. ``--lag`` watches the event loop from
inside: a line for each look at it, with the time, by how much it was late, and how much of that it computed;
the rest is the machine's, which had other things to do. All in seconds. ``--blocks`` has every SIGUSR1 add a
line: how many pieces of memory Python's own allocator has handed out, once all garbage is collected.
"""

from __future__ import annotations

import argparse
import gc
import signal
import sys
import time
from pathlib import Path

import anyio
from msgspec.structs import replace

import callboard
from callboard.runtime import open_runtime
from callboard.serving.assembly import admission_of, build_app, listen_of
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


async def count_blocks(file: Path) -> None:
    """Answer each signal with the count."""
    with anyio.open_signal_receiver(signal.SIGUSR1) as signals, file.open("w", buffering=1) as counts:
        async for _ in signals:
            gc.collect()
            counts.write(f"{sys.getallocatedblocks()}\n")


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
        if options.blocks is not None:
            tasks.start_soon(count_blocks, options.blocks)
        admission = admission_of(runtime.config)
        listen = replace(listen_of(runtime.config), host="127.0.0.1", port=0)
        with runtime.library_logs():
            await serve(build_app(runtime, admission), admission, listen, started=started)
        tasks.cancel_scope.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--tool", action="store_true")
    parser.add_argument("--lag", type=Path)
    parser.add_argument("--blocks", type=Path)
    parser.add_argument("config")
    anyio.run(main, parser.parse_args(), backend_options={"use_uvloop": True})
