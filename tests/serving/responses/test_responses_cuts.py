"""Upstream streams cut at every byte: what is stored is never called complete unless the stream was whole."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
import pytest
from msgspec import Struct

import callboard
from callboard.actors.assistant import Assistant, Cast, Respond
from callboard.actors.order import AssistantSpec, Keeping, TurnOrder
from callboard.actors.provider_system import ProviderSystem, Upstreams
from callboard.config import load
from callboard.domain.delta import GenerationStopped
from callboard.domain.generation import GenerationRequest
from callboard.domain.message import user_text
from callboard.domain.meter import Meter
from callboard.domain.pairing import check
from callboard.domain.principal import LOCAL
from callboard.domain.turn import TurnEvent
from callboard.domain.turn_log import TurnBroken, decode_events
from callboard.errors import UpstreamError
from callboard.kernel import Child, Supervisor, open_system
from callboard.kernel.system import System
from callboard.providers.breaker import Breaker, BreakerPolicy
from callboard.providers.openai import OpenAIHandler
from callboard.providers.openai_responses import OpenAIResponsesHandler
from callboard.providers.routing import Health
from callboard.providers.settings import ProviderSettings
from callboard.store import LIVE, HiddenRounds, InMemoryStore
from callboard.store.adrift import Adrift
from callboard.tools.function import FunctionTools
from callboard.wire.openai_responses.schema import Echo
from callboard.wire.openai_responses.stream import ResponseEncoder
from callboard.wiring import wire
from tests.fakes.canned_http import CannedClient, CannedResponse
from tests.fakes.openai_traffic import chunk
from tests.fakes.openai_traffic import sse as chat_sse
from tests.fakes.responses_traffic import events_of, function_call, message, reasoning
from tests.fakes.responses_traffic import sse as responses_sse
from tests.oracles.responses_lifecycle import events_in, violations
from tests.providers.test_openai_streams import STREAMS as CHAT_STREAMS
from tests.providers.test_openai_streams import needed

pytestmark = pytest.mark.anyio
RECORDED = Path(__file__).parent.parent.parent / "data" / "recorded" / "openai_responses.jsonl"


@pytest.fixture
def anyio_backend() -> object:
    return "asyncio"


class Fed(CannedClient):
    """A client without a network whose answers come one by one."""

    def feed(self, *answers: CannedResponse) -> None:
        self._answers.clear()
        self._answers.extend(answers)


class Stream(Struct, frozen=True, kw_only=True):
    """A stream of a dialect.

    Attributes:
        needed: Bytes without which it is not whole.
        status: What the response is then.
    """

    dialect: str
    whole: bytes
    needed: int
    status: str = "completed"


def in_responses(whole: bytes) -> Stream:
    """A stream of the Responses dialect: whole with its last event, as OpenAI sends no mark behind it."""
    last = max(whole.rfind(b'"type":"response.%s"' % each) for each in (b"completed", b"incomplete"))
    status = "incomplete" if whole.startswith(b'"type":"response.incomplete"', last) else "completed"
    return Stream(dialect="responses", whole=whole, needed=whole.index(b"\n\n", last) + 2, status=status)


def hand_made() -> bytes:
    items = (
        reasoning("hm hm"),
        message("I \u2028 see \u0085 👋🏽."),
        function_call("get_weather", '{"city": "Oslo"}'),
    )
    return b"".join(responses_sse(event) for event in events_of(*items, pieces=8))


def recorded(name: str) -> bytes:
    lines = map(json.loads, RECORDED.read_text().splitlines())
    return next(str(line["response"]["body"]).encode() for line in lines if line["id"].endswith(name))


STREAMS = {
    **{
        f"chat: {name}": Stream(dialect="chat", whole=whole, needed=needed(whole))
        for name, whole in CHAT_STREAMS.items()
    },
    "responses: thought, text and call": in_responses(hand_made()),
}
RECORDED_STREAMS = (
    "python-contrib/openai.responses/3",
    "dd-trace-py/openai.responses/20",
    "dd-trace-py/openai.responses/11",
    "openllmetry/openai.responses/1",
)
AFTER: Mapping[str, bytes] = {
    "chat": chat_sse(chunk({"content": "Fine."})) + chat_sse(chunk({}, finish_reason="stop")),
    "responses": b"".join(responses_sse(event) for event in events_of(message("Fine."))),
}
"""What the model says when it hears what the tool came to."""


class Turns:
    """Runs turns against what a client of each dialect is fed."""

    def __init__(self, system: System, chat: Child[Assistant], store: InMemoryStore) -> None:
        self.fed: dict[str, Fed] = {}
        self.runs = 0
        self.store = store
        self._system = system
        self._chat = chat
        self._count = 0

    async def turn(self, dialect: str, *answers: CannedResponse) -> tuple[str, list[TurnEvent], bool]:
        """Run one; its id, its events, and whether it failed."""
        self.fed[dialect].feed(*answers)
        self._count += 1
        response_id = f"resp_{self._count}"
        order = TurnOrder(
            request=GenerationRequest(model=dialect, messages=(user_text("go"),)),
            response_id=response_id,
            principal=LOCAL,
            meter=Meter(f"req_{self._count}", "test", lambda: 0),
            keep=Keeping(created_at_s=1, streamed=True),
        )
        events: list[TurnEvent] = []
        try:
            async with self._system.ref(self._chat).stream(Respond(order=order), buffer=16) as coming:
                async for event in coming:
                    events.append(event)  # noqa: PERF401 - kept when the loop raises
        except UpstreamError:
            return response_id, events, True
        return response_id, events, False


def unheard(_event: object) -> None:
    """Nobody watches."""


@asynccontextmanager
async def turns() -> AsyncIterator[Turns]:
    """Assistants over both dialects, with a breaker that never opens."""
    config = load(
        {
            "providers": {name: {"kind": "scripted"} for name in ("chat", "responses")},
            "models": {name: {"provider": name} for name in ("chat", "responses")},
            "store": {"url": "memory:"},
        },
        environ=os.environ,
        cwd=Path.cwd(),
    )
    fed = {"chat": Fed(), "responses": Fed()}
    kinds = {"chat": OpenAIHandler, "responses": OpenAIResponsesHandler}
    handlers = {
        name: kinds[name](
            ProviderSettings(name=name, kind="openai", base_url="https://api.example.com/v1"),
            client=fed[name],
        )
        for name in fed
    }
    store = InMemoryStore()

    @callboard.tool
    def get_weather(city: str = "", location: str = "", unit: str = "") -> str:
        """Look out of the window."""
        over.runs += 1
        return "rain"

    wiring = wire(
        config, sources=[FunctionTools([get_weather])], store=store, observe=unheard, on_line=unheard
    )
    steady = BreakerPolicy(failures_to_open=10**9)
    upstreams = Upstreams(
        routes=wiring.routes,
        handlers=handlers,
        health=lambda: Health({name: Breaker(steady) for name in fed}),
        random=lambda: 0.0,
        observe=unheard,
    )
    providers = Child(name="providers", start=partial(ProviderSystem, upstreams, wiring.rate_limiter))
    cast = Cast(
        providers=providers,
        routes=wiring.routes,
        tools=wiring.tool_runner,
        archivist=wiring.archivist,
        store=store,
        hidden=HiddenRounds(),
        adrift=Adrift(),
        observe=unheard,
        now_s=lambda: 2.0,
    )
    chat = Child(name="chat", start=partial(Assistant, AssistantSpec(name="chat"), cast))
    tree = Supervisor(
        name="cut", children=(wiring.rate_limiter, providers, wiring.tool_runner, wiring.archivist, chat)
    )
    async with open_system(tree, observe=unheard) as system:
        over = Turns(system, chat, store)
        over.fed = fed
        yield over


async def held_against(over: Turns, stream: Stream, offset: int, *, lost: bool) -> None:
    """Cut ``stream`` there, and look at what is shown and what is stored."""
    whole = offset >= (len(stream.whole) if lost else stream.needed)
    has_call = b"get_weather" in stream.whole
    before = over.runs
    piece = [stream.whole[:offset]] if offset else []
    response_id, events, failed = await over.turn(
        stream.dialect, CannedResponse(*piece, cut=lost), CannedResponse(AFTER[stream.dialect])
    )
    assert failed is not whole
    assert over.runs - before == (1 if whole and has_call else 0)
    record = await over.store.response(LOCAL.tenant, response_id)
    if record is None:  # nobody was told of anything
        assert failed
        assert events == []
        return
    assert record.status not in LIVE
    assert (record.status == stream.status) is whole or stream.status == "incomplete"
    assert whole or record.status != "completed"
    log = [event for each in await over.store.segments(response_id) for event in decode_events(each.payload)]
    assert isinstance(log[-1], GenerationStopped if whole else TurnBroken)
    if offset % 8 == 0 or whole:
        encoder = ResponseEncoder(id=response_id, created_at=1, echo=Echo(model="any"))
        told = b"".join([encoder.feed(event) for event in log]) + (encoder.finish(2) if whole else b"")
        assert violations(events_in(told)) == []
    check(record.produced)


async def cut_at(stream: Stream, offsets: Iterable[int], *, lost: Sequence[bool] = ()) -> None:
    """Cut at each of the offsets: every other time the connection is lost, or as often as is said."""
    asyncio.get_running_loop().set_debug(False)  # its checks would take five times as long as the work
    async with turns() as over:
        for offset in offsets:
            for each in lost or (offset % 2 == 0,):
                await held_against(over, stream, offset, lost=each)


@pytest.mark.parametrize("name", STREAMS)
async def test_what_was_cut_at_any_byte_is_not_stored_as_complete(name: str) -> None:
    stream = STREAMS[name]
    with anyio.fail_after(60):
        await cut_at(stream, range(len(stream.whole) + 1))
        await cut_at(stream, range(stream.needed - 1, len(stream.whole) + 1), lost=(True, False))


@pytest.mark.parametrize("at", range(2))
async def test_neither_is_what_was_recorded_and_cut_at_some_of_them(at: int) -> None:
    stream = in_responses(recorded(RECORDED_STREAMS[at]))
    offsets = random.Random(at).sample(range(stream.needed), 150)
    with anyio.fail_after(60):
        await cut_at(stream, (*offsets, *range(stream.needed - 5, len(stream.whole) + 1)))


@pytest.mark.soak
@pytest.mark.parametrize("name", [*STREAMS, *RECORDED_STREAMS])
async def test_neither_is_anything_that_was_cut_at_any_byte_in_either_way(name: str) -> None:
    stream = STREAMS.get(name) or in_responses(recorded(name))
    with anyio.fail_after(600):
        await cut_at(stream, range(len(stream.whole) + 1), lost=(True, False))
