"""``python -m tests.soak.power_serve --trace FILE [--mutant M] CONFIG``: a server whose effects are traced.

One list has, in the order in which they happened, what reached the disk (`tests.store.file_systems`) and what
was handed to a client's socket; it is written to ``FILE`` when the server has stopped. A mutant promises what
it does not keep: ``normal`` syncs only now and then, ``early`` says that a commit is done when it takes the
next.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import msgspec
import uvloop
from msgspec import Struct
from msgspec.structs import astuple

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
from callboard.tools.function import FunctionTools
from callboard.wiring import wire
from tests.soak.kill_serve import tools_for
from tests.soak.serve import started
from tests.store.file_systems import Delete, Event, Sync, Truncate, Write, recording

CHECKPOINT_PAGES = 40
"""The write-ahead log is moved into the database this often, so that a short trace has it too."""


class Told(Struct, frozen=True):
    """Bytes that were handed to the socket of a client, who has them at the earliest from now on."""

    client: int
    data: bytes


KINDS = {kind.__name__: kind for kind in (Write, Truncate, Sync, Delete, Told)}


class TracedTransport:
    """A transport that notes what is written."""

    def __init__(self, inner: Any, note: Callable[[bytes], None]) -> None:
        self._inner = inner
        self._note = note

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def write(self, data: bytes) -> None:
        self._note(bytes(data))
        self._inner.write(data)


class TracedConnection(asyncio.Protocol):
    """The server's end of a connection, with such a transport."""

    def __init__(self, inner: Any, note: Callable[[bytes], None]) -> None:
        self._inner = inner
        self._note = note
        for name in ("data_received", "connection_lost", "eof_received", "pause_writing", "resume_writing"):
            setattr(self, name, getattr(inner, name))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._inner.connection_made(TracedTransport(transport, self._note))


class TracingLoop(uvloop.Loop):
    """Notes what the connections that it accepts are told."""

    def __init__(self, note: Callable[[Told], None]) -> None:
        super().__init__()
        self._note_told = note
        self._clients = 0

    async def create_server(self, factory: Any, *given: Any, **options: Any) -> Any:  # type: ignore[override]
        # As it comes, as it goes.
        def traced() -> TracedConnection:
            self._clients += 1
            client = self._clients
            return TracedConnection(factory(), lambda data: self._note_told(Told(client, data)))

        return await super().create_server(traced, *given, **options)


class Early(SqliteStore):
    """A store that is always one commit behind what it says."""

    def __init__(self, store: SqliteStore) -> None:
        vars(self).update(vars(store))
        self._late: list[Sequence[Change]] = []

    async def commit_all(self, batches: Sequence[Sequence[Change]]) -> list[CallboardError | None]:
        late, self._late = self._late, list(batches)
        if late:
            await super().commit_all(late)
        return [None] * len(batches)


def mutated(store: SqliteStore, mutant: str) -> SqliteStore:
    """The store with the fault that was asked for."""
    writer = vars(store)["_writer"]
    vars(writer)["_checkpoint_pages"] = CHECKPOINT_PAGES
    if mutant == "normal":
        writer.connection.pragma("synchronous", "NORMAL")
    return Early(store) if mutant == "early" else store


async def main(options: Any, trace: list[Event | Told], vfs: str) -> None:
    config = load(options.config, environ=os.environ, cwd=Path.cwd())
    folder = options.trace.parent
    log = open_log(config.log)
    async with open_sqlite(folder / "state.db", vfs=vfs) as store:
        wiring = wire(
            config,
            sources=[FunctionTools(tools_for(folder / "ledger", ""))],
            store=mutated(store, options.mutant),
            observe=partial(observe_domain, log),
            on_line=partial(observe_ledger, log),
        )
        async with open_system(wiring.tree, observe=partial(observe_kernel, log)) as system:
            runtime = Runtime(config, wiring, system, log, has_tools=True)
            admission = admission_of(config)
            await serve(build_app(runtime, admission), admission, listen_of(config), started=started)
    lines = [(type(each).__name__, *astuple(each)) for each in trace]
    await anyio.Path(options.trace).write_bytes(msgspec.msgpack.encode(lines))


def read_trace(raw: bytes) -> list[Event | Told]:
    """What such a server has written."""
    return [KINDS[name](*values) for name, *values in msgspec.msgpack.decode(raw)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--trace", type=Path, required=True)
    parser.add_argument("--mutant", choices=("none", "normal", "early"), default="none")
    parser.add_argument("config")
    given = parser.parse_args()
    with recording() as (name, system):
        shared: list[Event | Told] = system.log  # type: ignore[assignment]  # the one list for both
        anyio.run(
            main,
            given,
            shared,
            name,
            backend_options={"loop_factory": partial(TracingLoop, shared.append)},
        )
