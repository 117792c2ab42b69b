"""The mock upstream answers as the model's name says, whatever shape the request has."""

import json
import time

import pytest

from benchmarks.gateways.loader import Upstream
from callboard.domain.fold import Fold
from callboard.wire.openai_chat.response import decode_response
from callboard.wire.openai_chat.stream import ChunkDecoder
from tests.benchmarks.asking import ask, events, head, plain_socket, read_answers, request, until

SAYS = "mock-says: Hello! How can I help you today?"


def test_an_answer_is_a_chat_completion_with_usage(upstream: Upstream) -> None:
    answer, body = ask(upstream, request("mock"))
    assert (answer.status, answer.getheader("content-type")) == (200, "application/json")
    document = json.loads(body)
    assert document["object"] == "chat.completion"
    assert document["choices"][0]["message"]["content"] == SAYS
    assert document["usage"] == {"prompt_tokens": 9, "completion_tokens": 8, "total_tokens": 17}


def test_a_stream_says_what_the_answer_says(upstream: Upstream) -> None:
    answer, body = ask(upstream, request("mock", stream=True))
    assert answer.getheader("transfer-encoding") == "chunked"
    chunks = [json.loads(data) for data in events(body)[:-1]]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0]["role"] == "assistant"
    assert "".join(delta.get("content", "") for delta in deltas) == SAYS
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * 9 + ["stop"]


@pytest.mark.parametrize("count", [1, 9, 10, 11, 100])
def test_a_stream_has_as_many_chunks_as_its_name_says(upstream: Upstream, count: int) -> None:
    _, body = ask(upstream, request(f"mock-stream-{count}", stream=True))
    found = events(body)
    assert found[-1] == b"[DONE]"
    assert sum(b'"content":"@0@"' in data for data in found) == count
    assert upstream.books().chunks == count


def test_usage_comes_in_a_chunk_of_its_own_where_it_is_asked_for(upstream: Upstream) -> None:
    _, without = ask(upstream, request("mock-stream-3", stream=True))
    _, with_usage = ask(
        upstream, request("mock-stream-3", stream=True, stream_options={"include_usage": True})
    )
    assert b"usage" not in without
    *chunks, last = [json.loads(data) for data in events(with_usage)[:-1]]
    assert all(chunk["usage"] is None for chunk in chunks)
    assert last["choices"] == []
    assert last["usage"] == {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}


def test_a_paced_chunk_is_written_when_its_time_has_come(upstream: Upstream) -> None:
    before = time.monotonic_ns()
    _, body = ask(upstream, request("mock-paced-3ms-10", stream=True))
    chunks = [json.loads(data)["choices"][0]["delta"] for data in events(body)[:-1]]
    stamps = [int(delta["content"].strip("@")) for delta in chunks if delta.get("content")]
    assert len(stamps) == 10
    assert all(stamp >= before + 3_000_000 * (index + 1) for index, stamp in enumerate(stamps))
    assert stamps[-1] <= time.monotonic_ns()


def test_a_slow_answer_holds_up_nobody_else_and_may_be_abandoned(upstream: Upstream) -> None:
    slow = request("mock-slow-60s")
    with plain_socket(upstream) as waiting:
        waiting.sendall(head(len(slow)) + slow)
        until(lambda: upstream.books().requests == 1)
        assert ask(upstream, request("mock"))[0].status == 200
        waiting.setblocking(False)
        with pytest.raises(BlockingIOError):
            waiting.recv(1)
    until(lambda: upstream.books().abandoned == 1)


@pytest.mark.parametrize("status, kind", [(429, "rate_limit_error"), (500, "server_error")])
def test_an_error_is_one_of_the_dialect(upstream: Upstream, status: int, kind: str) -> None:
    answer, body = ask(upstream, request(f"mock-{status}", stream=True))
    assert answer.status == status
    assert json.loads(body)["error"]["type"] == kind
    assert (answer.getheader("retry-after") is not None) == (status == 429)


@pytest.mark.parametrize("model", ["gpt-5", "mock-nonsense", "", "mocking"])
def test_a_name_without_meaning_is_not_found(upstream: Upstream, model: str) -> None:
    answer, body = ask(upstream, request(model))
    assert answer.status == 404
    assert json.loads(body)["error"]["code"] == "model_not_found"


def test_a_big_answer_is_as_big_as_its_name_says(upstream: Upstream) -> None:
    _, body = ask(upstream, request("mock-big-64k"))
    assert len(json.loads(body)["choices"][0]["message"]["content"]) == len(SAYS) + 64 * 1024


def test_responses_are_answered_too(upstream: Upstream) -> None:
    _, body = ask(upstream, request("mock"), "/v1/responses")
    assert json.loads(body)["output"][0]["content"][0]["text"] == SAYS
    _, stream = ask(upstream, request("mock-stream-12", stream=True), "/v1/responses")
    found = [json.loads(data) for data in events(stream)]
    assert [event["sequence_number"] for event in found] == list(range(17))
    kinds = [event["type"] for event in found]
    assert kinds[4:] == ["response.output_text.delta"] * 12 + ["response.completed"]
    assert found[-1]["response"]["usage"]["output_tokens"] == 12


def test_our_own_decoders_read_both_forms(upstream: Upstream) -> None:
    _, body = ask(upstream, request("mock"))
    _, stream = ask(upstream, request("mock", stream=True, stream_options={"include_usage": True}))
    whole = decode_response(body)
    decoder = ChunkDecoder()
    fold = Fold()
    for data in events(stream):
        for event in decoder.feed(data):
            fold.apply(event)
    for event in decoder.end():
        fold.apply(event)
    assert fold.result().usage == whole.usage
    assert fold.result().content == whole.content


def test_text_that_looks_like_a_field_is_not_one(upstream: Upstream) -> None:
    text = 'say "model":"mock-500" and "stream":true'
    body = json.dumps({"messages": [{"role": "user", "content": text}], "model": "mock"}).encode()
    answer, said = ask(upstream, body)
    assert answer.status == 200
    assert json.loads(said)["object"] == "chat.completion"


def test_a_request_may_come_in_any_pieces(upstream: Upstream) -> None:
    body = request("mock")
    with plain_socket(upstream) as sock:
        for byte in head(len(body)) + body:
            sock.sendall(bytes([byte]))
        assert SAYS.encode() in read_answers(sock, 1)[0]


def test_a_request_may_be_chunked(upstream: Upstream) -> None:
    body = request("mock")
    start = b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    pieces = b"".join(b"%x\r\n%b\r\n" % (1, bytes([byte])) for byte in body)
    with plain_socket(upstream) as sock:
        sock.sendall(start + pieces + b"0\r\n\r\n")
        assert SAYS.encode() in read_answers(sock, 1)[0]


def test_requests_sent_ahead_are_answered_in_order(upstream: Upstream) -> None:
    bodies = [request("mock-429"), request("mock-slow-5ms"), request("mock-500"), request("mock")]
    with plain_socket(upstream) as sock:
        sock.sendall(b"".join(head(len(body)) + body for body in bodies))
        found = [json.loads(body) for body in read_answers(sock, 4)]
    assert [each.get("error", {}).get("type", each.get("model")) for each in found] == [
        "rate_limit_error",
        "mock-slow-5ms",
        "server_error",
        "mock",
    ]


def test_a_connection_is_closed_where_the_client_asks(upstream: Upstream) -> None:
    body = request("mock-stream-100", stream=True)
    with plain_socket(upstream) as sock:
        sock.sendall(head(len(body), "Connection: close") + body)
        with sock.makefile("rb") as file:
            assert file.read().endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")


def test_other_routes_say_what_there_is(upstream: Upstream) -> None:
    assert ask(upstream, b"", "/health", "GET")[0].status == 200
    assert json.loads(ask(upstream, b"", "/v1/models", "GET")[1])["data"][0]["id"] == "mock"
    assert ask(upstream, b"", "/nowhere", "GET")[0].status == 404
    assert upstream.books().requests == 0


def test_the_books_count_bytes_and_connections(upstream: Upstream) -> None:
    before = upstream.books()
    body = request("mock")
    with plain_socket(upstream) as sock:
        sock.sendall(head(len(body)) + body)
        answered = len(read_answers(sock, 1)[0])
        after = upstream.books()
    assert after.requests - before.requests == 1
    assert after.bytes_in - before.bytes_in >= len(head(len(body)) + body)
    assert after.bytes_out - before.bytes_out > answered
    assert after.accepted == before.accepted + 2
    assert after.open_connections == 2
