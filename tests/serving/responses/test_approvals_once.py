"""Answers to requests for approval: once, by nobody else, and whatever goes wrong."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from callboard.providers.script import Fail, Text
from callboard.serving.key_desk import KeyOrder
from tests.fakes.approving import (
    ALREADY,
    NOT_FOUND,
    answer_to,
    asking,
    configured,
    desk,
    done,
    finished,
    note,
    on_disk,
    refusal,
    request_in,
    respond,
    response_in,
    results,
    send,
    told,
    up,
)
from tests.fakes.keyed import bearer, make_key
from tests.fakes.served import served

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """Our server needs asyncio."""
    return request.param


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """What the MCP server writes down."""
    return tmp_path / "ledger"


async def test_an_answer_counts_once_whichever_way_it_comes(ledger: Path) -> None:
    async with desk(asking(), ledger, store=on_disk(ledger)) as server:
        first = await respond(server)
        given = [answer_to(request_in(first))]
        last = await respond(server, given, previous_response_id=first["id"])
        fork = await send(server, given, previous_response_id=first["id"])
        unkept = await send(server, given, previous_response_id=first["id"], store=False)
        changed = [answer_to(request_in(first), False)]
        mind = await send(server, changed, previous_response_id=first["id"])
        after = await send(server, given, previous_response_id=last["id"])
        twice = await send(server, [*given, *given], previous_response_id=first["id"])
    for each in (fork, unkept, mind, after, twice):
        assert refusal(each) == ALREADY
    assert done(ledger) == ["note milk"]


async def test_a_refusal_counts_once_too(ledger: Path) -> None:
    async with desk(asking(), ledger) as server:
        first = await respond(server)
        request = request_in(first)
        await respond(server, [answer_to(request, False)], previous_response_id=first["id"])
        mind = await send(server, [answer_to(request)], previous_response_id=first["id"])
    assert refusal(mind) == ALREADY
    assert done(ledger) == []


async def test_of_many_who_approve_at_once_one_is_heard(ledger: Path) -> None:
    stage = asking(then=[[Text(text="It is done.")]] * 8)
    statuses: list[int] = []
    async with desk(stage, ledger, store=on_disk(ledger)) as server:
        first = await respond(server)

        async def approve() -> None:
            given = [answer_to(request_in(first))]
            answer = await send(server, given, previous_response_id=first["id"])
            statuses.append(answer.status_code)

        async with anyio.create_task_group() as tasks:
            for _ in range(6):
                tasks.start_soon(approve)
    assert sorted(statuses) == [200, 400, 400, 400, 400, 400]
    assert done(ledger) == ["note milk"]


async def test_an_answer_to_nothing_is_refused(ledger: Path) -> None:
    async with desk(asking(), ledger) as server:
        first = await respond(server)
        request = request_in(first)
        made_up = {**request, "id": f"{request['id'][:-24]}{'0' * 24}"}
        changed = {**request, "arguments": '{"text":"gin"}'}
        other = {**request, "name": "slow"}
        said = {"role": "user", "content": "go"}
        answers = [
            await send(server, [said, answer_to(request)]),
            await send(server, [said, answer_to({"id": "mcpr_682d498e3bd4819196a0ce1664f8e77b"})]),
            await send(server, [answer_to(made_up)], previous_response_id=first["id"]),
            *[await send(server, [said, each, answer_to(each)]) for each in (made_up, changed, other)],
        ]
        await respond(server, [said, request, answer_to(request)], store=False)
    assert [refusal(each) for each in answers] == [NOT_FOUND] * 6
    assert done(ledger) == ["note milk"]


async def test_another_tenant_cannot_answer(ledger: Path) -> None:
    stage = asking()
    said = {"role": "user", "content": "go"}
    async with desk(stage, ledger) as server:
        mine, theirs = [
            bearer((await make_key(server.runtime, KeyOrder(name=name, tenant=name)))[0])
            for name in ("mine", "theirs")
        ]
        first = await respond(server, headers=mine)
        request = request_in(first)
        chained = await send(server, [answer_to(request)], previous_response_id=first["id"], headers=theirs)
        replayed = await send(server, [said, request, answer_to(request)], headers=theirs)
        assert chained.status_code == 404
        assert refusal(replayed) == NOT_FOUND
        assert done(ledger) == []
        await respond(server, [answer_to(request)], previous_response_id=first["id"], headers=mine)
    assert done(ledger) == ["note milk"]


async def test_what_a_key_may_not_call_it_cannot_approve_either(ledger: Path) -> None:
    stage = asking()
    async with desk(stage, ledger) as server:
        all_tools, none = [
            bearer((await make_key(server.runtime, KeyOrder(name=name, tenant="t", tools=tools)))[0])
            for name, tools in (("all", None), ("none", ("other",)))
        ]
        first = await respond(server, headers=all_tools)
        given = [answer_to(request_in(first))]
        await respond(server, given, previous_response_id=first["id"], headers=none)
    assert done(ledger) == []
    assert results(stage)[0].is_error


# --- what goes wrong


async def test_where_the_model_fails_behind_an_approved_call_the_call_stands(ledger: Path) -> None:
    stage = asking(note(), then=[[Fail(error="upstream_invalid_request")], [Text(text="Sorry.")]])
    async with desk(stage, ledger) as server:
        first = await respond(server)
        given = [answer_to(request_in(first))]
        answer = await send(server, given, previous_response_id=first["id"], stream=True)
        failed = response_in(answer.content, True)
        assert failed["status"] == "failed"
        assert refusal(await send(server, given, previous_response_id=first["id"])) == ALREADY
        await respond(server, "again", previous_response_id=failed["id"])
    assert done(ledger) == ["note milk"]
    assert told(stage) == ["done: note"]


async def test_a_call_whose_process_is_lost_is_not_run_again(ledger: Path) -> None:
    store = on_disk(ledger)
    with anyio.fail_after(15):
        stage = asking(note("bread", "slow"))
        async with served(stage, config=configured(ledger, store=store)) as server:
            await up(server.runtime)
            first = await respond(server)
            given = [answer_to(request_in(first))]
            begun = await respond(server, given, background=True, previous_response_id=first["id"])
            while not done(ledger):
                await anyio.sleep(0.005)
        stage = asking(Text(text="I do not know."))
        async with served(stage, config=configured(ledger, store=store)) as server:
            last = await finished(server, begun)
            again = await send(server, given, previous_response_id=first["id"])
    assert last["output"][-1]["content"][0]["text"] == "I do not know."
    assert refusal(again) == ALREADY
    assert done(ledger) == ["slow bread"]
    assert "unknown" in told(stage)[0]
