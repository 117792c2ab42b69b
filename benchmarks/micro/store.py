"""What it costs to keep a turn: one commit of a response with its log, through the Archivist.

    python -m benchmarks.micro.store

The store on disk is synced before it answers, so one turn at a time costs a sync; many at a time share one.
Beside it stands the store in memory, which is what the actor itself costs.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio

from callboard.actors.archivist import Archivist, Commit
from callboard.domain.message import Message, user_text
from callboard.kernel import ActorRef, Child, Supervisor, open_system
from callboard.store import BeginResponse, ResponseRecord, Segment, Store
from callboard.store.opening import open_store

ROUNDS = 5
TURNS = 1_000
TEXT = "The quick brown fox jumps over the lazy dog. " * 10
LOG = b'[{"type":"TextDelta","index":0,"text":"The quick brown fox"}]' * 20
REQUEST = b'{"assistant":"chat","request":{"model":"m"}}'


def turn(name: str) -> Commit:
    """A turn of about 2.5 KB, as an unstreamed response is kept."""
    record = ResponseRecord(
        id=name,
        tenant="t",
        status="completed",
        created_at_s=1,
        finished_at_s=2,
        model="m",
        request=REQUEST,
        input=(user_text(TEXT),),
        produced=(Message(role="assistant", content=user_text(TEXT).content),),
    )
    segment = Segment(first=0, count=20, payload=LOG)
    return Commit(changes=(BeginResponse(record=record, segments=(segment,)),))


@asynccontextmanager
async def archivist(store: Store) -> AsyncIterator[ActorRef[Archivist]]:
    """The actor over ``store``."""
    child = Child(name="archivist", start=partial(Archivist, store))
    async with open_system(Supervisor(name="bench", children=(child,)), observe=lambda _: None) as system:
        yield system.ref(child)


async def turns_per_s(ref: ActorRef[Archivist], committers: int, name: str) -> float:
    """How many turns are kept in a second by so many at once."""
    waiting = list(range(TURNS))

    async def keep() -> None:
        while waiting:
            await ref.ask(turn(f"{name}-{waiting.pop()}"))

    since = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for _ in range(committers):
            tasks.start_soon(keep)
    return TURNS / (time.perf_counter() - since)


async def main() -> None:
    """Print the table."""
    print(f"turns of 2.5 KB kept per second, median of {ROUNDS} rounds of {TURNS}")
    with tempfile.TemporaryDirectory() as folder:
        for label, url in (("in memory", "memory:"), ("SQLite, synced", f"sqlite:///{folder}/state.db")):
            async with open_store(url, Path(folder)) as store, archivist(store) as ref:
                for committers in (1, 64):
                    found = [
                        await turns_per_s(ref, committers, f"{committers}-{number}")
                        for number in range(ROUNDS)
                    ]
                    print(f"  {label:16} {committers:3} at once  {statistics.median(found):10,.0f}")


if __name__ == "__main__":
    anyio.run(main, backend_options={"use_uvloop": True})
