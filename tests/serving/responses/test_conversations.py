"""/v1/conversations through the real server, in memory and on disk."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from openai import AsyncOpenAI
from openai.types.conversations import Conversation, ConversationDeletedResource, ConversationItemList

from callboard.actors.archivist import Commit
from callboard.domain.message import user_text
from callboard.providers.script import Script
from callboard.store import AppendItems, ConversationRecord, ItemRecord, PutConversation
from tests.fakes.company import Stage
from tests.fakes.served import Served, served

pytestmark = pytest.mark.anyio

GIVEN: list[dict[str, Any]] = [
    {"role": "developer", "content": "Be brief."},
    {
        "type": "message",
        "role": "user",
        "content": [
            {"type": "input_text", "text": "see"},
            {"type": "input_image", "image_url": "https://x.example/a.png"},
        ],
    },
    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
    {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"a":1}'},
    {"type": "function_call_output", "call_id": "c1", "output": "nothing"},
    {
        "type": "web_search_call",
        "id": "ws_1",
        "status": "completed",
        "action": {"type": "search", "query": "q"},
    },
    {"role": "assistant", "content": "I see."},
]
KINDS = [
    "message",
    "message",
    "reasoning",
    "function_call",
    "function_call_output",
    "web_search_call",
    "message",
]


@pytest.fixture(params=["memory", "sqlite"])
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Served]:
    """A server with either store."""
    url = "memory:" if request.param == "memory" else f"sqlite:///{tmp_path}/state.db"
    async with running(url) as found:
        yield found


@asynccontextmanager
async def running(url: str) -> AsyncIterator[Served]:
    with anyio.fail_after(10):
        async with served(Stage(demo=Script()), config={"store": {"url": url}}) as found:
            yield found


def check(kind: Any, shown: Any) -> None:
    kind.model_validate_json(json.dumps(shown), strict=True)


def refused(answer: httpx2.Response, status: int, param: str | None = None) -> None:
    assert answer.status_code == status
    error = answer.json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)


async def created(server: Served, **body: object) -> Any:
    answer = await server.client.post("/v1/conversations", json=body)
    assert answer.status_code == 200
    check(Conversation, answer.json())
    return answer.json()


async def listed(server: Served, conversation_id: str, query: str = "order=asc&limit=100") -> Any:
    answer = await server.client.get(f"/v1/conversations/{conversation_id}/items?{query}")
    assert answer.status_code == 200
    check(ConversationItemList, answer.json())
    return answer.json()


async def test_a_conversation_is_begun_read_changed_and_deleted(server: Served) -> None:
    begun = await created(server, metadata={"a": "b"}, items=GIVEN[:2])
    path = f"/v1/conversations/{begun['id']}"
    assert (await server.client.get(path)).json() == begun
    changed = await server.client.post(path, json={"metadata": {"c": "d"}})
    cleared = await server.client.post(path, json={"metadata": None})
    gone = await server.client.delete(path)
    check(ConversationDeletedResource, gone.json())
    assert begun["metadata"] == {"a": "b"}
    assert changed.json() == {**begun, "metadata": {"c": "d"}}
    assert cleared.json() == {**begun, "metadata": {}}
    assert gone.json() == {"id": begun["id"], "object": "conversation.deleted", "deleted": True}
    for method, rest in (("GET", ""), ("DELETE", ""), ("GET", "/items"), ("GET", "/items/msg_1")):
        refused(await server.client.request(method, path + rest), 404)
    refused(await server.client.post(path, json={"metadata": {}}), 404)
    refused(await server.client.post(f"{path}/items", json={"items": GIVEN[:1]}), 404)


async def test_items_of_every_kind_come_back_as_they_were_given(server: Served) -> None:
    begun = await created(server)
    path = f"/v1/conversations/{begun['id']}/items"
    added = await server.client.post(path, json={"items": GIVEN})
    check(ConversationItemList, added.json())
    page = await listed(server, begun["id"])
    items = page["data"]
    assert added.json() == page
    assert [item["type"] for item in items] == KINDS
    assert (items[0]["role"], items[0]["content"][0]["text"]) == ("developer", "Be brief.")
    assert items[1]["content"] == [GIVEN[1]["content"][0], {**GIVEN[1]["content"][1], "detail": "auto"}]
    assert items[3]["arguments"] == '{"a":1}'
    assert items[4]["output"] == "nothing"
    assert items[5] == {**GIVEN[5], "id": items[5]["id"]}
    for item in items:
        assert (await server.client.get(f"{path}/{item['id']}")).json() == item


async def test_items_are_listed_in_pages_from_either_end(server: Served) -> None:
    begun = await created(server, items=GIVEN)
    whole = (await listed(server, begun["id"]))["data"]
    newest = await listed(server, begun["id"], "limit=3")
    older = await listed(server, begun["id"], f"limit=3&after={newest['last_id']}&include=ignored")
    oldest = await listed(server, begun["id"], f"limit=3&after={older['last_id']}")
    nothing = await listed(server, begun["id"], f"after={oldest['last_id']}")
    pages = (newest, older, oldest, nothing)
    assert [item for page in pages for item in page["data"]] == whole[::-1]
    assert [page["has_more"] for page in pages] == [True, True, False, False]
    assert [newest["first_id"], newest["last_id"]] == [newest["data"][0]["id"], newest["data"][-1]["id"]]
    path = f"/v1/conversations/{begun['id']}/items"
    for query, param in (
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("order=up", "order"),
    ):
        refused(await server.client.get(f"{path}?{query}"), 400, param)
    refused(await server.client.get(f"{path}?after=msg_none"), 404)


async def test_an_item_is_deleted_and_the_others_keep_their_names(server: Served) -> None:
    begun = await created(server, items=GIVEN)
    before = (await listed(server, begun["id"]))["data"]
    path = f"/v1/conversations/{begun['id']}/items/{before[1]['id']}"
    assert (await server.client.delete(path)).json() == begun
    refused(await server.client.delete(path), 404)
    refused(await server.client.get(path), 404)
    await server.client.post(f"/v1/conversations/{begun['id']}/items", json={"items": GIVEN[:1]})
    after = (await listed(server, begun["id"]))["data"]
    assert after[:-1] == [before[0], *before[2:]]
    assert after[-1]["id"] not in [item["id"] for item in before]


async def test_what_is_appended_at_once_is_all_there_in_whole_pieces(server: Served) -> None:
    begun = await created(server)
    path = f"/v1/conversations/{begun['id']}/items"

    async def append(number: int) -> None:
        items = [{"role": "user", "content": f"{number}"}] * 2
        assert (await server.client.post(path, json={"items": items})).status_code == 200

    async with anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(append, number)
    texts = [item["content"][0]["text"] for item in (await listed(server, begun["id"]))["data"]]
    assert texts[::2] == texts[1::2]
    assert sorted(texts[::2]) == [str(number) for number in range(10)]


async def test_what_belongs_to_somebody_else_looks_missing(server: Served) -> None:
    record = ConversationRecord(id="conv_x", tenant="them", created_at_s=1, updated_at_s=1)
    item = ItemRecord(id="msg_x_c0", message=user_text("theirs"), created_at_s=1)
    append = AppendItems(conversation_id="conv_x", expected_version=0, items=(item,), updated_at_s=1)
    await server.runtime.archivist.ask(Commit(changes=(PutConversation(record=record), append)))
    path = "/v1/conversations/conv_x"
    for method, rest in (("GET", ""), ("DELETE", ""), ("GET", "/items"), ("DELETE", "/items/msg_x_c0")):
        refused(await server.client.request(method, path + rest), 404)
    refused(await server.client.get(f"{path}/items/msg_x_c0"), 404)
    refused(await server.client.post(path, json={"metadata": {}}), 404)
    refused(await server.client.post(f"{path}/items", json={"items": GIVEN[:1]}), 404)
    asked = {"model": "demo-model", "input": "hi", "conversation": "conv_x"}
    refused(await server.client.post("/v1/responses", json=asked), 404)
    refers = {"items": [{"type": "item_reference", "id": "msg_x_c0"}]}
    refused(await server.client.post("/v1/conversations", json=refers), 404)
    stored = await server.runtime.wiring.store.items("them", "conv_x")
    assert [each.id for each in stored] == ["msg_x_c0"]


@pytest.mark.parametrize(
    "body, param",
    [
        ({"items": [{"role": "user", "content": "x"}] * 21}, "items"),
        ({"items": [{"role": "user", "content": 3}]}, "items[0].content"),
        ({"items": [{}]}, "items[0].type"),
        ({"metadata": {"a": 1}}, "metadata[...]"),
        ({"metadata": dict.fromkeys(map(str, range(17)), "")}, "metadata"),
    ],
)
async def test_a_mistake_is_refused_with_its_place(body: dict[str, object], param: str) -> None:
    async with running("memory:") as server:
        refused(await server.client.post("/v1/conversations", json=body), 400, param)
        begun = await created(server, items=[])
        path = f"/v1/conversations/{begun['id']}"
        if "items" in body:
            refused(await server.client.post(f"{path}/items", json=body), 400, param)
        refused(await server.client.post(f"{path}/items", json={"items": []}), 400, "items")
        refused(await server.client.post(path, json={}), 400, "metadata")
        assert (await listed(server, begun["id"]))["data"] == []


async def test_items_are_taken_over_from_what_is_kept_elsewhere(server: Served) -> None:
    first = await created(server, items=GIVEN[:2])
    names = [item["id"] for item in (await listed(server, first["id"]))["data"]]
    refers = [{"type": "item_reference", "id": name} for name in names]
    second = await created(server, items=refers)
    again = (await listed(server, second["id"]))["data"]
    assert [item["role"] for item in again] == ["developer", "user"]
    refused(
        await server.client.post("/v1/conversations", json={"items": [{**refers[0], "id": "msg_no_c0"}]}), 404
    )


async def test_the_official_client_walks_through_a_conversation(server: Served) -> None:
    async with AsyncOpenAI(api_key="k", base_url=f"{server.url}/v1", max_retries=0) as client:
        begun = await client.conversations.create(
            items=[{"role": "user", "content": f"{n}"} for n in range(7)]
        )
        found = [item async for item in client.conversations.items.list(begun.id, limit=3, order="asc")]
        await client.conversations.delete(begun.id)
    texts = [item.to_dict()["content"] for item in found]
    assert texts == [[{"type": "input_text", "text": str(number)}] for number in range(7)]
