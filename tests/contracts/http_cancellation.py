"""What every ``HttpClient`` leaves behind when it is closed, cancelled or out of time."""

import random

import anyio
import pytest

from callboard.errors import (
    StreamIncomplete,
    UpstreamTimeout,
)
from callboard.transport.http import Timeouts
from tests.contracts.http_world import HttpWorld, Settings, get, is_at_rest, post, read
from tests.fakes.cancellation import cancelled_at
from tests.fakes.http_server import Peer, answering, plain


class CancellationContract(HttpWorld):
    """Whatever ends a call early, nothing leaks and the next call works."""

    async def test_closing_an_answer_in_the_middle_closes_its_connection(self) -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\npart")
            await peer.until_closed()

        async with self.world(script) as (server, client):
            response = await client.send(get(server))
            assert await anext(response) == b"part"
            await response.aclose()
            await response.aclose()
            await server.until_open(0)
            with pytest.raises(StreamIncomplete):
                await anext(response)
            assert client.statistics().open == 0

    async def test_closing_works_under_cancellation(self) -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\npart")
            await peer.until_closed()

        async with self.world(script) as (server, client):
            with anyio.CancelScope() as scope:
                async with await client.send(get(server)) as response:
                    await anext(response)
                    scope.cancel()
                    await anext(response)
            assert scope.cancelled_caught
            await server.until_open(0)

    async def test_a_cancelled_read_never_makes_the_answer_look_whole(self) -> None:
        gate = anyio.Event()

        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npart")
            await gate.wait()

        async with self.world(script) as (server, client), await client.send(get(server)) as response:
            assert await anext(response) == b"part"
            with anyio.move_on_after(0.01) as scope:
                await anext(response)
            assert scope.cancelled_caught
            gate.set()
            with pytest.raises(StreamIncomplete):
                await anext(response)

    async def test_cancelled_at_every_await_the_only_place_is_given_on(self) -> None:
        script = answering(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n",
            b"3\r\ntwo\r\n",
            b"0\r\n\r\n",
        )
        async with self.world(script, Settings(capacity=1)) as (server, client):

            async def call() -> None:
                assert await read(client, post(server)) == b"onetwo"

            step = 1
            while await cancelled_at(step, call()):
                with anyio.fail_after(5):
                    await call()
                assert is_at_rest(client)
                step += 1
            assert step > 2

    async def test_a_cancelled_connect_or_large_write_gives_its_place_on(self) -> None:
        script = answering(plain(b"ok", b"Connection: close"), then_close=True)
        async with self.world(script, Settings(capacity=1)) as (server, client):

            async def call() -> None:
                assert await read(client, post(server, b"z" * 200_000)) == b"ok"

            step = 1
            while await cancelled_at(step, call()):
                assert is_at_rest(client)
                step += 1
            with anyio.fail_after(5):
                await call()

    async def test_a_cancelled_wait_leaves_the_line(self) -> None:
        release = anyio.Event()

        async def script(peer: Peer) -> None:
            while True:
                await peer.request()
                await release.wait()
                await peer.send(plain(b"ok"))

        async with self.world(script, Settings(capacity=1)) as (server, client):
            async with anyio.create_task_group() as group:
                answers: list[bytes] = []

                async def call() -> None:
                    answers.append(await read(client, post(server)))

                group.start_soon(call)
                while not server.requests:
                    await anyio.lowlevel.checkpoint()
                await cancelled_at(1, call())
                assert client.statistics().waiting == 0
                group.start_soon(call)
                while client.statistics().waiting == 0:
                    await anyio.lowlevel.checkpoint()
                release.set()
            assert answers == [b"ok", b"ok"]
            assert server.most_open == 1

    async def test_many_random_cancellations_lose_nothing(
        self, anyio_backend_name: str, anyio_backend: object
    ) -> None:
        name = "uvloop" if "True" in repr(anyio_backend) else anyio_backend_name
        chance = random.Random(20)
        async with self.world(answering(plain(b"ok"))) as (server, client):

            async def call() -> None:
                assert await read(client, post(server)) == b"ok"

            async def worker(count: int) -> None:
                for _ in range(count):
                    await cancelled_at(chance.randint(1, 8), call())

            async with anyio.create_task_group() as group:
                for _ in range(20):
                    group.start_soon(worker, self.random_cancels[name] // 20)
            assert is_at_rest(client)
            with anyio.fail_after(1):
                await call()
            assert server.most_open <= 20  # the server may see a closed connection a moment later than we

    async def test_silence_before_the_first_byte_is_a_timeout(self) -> None:
        async with self.world(Peer.until_closed) as (server, client):
            with pytest.raises(UpstreamTimeout):
                await client.send(post(server, timeouts=Timeouts(first_byte_s=0.03)))
            await server.until_open(0)

    async def test_silence_in_the_middle_of_the_body_is_a_timeout(self) -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\npart")
            await peer.until_closed()

        async with self.world(script) as (server, client):
            response = await client.send(get(server, timeouts=Timeouts(idle_s=0.03)))
            assert await anext(response) == b"part"
            with pytest.raises(UpstreamTimeout):
                await anext(response)
            await server.until_open(0)
            await response.aclose()

    async def test_a_drip_that_never_ends_meets_the_total_limit(self) -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                await peer.send(b"1\r\nx\r\n")

        async with self.world(script) as (server, client):
            with pytest.raises(UpstreamTimeout):
                await read(client, get(server, timeouts=Timeouts(total_s=0.1)))
            await server.until_open(0)

    async def test_waiting_for_a_connection_meets_the_total_limit(self) -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
            await peer.until_closed()

        only_one = Settings(capacity=1)
        async with self.world(script, only_one) as (server, client), await client.send(get(server)):
            with pytest.raises(UpstreamTimeout):
                await client.send(get(server, timeouts=Timeouts(total_s=0.03)))
            assert client.statistics().waiting == 0
