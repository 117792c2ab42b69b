"""ChatTurns: what is said stays, turns follow each other, and what the server lost is told again, once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from callboard.chats import ChatTurns, ConversationManager
from callboard.chats.events import ErrorEvent, FrontEvent, MessageList
from callboard.chats.refusals import UnknownConversation
from callboard.errors import StoreUnavailable
from callboard.store import Change, InMemoryStore
from tests.chats.world import NOW, USER, Clock, Heard, client_of
from tests.fakes.openai_traffic import Answer, Gate, failure, json_answer
from tests.fakes.responses_traffic import events_of, message, response, stream_of
from tests.fakes.upstream import FakeUpstream, serve_upstream

pytestmark = pytest.mark.anyio


class World:
    """A front, and the server behind it."""

    def __init__(self, turns: ChatTurns, manager: ConversationManager, upstream: FakeUpstream) -> None:
        self.turns = turns
        self.manager = manager
        self.upstream = upstream

    async def turn(self, conversation_id: str, text: str, *answers: Answer) -> Heard:
        self.upstream.queue(*answers)
        heard = Heard()
        with anyio.fail_after(5):
            await self.turns.take(USER, conversation_id, text, heard)
        return heard

    def asked(self) -> list[tuple[object, object]]:
        """Of every request what was asked, and what it followed."""
        bodies = [each.json() for each in self.upstream.exchanges]
        return [(body["input"], body.get("previous_response_id")) for body in bodies]

    async def said(self, conversation_id: str) -> list[str]:
        return [each["text"] for each in await self.manager.get_message_list(USER, conversation_id)]


@asynccontextmanager
async def world(manager: ConversationManager | None = None) -> AsyncIterator[World]:
    manager = manager or ConversationManager(InMemoryStore(), now_s=Clock())
    async with serve_upstream() as upstream, client_of(upstream.base_url) as client:
        yield World(ChatTurns(manager, client, now_s=Clock()), manager, upstream)


def answer(text: str, response_id: str, **how: Any) -> Answer:
    whole = {**response(message(text)), "id": response_id}
    told = events_of(message(text), last=whole)
    for each in told:
        if isinstance(each.get("response"), dict):
            each["response"] = {**each["response"], "id": response_id}  # type: ignore[dict-item]
    return stream_of(*told, **how)


LOST = failure(400, code="previous_response_not_found")


async def test_a_turn_shows_the_list_first_and_is_stored_before_its_end() -> None:
    async with world() as here:
        conversation_id = await here.manager.create_conversation(USER, "x")
        heard = await here.turn(conversation_id, "hi", answer("Hello you", "resp_1"))
        assert heard.events[0] == MessageList(
            threadId=conversation_id, messages=[{"role": "user", "text": "hi"}]
        )
        assert set(heard.kinds[1:]) == {"text_created", "text_delta", "text_done", "response_done"}
        assert heard.kinds[-1] == "response_done"
        assert await here.said(conversation_id) == ["hi", "Hello you"]
        assert await here.manager.get_last_response_id(USER, conversation_id) == "resp_1"


async def test_each_turn_follows_the_one_before_in_its_own_conversation() -> None:
    async with world() as here:
        one, two = [await here.manager.create_conversation(USER, name) for name in ("one", "two")]
        await here.turn(one, "a1", answer("x", "resp_a1"))
        await here.turn(two, "b1", answer("x", "resp_b1"))
        await here.turn(one, "a2", answer("x", "resp_a2"))
        await here.turn(two, "b2", answer("x", "resp_b2"))
        await here.turn(one, "a3", answer("x", "resp_a3"))
        assert here.asked() == [
            ("a1", None),
            ("b1", None),
            ("a2", "resp_a1"),
            ("b2", "resp_b1"),
            ("a3", "resp_a2"),
        ]


@pytest.mark.parametrize("status", [400, 404])
async def test_an_answer_that_the_server_lost_is_made_up_for_by_the_whole_conversation_once(
    status: int,
) -> None:
    lost = failure(status, code="previous_response_not_found")
    async with world() as here:
        conversation_id = await here.manager.create_conversation(USER, "x")
        await here.turn(conversation_id, "a", answer("b", "resp_1"))
        heard = await here.turn(conversation_id, "c", lost, answer("d", "resp_2"))
        assert heard.kinds[-1] == "response_done"
        await here.turn(conversation_id, "e", answer("f", "resp_3"))
        whole = [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b"},
            {"role": "user", "content": "c"},
        ]
        assert here.asked()[1:] == [("c", "resp_1"), (whole, None), ("e", "resp_2")]
        heard = await here.turn(conversation_id, "g", lost, lost)
        assert heard.kinds == ["message_list", "error"]
        assert len(here.upstream.exchanges) == 6


async def test_what_a_failed_turn_said_goes_with_the_next_one() -> None:
    async with world() as here:
        conversation_id = await here.manager.create_conversation(USER, "x")
        await here.turn(conversation_id, "a", answer("b", "resp_1"))
        heard = await here.turn(conversation_id, "c", failure(401, message="key sk-1234567 is wrong"))
        (error,) = [each for each in heard.events if isinstance(each, ErrorEvent)]
        assert error.error_code == "authentication_error"
        await here.turn(conversation_id, "d", answer("e", "resp_2"))
        both = [{"role": "user", "content": "c"}, {"role": "user", "content": "d"}]
        assert here.asked()[-1] == (both, "resp_1")
        assert await here.said(conversation_id) == ["a", "b", "c", "d", "e"]


async def test_an_answer_that_was_cut_is_kept_marked_and_gone_on_from() -> None:
    async with world() as here:
        conversation_id = await here.manager.create_conversation(USER, "x")
        await here.turn(conversation_id, "a", answer("b", "resp_1"))
        told = events_of(message("one two three"))
        heard = await here.turn(conversation_id, "c", stream_of(*told[:-5], ending="rst"))
        assert heard.kinds[-1] == "error"
        found = await here.manager.get_conversation(USER, conversation_id)
        assert found is not None
        partial = found.messages[-1]
        assert "one two three".startswith(partial.text)
        assert (bool(partial.text), partial.incomplete, partial.response_id) == (True, True, None)
        assert found.last_response_id == "resp_1"
        heard = await here.turn(conversation_id, "d", answer("e", "resp_2"))
        assert heard.kinds[-1] == "response_done"
        since = [
            {"role": "user", "content": "c"},
            {"role": "assistant", "content": partial.text},
            {"role": "user", "content": "d"},
        ]
        assert here.asked()[-1] == (since, "resp_1")


async def test_a_reader_that_leaves_ends_the_answer_and_keeps_what_came() -> None:
    gate = Gate()
    told = events_of(message("one two"), pieces=4)
    async with world() as here:
        conversation_id = await here.manager.create_conversation(USER, "x")
        here.upstream.queue(stream_of(*told[:5], gate, *told[5:]))
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                heard = Heard()
                tasks.start_soon(here.turns.take, USER, conversation_id, "a", heard)
                while "text_delta" not in heard.kinds:
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
            await (await here.upstream.exchange(0)).peer_left.wait()
        found = await here.manager.get_conversation(USER, conversation_id)
        assert found is not None
        assert (found.messages[-1].text, found.messages[-1].incomplete) == ("one ", True)


async def test_a_reader_that_fails_leaves_what_came_too() -> None:
    async def fails(event: FrontEvent) -> None:
        if not isinstance(event, MessageList):
            raise ConnectionResetError

    async with world() as here:
        conversation_id = await here.manager.create_conversation(USER, "x")
        here.upstream.queue(answer("Hello", "resp_1"))
        with anyio.fail_after(5), pytest.raises(ConnectionResetError):
            await here.turns.take(USER, conversation_id, "a", fails)
        assert (await here.said(conversation_id))[0] == "a"


async def test_an_answer_that_cannot_be_stored_says_so() -> None:
    store = InMemoryStore()
    written: list[int] = []

    async def write(changes: tuple[Change, ...]) -> None:
        written.append(len(changes))
        if len(written) > 2:
            raise StoreUnavailable("the disk is full")
        await store.commit(changes)

    async with world(ConversationManager(store, write=write, now_s=Clock())) as here:
        conversation_id = await here.manager.create_conversation(USER, "x")
        heard = await here.turn(conversation_id, "a", answer("Hello", "resp_1"))
        last = heard.events[-1]
        assert isinstance(last, ErrorEvent)
        assert last.error_code == "storage_error"
        assert "response_done" not in heard.kinds
        with pytest.raises(StoreUnavailable):
            await here.turn(conversation_id, "b")
        assert await here.said(conversation_id) == ["a"]


async def test_a_conversation_that_is_not_the_users_takes_no_turn() -> None:
    async with world() as here:
        conversation_id = await here.manager.create_conversation("bob", "his")
        with pytest.raises(UnknownConversation):
            await here.turn(conversation_id, "mine?")
        assert here.upstream.exchanges == []


async def test_a_new_conversation_is_named_by_the_server_or_by_the_hour() -> None:
    async with world() as here:
        conversation_id = await here.manager.create_conversation(USER, "New Chat")
        here.upstream.queue(json_answer(response(message("C++: a/b"))), failure(401))
        for expected in ("C++: a/b", "Chat - "):
            await here.turns.name(USER, conversation_id, "hi")
            named = (await here.manager.list_conversations(USER))[conversation_id]
            assert named.chat_name.startswith(expected)
            assert named.last_update == NOW
