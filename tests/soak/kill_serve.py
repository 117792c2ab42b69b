"""``python -m tests.soak.kill_serve --ledger FILE [--die POINT] CONFIG``: a server that dies where told to.

Its tools leave a line in the ledger for each time that they had their effect. A point is ``pay:before`` or
``pay:after`` that effect, or ``N:before`` or ``N:after`` the N-th commit of the store.
"""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import anyio

import callboard
from callboard.config import load
from callboard.errors import CallboardError
from callboard.kernel import open_system
from callboard.runtime import Runtime
from callboard.serving.assembly import admission_of, build_app, listen_of
from callboard.serving.server import serve
from callboard.store import Change
from callboard.store.sqlite import SqliteStore, open_sqlite
from callboard.telemetry.logging import open_log
from callboard.telemetry.observer import observe_domain, observe_kernel, observe_ledger
from callboard.tools.function import FunctionTool, FunctionTools
from callboard.wiring import wire
from tests.soak.serve import started


def die_at(point: str, here: str) -> None:
    """Die as of SIGKILL if this is the point: nothing is tidied up."""
    if point == here:
        os.kill(os.getpid(), signal.SIGKILL)


def tools_for(ledger: Path, point: str) -> list[FunctionTool[..., object]]:
    """One that may be run twice, one that must not be, and a slow one."""
    file = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(name: str, key: str) -> None:
        os.write(file, f"{name} {key}\n".encode())

    @callboard.tool(idempotent=True)
    async def look(key: str) -> str:
        """Look."""
        note("look", key)
        return f"seen {key}"

    @callboard.tool
    async def pay(key: str) -> str:
        """Pay."""
        die_at(point, "pay:before")
        note("pay", key)
        die_at(point, "pay:after")
        return f"paid {key}"

    @callboard.tool(idempotent=True)
    async def wait(key: str) -> str:
        """Wait."""
        note("wait", key)
        await anyio.sleep(0.08)
        return f"waited {key}"

    return [look, pay, wait]


class Dying(SqliteStore):
    """A store whose process dies at one of its commits."""

    def __init__(self, store: SqliteStore, die: Callable[[str], None]) -> None:
        vars(self).update(vars(store))
        self._die = die
        self._commits = 0

    async def commit_all(self, batches: Sequence[Sequence[Change]]) -> list[CallboardError | None]:
        self._commits += 1
        here = self._commits
        self._die(f"{here}:before")
        outcomes = await super().commit_all(batches)
        self._die(f"{here}:after")
        return outcomes


async def main(options: Any) -> None:
    config = load(options.config, environ=os.environ, cwd=Path.cwd())
    log = open_log(config.log)
    async with open_sqlite(options.ledger.with_name("state.db")) as store:
        wiring = wire(
            config,
            sources=[FunctionTools(tools_for(options.ledger, options.die))],
            store=Dying(store, partial(die_at, options.die)),
            observe=partial(observe_domain, log),
            on_line=partial(observe_ledger, log),
        )
        async with open_system(wiring.tree, observe=partial(observe_kernel, log)) as system:
            runtime = Runtime(config, wiring, system, log, has_tools=True)
            admission = admission_of(config)
            with runtime.library_logs():
                await serve(build_app(runtime, admission), admission, listen_of(config), started=started)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--die", default="")
    parser.add_argument("config")
    anyio.run(main, parser.parse_args(), backend_options={"use_uvloop": True})
