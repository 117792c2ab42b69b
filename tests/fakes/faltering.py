"""A whole runtime over a store that can be told to fail, and a Caretaker that looks when it is told to."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
from msgspec import Struct

from callboard.actors.caretaker import LookAround
from callboard.config import LogConfig, load
from callboard.errors import CallboardError, StoreUnavailable
from callboard.kernel import Child, open_system
from callboard.runtime import Runtime
from callboard.store import Change, InMemoryStore, ResponseRecord
from callboard.telemetry.logging import Log
from callboard.telemetry.observer import observe_domain, observe_kernel, observe_ledger
from callboard.telemetry.sink import open_file
from callboard.tools.function import FunctionTool, FunctionTools
from callboard.wiring import wire
from tests.fakes.company import Stage


async def look(runtime: Runtime) -> None:
    """Have the Caretaker look around, before it would by itself."""
    caretaker = runtime.wiring.tree.children[-1]
    assert isinstance(caretaker, Child)
    await runtime.system.ref(caretaker).tell(LookAround())


async def nothing(_found: Sequence[ResponseRecord]) -> None:
    """What happens between a claim and what comes of it, by default."""


class Faltering(InMemoryStore):
    """A store in memory.

    Attributes:
        down: Whether it refuses to write.
        refused: How often it refused.
        claimed: Called with what was claimed, before that is handed over.
    """

    def __init__(self) -> None:
        super().__init__()
        self.down = False
        self.refused = 0
        self.claimed: Callable[[Sequence[ResponseRecord]], Awaitable[None]] = nothing

    async def commit_all(self, batches: Sequence[Sequence[Change]]) -> list[CallboardError | None]:
        if not self.down:
            return await super().commit_all(batches)
        await anyio.lowlevel.checkpoint()
        self.refused += len(batches)
        return [StoreUnavailable("The store was told to fail.") for _ in batches]

    async def claim_orphans(self, limit: int = 100, adrift: Collection[str] = ()) -> list[ResponseRecord]:
        if self.down:
            self.refused += 1
            raise StoreUnavailable("The store was told to fail.")
        found = await super().claim_orphans(limit, adrift)
        await self.claimed(found)
        return found


class Faulty(Struct, frozen=True, kw_only=True, eq=False):
    """The runtime, its store, and how to have the Caretaker look."""

    runtime: Runtime
    store: Faltering

    async def look(self) -> None:
        """Have the Caretaker look around."""
        await look(self.runtime)

    async def adrift(self, response_id: str) -> None:
        """Return when nobody works on the response."""
        while response_id not in self.runtime.wiring.adrift.waiting():
            await anyio.lowlevel.checkpoint()


@asynccontextmanager
async def faulty(
    stage: Stage, folder: Path, *, tools: Sequence[FunctionTool[..., object]] = ()
) -> AsyncIterator[Faulty]:
    """As `tests.fakes.company.company`, over such a store."""
    names = list(stage.handlers)
    config = load(
        {
            "providers": {name: {"kind": "scripted"} for name in names},
            "models": {f"{name}-model": {"provider": name} for name in names},
            "assistants": {"default": {"model": f"{names[0]}-model"}},
            "store": {"url": "memory:"},
        },
        environ=os.environ,
        cwd=folder,
    )
    store, log = Faltering(), Log(open_file(str(folder / "log")), LogConfig())
    try:
        wiring = wire(
            config,
            sources=[FunctionTools(tools)] if tools else [],
            store=store,
            observe=partial(observe_domain, log),
            on_line=partial(observe_ledger, log),
            registry=stage.registry(),
        )
        async with open_system(wiring.tree, observe=partial(observe_kernel, log)) as system:
            yield Faulty(runtime=Runtime(config, wiring, system, log, has_tools=bool(tools)), store=store)
    finally:
        log.close()
