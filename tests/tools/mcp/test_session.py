"""Sessions to servers of the SDK, over pipes and HTTP: every kind of tool, and what servers ask for."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import anyio
import pytest
from msgspec import Raw
from msgspec.structs import replace

from callboard.domain.block import DocumentBlock, ImageBlock, OpaqueBlock, TextBlock
from callboard.domain.meter import Meter
from callboard.domain.principal import Principal
from callboard.domain.sampling import Originator, SamplingError, SamplingResult, TextContent
from callboard.domain.tools import ToolOutcome
from callboard.tools.context import CallOrigin
from callboard.tools.mcp import InputRequest, ServerSettings
from callboard.tools.mcp.session import open_session
from callboard.tools.source import SourceUnavailable
from tests.fakes.mcp_servers import Heard, at, listening, raw, sdk, until

pytestmark = pytest.mark.anyio


def from_(name: str) -> CallOrigin:
    """A call on behalf of somebody of that name."""
    request_id = f"req_{name[0]}"
    meter = Meter(request_id, "test", time.perf_counter_ns)
    asker = Originator(Principal(key_id=name, tenant=name), meter)
    return CallOrigin(request_id=request_id, asker=asker)


ANNA, BERT = from_("anna"), from_("bert")


@pytest.fixture(scope="module")
def http_url() -> Iterator[str]:
    with listening("http") as (url, _):
        yield url


@pytest.fixture(scope="module")
def sse_url() -> Iterator[str]:
    with listening("sse") as (url, _):
        yield url


@pytest.fixture(params=["stdio", "http", "sse"])
def server(request: pytest.FixtureRequest) -> ServerSettings:
    """The same server in each way that there is to reach it."""
    if request.param == "stdio":
        return sdk()
    if request.param == "sse":
        return at(request.getfixturevalue("sse_url"), transport="sse")
    return at(request.getfixturevalue("http_url"))


def text(outcome: ToolOutcome) -> str:
    return "".join(block.text for block in outcome.content if isinstance(block, TextBlock))


async def test_every_kind_of_result_keeps_its_form(server: ServerSettings) -> None:
    heard = Heard()
    with anyio.fail_after(20):
        async with open_session(server, heard.desk()) as session:
            assert session.protocol == "2026-07-28"
            listed = {each.name: each for each in await session.tools()}
            assert listed["pid"].traits.idempotent
            assert not listed["add"].traits.idempotent
            assert text(await session.call("add", {"a": 17, "b": 25}, ANNA)) == "42.0"
            outcome = await session.call("everything", {}, ANNA)
            assert [type(each) for each in outcome.content] == [
                TextBlock,
                ImageBlock,
                OpaqueBlock,
                DocumentBlock,
                TextBlock,
            ]
            assert text(outcome) == "hello[resource file:///a.bin of type application/octet-stream, 3 bytes]"
            assert text(await session.call("nothing", {}, ANNA)) == "[tool call successful, but no output]"
            assert json.loads(text(await session.call("structured", {}, ANNA))) == {"a": [1, 2]}
            wrong = await session.call("wrong", {}, ANNA)
            assert wrong.is_error
            unknown = await session.call("no such tool", {}, ANNA)
            assert unknown.is_error
            assert text(await session.call("work", {}, ANNA)) == "worked"
            with anyio.move_on_after(0.05):
                await session.call("hang", {}, ANNA)
            assert text(await session.call("add", {"a": 1, "b": 1}, ANNA)) == "2.0"
    assert [(each.request_id, each.name, each.fraction) for each in heard.progress] == [
        ("req_a", f"{server.name}__work", step / 3) for step in (1, 2, 3)
    ]


async def test_a_server_behind_a_url_gets_its_headers(http_url: str) -> None:
    with anyio.fail_after(10):
        async with open_session(at(http_url), Heard().desk()) as session:
            assert text(await session.call("header", {}, ANNA)) == "s3cret"


async def test_a_changed_list_is_news(http_url: str) -> None:
    with anyio.fail_after(10):
        async with open_session(at(http_url), Heard().desk()) as session:
            assert "grown" not in {each.name for each in await session.tools()}
            await session.call("grow", {}, ANNA)
            await session.news(5)
            assert "grown" in {each.name for each in await session.tools()}


@pytest.fixture(params=[pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """One is enough for what the SDK does; `test_stdio` looks at ours on all of them."""
    return request.param


class Sampler:
    """Answers, and remembers what it was asked and for whom."""

    def __init__(self) -> None:
        self.asked: list[InputRequest] = []
        self.refuses = False

    async def __call__(self, request: InputRequest) -> SamplingResult | SamplingError:
        self.asked.append(request)
        if self.refuses:
            return SamplingError(code=429, message="the budget is spent")
        content = TextContent(text="Paris")
        return SamplingResult(role="assistant", content=content, model="m", stop_reason="endTurn")


async def test_input_that_a_call_needs_is_answered_on_behalf_of_its_caller(http_url: str) -> None:
    sampler = Sampler()
    with anyio.fail_after(10):
        async with open_session(at(http_url), Heard().desk(sampler)) as session:
            got: dict[str, str] = {}

            async def ask(origin: CallOrigin) -> None:
                got[origin.request_id] = text(await session.call("sample", {}, origin))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask, ANNA)
                tasks.start_soon(ask, BERT)
            assert got == {"req_a": "m says Paris", "req_b": "m says Paris"}
            assert {each.origin.request_id for each in sampler.asked} == {"req_a", "req_b"}
            params = json.loads(bytes(sampler.asked[0].params))
            assert params["maxTokens"] == 50
            assert params["messages"][0]["content"]["text"] == "capital?"
            sampler.refuses = True
            refused = await session.call("sample", {}, ANNA)
            assert refused.is_error
            assert "the budget is spent" in text(refused)


@pytest.mark.parametrize("how, wire", [("stdio", "2026-07-28"), ("old", "2025-11-25")])
async def test_what_a_server_of_the_sdk_asks_for_is_answered_on_each_wire(how: str, wire: str) -> None:
    sampler, heard = Sampler(), Heard()
    with anyio.fail_after(10):
        server = sdk(how, roots=("file:///data",))
        async with open_session(server, heard.desk(sampler)) as session:
            assert session.protocol == wire
            assert text(await session.call("sample", {}, ANNA)) == "m says Paris"
            assert text(await session.call("roots", {}, ANNA)) == "file:///data"
            assert sampler.asked[0].origin == ANNA
            assert (await session.call("elicit", {}, ANNA)).is_error
            sampler.refuses = True
            assert (await session.call("sample", {}, ANNA)).is_error
    (refused,) = heard.refused
    assert (refused.request, refused.reason) == ("sampling/createMessage", "the budget is spent")


async def test_a_pushed_request_is_answered_while_the_call_waits() -> None:
    sampler = Sampler()
    with anyio.fail_after(10):
        async with open_session(raw(), Heard().desk(sampler)) as session:
            answer = json.loads(text(await session.call("sample", {}, ANNA)))
            assert answer["content"]["text"] == "Paris"
            assert sampler.asked[0].origin == ANNA
            sampler.refuses = True
            refused = json.loads(text(await session.call("sample", {}, ANNA)))
            assert refused == {"code": 429, "message": "the budget is spent"}


async def test_a_pushed_request_that_could_be_several_callers_is_refused() -> None:
    sampler, heard = Sampler(), Heard()
    with anyio.fail_after(10):
        async with open_session(raw(), heard.desk(sampler)) as session, anyio.create_task_group() as tasks:

            async def hang() -> None:
                await session.call("hang", {}, BERT)

            tasks.start_soon(hang)
            await anyio.wait_all_tasks_blocked()
            answer = json.loads(text(await session.call("sample", {}, ANNA)))
            assert "several callers" in answer["message"]
            tasks.cancel_scope.cancel()
    assert sampler.asked == []
    assert [each.reason for each in heard.refused] == [answer["message"]]


async def test_a_request_without_a_call_is_refused_and_told_with_the_server_and_why() -> None:
    sampler, heard = Sampler(), Heard()
    with anyio.fail_after(10):
        async with open_session(raw("presuming", name="pushy"), heard.desk(sampler)) as session:
            await until(lambda: bool(heard.refused))
            assert text(await session.call("answers", {}, ANNA)) == "1 refused"
    assert sampler.asked == []
    (refused,) = heard.refused
    assert (refused.source, refused.request) == ("pushy", "sampling/createMessage")
    assert refused.reason == "no call is pending that it could belong to"


async def test_an_answer_is_given_up_with_the_call_that_it_is_for() -> None:
    given_up, asked = anyio.Event(), anyio.Event()

    async def think(request: InputRequest) -> SamplingResult | SamplingError:
        asked.set()
        try:
            await anyio.sleep_forever()
        finally:
            given_up.set()
        raise AssertionError("it never ends by itself")

    heard = Heard()
    with anyio.fail_after(10):
        async with open_session(raw(), heard.desk(think)) as session, anyio.create_task_group() as tasks:
            tasks.start_soon(session.call, "sample", {}, ANNA)
            await asked.wait()
            tasks.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                await given_up.wait()
    assert [each.reason for each in heard.refused] == ["the call that it belonged to has ended"]


@pytest.mark.parametrize("tool", ["sample", "elicit", "roots"])
async def test_what_is_not_provided_is_refused_and_the_session_goes_on(tool: str, http_url: str) -> None:
    with anyio.fail_after(10):
        async with open_session(at(http_url), Heard().desk()) as session:
            assert (await session.call(tool, {}, ANNA)).is_error
            assert text(await session.call("add", {"a": 1, "b": 1}, ANNA)) == "2.0"


async def test_a_push_of_what_is_not_provided_is_told() -> None:
    heard = Heard()
    with anyio.fail_after(10):
        async with open_session(raw(), heard.desk()) as session:
            answer = json.loads(text(await session.call("sample", {}, ANNA)))
            assert answer["message"] == "Sampling not supported"
    assert [(each.source, each.reason) for each in heard.refused] == [
        ("raw", "it is not allowed for this server")
    ]


async def test_a_user_is_asked_where_there_is_one_and_roots_are_told(http_url: str) -> None:
    async def elicit(request: InputRequest) -> Raw:
        assert "Which colour?" in bytes(request.params).decode()
        return Raw(b'{"action":"accept","content":{"colour":"red"}}')

    with anyio.fail_after(10):
        server = replace(at(http_url), roots=("file:///data", "file:///more"))
        async with open_session(server, Heard().desk(elicit=elicit)) as session:
            assert text(await session.call("elicit", {}, ANNA)) == "likes red"
            assert text(await session.call("roots", {}, ANNA)) == "file:///data file:///more"


async def test_calls_fail_at_once_when_the_server_behind_a_url_dies() -> None:
    with anyio.fail_after(10), listening() as (url, _):
        failed: list[str] = []
        with pytest.raises(SourceUnavailable):
            async with open_session(at(url), Heard().desk()) as session:
                with anyio.CancelScope(shield=True), anyio.fail_after(1):
                    try:
                        await session.call("die", {}, ANNA)
                    except SourceUnavailable as error:
                        failed.append(str(error))
                await session.news(5)
        assert len(failed) == 1


async def test_no_address_is_dialled_that_the_configuration_does_not_name() -> None:
    with anyio.fail_after(10), pytest.raises(SourceUnavailable, match="connection failed"):
        async with open_session(at("http://169.254.169.254/mcp"), Heard().desk()):
            raise AssertionError("it has no session")
