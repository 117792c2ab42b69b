"""GeneralClient over HTTP/2, against a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import anyio
import pytest

from callboard.errors import RemoteWireError, StreamIncomplete, UpstreamTimeout, UpstreamUnreachable
from callboard.transport.general import EMPTY_PIECES, GeneralClient
from callboard.transport.guard import DialGuard
from callboard.transport.http import ClientStatistics, HttpRequest, Limits, Timeouts
from tests.contracts.http_world import is_at_rest, read
from tests.fakes.certificates import serving, trusting
from tests.fakes.h2_server import Call, Connection, H2Server, Script, serve_h2
from tests.fakes.http_server import answering, plain, serve

pytestmark = pytest.mark.anyio

LOOPBACK = DialGuard(frozenset({"localhost", "127.0.0.1"}))


def post(url: str, body: bytes = b"{}", *, timeouts: Timeouts | None = None) -> HttpRequest:
    return HttpRequest(
        method="POST",
        url=url,
        headers=(("Authorization", "Bearer upstream-key"),),
        body=body,
        timeouts=timeouts or Timeouts(),
    )


async def echo(call: Call) -> None:
    """Answer with the request's body."""
    await call.respond(200, ("x-path", call.fields[":path"]))
    await call.send(call.body, end=True)


async def part_and_rest(go_on: anyio.Event, call: Call) -> None:
    """Begin an answer; those who stay get the rest of it in the end."""
    await call.respond(200)
    await call.send(b"part")
    if call.body == b"stays":
        await go_on.wait()
        await call.send(b" rest", end=True)


@asynccontextmanager
async def h2_world(
    script: Script, *, limits: Limits | None = None, capacity: int = 10
) -> AsyncIterator[tuple[H2Server, GeneralClient]]:
    """An HTTP/2 server and a client that offers it; afterwards no connection is left."""
    with anyio.fail_after(5):
        async with serve_h2(script, tls=serving("localhost")) as server:
            client = GeneralClient(
                max_connections=capacity, limits=limits, guard=LOOPBACK, tls=trusting(), http2=True
            )
            async with client:
                yield server, client
                assert is_at_rest(client)
            await server.until_open(0)


class TestConnections:
    """Who uses which, and for how long."""

    async def test_calls_one_after_another_use_one_connection(self) -> None:
        async with h2_world(echo) as (server, client):
            for number in range(10):
                assert await read(client, post(server.url, b"%d" % number)) == b"%d" % number
            assert server.connects == 1
            assert client.statistics() == ClientStatistics(open=1, idle=1, in_use=0, waiting=0)

    async def test_calls_at_the_same_time_never_share_a_connection(self) -> None:
        busy: set[Connection] = set()
        shared: list[bool] = []
        answers: dict[int, bytes] = {}

        async def script(call: Call) -> None:
            shared.append(call.connection in busy)
            busy.add(call.connection)
            await call.respond(200)
            await call.send(call.body)
            busy.discard(call.connection)
            await call.send(b"", end=True)

        async def ask(number: int) -> None:
            answers[number] = await read(client, post(server.url, b"call %d" % number))

        async with h2_world(script, capacity=3) as (server, client):
            async with anyio.create_task_group() as tasks:
                for number in range(30):
                    tasks.start_soon(ask, number)
            assert answers == {number: b"call %d" % number for number in range(30)}
            assert shared == [False] * 30
            assert server.connects == 3

    @pytest.mark.parametrize("cancels", [True, False], ids=["cancelled", "closed"])
    async def test_leaving_a_call_closes_its_connection_and_no_other(self, cancels: bool) -> None:
        go_on = anyio.Event()
        async with h2_world(partial(part_and_rest, go_on), capacity=2) as (server, client):
            async with await client.send(post(server.url, b"stays")) as stays:
                assert await anext(stays) == b"part"
                with anyio.CancelScope() as scope:
                    async with await client.send(post(server.url, b"goes")) as goes:
                        assert await anext(goes) == b"part"
                        if cancels:
                            scope.cancel()
                            await anext(goes)
                await server.until_open(1)
                go_on.set()
                assert await stays.read() == b" rest"
            assert server.connects == 2
            assert client.statistics() == ClientStatistics(open=1, idle=1, in_use=0, waiting=0)

    async def test_silence_in_one_answer_does_not_end_another(self) -> None:
        go_on = anyio.Event()
        async with (
            h2_world(partial(part_and_rest, go_on), capacity=2) as (server, client),
            await client.send(post(server.url, b"stays")) as stays,
        ):
            assert await anext(stays) == b"part"
            quiet = post(server.url, b"silent", timeouts=Timeouts(idle_s=0.05))
            async with await client.send(quiet) as silent:
                assert await anext(silent) == b"part"
                with pytest.raises(UpstreamTimeout):
                    await anext(silent)
                await server.until_open(1)
            go_on.set()
            assert await stays.read() == b" rest"

    async def test_a_connection_that_the_peer_left_while_idle_is_not_used(self) -> None:
        async def script(call: Call) -> None:
            await echo(call)
            await call.connection.go_away()

        async with h2_world(script) as (server, client):
            for _ in range(3):
                assert await read(client, post(server.url)) == b"{}"
                await server.until_open(0)
            assert len(server.calls) == 3

    async def test_a_request_that_the_peer_says_it_has_not_looked_at_is_sent_again(self) -> None:
        async def script(call: Call) -> None:
            if call.number == 1:
                await echo(call)
            else:
                await call.connection.go_away(last=1)

        async with h2_world(script, capacity=1) as (server, client):
            for body in (b"one", b"two"):
                assert await read(client, post(server.url, body)) == body
            assert [call.body for call in server.calls] == [b"one", b"two", b"two"]
            assert server.connects == 2

    async def test_a_server_without_http2_is_spoken_to_in_http_1(self) -> None:
        with anyio.fail_after(5):
            async with (
                serve(answering(plain(b"one point one")), tls=serving("localhost")) as server,
                GeneralClient(guard=LOOPBACK, tls=trusting(), http2=True) as client,
            ):
                assert await read(client, post(server.url)) == b"one point one"
                assert server.requests[0].line == b"POST / HTTP/1.1"


class TestAnswers:
    """What arrives, whole, cut or broken."""

    async def test_requests_go_and_answers_come_as_over_http_1(self) -> None:
        async with h2_world(echo) as (server, client):
            for body in (b"one", b"x" * 300_000):
                async with await client.send(post(server.url + "v1/chat?a=b", body)) as response:
                    assert (response.status, response.header("x-path")) == (200, "/v1/chat?a=b")
                    assert await response.read() == body
            fields = server.calls[0].fields
            assert (fields[":method"], fields["authorization"]) == ("POST", "Bearer upstream-key")
            assert fields[":authority"] == f"localhost:{server.port}"
            assert "connection" not in fields

    async def test_a_piece_is_handed_on_before_the_next_one_exists(self) -> None:
        seen = anyio.Event()

        async def script(call: Call) -> None:
            await call.respond(200)
            await call.send(b"one")
            await seen.wait()
            await call.send(b"two")
            await call.trailers(("x-checksum", "ignored"))

        async with h2_world(script) as (server, client), await client.send(post(server.url)) as response:
            assert await anext(response) == b"one"
            seen.set()
            assert await response.read() == b"two"
            assert response.header("x-checksum") is None

    async def test_a_stream_reset_before_its_answer_is_no_answer(self) -> None:
        async with h2_world(Call.give_up) as (server, client):
            with pytest.raises(UpstreamUnreachable):
                await client.send(post(server.url))
            assert len(server.calls) == 1

    @pytest.mark.parametrize("by", ["reset", "end of the connection"])
    async def test_an_answer_that_is_cut_never_looks_whole(self, by: str) -> None:
        async def script(call: Call) -> None:
            await call.respond(200)
            await call.send(b"part")
            await (call.give_up() if by == "reset" else call.connection.go_away())

        async with h2_world(script) as (server, client):
            with pytest.raises(StreamIncomplete):
                await read(client, post(server.url))

    @pytest.mark.parametrize("says", ["10", "4"])
    async def test_an_answer_of_another_length_than_it_says_is_refused(self, says: str) -> None:
        begun = anyio.Event()

        async def script(call: Call) -> None:
            await call.respond(200, ("content-length", says))
            await begun.wait()
            await call.send(b"short", end=True)

        async with h2_world(script) as (server, client), await client.send(post(server.url)) as response:
            begun.set()
            with pytest.raises(RemoteWireError):
                await response.read()
            await server.until_open(0)

    @pytest.mark.parametrize(
        "status, field",
        [
            ("2xx", ("x", "y")),
            ("200", ("x", "y\r\nz: injected")),
            ("200", ("x", "y\x00")),
            ("200", ("x y", "z")),
            ("200", ("", "z")),
        ],
    )
    async def test_a_broken_head_is_refused(self, status: str, field: tuple[str, str]) -> None:
        async def script(call: Call) -> None:
            await call.respond(status, field, end=True)

        async with h2_world(script) as (server, client):
            with pytest.raises(RemoteWireError):
                await client.send(post(server.url))
            await server.until_open(0)

    async def test_frames_without_content_are_not_the_end(self) -> None:
        async def script(call: Call) -> None:
            await call.respond(200)
            await call.send_empty(1)
            await call.send(b"real")
            await call.send_empty(EMPTY_PIECES - 1)
            await call.send(b"ly", end=True)

        async with h2_world(script) as (server, client):
            assert await read(client, post(server.url)) == b"really"

    async def test_nothing_but_frames_without_content_is_refused(self) -> None:
        async def script(call: Call) -> None:
            await call.respond(200)
            while True:
                await call.send_empty(100)

        async with h2_world(script) as (server, client):
            with pytest.raises(RemoteWireError):
                await read(client, post(server.url))

    async def test_who_does_not_read_holds_up_the_upstream(self) -> None:
        async def script(call: Call) -> None:
            await call.respond(200)
            await call.send(b"first")
            await call.send(bytes(24_000_000), end=True)

        async with h2_world(script) as (server, client):
            async with await client.send(post(server.url)) as flood:
                assert (await anext(flood)).startswith(b"first")
                stuck = -1
                while server.calls[0].sent != stuck:
                    stuck = server.calls[0].sent
                    for _ in range(100):
                        await anyio.lowlevel.checkpoint()
                assert stuck < 20_000_000  # the window, and what the sockets hold
                assert len(await flood.read()) > 20_000_000
            assert server.calls[0].sent == 24_000_005

    async def test_limits_hold_as_over_http_1(self) -> None:
        async def script(call: Call) -> None:
            await call.respond(200, *[("x-many", "y")] * int(call.body))
            await call.send(b"x" * 2000, end=True)

        async with h2_world(script, limits=Limits(body_bytes=1000, header_count=20)) as (server, client):
            for fields in (b"50", b"1"):
                with pytest.raises(RemoteWireError):
                    await read(client, post(server.url, fields))
