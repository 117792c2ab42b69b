"""One contract for WebSockets on both carriers of the application: our own server, and somebody else's."""

from __future__ import annotations

import json

import anyio
import pytest

import callboard
from callboard.providers.script import AnyStep, Cut, Hold, Script, Text
from callboard.serving.socket import SocketLimits
from tests.fakes.company import Stage, replies
from tests.fakes.served import Carrier, Served, served
from tests.fakes.socket_client import connected, frame, handshake, stream_of, text_in
from tests.oracles.responses_lifecycle import violations
from tests.wire.openai_responses.official import check_event

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("carrier", ["own", "uvicorn"])]
PATHS = ["/v1/responses", "/responses"]


@callboard.tool
def add(a: float, b: float) -> float:
    """Add two numbers."""
    return a + b


async def idle(server: Served) -> None:
    """Return when nothing is in work."""
    while server.admission.in_work:
        await anyio.lowlevel.checkpoint()


async def closing_lines(stage: Stage, count: int) -> list[str]:
    """The closing lines, once there are so many."""
    with anyio.fail_after(5):
        while len(found := [line for line in stage.lines() if "request closed" in line]) < count:
            await anyio.lowlevel.checkpoint()
    return found


@pytest.mark.parametrize("path", PATHS)
async def test_turns_follow_each_other_on_one_connection(carrier: Carrier, path: str) -> None:
    stage = Stage(demo=Script())
    async with served(stage, carrier=carrier) as server, connected(server.port, handshake(path)) as client:
        with anyio.fail_after(5):
            for text in ("one", "two"):
                await client.create(text, store=False)
                events = await client.turn()
                assert violations(stream_of(events)) == []
                for event in events:
                    check_event(event)
                assert text_in(events[-1]) == f"echo: {text}"
            await client.leave()
        assert client.closed == 1000
        opened, *turns = await closing_lines(stage, 3)
    assert f"route={path} status=101" in opened
    assert all(f"route={path} status=200 stream=true" in line for line in turns)
    ids = {line.split("request_id=")[1].split()[0] for line in (opened, *turns)}
    assert len(ids) == 3


async def test_the_request_id_of_the_handshake_is_not_that_of_the_turns(carrier: Carrier) -> None:
    stage = Stage(demo=Script())
    async with (
        served(stage, carrier=carrier) as server,
        connected(server.port, handshake(x_request_id="mine")) as client,
    ):
        with anyio.fail_after(5):
            await client.create()
            await client.turn()
        opened, turn = await closing_lines(stage, 2)
    assert b"x-request-id: mine" in client.head
    assert "request_id=mine " in opened
    assert "request_id=mine " not in turn


@pytest.mark.parametrize(
    "fields, status",
    [
        ({"origin": "http://evil.example"}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://localhost", "sec_fetch_site": "same-origin"}, 101),
        ({"host": "evil.example"}, 421),
        ({"openai_beta": "responses_websockets=2026-02-06"}, 101),
        ({"content_type": "application/json", "authorization": "Bearer x"}, 101),
    ],
)
async def test_a_page_of_another_origin_opens_no_socket(
    carrier: Carrier, fields: dict[str, str], status: int
) -> None:
    async with (
        served(Stage(demo=Script()), carrier=carrier) as server,
        connected(server.port, handshake(**fields), expect=status),
    ):
        pass


@pytest.mark.parametrize(
    "path, status", [("/v1/models", 200), ("/v1/chat/completions", 405), ("/nothing", 404)]
)
async def test_other_routes_open_no_socket(carrier: Carrier, path: str, status: int) -> None:
    async with (
        served(Stage(demo=Script()), carrier=carrier) as server,
        connected(server.port, handshake(path), expect=status),
    ):
        pass


async def test_without_an_upgrade_the_answer_says_that_one_is_required(carrier: Carrier) -> None:
    async with served(Stage(demo=Script()), carrier=carrier) as server:
        answer = await server.client.get("/v1/responses")
        message = await server.client.request("POST", "/v1/responses", content=b"{}")
    assert answer.status_code == 426
    assert answer.headers["upgrade"] == "websocket"
    assert answer.headers["sec-websocket-version"] == "13"
    assert answer.json()["error"]["message"]
    assert message.status_code == 400


async def test_a_message_of_another_turn_while_one_is_in_work_is_refused_and_harms_nothing(
    carrier: Carrier,
) -> None:
    stage = Stage(demo=replies([Text(text="a "), Hold(gate="g"), Text(text="b")]))
    gate = stage.handlers["demo"].gates["g"]
    async with served(stage, carrier=carrier) as server, connected(server.port) as client:
        with anyio.fail_after(5):
            await client.create()
            await gate.reached.wait()
            await client.create("too soon")
            events = await client.turn()
            refused = events.pop()
            gate.opened.set()
            events += await client.turn()
            await client.create("later")
            last = await client.turn()
    assert (refused["status"], refused["error"]["code"]) == (400, "response_already_in_progress")
    assert violations(stream_of(events)) == []
    assert text_in(events[-1]) == "a b"
    assert text_in(last[-1]) == "echo: later"


async def test_an_open_socket_takes_no_place_and_a_turn_takes_one(carrier: Carrier) -> None:
    stage = Stage(demo=replies([Text(text="a "), Hold(gate="g"), Text(text="b")]))
    gate = stage.handlers["demo"].gates["g"]
    config = {"server": {"max_concurrency": 1, "queue": 1}}
    async with (
        served(stage, carrier=carrier, config=config) as server,
        connected(server.port) as first,
        connected(server.port) as second,
        connected(server.port) as third,
    ):
        assert server.admission.in_work == 0
        with anyio.fail_after(5):
            await first.create()
            await gate.reached.wait()
            await second.create("waits")
            while server.admission.in_work < 2:
                await anyio.lowlevel.checkpoint()
            await third.create("too many")
            [refused] = await third.turn()
            gate.opened.set()
            await first.turn()
            waited = await second.turn()
            await third.create("again")
            again = await third.turn()
    assert (refused["status"], refused["error"]["code"]) == (503, "overloaded")
    assert int(refused["headers"]["retry-after"]) >= 1
    assert text_in(waited[-1]) == "echo: waits"
    assert text_in(again[-1]) == "echo: again"


STEPS: dict[str, list[AnyStep]] = {
    "before the first event": [Hold(gate="g"), Text(text="b")],
    "within the stream": [Text(text="a "), Hold(gate="g"), Text(text="b")],
}


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
@pytest.mark.parametrize("goodbye", [True, False], ids=["says goodbye", "just leaves"])
async def test_a_client_that_leaves_closes_the_upstream(
    carrier: Carrier, steps: list[AnyStep], goodbye: bool
) -> None:
    stage = Stage(demo=replies(steps))
    handler = stage.handlers["demo"]
    async with served(stage, carrier=carrier) as server:
        with anyio.fail_after(5):
            async with connected(server.port) as client:
                await client.create()
                await handler.gates["g"].reached.wait()
                assert handler.open_answers == 1
                if goodbye:
                    await client.leave()
            while handler.open_answers:
                await anyio.lowlevel.checkpoint()
            await idle(server)
        _, turn = await closing_lines(stage, 2)
    assert "status=499" in turn
    assert "error_type=cancelled" in turn


async def test_a_client_that_leaves_the_line_is_served_nothing(carrier: Carrier) -> None:
    stage = Stage(demo=replies([Hold(gate="g")]))
    gate = stage.handlers["demo"].gates["g"]
    config = {"server": {"max_concurrency": 1, "queue": 1}}
    async with served(stage, carrier=carrier, config=config) as server, connected(server.port) as first:
        with anyio.fail_after(5):
            await first.create()
            await gate.reached.wait()
            async with connected(server.port) as second:
                await second.create()
                while server.admission.in_work < 2:
                    await anyio.lowlevel.checkpoint()
            while server.admission.in_work > 1:
                await anyio.lowlevel.checkpoint()
            gate.opened.set()
            await first.turn()
    assert len(stage.handlers["demo"].calls) == 1


async def test_what_is_no_text_or_too_long_closes_the_socket(carrier: Carrier) -> None:
    config = {"server": {"max_body_bytes": 2000}}
    codes = []
    async with served(Stage(demo=Script()), carrier=carrier, config=config) as server:
        for raw in (
            frame(b"{}", 2),
            frame(b" " * 2001),
            frame(b" " * 1500, fin=False) + frame(b" " * 501, 0),
        ):
            async with connected(server.port) as client:
                with anyio.fail_after(5):
                    await client.send(raw)
                    codes.append(await client.ended())
    assert codes == [1003, 1009, 1009]


async def test_a_message_in_fragments_with_pings_between_is_one_message(carrier: Carrier) -> None:
    text = json.dumps({"type": "response.create", "model": "demo-model", "input": "ä🙂 ok"}).encode()
    at = text.index(b"ok")
    whole = json.dumps(
        {"type": "response.create", "model": "demo-model", "input": "ä🙂"}, ensure_ascii=False
    ).encode()
    cut = whole.index("🙂".encode()) + 2  # within a character
    async with served(Stage(demo=Script()), carrier=carrier) as server, connected(server.port) as client:
        with anyio.fail_after(5):
            await client.send(frame(text[:at], fin=False) + frame(b"p", 9) + frame(b"", 0, fin=False))
            await client.send(frame(text[at:], 0))
            first = await client.turn()
            await client.send(frame(whole[:cut], fin=False) + frame(whole[cut:], 0))
            second = await client.turn()
    assert text_in(first[-1]) == "echo: ä🙂 ok"
    assert text_in(second[-1]) == "echo: ä🙂"
    assert client.pongs == [b"p"]


async def test_a_socket_on_which_nothing_happens_is_closed(carrier: Carrier) -> None:
    limits = SocketLimits(idle_s=0.05)
    async with (
        served(Stage(demo=Script()), carrier=carrier, sockets=limits) as server,
        connected(server.port) as client,
    ):
        with anyio.fail_after(5):
            assert await client.ended() == 1001
    assert client.reason == "Nothing was asked for too long."


async def test_a_turn_keeps_its_socket_open(carrier: Carrier) -> None:
    stage = Stage(demo=replies([Hold(gate="g"), Text(text="late")]))
    gate = stage.handlers["demo"].gates["g"]
    async with (
        served(stage, carrier=carrier, sockets=SocketLimits(idle_s=0.3)) as server,
        connected(server.port) as client,
    ):
        with anyio.fail_after(5):
            await client.create()
            async with connected(server.port) as other:
                assert await other.ended() == 1001
            gate.opened.set()
            events = await client.turn()
            assert await client.ended() == 1001
    assert text_in(events[-1]) == "late"


@pytest.mark.parametrize("working", [False, True])
async def test_at_its_age_limit_a_socket_finishes_its_turn_says_so_and_closes(
    carrier: Carrier, working: bool
) -> None:
    stage = Stage(demo=replies([Hold(gate="g"), Text(text="late")]))
    gate = stage.handlers["demo"].gates["g"]
    async with (
        served(stage, carrier=carrier, sockets=SocketLimits(lifetime_s=0.3)) as server,
        connected(server.port) as client,
    ):
        with anyio.fail_after(5):
            if working:
                await client.create()
                async with connected(server.port) as other:
                    assert await other.ended() == 1001
                gate.opened.set()
                assert text_in((await client.turn())[-1]) == "late"
            told = await client.event()
            assert await client.ended() == 1001
    assert (told["status"], told["error"]["code"]) == (400, "websocket_connection_limit_reached")


async def test_a_turn_that_a_drain_breaks_off_says_so_in_its_own_words(carrier: Carrier) -> None:
    stage = Stage(demo=replies([Text(text="a "), Hold(gate="g")]))
    gate = stage.handlers["demo"].gates["g"]
    async with served(stage, carrier=carrier) as server, connected(server.port) as client:
        with anyio.fail_after(5):
            await client.create()
            await gate.reached.wait()
            server.admission.break_off()
            events = await client.turn()
            await client.create("another")
            [refused] = await client.turn()
            stored = await server.client.get(f"/v1/responses/{events[-1]['response']['id']}")
        async with connected(server.port, expect=503):
            pass
    assert violations(stream_of(events)) == []
    assert (events[-1]["type"], events[-1]["response"]["error"]["code"]) == (
        "response.failed",
        "server_error",
    )
    assert stored.json() == events[-1]["response"]
    assert (refused["status"], refused["error"]["code"]) == (503, "overloaded")


async def test_a_slow_reader_stops_the_upstream_and_loses_nothing(carrier: Carrier) -> None:
    piece = "x" * (1 << 19)
    steps: list[AnyStep] = [*[Text(text=piece)] * 40, Hold(gate="g"), Cut()]
    stage = Stage(demo=replies(steps))
    gate = stage.handlers["demo"].gates["g"]
    gate.opened.set()
    async with served(stage, carrier=carrier) as server, connected(server.port) as client:
        with anyio.fail_after(20):
            await client.create()
            for _ in range(2000):
                await anyio.lowlevel.checkpoint()
            assert not gate.reached.is_set()
            events = await client.turn()
    assert violations(stream_of(events)) == []
    assert sum(event.get("delta") == piece for event in events) == 40
    assert gate.reached.is_set()
