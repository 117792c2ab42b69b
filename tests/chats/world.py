"""What the checks of the chat front stand on: a store, a manager, and a client of a Responses server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from callboard.chats import ConversationManager, ResponsesAPIClient, ResponsesSettings
from callboard.chats.events import FrontEvent
from callboard.secret import Secret
from callboard.store import ConversationRecord, InMemoryStore, ItemRecord, Order
from callboard.transport import DialGuard, PooledClient
from callboard.transport.http import Timeouts

DATA = Path(__file__).parent.parent / "data" / "chats"
NOW = 1_757_400_000
USER = "ada"


class Clock:
    """Seconds since the epoch, as the test sets them."""

    def __init__(self) -> None:
        self.now_s = float(NOW)

    def __call__(self) -> float:
        return self.now_s


class CountingStore(InMemoryStore):
    """Counts what is read.

    Attributes:
        lists: Pages of conversations.
        pages: Pages of items.
        items_read: Items on them.
    """

    lists = 0
    pages = 0
    items_read = 0

    async def conversations(
        self, tenant: str, limit: int = 20, after: str | None = None, order: Order = "desc"
    ) -> list[ConversationRecord]:
        self.lists += 1
        return await super().conversations(tenant, limit, after, order)

    async def items(
        self,
        tenant: str,
        conversation_id: str,
        limit: int = 20,
        after: str | None = None,
        before: str | None = None,
        order: Order = "desc",
    ) -> list[ItemRecord]:
        found = await super().items(tenant, conversation_id, limit, after, before, order)
        self.pages += 1
        self.items_read += len(found)
        return found


def manager_of(store: InMemoryStore, clock: Clock | None = None) -> ConversationManager:
    return ConversationManager(store, now_s=clock or Clock())


class Heard:
    """Takes the events of a turn."""

    def __init__(self) -> None:
        self.events: list[FrontEvent] = []

    async def __call__(self, event: FrontEvent) -> None:
        self.events.append(event)

    @property
    def kinds(self) -> list[str]:
        return kinds(self.events)


def kinds(events: Sequence[FrontEvent]) -> list[str]:
    return [str(type(each).__struct_config__.tag) for each in events]


class Waits:
    """Sleeps for no time, and remembers for how long it was asked to."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)


@asynccontextmanager
async def client_of(
    base_url: str,
    *,
    api_key: str | None = None,
    waits: Waits | None = None,
    first_byte_s: float = 5.0,
    **settings: str | None,
) -> AsyncIterator[ResponsesAPIClient]:
    """A client of the server at ``base_url`` that never really waits between attempts."""
    host = base_url.partition("//")[2].partition("/")[0]
    http = PooledClient(guard=DialGuard(frozenset({host})))
    try:
        yield ResponsesAPIClient(
            http,
            ResponsesSettings(
                base_url=base_url,
                api_key=None if api_key is None else Secret(api_key),
                timeouts=Timeouts(first_byte_s=first_byte_s),
                **settings,  # type: ignore[arg-type]  # mypy does not match keywords one by one
            ),
            wait=waits or Waits(),
            jitter=lambda: 0.0,
        )
    finally:
        await http.aclose()
