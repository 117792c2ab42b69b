"""ConversationManager: the methods of the front's first edition, and that nothing is lost."""

from __future__ import annotations

import uuid
from pathlib import Path

import anyio
import pytest
from msgspec import Raw

from callboard.chats import ConversationManager
from callboard.chats.refusals import UnknownConversation
from callboard.domain.block import Block, TextBlock, ThinkingBlock, ToolUseBlock
from callboard.domain.item import instructions, shown_id
from callboard.domain.message import Message, user_text
from callboard.errors import InvalidRequest, NotFound
from callboard.store import AppendItems, DeleteConversation, InMemoryStore, ItemRecord
from callboard.store.sqlite import open_sqlite
from tests.chats.world import NOW, USER, Clock, CountingStore, manager_of

pytestmark = pytest.mark.anyio


async def test_a_conversation_is_made_filled_and_read() -> None:
    clock = Clock()
    manager = manager_of(InMemoryStore(), clock)
    conversation_id = await manager.create_conversation(USER, "My: chat/1")
    assert str(uuid.UUID(conversation_id)) == conversation_id
    clock.now_s += 5.9
    await manager.add_message(USER, conversation_id, "user", "Hello!")
    await manager.add_message(USER, conversation_id, "assistant", "Hi there", "resp_1")
    await manager.add_message(USER, conversation_id, "assistant", "No id")
    found = await manager.get_conversation(USER, conversation_id)
    assert found is not None
    assert (found.data.id, found.data.created_at, found.data.object) == (conversation_id, NOW, "conversation")
    assert (found.chat_name, found.last_update, found.last_response_id) == ("My_ chat_1", NOW + 5, "resp_1")
    assert [(each.role, each.text, each.timestamp, each.response_id) for each in found.messages] == [
        ("user", "Hello!", NOW + 5, None),
        ("assistant", "Hi there", NOW + 5, "resp_1"),
        ("assistant", "No id", NOW + 5, None),
    ]
    assert await manager.get_last_response_id(USER, conversation_id) == "resp_1"
    assert (await manager.get_message_list(USER, conversation_id))[0] == {"role": "user", "text": "Hello!"}
    assert await manager.get_message_list(USER, conversation_id, 1) == [
        {"role": "assistant", "text": "No id"}
    ]


async def test_what_a_user_does_not_have_is_not_there() -> None:
    manager = manager_of(InMemoryStore())
    foreign = await manager.create_conversation("bob", "his")
    for conversation_id in (foreign, "nowhere"):
        assert await manager.get_conversation(USER, conversation_id) is None
        assert await manager.get_last_response_id(USER, conversation_id) is None
        assert await manager.get_message_list(USER, conversation_id) == []
        assert not await manager.update_conversation_title(USER, conversation_id, "mine")
        assert not await manager.exists(USER, conversation_id)
        for error in (ValueError, NotFound, UnknownConversation):
            with pytest.raises(error):
                await manager.add_message(USER, conversation_id, "user", "hi")
        with pytest.raises(UnknownConversation):
            await manager.update_conversation_metadata(USER, conversation_id, chat_name="mine")
    assert await manager.list_conversations(USER) == {}


async def test_name_and_metadata_are_changed_and_nothing_else_can_be() -> None:
    manager = manager_of(InMemoryStore())
    conversation_id = await manager.create_conversation(USER, "first")
    await manager.update_conversation_metadata(USER, conversation_id, metadata={"a": "b"})
    await manager.update_conversation_metadata(USER, conversation_id, chat_name="second")
    with pytest.raises(TypeError):
        await manager.update_conversation_metadata(USER, conversation_id, messages=[])  # type: ignore[call-arg]
    listed = (await manager.list_conversations(USER))[conversation_id]
    assert (listed.chat_name, dict(listed.data.metadata)) == ("second", {"a": Raw(b'"b"')})


@pytest.mark.parametrize(
    "given, title",
    [
        ("Short", "Short"),
        ("  a/b: c ", "a_b_ c"),
        ("x" * 30, "x" * 30),
        ("x" * 31, "x" * 27 + "..."),
    ],
)
async def test_a_title_is_cleaned_and_shortened(given: str, title: str) -> None:
    manager = manager_of(InMemoryStore())
    conversation_id = await manager.create_conversation(USER, "first")
    assert await manager.update_conversation_title(USER, conversation_id, given)
    assert (await manager.list_conversations(USER))[conversation_id].chat_name == title
    assert not await manager.update_conversation_title(USER, conversation_id, "  ")


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a\\b", ".hidden", "..", "a\0", " a", "x" * 129])
async def test_a_username_that_could_lead_elsewhere_is_refused(name: str) -> None:
    manager = manager_of(InMemoryStore())
    with pytest.raises(InvalidRequest):
        await manager.create_conversation(name, "x")
    with pytest.raises(InvalidRequest):
        await manager.list_conversations(name)


async def test_a_message_has_one_of_two_roles_and_whole_characters() -> None:
    manager = manager_of(InMemoryStore())
    conversation_id = await manager.create_conversation(USER, "x")
    for role, text in (("system", "x"), ("user", "\ud800")):
        with pytest.raises(InvalidRequest):
            await manager.add_message(USER, conversation_id, role, text)
    assert await manager.get_message_list(USER, conversation_id) == []


async def test_an_interrupted_answer_is_marked_and_nothing_follows_it() -> None:
    manager = manager_of(InMemoryStore())
    conversation_id = await manager.create_conversation(USER, "x")
    await manager.add_message(USER, conversation_id, "assistant", "whole", "resp_1")
    await manager.keep_interrupted(USER, conversation_id, "half", item_id="msg_2_0")
    await manager.keep_interrupted(USER, conversation_id, "half again", item_id="msg_2_0")
    await manager.keep_interrupted(USER, conversation_id, "")
    found = await manager.get_conversation(USER, conversation_id)
    assert found is not None
    assert [(each.text, each.incomplete, each.response_id) for each in found.messages] == [
        ("whole", False, "resp_1"),
        ("half", True, None),
    ]
    assert found.last_response_id == "resp_1"


async def test_what_a_turn_appended_is_one_message_and_its_calls_are_none() -> None:
    store = InMemoryStore()
    manager = manager_of(store)
    conversation_id = await manager.create_conversation(USER, "x")
    brief = instructions("developer", (TextBlock(text="Be brief"),))
    call = ToolUseBlock(id="c", name="add", input=Raw(b"{}"))
    blocks: tuple[Block, ...] = (
        ThinkingBlock(thinking="hm"),
        TextBlock(text="Let me see. "),
        call,
        TextBlock(text="It is 3."),
    )
    items = [
        ItemRecord(id="msg_y_in0", message=brief, created_at_s=1),
        ItemRecord(id="msg_y_in1", message=user_text("1+2?"), created_at_s=1),
        *(
            ItemRecord(
                id=shown_id("resp_y", block, place),
                message=Message(role="assistant", content=(block,)),
                created_at_s=2,
            )
            for place, block in enumerate(blocks)
        ),
    ]
    append = AppendItems(
        conversation_id=conversation_id, expected_version=0, items=tuple(items), updated_at_s=2
    )
    await store.commit((append,))
    found = await manager.get_conversation(USER, conversation_id)
    assert found is not None
    assert [(each.role, each.text, each.response_id) for each in found.messages] == [
        ("user", "1+2?", None),
        ("assistant", "Let me see. It is 3.", "resp_y"),
    ]
    assert found.last_response_id == "resp_y"


async def test_a_list_reads_no_message_and_as_few_pages_as_there_are() -> None:
    store = CountingStore()
    manager = manager_of(store)
    ids = [await manager.create_conversation(USER, str(number)) for number in range(501)]
    for _ in range(3):
        await manager.add_message(USER, ids[0], "user", "hi")
    store.lists = store.pages = 0
    listed = await manager.list_conversations(USER)
    assert list(listed) == ids
    assert (store.lists, store.pages) == (2, 0)


async def test_the_end_of_a_long_conversation_is_read_without_the_rest() -> None:
    store = CountingStore()
    manager = manager_of(store)
    conversation_id = await manager.create_conversation(USER, "long")
    items = tuple(
        ItemRecord(id=f"i{number}", message=user_text(str(number)), created_at_s=NOW)
        for number in range(10_000)
    )
    append = AppendItems(conversation_id=conversation_id, expected_version=0, items=items, updated_at_s=NOW)
    await store.commit((append,))
    await manager.add_message(USER, conversation_id, "assistant", "last", "resp_1")
    store.pages = 0
    await manager.list_conversations(USER)
    assert store.pages == 0
    assert await manager.get_last_response_id(USER, conversation_id) == "resp_1"
    latest = await manager.get_message_list(USER, conversation_id, 3)
    assert [each["text"] for each in latest] == ["9998", "9999", "last"]
    assert (store.pages, store.items_read) == (2, 1_000)
    whole = await manager.get_message_list(USER, conversation_id)
    assert [each["text"] for each in whole] == [*map(str, range(10_000)), "last"]
    assert store.pages == 2 + 21


async def test_a_conversation_that_is_deleted_meanwhile_is_not_there() -> None:
    store = InMemoryStore()
    manager = manager_of(store)
    conversation_id = await manager.create_conversation(USER, "x")
    await store.commit((DeleteConversation(tenant=USER, id=conversation_id),))
    with pytest.raises(UnknownConversation):
        await manager.add_message(USER, conversation_id, "user", "x")


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_many_tasks_that_append_at_once_lose_nothing(kind: str, tmp_path: Path) -> None:
    async def append_all(manager: ConversationManager) -> None:
        conversation_id = await manager.create_conversation(USER, "x")

        async def append(task: int) -> None:
            for number in range(10):
                await manager.add_message(USER, conversation_id, "user", f"{task}.{number}")

        async with anyio.create_task_group() as tasks:
            for task in range(8):
                tasks.start_soon(append, task)
        said = [each["text"] for each in await manager.get_message_list(USER, conversation_id)]
        assert len(said) == 80
        for task in range(8):
            mine = [text for text in said if text.startswith(f"{task}.")]
            assert mine == [f"{task}.{number}" for number in range(10)]

    with anyio.fail_after(60):
        if kind == "memory":
            await append_all(manager_of(InMemoryStore()))
        else:
            async with open_sqlite(tmp_path / "store.db") as store:
                await append_all(ConversationManager(store))
