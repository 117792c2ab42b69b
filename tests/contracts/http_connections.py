"""How every ``HttpClient`` keeps its connections."""

from contextlib import suppress

import anyio
import pytest

from callboard.errors import (
    RemoteWireError,
    UpstreamUnreachable,
)
from callboard.transport.guard import DialGuard
from callboard.transport.http import HttpRequest
from tests.contracts.http_world import HttpWorld, Settings, get, post, read
from tests.fakes.http_server import Peer, answering, plain


class ConnectionsContract(HttpWorld):
    """Reuse, bounds, stale connections, and where they may lead."""

    async def test_ten_calls_use_one_connection(self) -> None:
        async with self.world(answering(plain(b"ok"))) as (server, client):
            for _ in range(10):
                assert await read(client, post(server)) == b"ok"
            assert (server.connects, len(server.requests)) == (1, 10)

    async def test_concurrent_calls_are_bounded_and_all_answered(self) -> None:
        async with self.world(answering(plain(b"ok")), Settings(capacity=3)) as (server, client):
            answers: list[bytes] = []

            async def call(number: int) -> None:
                answers.append(await read(client, post(server, b"%d" % number)))

            async with anyio.create_task_group() as group:
                for number in range(30):
                    group.start_soon(call, number)
            assert answers == [b"ok"] * 30
            assert {received.body for received in server.requests} == {b"%d" % number for number in range(30)}
            assert server.most_open <= 3

    @pytest.mark.parametrize("header", [b"Connection: close", b"Connection: Close, x"])
    async def test_a_connection_that_says_close_is_not_used_again(self, header: bytes) -> None:
        async with self.world(answering(plain(b"ok", header), then_close=True)) as (server, client):
            for _ in range(2):
                assert await read(client, post(server)) == b"ok"
            assert server.connects == 2

    async def test_http_1_0_is_understood_and_not_kept(self) -> None:
        answer = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"
        async with self.world(answering(answer)) as (server, client):
            for _ in range(2):
                assert await read(client, post(server)) == b"ok"
            assert server.connects == 2

    async def test_a_connection_that_the_peer_closed_while_idle_is_not_used(self) -> None:
        async with self.world(answering(plain(b"ok"), then_close=True)) as (server, client):
            for _ in range(3):
                assert await read(client, post(server)) == b"ok"
                await server.until_open(0)
            assert len(server.requests) == 3

    async def test_unasked_bytes_on_an_idle_connection_never_become_an_answer(self) -> None:
        poisoned = anyio.Event()

        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(plain(b"mine"))
            if peer.number == 1:
                await poison.wait()
                await peer.send(plain(b"POISON"))
                poisoned.set()
            await peer.until_closed()

        poison = anyio.Event()
        async with self.world(script) as (server, client):
            assert await read(client, get(server)) == b"mine"
            poison.set()
            await poisoned.wait()
            assert await read(client, get(server)) == b"mine"
            assert server.connects == 2

    async def test_bytes_after_the_answer_never_become_the_next_answer(self) -> None:
        async with self.world(answering(plain(b"mine") + plain(b"POISON"))) as (server, client):
            assert await read(client, get(server)) == b"mine"
            with suppress(RemoteWireError):
                assert await read(client, get(server)) == b"mine"
            assert await read(client, get(server)) == b"mine"

    async def test_a_post_that_may_have_been_received_is_never_sent_twice(self) -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(plain(b"ok"))
            await peer.request()  # and now dies, with the request in its hands

        async with self.world(script) as (server, client):
            assert await read(client, post(server)) == b"ok"
            with pytest.raises(UpstreamUnreachable):
                await client.send(post(server))
            assert len(server.requests) == 2

    async def test_an_early_answer_is_returned(self) -> None:
        async def script(peer: Peer) -> None:
            await peer.request_head()
            await peer.send(plain(b"too large", b"Connection: close", status=b"413 Content Too Large"))
            await peer.until_closed()

        async with self.world(script) as (server, client):
            async with await client.send(post(server, b"x" * 8_000_000)) as response:
                assert response.status == 413
                assert await response.read() == b"too large"
            assert client.statistics().open == 0

    async def test_nobody_listening_is_unreachable(self) -> None:
        async with self.world(answering()) as (_, client):
            listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
            port = listener.extra(anyio.abc.SocketAttribute.local_port)
            await listener.aclose()
            with pytest.raises(UpstreamUnreachable) as caught:
                await client.send(HttpRequest(method="GET", url=f"http://127.0.0.1:{port}/"))
            assert caught.value.__cause__ is not None

    async def test_a_host_nobody_named_is_not_dialled(self) -> None:
        settings = Settings(guard=DialGuard())
        async with self.world(answering(plain(b"internal")), settings) as (server, client):
            with pytest.raises(UpstreamUnreachable):
                await client.send(get(server))
            assert server.connects == 0

    async def test_connects_to_the_address_that_was_judged(self) -> None:
        asked: list[str] = []

        async def resolve(host: str, port: int) -> tuple[str, ...]:
            asked.append(host)
            return ("127.0.0.1",)

        guard = DialGuard(frozenset({"model.test"}), resolve=resolve)
        async with self.world(answering(plain(b"ok")), Settings(guard=guard)) as (server, client):
            url = f"http://model.test:{server.port}/"
            assert await read(client, HttpRequest(method="GET", url=url)) == b"ok"
            assert asked == ["model.test"]
            assert server.requests[0].values(b"host") == [b"model.test:%d" % server.port]

    async def test_a_closed_client_refuses_calls(self) -> None:
        async with self.world(answering(plain(b"ok"))) as (server, client):
            await client.aclose()
            with pytest.raises(UpstreamUnreachable):
                await client.send(get(server))
