"""The generic proxy, on both carriers: what passes, what does not, and who gets to know."""

from __future__ import annotations

import gzip
import json
import random

import anyio
import pytest

from tests.fakes.anything import Line, replying
from tests.fakes.proxied import KEY, Proxied, proxied
from tests.fakes.relayed import Caller
from tests.fakes.served import Carrier
from tests.serving.proxy.test_passable import CANARY, FOREIGN, FROM_UPSTREAM, HOP_BY_HOP
from tests.serving.proxy.test_target import TRICKS

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("carrier", ["own", "uvicorn"])]
BINARY = bytes(range(256)) * 300
PACKED = gzip.compress(b"packed " * 1000)


def answer(body: bytes, *fields: str, status: str = "200 OK") -> bytes:
    head = "\r\n".join((f"HTTP/1.1 {status}", *fields, f"Content-Length: {len(body)}", "\r\n"))
    return head.encode() + body


async def test_method_path_query_body_and_status_pass_as_they_are(carrier: Carrier) -> None:
    methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    script = replying(answer(BINARY, "Content-Type: application/x-thing", status="418 I'm a teapot"))
    async with proxied(script, allow=[f"{each} /v1/files/*" for each in methods], carrier=carrier) as over:
        for number, method in enumerate(methods):
            body = b"" if method == "GET" else BINARY
            headers = {"content-type": "application/x-other"} if body else {}
            path = "/v1/files/a%20b/content?limit=2&after=x%2Fy&tag[]=1"
            got = await over.server.client.request(method, path, content=body, headers=headers)
            asked = await over.upstream.asked(number)
            assert (got.status_code, got.content) == (418, BINARY)
            assert got.headers["content-type"] == "application/x-thing"
            assert asked.method == method
            assert asked.target == "/v1/files/a%20b/content?limit=2&after=x%2Fy&tag%5B%5D=1"
            assert asked.body == body
            assert asked.values("content-type") == ([headers["content-type"]] if body else [])
            assert asked.values("content-length") == ([str(len(body))] if body else [])


async def test_what_is_compressed_passes_untouched_in_both_directions(carrier: Carrier) -> None:
    script = replying(answer(PACKED, "Content-Encoding: gzip", "Vary: accept-encoding"))
    async with proxied(script, carrier=carrier) as over:
        headers = {"content-encoding": "gzip", "accept-encoding": "gzip, br"}
        request = over.server.client.build_request("POST", "/v1/files", content=PACKED, headers=headers)
        got = await over.server.client.send(request, stream=True)
        raw = b"".join([piece async for piece in got.aiter_raw()])
        asked = await over.upstream.asked(0)
    assert raw == PACKED
    assert (got.headers["content-encoding"], got.headers["vary"]) == ("gzip", "accept-encoding")
    assert got.headers["content-length"] == str(len(PACKED))
    assert asked.body == PACKED
    assert asked.values("content-encoding") == ["gzip"]
    assert asked.values("accept-encoding") == ["gzip, br"]


async def test_an_encoding_that_nobody_here_knows_passes_too(carrier: Carrier) -> None:
    async with proxied(replying(answer(b"??", "Content-Encoding: zstd")), carrier=carrier) as over:
        request = over.server.client.build_request("GET", "/v1/files")
        got = await over.server.client.send(request, stream=True)
        assert [piece async for piece in got.aiter_raw()] == [b"??"]
    assert got.headers["content-encoding"] == "zstd"


async def test_no_foreign_credential_goes_up_and_no_cookie_comes_down(carrier: Carrier) -> None:
    chance = random.Random(8)
    # What servers of HTTP themselves look at is for the tests of the lists.
    up = sorted((FOREIGN | HOP_BY_HOP) - {"host", "content-length", "expect", "origin", "sec-fetch-site",
        "transfer-encoding", "upgrade", "connection", "http2-settings", "te", "x-request-id"})  # fmt: skip
    down = sorted((FROM_UPSTREAM | HOP_BY_HOP) - {"transfer-encoding", "upgrade", "connection"})

    async def script(line: Line) -> None:
        await line.body()
        fields = [f"{name}: {CANARY}" for name in chance.sample(down, 8)]
        await line.send(answer(b"[]", "Content-Type: application/json", *fields))

    async with proxied(script, carrier=carrier) as over:
        for _ in range(25):
            headers = dict.fromkeys(chance.sample(up, 8), CANARY)
            got = await over.server.client.get("/v1/files", headers={**headers, "accept": "a/b"})
            assert got.status_code == 200
            assert CANARY not in repr(got.headers.raw)
            assert not {"set-cookie", "keep-alive", "location"} & set(got.headers)
        lines = "\n".join(over.stage.lines())
    assert len(over.upstream.requests) == 25
    assert over.upstream.connections == 1, "connections are kept"
    for asked in over.upstream.requests:
        assert CANARY.encode() not in asked.head
        assert asked.values("authorization") == [f"Bearer {KEY}"]
        assert asked.values("accept") == ["a/b"]
    assert CANARY not in lines
    assert KEY not in lines


async def test_what_is_not_allowed_looks_like_what_does_not_exist(carrier: Carrier) -> None:
    wanted = [
        ("GET", "/v1/file"), ("GET", "/v1/filesystem"), ("PATCH", "/v1/files/a"), ("DELETE", "/v1/files"),
        ("PUT", "/v1/files"), ("GET", "/V1/FILES"), ("GET", "/v1/batches"),
    ]  # fmt: skip

    async def errors(over: Proxied) -> list[tuple[int, object, list[str]]]:
        found = []
        for method, path in wanted:
            got = await over.server.client.request(method, path)
            document = json.loads(got.content)
            document.pop("request_id")
            found.append((got.status_code, document, sorted(got.headers)))
        return found

    async with proxied(carrier=carrier, config={"proxy": {"enabled": False}}) as over:
        unknown = await errors(over)
        assert (await over.server.client.get("/v1/files")).status_code == 404
    async with proxied(carrier=carrier) as over:
        refused = await errors(over)
        lines = await over.closing_lines(len(wanted))
        assert over.upstream.requests == []
    assert refused == unknown
    assert [status for status, *_ in refused] == [404] * len(wanted)
    assert {line["route"] for line in lines} == {"unknown"}


async def test_routes_of_ours_stay_ours_however_they_are_written(carrier: Carrier) -> None:
    allow = ["GET /*", "DELETE /v1/*", "GET /v1/models/*"]
    async with proxied(allow=allow, carrier=carrier) as over:
        for path in ("/v1/models", "/v1/%6dodels", "/v1/models?x=1"):
            got = await over.server.client.get(path)
            assert [each["id"] for each in got.json()["data"]] == ["demo-model"]
        assert (await over.server.client.get("/health")).json()["status"] == "ok"
        assert (await over.server.client.request("POST", "/health")).status_code == 405
        assert over.upstream.requests == []
        assert (await over.server.client.get("/v1/models/demo-model")).content == b"[]"
        # Nothing of ours answers it, and the operator says that it may pass.
        assert (await over.server.client.delete("/v1/models")).content == b"[]"
        assert (await over.server.client.get("/tokenize")).content == b"[]"
        targets = [asked.target for asked in over.upstream.requests]
    assert targets == ["/v1/models/demo-model", "/v1/models", "/tokenize"]


async def test_no_trick_of_a_path_reaches_the_upstream(carrier: Carrier) -> None:
    async with proxied(allow=["GET /v1/files/*"], carrier=carrier) as over:
        for trick in TRICKS:
            if not trick or b"\r\n" in trick or (b"#" in trick and carrier == "uvicorn"):
                continue  # what uvicorn cuts off never gets to us
            with Caller(over.server.port) as caller:
                caller.send(b"GET %b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % trick)
                answered = await caller.see_all()
            assert answered.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 400 ", b"HTTP/1.1 200 ")), trick
            assert not answered.startswith(b"HTTP/1.1 200 ") or trick == b"/", trick
        assert over.upstream.requests == []
        assert (await over.server.client.get("/v1/files/a")).status_code == 200
        assert len(over.upstream.requests) == 1


async def test_an_answer_without_a_body_passes_and_the_connection_stays(carrier: Carrier) -> None:
    async with proxied(carrier=carrier) as over:
        for status in ("204 No Content", "304 Not Modified", "205 Reset Content"):
            length = "Content-Length: 0\r\n" if status.startswith("205") else ""
            raw = f'HTTP/1.1 {status}\r\nETag: "x"\r\nSet-Cookie: a=b\r\n{length}\r\n'
            over.upstream.script = replying(raw.encode())
            for _ in range(2):
                got = await over.server.client.get("/v1/files", headers={"if-none-match": '"x"'})
                assert (got.status_code, got.content, got.headers["etag"]) == (int(status[:3]), b"", '"x"')
        assert over.upstream.requests[0].values("if-none-match") == ['"x"']
        assert over.upstream.connections == 1


async def test_head_passes_where_get_may_with_the_length_of_what_get_would_bring(carrier: Carrier) -> None:
    async with proxied(replying(answer(b"", "ETag: x").replace(b": 0", b": 12345")), carrier=carrier) as over:
        for _ in range(2):
            got = await over.server.client.head("/v1/files")
            assert (got.status_code, got.content, got.headers["content-length"]) == (200, b"", "12345")
        assert [asked.method for asked in over.upstream.requests] == ["HEAD", "HEAD"]
        assert (await over.server.client.head("/v1/batches")).status_code == 404


async def test_every_status_is_the_upstreams_and_no_redirect_is_followed(carrier: Carrier) -> None:
    fields = ("Location: http://127.0.0.1:1/", "WWW-Authenticate: Bearer", "Retry-After: 7")
    async with proxied(carrier=carrier) as over:
        for status in ("301 Moved", "401 Unauthorized", "429 Slow", "500 No", "529 Full"):
            over.upstream.script = replying(answer(b"why", *fields, status=status))
            got = await over.server.client.get("/v1/files")
            assert (got.status_code, got.content, got.headers["retry-after"]) == (
                int(status[:3]),
                b"why",
                "7",
            )
            assert not {"location", "www-authenticate"} & set(got.headers)
        assert len(over.upstream.requests) == 5


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_beyond_the_bound_is_refused(carrier: Carrier, announced: bool) -> None:
    async def pieces() -> object:
        for _ in range(5):
            yield b"x" * 1000

    config = {"server": {"max_body_bytes": 3000}}
    async with proxied(carrier=carrier, config=config) as over:
        client = over.server.client
        fits = await client.post("/v1/files", content=b"x" * 3000)
        got = await client.post("/v1/files", content=b"x" * 3001 if announced else pieces())  # type: ignore[arg-type]
        again = await client.get("/v1/files")
        assert (got.status_code, json.loads(got.content)["error"]["type"]) == (413, "invalid_request_error")
        if announced:
            assert len(over.upstream.requests) == 2
        else:
            with anyio.fail_after(5):
                await over.upstream.requests[1].left.wait()
    assert (fits.status_code, again.status_code) == (200, 200)


async def test_an_upstream_that_cannot_be_reached_is_told_in_our_dialect(carrier: Carrier) -> None:
    async with proxied(carrier=carrier, provider={"base_url": "http://127.0.0.1:1/v1"}) as over:
        got = await over.server.client.get("/v1/files/secret-name")
        (line,) = await over.closing_lines()
    error = json.loads(got.content)["error"]
    assert got.status_code == 502
    assert error["type"] == "upstream_unreachable" or error["code"] == "upstream_unreachable", error
    assert "127.0.0.1" not in got.text
    assert (line["status"], line["error_type"]) == ("502", "upstream_unreachable")


@pytest.mark.parametrize("host", ["169.254.169.254", "[::ffff:169.254.169.254]", "0.0.0.0"])
async def test_the_guard_says_where_we_may_dial(carrier: Carrier, host: str) -> None:
    async with proxied(carrier=carrier, provider={"base_url": f"http://{host}/v1"}) as over:
        got = await over.server.client.get("/v1/files")
        (line,) = await over.closing_lines()
    assert (got.status_code, line["error_type"]) == (502, "upstream_unreachable")
    assert "may connect to" in got.text


async def test_an_upstream_that_takes_too_long_is_given_up(carrier: Carrier) -> None:
    async def script(line: Line) -> None:
        await line.until_left()

    provider = {"timeouts": {"answer_s": 0.05}}
    async with proxied(script, carrier=carrier, provider=provider) as over:
        got = await over.server.client.get("/v1/files")
        with anyio.fail_after(5):
            await (await over.upstream.asked(0)).left.wait()
    assert got.status_code == 504


async def test_the_closing_line_counts_it_like_every_other_request(carrier: Carrier) -> None:
    async with proxied(replying(answer(b"[]", "Content-Type: text/event-stream")), carrier=carrier) as over:
        got = await over.server.client.get("/v1/files/private-name?q=words", headers={"x-request-id": "mine"})
        (line,) = await over.closing_lines()
        lines = "\n".join(over.stage.lines())
    assert got.headers["x-request-id"] == "mine"
    assert (line["request_id"], line["route"], line["status"]) == ("mine", "/v1/files/*", "200")
    assert (line["provider"], line["attempts"], line["stream"]) == ("up", "1", "true")
    assert float(line["upstream_ttfb_ms"]) > 0
    parts = ("queue_ms", "own_ms", "upstream_ttfb_ms", "upstream_ms")
    assert sum(float(line[part]) for part in parts) == pytest.approx(float(line["wall_ms"]))
    assert "private-name" not in lines
    assert "words" not in lines


async def test_a_page_of_another_origin_gets_nothing_through(carrier: Carrier) -> None:
    async with proxied(carrier=carrier) as over:
        headers = {"origin": "http://evil.test", "sec-fetch-site": "cross-site"}
        got = await over.server.client.post("/v1/files", content=b"x", headers=headers)
        other = await over.server.client.get("/v1/files", headers={"host": "evil.test"})
        assert over.upstream.requests == []
    assert (got.status_code, other.status_code) == (403, 421)


async def test_it_takes_a_place_for_work_and_is_refused_when_there_is_none(carrier: Carrier) -> None:
    gate = anyio.Event()

    async def script(line: Line) -> None:
        await gate.wait()
        await line.send(answer(b"[]"))

    config = {"server": {"max_concurrency": 1, "queue": 0}}
    async with proxied(script, carrier=carrier, config=config) as over, anyio.create_task_group() as tasks:
        statuses: list[int] = []

        async def ask() -> None:
            statuses.append((await over.server.client.get("/v1/files")).status_code)

        tasks.start_soon(ask)
        with anyio.fail_after(5):
            await over.upstream.asked(0)
            await ask()
            gate.set()
            while len(statuses) < 2:
                await anyio.lowlevel.checkpoint()
        over.server.admission.close()
        await ask()
    assert statuses == [503, 200, 503]
