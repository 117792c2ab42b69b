"""The generic proxy while bytes flow: as they come, no faster than they are taken, and never past an end."""

from __future__ import annotations

from typing import Literal

import anyio
import pytest

from callboard.errors import Draining
from tests.fakes.anything import LeftError, Line
from tests.fakes.proxied import Proxied, Witness, proxied
from tests.fakes.relayed import Footprint, Leave
from tests.fakes.served import Carrier

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("carrier", ["own", "uvicorn"])]
MIB = 1 << 20
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
DONE = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone"

Framing = Literal["length", "chunked"]
framings = pytest.mark.parametrize("framing", ["length", "chunked"])


def head(method: str, *fields: str) -> bytes:
    return "\r\n".join((f"{method} /v1/files HTTP/1.1", "Host: localhost", *fields, "\r\n")).encode()


def upload_head(framing: Framing, length: int, *fields: str) -> bytes:
    said = f"Content-Length: {length}" if framing == "length" else "Transfer-Encoding: chunked"
    return head("POST", said, *fields)


def framed(framing: Framing, data: bytes) -> bytes:
    return data if framing == "length" else b"%x\r\n%b\r\n" % (len(data), data)


@framings
async def test_a_body_goes_up_as_it_comes(carrier: Carrier, framing: Framing) -> None:
    first_half = anyio.Event()

    async def script(line: Line) -> None:
        await line.until_body_has(5)
        first_half.set()
        await line.body()
        await line.send(DONE)

    async with proxied(script, carrier=carrier) as over:
        with anyio.fail_after(5), Witness(over.server.port) as caller:
            caller.send(upload_head(framing, 10) + framed(framing, b"first"))
            await first_half.wait()
            caller.send(framed(framing, b"other") + (b"0\r\n\r\n" if framing == "chunked" else b""))
            await caller.see(b"done")
        (asked,) = over.upstream.requests
    assert asked.body == b"firstother"
    lengths = asked.values("content-length"), asked.values("transfer-encoding")
    assert lengths == ((["10"], []) if framing == "length" else ([], ["chunked"]))


async def test_an_answer_comes_down_as_it_is_sent_its_head_first(carrier: Carrier) -> None:
    seen = [anyio.Event() for _ in range(3)]

    async def script(line: Line) -> None:
        await line.send(CHUNKED)
        await seen[0].wait()
        await line.send(b"3\r\none\r\n")
        await seen[1].wait()
        await line.send(b"3\r\ntwo\r\n")
        await seen[2].wait()
        await line.send(b"0\r\n\r\n")

    async with proxied(script, carrier=carrier) as over:
        with anyio.fail_after(5), Witness(over.server.port) as caller:
            caller.send(head("GET"))
            for event, words in zip(seen, (b"\r\n\r\n", b"one\r\n", b"two\r\n"), strict=True):
                await caller.see(words)
                event.set()
            await caller.see(b"0\r\n\r\n")


@framings
async def test_a_slow_upstream_holds_the_client_back(carrier: Carrier, framing: Framing) -> None:
    gate, size = anyio.Event(), 32 * MIB
    piece = bytes(MIB)

    async def script(line: Line) -> None:
        await gate.wait()
        await line.body()
        await line.send(DONE)

    config = {"server": {"max_body_bytes": 64 * MIB}}
    async with proxied(script, carrier=carrier, config=config) as over, anyio.create_task_group() as tasks:
        sent = 0
        with anyio.fail_after(30), Witness(over.server.port) as caller:
            caller.send(upload_head(framing, size))

            async def send() -> None:
                nonlocal sent
                for _ in range(size // MIB):
                    await caller.send_all(framed(framing, piece))
                    sent += MIB
                if framing == "chunked":
                    await caller.send_all(b"0\r\n\r\n")

            tasks.start_soon(send)
            await over.upstream.asked(0)
            before = -1
            while sent != before:  # nothing has moved for a while: all buffers are full
                before = sent
                with anyio.move_on_after(0.3):
                    await anyio.sleep_forever()
            assert sent < size - 8 * MIB
            gate.set()
            await caller.see(b"done")
        assert over.upstream.requests[0].body == bytes(size)


async def test_a_slow_client_holds_the_upstream_back(carrier: Carrier) -> None:
    sent, size = 0, 64

    async def script(line: Line) -> None:
        nonlocal sent
        await line.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (size * MIB))
        for _ in range(size):
            await line.send(bytes(MIB))
            sent += 1

    async with proxied(script, carrier=carrier) as over:
        with anyio.fail_after(30), Witness(over.server.port, receive_buffer=65536) as caller:
            caller.send(head("GET"))
            await over.upstream.asked(0)
            before = -1
            while sent != before:
                before = sent
                with anyio.move_on_after(0.3):
                    await anyio.sleep_forever()
            assert sent < size - 16
            # More than an answer that we would read may have (32 MiB): it is passed on and never held.
            await caller.see(b"\r\n\r\n")
            left = size * MIB - len(caller.seen.partition(b"\r\n\r\n")[2])
            while left:
                left -= len(await caller.some())
    assert sent == size


@pytest.mark.parametrize("leave", ["fin", "rst"])
@pytest.mark.parametrize("phase", ["uploading", "waiting", "downloading"])
async def test_a_client_that_leaves_ends_it_upstream(carrier: Carrier, phase: str, leave: Leave) -> None:
    began = anyio.Event()

    async def script(line: Line) -> None:
        if phase == "uploading":
            await line.until_body_has(5)
        elif phase == "downloading":
            await line.send(CHUNKED + b"3\r\none\r\n")
        began.set()
        await line.until_left()

    async with proxied(script, carrier=carrier) as over:
        footprint = Footprint.of(over.server)
        with anyio.fail_after(5):
            caller = Witness(over.server.port)
            if phase == "uploading":
                caller.send(upload_head("length", MIB) + b"first")
            else:
                caller.send(head("GET"))
            await began.wait()
            if phase == "downloading":
                await caller.see(b"one")
            caller.leave(leave)
            await over.upstream.requests[0].left.wait()
        (line,) = await over.closing_lines()
        await footprint.restored(over.server)
        again = await over.server.client.get("/v1/batches")
    assert (line["error_type"], again.status_code) == ("cancelled", 404)
    assert line["status"] == "499"


CUTS = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
    "chunks": CHUNKED + b"4\r\nhalf\r\n",
    "within a chunk": CHUNKED + b"8\r\nhalf",
    "broken": CHUNKED + b"4\r\nhalf\r\n",
}


@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_an_answer_that_is_cut_never_looks_whole(carrier: Carrier, version: str) -> None:
    async with proxied(carrier=carrier) as over:
        for number, cut in enumerate(CUTS):
            said, body, reset = await _cut_answer(over, cut, version)
            assert body.endswith((b"half", b"half\r\n")), cut
            framed_by_itself = b"content-length: 10" in said or b"transfer-encoding: chunked" in said
            # uvicorn answers HTTP/1.0 with chunks, and has no way to reset.
            assert framed_by_itself or reset, cut
            line = (await over.closing_lines(number + 1))[-1]
            wrong = "upstream_protocol_error" if cut == "broken" else "stream_incomplete"
            assert (line["status"], line["error_type"]) == ("200", wrong), cut


async def _cut_answer(over: Proxied, cut: str, version: str) -> tuple[bytes, bytes, bool]:
    """Head and body of an answer that is cut once its first half was seen, and whether a reset ended it."""
    seen = anyio.Event()

    async def script(line: Line) -> None:
        await line.send(CUTS[cut])
        await seen.wait()
        if cut != "broken":
            raise LeftError
        await line.send(b"nonsense\r\n")
        await line.until_left()

    over.upstream.script = script
    with anyio.fail_after(5), Witness(over.server.port) as caller:
        caller.send(head("GET").replace(b"HTTP/1.1", f"HTTP/{version}".encode()))
        await caller.see(b"half")
        seen.set()
        reset = await caller.ends_with_reset()
    said, _, body = caller.seen.partition(b"\r\n\r\n")
    return said.lower(), body, reset


async def test_an_upstream_that_breaks_off_before_its_head_is_told_by_status(carrier: Carrier) -> None:
    async def script(line: Line) -> None:
        await line.body()
        await line.send(b"HTTP/1.1 200 OK\r\nContent-")
        raise LeftError

    async with proxied(script, carrier=carrier) as over:
        got = await over.server.client.post("/v1/files", content=b"x")
        assert len(over.upstream.requests) == 1, "what may have had an effect is not sent again"
    assert got.status_code == 502
    assert got.json()["error"]["message"]


async def test_an_answer_that_ends_with_the_connection_is_whole(carrier: Carrier) -> None:
    async def script(line: Line) -> None:
        await line.send(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        raise LeftError

    async with proxied(script, carrier=carrier) as over:
        got = await over.server.client.get("/v1/files")
    assert got.content == b"all of it"


@framings
async def test_a_client_that_waits_is_told_to_go_on_or_why_not(carrier: Carrier, framing: Framing) -> None:
    expect = "Expect: 100-continue"
    async with proxied(carrier=carrier, config={"server": {"max_body_bytes": 1000}}) as over:
        with anyio.fail_after(5), Witness(over.server.port) as caller:
            caller.send(upload_head(framing, 4, expect))
            await caller.see(b"100 Continue\r\n\r\n")
            caller.send(framed(framing, b"body") + (b"0\r\n\r\n" if framing == "chunked" else b""))
            await caller.see(b"[]")
        assert over.upstream.requests[0].body == b"body"
        assert over.upstream.requests[0].values("expect") == []
        with anyio.fail_after(5), Witness(over.server.port) as caller:
            caller.send(upload_head("length", 1001, expect))
            await caller.see(b"\r\n\r\n")
        with anyio.fail_after(5), Witness(over.server.port) as other:
            other.send(upload_head("length", 4, expect).replace(b"/files", b"/batches"))
            await other.see(b"\r\n\r\n")
        assert len(over.upstream.requests) == 1
    assert caller.seen.startswith(b"HTTP/1.1 413 ")
    assert other.seen.startswith(b"HTTP/1.1 404 ")


@framings
async def test_an_upstream_that_answers_early_is_heard(carrier: Carrier, framing: Framing) -> None:
    refusal = b"HTTP/1.1 409 Conflict\r\nContent-Length: 3\r\n\r\nwhy"

    async def script(line: Line) -> None:
        await line.send(refusal)
        await line.until_left()

    async with proxied(script, carrier=carrier) as over:
        with anyio.fail_after(5), Witness(over.server.port) as caller:
            caller.send(upload_head(framing, 1000) + framed(framing, b"first"))
            await caller.see(b"why")
        with anyio.fail_after(5):
            await over.upstream.requests[0].left.wait()
        again = await over.server.client.get("/v1/batches")
    assert caller.seen.startswith(b"HTTP/1.1 409 ")
    assert again.status_code == 404


async def test_an_upstream_that_leaves_during_an_upload_is_told_at_once(carrier: Carrier) -> None:
    async def script(line: Line) -> None:
        await line.until_body_has(5)
        raise LeftError

    async with proxied(script, carrier=carrier) as over:
        with anyio.fail_after(5), Witness(over.server.port) as caller:
            caller.send(upload_head("length", 1000) + b"first")
            await caller.see(b'"error"')
    assert caller.seen.startswith(b"HTTP/1.1 502 ")


async def test_a_drain_waits_for_it_and_breaks_it_off_in_the_end(carrier: Carrier) -> None:
    async def script(line: Line) -> None:
        await line.send(CHUNKED + b"3\r\none\r\n")
        await line.until_left()

    async with proxied(script, carrier=carrier) as over:
        with anyio.fail_after(5), Witness(over.server.port) as caller:
            caller.send(head("GET"))
            await caller.see(b"one\r\n")
            assert over.server.admission.in_work == 1
            over.server.admission.break_off()
            await over.upstream.requests[0].left.wait()
            await caller.ends_with_reset()
        (line,) = await over.closing_lines()
    assert b"\r\n0\r\n\r\n" not in caller.seen
    assert line["error_type"] == Draining.type


async def test_many_at_once_do_not_get_mixed_up(carrier: Carrier) -> None:
    async def script(line: Line) -> None:
        await line.body()
        body = line.asked.target.encode() + b" " + line.asked.body
        await line.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    async with proxied(script, carrier=carrier) as over:
        await _ask_many(over)


async def _ask_many(over: Proxied) -> None:
    async def ask(number: int) -> None:
        body = b"%d" % number * number
        got = await over.server.client.put(f"/v1/files/{number}", content=body)
        assert got.content == b"/v1/files/%d %b" % (number, body)

    async with anyio.create_task_group() as tasks:
        for number in range(100):
            tasks.start_soon(ask, number)
