"""One request, measured against a real server."""

from __future__ import annotations

import socket
from time import perf_counter_ns

import anyio
import pytest

from callboard.bench.attempt import Outcome, attempt
from callboard.bench.plan import Api
from tests.bench.target import ANSWER, CHAT_STREAM, FINISH, GOOD, call, client, data, delta, silent
from tests.fakes.http_server import Peer, Script, answering, chunked, plain, serve

pytestmark = pytest.mark.anyio


async def outcome_of(
    script: Script, *, api: Api = "chat", stream: bool = False, timeout_s: float = 5.0
) -> Outcome:
    with anyio.fail_after(10):
        async with serve(script) as server, client() as sender:
            return await attempt(
                sender, call(server.url, api=api, stream=stream, timeout_s=timeout_s), perf_counter_ns()
            )


async def test_an_answer_is_measured_and_its_usage_read() -> None:
    outcome = await outcome_of(answering(GOOD))
    assert outcome.error is None
    assert outcome.tokens == 5
    assert outcome.received_bytes == len(ANSWER)
    assert outcome.intended_ns <= outcome.started_ns < outcome.first_ns <= outcome.ended_ns
    assert (outcome.deltas, outcome.gaps_ns) == (0, [])


async def test_a_stream_is_measured_delta_by_delta() -> None:
    outcome = await outcome_of(answering(CHAT_STREAM), stream=True)
    assert outcome.error is None
    assert (outcome.deltas, outcome.tokens) == (3, 7)
    assert len(outcome.gaps_ns) == 2
    assert outcome.first_ns + sum(outcome.gaps_ns) <= outcome.ended_ns


async def test_the_first_token_is_content_and_not_the_head() -> None:
    head_sent = anyio.Event()
    first_ns = 0

    async def script(peer: Peer) -> None:
        nonlocal first_ns
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        role = b'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n'
        await peer.send(b"%x\r\n%s\r\n" % (len(role), role))
        head_sent.set()
        first_ns = perf_counter_ns()
        rest = chunked(*data(delta("a"), FINISH)).partition(b"\r\n\r\n")[2]
        await peer.send(rest)

    outcome = await outcome_of(script, stream=True)
    assert outcome.error is None
    assert outcome.first_ns >= first_ns > 0


async def test_a_responses_stream_is_understood() -> None:
    events = data(
        '{"type":"response.output_text.delta","delta":"a"}',
        '{"type":"response.completed","response":{"usage":{"output_tokens":4}}}',
    )
    outcome = await outcome_of(answering(chunked(*events)), api="responses", stream=True)
    assert (outcome.error, outcome.deltas, outcome.tokens) == (None, 1, 4)


@pytest.mark.parametrize(
    "answer, stream, error",
    [
        (plain(b"{}", status=b"429 Slow Down"), False, "http_429"),
        (plain(b"{}", status=b"500 Oops"), True, "http_500"),
        (plain(b"", status=b"302 Elsewhere"), False, "http_302"),
        (plain(b"<html>"), False, "upstream_protocol_error"),
        (plain(b'{"status":"failed"}'), False, "error_event"),
        (chunked(*data(delta("a"), '{"error":{"message":"no"}}')), True, "error_event"),
        (chunked(*data(delta("a"))), True, "stream_incomplete"),
        (chunked(*data("oops")), True, "upstream_protocol_error"),
        (b"what?\r\n\r\n", False, "upstream_protocol_error"),
    ],
)
async def test_what_goes_wrong_has_a_type(answer: bytes, stream: bool, error: str) -> None:
    outcome = await outcome_of(answering(answer), stream=stream)
    assert outcome.error == error
    assert outcome.ended_ns >= outcome.started_ns


async def test_a_stream_that_is_cut_is_incomplete() -> None:
    cut = chunked(*data(delta("a"), FINISH)).removesuffix(b"0\r\n\r\n")
    outcome = await outcome_of(answering(cut, then_close=True), stream=True)
    assert outcome.error == "stream_incomplete"


async def test_a_target_that_says_nothing_times_out() -> None:
    outcome = await outcome_of(silent, timeout_s=0.05)
    assert outcome.error == "upstream_timeout"
    # An event loop may count in whole milliseconds, and so fire up to one early.
    assert outcome.ended_ns - outcome.started_ns >= 49_000_000


async def test_a_target_that_refuses_connections_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with anyio.fail_after(5):
        async with client() as sender:
            outcome = await attempt(sender, call(f"http://127.0.0.1:{port}/"), perf_counter_ns())
    assert outcome.error == "upstream_unreachable"


async def test_an_error_answer_leaves_the_connection_to_the_next_request() -> None:
    with anyio.fail_after(5):
        async with serve(answering(plain(b"{}", status=b"429 No"))) as server, client() as sender:
            for _ in range(3):
                await attempt(sender, call(server.url), perf_counter_ns())
            assert server.connects == 1


async def test_cancellation_closes_the_connection() -> None:
    with anyio.fail_after(5):
        async with serve(silent) as server, client() as sender, anyio.create_task_group() as tasks:
            tasks.start_soon(attempt, sender, call(server.url), perf_counter_ns())
            await server.until_open(1)
            tasks.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                await server.until_open(0)
