"""What every ``HttpClient`` sends and returns."""

import ssl

import anyio
import pytest
import trustme

from callboard.errors import (
    LocalWireError,
    UpstreamUnreachable,
)
from callboard.transport.http import HttpRequest
from tests.contracts.http_world import HttpWorld, Settings, get, is_at_rest, pieces, post, read
from tests.fakes.http_server import Peer, answering, chunked, plain, serve


class AnswersContract(HttpWorld):
    """Requests as given, answers as sent, in any cut of the bytes."""

    async def test_returns_status_headers_and_body(self) -> None:
        answer = plain(b"hello", b"X-Thing: a", b"x-thing: b", status=b"418 Teapot")
        async with (
            self.world(answering(answer)) as (server, client),
            await client.send(get(server)) as response,
        ):
            assert response.status == 418
            assert response.headers == (("x-thing", "a"), ("x-thing", "b"), ("content-length", "5"))
            assert response.header("x-thing") == "a"
            assert response.header("absent") is None
            assert await response.read() == b"hello"

    async def test_sends_the_request_as_given_and_completes_its_headers(self) -> None:
        async with self.world(answering(plain(b""))) as (server, client):
            url = server.url + "v1/chat?a=b%20c"
            headers = (("Authorization", "Bearer k"), ("X-Empty", ""))
            await read(client, HttpRequest(method="POST", url=url, headers=headers, body=b"body"))
            [received] = server.requests
            assert received.line == b"POST /v1/chat?a=b%20c HTTP/1.1"
            assert received.values(b"host") == [b"127.0.0.1:%d" % server.port]
            assert received.values(b"authorization") == [b"Bearer k"]
            assert received.values(b"x-empty") == [b""]
            assert received.values(b"content-length") == [b"4"]
            assert received.values(b"accept-encoding") == [b"identity"]
            assert received.values(b"user-agent") == []
            assert received.body == b"body"

    async def test_sends_a_large_body_whole(self) -> None:
        body = bytes(range(256)) * 8000
        async with self.world(answering(plain(b"ok"))) as (server, client):
            assert await read(client, post(server, body)) == b"ok"
            assert await read(client, post(server, body)) == b"ok"
            assert [received.body for received in server.requests] == [body, body]
            assert server.connects == 1

    async def test_speaks_tls_to_the_name(self) -> None:
        authority = trustme.CA()
        serving, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
        authority.issue_cert("localhost").configure_cert(serving)
        authority.configure_trust(trusting)
        with anyio.fail_after(10):
            async with serve(answering(chunked(b"se", b"cret")), tls=serving) as server:
                client = self.build(Settings(tls=trusting))
                for _ in range(3):
                    assert await read(client, post(server)) == b"secret"
                assert server.connects == 1
                await client.aclose()
                await server.until_open(0)

    async def test_refuses_a_certificate_it_does_not_trust(self) -> None:
        serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trustme.CA().issue_cert("localhost").configure_cert(serving)
        with anyio.fail_after(10):
            async with serve(answering(plain(b"secret")), tls=serving) as server:
                client = self.build(Settings(tls=ssl.create_default_context()))
                with pytest.raises(UpstreamUnreachable):
                    await client.send(post(server))
                assert is_at_rest(client)
                await client.aclose()
                await server.until_open(0)
                assert server.requests == []

    @pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
    async def test_any_cut_of_the_bytes_gives_the_same_answer(self, size: int) -> None:
        whole = chunked(b"one", b"two", b"", b"three") if size > 1000 else chunked(b"one", b"two", b"three")
        cut = [whole[at : at + size] for at in range(0, len(whole), size)]
        async with self.world(answering(*cut)) as (server, client):
            assert await read(client, get(server)) == b"onetwothree"
            assert await read(client, get(server)) == b"onetwothree"
            assert server.connects == 1

    async def test_hands_a_piece_on_before_the_next_one_exists(self) -> None:
        seen_first = anyio.Event()

        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
            await seen_first.wait()
            await peer.send(b"3\r\ntwo\r\n0\r\n\r\n")
            await peer.until_closed()

        async with self.world(script) as (server, client), await client.send(get(server)) as response:
            assert await anext(response) == b"one"
            seen_first.set()
            assert await pieces(response) == [b"two"]

    async def test_skips_interim_answers(self) -> None:
        interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
        answer = answering(interim + plain(b"ok"))
        async with self.world(answer) as (server, client), await client.send(post(server)) as response:
            assert (response.status, response.header("link")) == (200, None)
            assert await response.read() == b"ok"

    @pytest.mark.parametrize(
        "method, answer",
        [
            ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
            ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
            ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Encoding: br\r\n\r\n"),
        ],
    )
    async def test_answers_without_a_body_keep_the_connection(self, method: str, answer: bytes) -> None:
        async with self.world(answering(answer)) as (server, client):
            for _ in range(2):
                assert await read(client, HttpRequest(method=method, url=server.url)) == b""
            assert server.connects == 1

    async def test_a_body_without_length_ends_with_the_connection(self) -> None:
        answer = b"HTTP/1.1 200 OK\r\n\r\nuntil the end"
        async with self.world(answering(answer, then_close=True)) as (server, client):
            assert await read(client, get(server)) == b"until the end"
            assert client.statistics().open == 0

    async def test_does_not_follow_redirects(self) -> None:
        answer = plain(b"", b"Location: /elsewhere", status=b"302 Found")
        async with self.world(answering(answer)) as (server, client):
            async with await client.send(get(server)) as response:
                assert response.status == 302
            assert len(server.requests) == 1

    @pytest.mark.parametrize(
        "request_",
        [
            HttpRequest(method="GET", url="http://127.0.0.1/", headers=(("X", "a\r\nY: b"),)),
            HttpRequest(method="GET", url="http://127.0.0.1/ HTTP/1.1\r\nX: y"),
            HttpRequest(method="GET", url="ftp://127.0.0.1/"),
            HttpRequest(method="GET /", url="http://127.0.0.1/"),
            HttpRequest(method="GET", url="http://127.0.0.1/", headers=(("Transfer-Encoding", "chunked"),)),
        ],
    )
    async def test_a_request_that_breaks_http_is_refused_before_anything_is_sent(
        self, request_: HttpRequest
    ) -> None:
        async with self.world(answering()) as (server, client):
            with pytest.raises(LocalWireError):
                await client.send(request_)
            assert server.connects == 0
