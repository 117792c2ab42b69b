"""What a stored conversation costs while there are more and more of them: it should stay the same.

    python -m benchmarks.micro.store_growth

A SQLite store is filled with conversations of one turn each. Then a turn is kept in a new one, and what
clients ask for is read: a response, the turns that led to it, the tenant's latest conversations, the items of
one; each of the latest, as conversations go on, and once of any, which SQLite has to read from the file.
Figures are processor time of all threads, which does not depend on a disk.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from msgspec.structs import replace

from benchmarks.micro.store import turn
from callboard.store import AppendItems, BeginResponse, Change, PutConversation, Store
from callboard.store.opening import open_store
from callboard.store.records import ConversationRecord, ItemRecord

SIZES = (10, 100_000)
AT_ONCE = 1_000
TIMES, ROUNDS = 200, 9
LATEST = 10
BAR = 1.25
"""Times the cost among the fewest; the difference that this can tell from none."""

Work = Callable[[Store, int], Awaitable[object]]


def conversation(number: int) -> tuple[Change, ...]:
    """A conversation with one turn in it."""
    name = f"conv_{number}"
    (kept,) = turn(f"resp_{number}").changes
    assert isinstance(kept, BeginResponse)
    said = [*kept.record.input, *kept.record.produced]
    items = tuple(ItemRecord(id=f"{n}", message=each, created_at_s=number) for n, each in enumerate(said))
    return (
        PutConversation(
            record=ConversationRecord(id=name, tenant="t", created_at_s=number, updated_at_s=number)
        ),
        replace(kept, record=replace(kept.record, conversation_id=name)),
        AppendItems(conversation_id=name, expected_version=0, items=items, updated_at_s=number),
    )


async def keep(store: Store, number: int) -> None:
    """Keep one more."""
    await store.commit(conversation(number))


async def read_any(store: Store, number: int) -> None:
    """Read a response that nobody has asked for in a while."""
    await store.response("t", f"resp_{number}")


WORK: dict[str, Work] = {
    "keep a turn in a new conversation": keep,
    "read a response": lambda store, number: store.response("t", f"resp_{number}"),
    "read the turns that led to it": lambda store, number: store.chain("t", f"resp_{number}"),
    "list the 20 latest conversations": lambda store, _: store.conversations("t", limit=20),
    "read the items of one": lambda store, number: store.items("t", f"conv_{number}"),
    "read any response (no bar)": read_any,
}


@asynccontextmanager
async def filled(size: int) -> AsyncIterator[Store]:
    """A store with so many conversations."""
    with tempfile.TemporaryDirectory() as folder:
        async with open_store(f"sqlite:///{folder}/state.db", Path(folder)) as store:
            for start in range(0, size, AT_ONCE):
                some = range(start, min(size, start + AT_ONCE))
                assert not any(await store.commit_all([conversation(each) for each in some]))
            yield store


async def measured() -> dict[str, tuple[float, float]]:
    """Microseconds for each kind of work, among few conversations and among many, in rounds by turns."""
    found = {}
    few, many = SIZES
    async with filled(few) as small, filled(many) as large:
        for what, work in WORK.items():
            rounds = [
                (await _cost_us(small, few, work, number), await _cost_us(large, many, work, number))
                for number in range(ROUNDS)
            ]
            found[what] = (
                statistics.median(each for each, _ in rounds),
                statistics.median(each for _, each in rounds),
            )
    return found


async def _cost_us(store: Store, size: int, work: Work, number: int) -> float:
    since = time.process_time()
    for each in range(TIMES):
        await work(store, _which(work, size, number * TIMES + each))
    return (time.process_time() - since) / TIMES * 1e6


def _which(work: Work, size: int, number: int) -> int:
    """The conversation that the work is done with: a new one, any, or one of the latest."""
    if work is keep:
        return size + number
    return (number * 7_919) % size if work is read_any else size - 1 - number % LATEST


def main() -> int:
    """Print the table; 1 where something has grown."""
    found = anyio.run(measured, backend_options={"use_uvloop": True})
    print(f"processor time, us{'':20}{SIZES[0]:>10,}{SIZES[1]:>12,} stored   (bar {BAR} x)")
    for what, (few, many) in found.items():
        print(f"  {what:36}{few:10.1f}{many:12.1f}   {many / few:10.2f} x")
    barred = (found[what] for what, work in WORK.items() if work is not read_any)
    return int(any(many > BAR * few for few, many in barred))


if __name__ == "__main__":
    sys.exit(main())
