"""WebSockets of our own server against clients that break the protocol, and those that abuse it."""

from __future__ import annotations

import json
import struct
from itertools import pairwise

import anyio
import pytest

from callboard.providers.script import AnyStep, Hold, Script, Text
from callboard.serving.http1 import ListenLimits
from tests.fakes.company import Stage, replies
from tests.fakes.served import Served, served
from tests.fakes.socket_client import SocketClient, connected, frame, handshake, text_in

pytestmark = pytest.mark.anyio
ASK = json.dumps({"type": "response.create", "model": "demo-model", "input": "hi"}).encode()


async def answers(client: SocketClient) -> None:
    """The client is served."""
    with anyio.fail_after(5):
        await client.create("still")
        assert text_in((await client.turn())[-1]) == "echo: still"


async def nothing_is_left(server: Served) -> None:
    """Return when the server does nothing any more, and serves others."""
    with anyio.fail_after(5):
        while server.admission.in_work:
            await anyio.lowlevel.checkpoint()
    assert (await server.client.get("/health")).status_code == 200


@pytest.mark.parametrize(
    "fields, status",
    [
        ({"sec_websocket_key": None}, 400),
        ({"sec_websocket_key": "c2hvcnQ="}, 400),
        ({"sec_websocket_version": None}, 426),
        ({"sec_websocket_version": "8"}, 426),
        ({"upgrade": None}, 426),
        ({"upgrade": "h2c"}, 426),
        ({"connection": None}, 426),
        ({"connection": "keep-alive"}, 426),
        ({"upgrade": "WebSocket", "connection": "keep-alive, upgrade"}, 101),
    ],
)
async def test_a_bad_handshake_has_a_true_status(fields: dict[str, str | None], status: int) -> None:
    async with (
        served(Stage(demo=Script())) as server,
        connected(server.port, handshake(**fields), expect=status) as client,
    ):
        assert (b"sec-websocket-version: 13" in client.head) == (status == 426)


async def test_http_1_0_opens_no_socket() -> None:
    head = handshake().replace(b"HTTP/1.1", b"HTTP/1.0")
    async with served(Stage(demo=Script())) as server, connected(server.port, head, expect=426):
        pass


async def test_a_post_that_wants_a_socket_is_a_post() -> None:
    head = handshake(content_length="2").replace(b"GET", b"POST") + b"{}"
    async with served(Stage(demo=Script())) as server, connected(server.port, head, expect=400):
        pass


async def test_nothing_is_agreed_to_that_the_client_offers() -> None:
    head = handshake(
        sec_websocket_extensions="permessage-deflate; client_max_window_bits", sec_websocket_protocol="chat"
    )
    async with served(Stage(demo=Script())) as server, connected(server.port, head) as client:
        assert b"sec-websocket-extensions" not in client.head.lower()
        assert b"sec-websocket-protocol" not in client.head.lower()
        await answers(client)


async def test_frames_that_come_with_the_handshake_are_read() -> None:
    async with (
        served(Stage(demo=Script())) as server,
        connected(server.port, handshake() + frame(ASK)) as client,
    ):
        with anyio.fail_after(5):
            assert text_in((await client.turn())[-1]) == "echo: hi"


async def test_a_handshake_behind_other_requests_waits_its_turn() -> None:
    first = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with (
        served(Stage(demo=Script())) as server,
        await anyio.connect_tcp("127.0.0.1", server.port) as stream,
    ):
        await stream.send(first + handshake() + frame(ASK))
        seen = b""
        with anyio.fail_after(5):
            while b"response.completed" not in seen:
                seen += await stream.receive()
    assert seen.index(b"HTTP/1.1 200") < seen.index(b"HTTP/1.1 101") < seen.index(b"response.created")


BROKEN: dict[str, tuple[bytes, int]] = {
    "unmasked": (frame(ASK, mask=False), 1002),
    "rsv1": (frame(ASK, bits=4), 1002),
    "rsv2": (frame(ASK, bits=2), 1002),
    "rsv3": (frame(ASK, bits=1), 1002),
    "unknown opcode": (frame(b"", 3), 1002),
    "unknown control opcode": (frame(b"", 11), 1002),
    "continuation of nothing": (frame(b"x", 0), 1002),
    "new message within one": (frame(b"x", fin=False) + frame(b"y"), 1002),
    "ping in fragments": (frame(b"x", 9, fin=False), 1002),
    "ping too long": (frame(b"x" * 126, 9), 1002),
    "length longer than needed": (b"\x81\xfe\x00\x05" + bytes(4) + b"hello", 1002),
    "negative length": (b"\x81\xff\x80" + bytes(7) + bytes(4), 1002),
    "close with half a code": (frame(b"\x03", 8), 1002),
    "close with a reserved code": (frame(struct.pack("!H", 1006), 8), 1002),
    "close with a code of nobody's": (frame(struct.pack("!H", 999), 8), 1002),
    "close with a reason that is no text": (frame(struct.pack("!H", 1000) + b"\xff", 8), 1007),
    "binary": (frame(b"{}", 2), 1003),
    "no UTF-8": (frame(b"\xc3\x28"), 1007),
    "half a character": (frame(b"\xf0\x9f"), 1007),
    "surrogate": (frame(b"\xed\xa0\x80"), 1007),
}


@pytest.mark.parametrize("raw, code", BROKEN.values(), ids=BROKEN)
async def test_frames_that_break_the_protocol_close_the_socket(raw: bytes, code: int) -> None:
    async with served(Stage(demo=Script())) as server:
        async with connected(server.port) as client:
            with anyio.fail_after(5):
                await client.send(raw)
                assert await client.ended() == code
        await nothing_is_left(server)


async def test_frames_that_break_the_protocol_cancel_the_turn() -> None:
    stage = Stage(demo=replies([Text(text="a "), Hold(gate="g")]))
    handler = stage.handlers["demo"]
    async with served(stage) as server, connected(server.port) as client:
        with anyio.fail_after(5):
            await client.create()
            await handler.gates["g"].reached.wait()
            await client.send(frame(b"", 3))
            assert await client.ended() == 1002
            while handler.open_answers:
                await anyio.lowlevel.checkpoint()
        await nothing_is_left(server)


@pytest.mark.parametrize("length", [1 << 20, 1 << 40, (1 << 63) - 1])
async def test_a_huge_length_is_not_waited_for(length: int) -> None:
    config = {"server": {"max_body_bytes": 100_000}}
    async with served(Stage(demo=Script()), config=config) as server, connected(server.port) as client:
        with anyio.fail_after(5):
            await client.send(frame(b" " * 100_001, length=length))
            assert await client.ended() == 1009


async def test_bytes_that_come_one_by_one_are_a_message() -> None:
    raw = frame(ASK[:20], fin=False) + frame(b"pp", 9) + frame(ASK[20:], 0)
    async with served(Stage(demo=Script())) as server, connected(server.port) as client:
        with anyio.fail_after(5):
            for at in range(len(raw)):
                await client.send(raw[at : at + 1])
                await anyio.lowlevel.checkpoint()
            assert text_in((await client.turn())[-1]) == "echo: hi"
    assert client.pongs == [b"pp"]


async def test_a_few_pings_are_answered_and_a_flood_ends_the_socket() -> None:
    async with served(Stage(demo=Script())) as server, connected(server.port) as client:
        with anyio.fail_after(5):
            await client.send(b"".join(frame(str(number).encode(), 9) for number in range(100)))
            await answers(client)
            assert client.pongs == [str(number).encode() for number in range(100)]
            await client.send(frame(b"", 9) * 16_300)
            assert await client.ended() == 1008
        await nothing_is_left(server)


@pytest.mark.parametrize("crumb", [b"", b" "])
async def test_a_flood_of_crumbs_ends_the_socket_and_others_are_served_meanwhile(crumb: bytes) -> None:
    async with served(Stage(demo=Script())) as server, connected(server.port) as client:
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(client.send, frame(crumb, fin=False) + frame(crumb, 0, fin=False) * 16_400)
                async with connected(server.port) as other:
                    await answers(other)
                assert await client.ended() == 1008


async def test_a_client_that_does_not_read_is_gone_at_last() -> None:
    big: list[AnyStep] = [Text(text="x" * (1 << 20))] * 40
    stage = Stage(demo=replies(big))
    limits = ListenLimits(send_idle_s=0.2)
    async with served(stage, limits=limits) as server, connected(server.port) as client:
        with anyio.fail_after(10):
            await client.create()
            while server.admission.in_work == 0:
                await anyio.lowlevel.checkpoint()
            while server.admission.in_work:
                await anyio.lowlevel.checkpoint()
            while not (closed := [line for line in stage.lines() if "error_type=cancelled" in line]):
                await anyio.lowlevel.checkpoint()
    assert "status=499" in closed[0]


async def test_a_silent_client_is_pinged_and_one_that_does_not_answer_is_gone() -> None:
    stage = Stage(demo=replies([Hold(gate="g"), Text(text="late")], [Hold(gate="h")]))
    handler = stage.handlers["demo"]
    async with (
        served(stage, limits=ListenLimits(ping_s=0.05)) as server,
        connected(server.port) as alive,
        connected(server.port) as dead,
    ):
        with anyio.fail_after(5):
            await alive.create()
            await handler.gates["g"].reached.wait()
            await dead.create()
            await handler.gates["h"].reached.wait()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(alive.ended)  # reads on, and answers pings
                while handler.open_answers > 1:
                    await anyio.lowlevel.checkpoint()
                assert len(alive.pings) >= 2
                tasks.cancel_scope.cancel()


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4999, None])
async def test_a_goodbye_is_answered_with_its_own_code(code: int | None) -> None:
    payload = b"" if code is None else struct.pack("!H", code) + b"bye"
    async with served(Stage(demo=Script())) as server, connected(server.port) as client:
        with anyio.fail_after(5):
            await client.send(frame(payload, 8) + frame(ASK))
            assert await client.ended() == (code or 1005)
        assert server.admission.in_work == 0


async def test_both_say_goodbye_at_once() -> None:
    stage = Stage(demo=Script())
    async with served(stage) as server, connected(server.port) as client:
        with anyio.fail_after(5):
            await client.send(frame(b"", 2) + frame(struct.pack("!H", 1000), 8))
            assert await client.ended() == 1003
        await nothing_is_left(server)
    assert not [line for line in stage.lines() if "level=ERROR" in line]


async def test_a_client_that_sends_no_more_is_gone() -> None:
    stage = Stage(demo=replies([Hold(gate="g")]))
    handler = stage.handlers["demo"]
    async with served(stage) as server, connected(server.port) as client:
        with anyio.fail_after(5):
            await client.create()
            await handler.gates["g"].reached.wait()
            await client.stream.send_eof()
            while handler.open_answers:
                await anyio.lowlevel.checkpoint()
        await nothing_is_left(server)


async def test_every_event_is_one_unfragmented_text_message_of_the_streams_own_data() -> None:
    """The same turn over HTTP and over a socket: byte for byte the same data, but for the names."""
    stage = Stage(demo=Script())
    async with served(stage) as server, connected(server.port) as client:
        body = {"model": "demo-model", "input": "hi", "store": False, "stream": True}
        over_http = (await server.client.post("/v1/responses", json=body)).text
        with anyio.fail_after(5):
            await client.create(store=False)
            texts: list[str] = []
            while not texts or '"type":"response.completed"' not in texts[-1]:
                text = await client.hear()
                assert text is not None
                texts.append(text)
    data = [block.partition("data: ")[2] for block in over_http.split("\n\n")]
    assert [len(text) for text in texts] == [len(each) for each in data if each and each != "[DONE]"]
    numbers = [json.loads(text)["sequence_number"] for text in texts]
    assert numbers[0] == 0
    assert all(later == earlier + 1 for earlier, later in pairwise(numbers))
