"""What the checks of a store stand on: a fresh store for each, and things to keep in it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import anyio
import pytest
from msgspec import Raw
from msgspec.structs import replace

from callboard.domain.block import OpaqueBlock, TextBlock, ToolResultBlock, ToolUseBlock
from callboard.domain.message import Message, user_text
from callboard.errors import CallboardError
from callboard.store import (
    AppendItems,
    BeginResponse,
    Change,
    ConversationRecord,
    EndResponse,
    ItemRecord,
    PutConversation,
    ResponseRecord,
    Segment,
    Status,
    Store,
    StoredReply,
    TurnRecord,
)

T, OTHER = "tenant", "other"
NOW = 1_700_000_000
RICH: tuple[Message, ...] = (
    Message(
        role="assistant",
        content=(
            TextBlock(text="Ünïcode ✓ \u2028 \x00 'quoted'", extra={"refusal": Raw(b"true")}),
            ToolUseBlock(id="c1", name="add", input=Raw(b'{"a": [1, 2.50]}')),
            OpaqueBlock(type="server_tool_use", raw=Raw(b'{"type":"server_tool_use","x":{"y":null}}')),
        ),
        extra={"name": Raw(b'"ada"')},
    ),
    Message(role="user", content=(ToolResultBlock(tool_use_id="c1", content=(TextBlock(text="3.5"),)),)),
)


def said(text: str) -> tuple[Message, ...]:
    return (Message(role="assistant", content=(TextBlock(text=text),)),)


def turn(
    name: str,
    *,
    tenant: str = T,
    previous: str | None = None,
    status: Status = "completed",
    at_s: int = NOW,
) -> ResponseRecord:
    """A response that says its name; finished at once unless it is live."""
    live = status in ("queued", "in_progress")
    return ResponseRecord(
        id=name,
        tenant=tenant,
        status=status,
        created_at_s=at_s,
        finished_at_s=None if live else at_s,
        model="m",
        previous_id=previous,
        request=b'{"input":"%b"}' % name.encode(),
        input=(user_text(name),),
        produced=() if live else said(name.upper()),
    )


def link(name: str) -> TurnRecord:
    """What `turn` contributes to a chain once it is finished."""
    return TurnRecord(id=name, input=(user_text(name),), produced=said(name.upper()))


def begin(name: str, *segments: Segment, **fields: object) -> BeginResponse:
    return BeginResponse(record=turn(name, **fields), segments=segments)  # type: ignore[arg-type] # as `turn`


def segment(first: int, count: int = 1, text: str = "") -> Segment:
    return Segment(first=first, count=count, payload=(text or f"<{first}+{count}>").encode())


def end(name: str, version: int, *, status: Status = "completed", at_s: int = NOW) -> EndResponse:
    return EndResponse(
        response_id=name,
        expected_version=version,
        segment=segment(version),
        status=status,
        produced=said(name.upper()),
        finished_at_s=at_s,
    )


def conversation(name: str, *, tenant: str = T, at_s: int = NOW, title: str = "") -> ConversationRecord:
    return ConversationRecord(
        id=name, tenant=tenant, created_at_s=at_s, updated_at_s=at_s, title=title, metadata={"of": name}
    )


def put(name: str, *, tenant: str = T, at_s: int = NOW) -> PutConversation:
    return PutConversation(record=conversation(name, tenant=tenant, at_s=at_s))


def item(name: str, position: int = 0, text: str = "") -> ItemRecord:
    return ItemRecord(id=name, position=position, message=user_text(text or name), created_at_s=NOW)


def append(conversation_id: str, version: int, *names: str, at_s: int = NOW) -> AppendItems:
    return AppendItems(
        conversation_id=conversation_id,
        expected_version=version,
        items=tuple(item(name) for name in names),
        updated_at_s=at_s,
    )


def reply(key: str, *, tenant: str = T, at_s: int = NOW, response_id: str | None = None) -> StoredReply:
    return StoredReply(
        tenant=tenant, key=key, request_hash=b"#" + key.encode(), response_id=response_id, created_at_s=at_s
    )


async def found(store: Store, name: str, tenant: str = T) -> ResponseRecord:
    """A response that must be there, without its owner, which each store names in its own way."""
    record = await store.response(tenant, name)
    assert record is not None
    return replace(record, owner="")


async def refused(store: Store, *changes: Change) -> CallboardError:
    """Why ``changes`` cannot be done."""
    with pytest.raises(CallboardError) as caught:
        await store.commit(changes)
    return caught.value


class StoreWorld(ABC):
    """Makes stores."""

    @abstractmethod
    def open(self) -> AbstractAsyncContextManager[Store]:
        """A fresh, empty store."""

    @asynccontextmanager
    async def store(self, *changes: Change) -> AsyncIterator[Store]:
        """A fresh store in which ``changes`` are done, for some seconds."""
        with anyio.fail_after(10):
            async with self.open() as store:
                await store.commit(changes)
                yield store
                assert (await store.check()).problems == ()
