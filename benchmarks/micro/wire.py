"""What the wire layer costs, in microseconds of CPU time for one operation.

Run with ``python -m benchmarks.micro.wire`` (``PYTHONPATH=src``). Each figure is the best of five rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from callboard.domain.delta import TextDelta
from callboard.wire.json import check
from callboard.wire.openai_chat.relay import RelayMeter, peek, rewrite
from callboard.wire.openai_chat.request import decode_request
from callboard.wire.openai_chat.stream import ChunkDecoder, ChunkEncoder
from callboard.wire.openai_responses.schema import Echo
from callboard.wire.openai_responses.stream import ResponseEncoder
from callboard.wire.sse import SseDecoder, encode_event

CHUNK = (
    b'{"id":"chatcmpl-AbCdEf","object":"chat.completion.chunk","created":1761999999,"model":"gpt-4.1-mini",'
    b'"service_tier":"default","system_fingerprint":"fp_1","choices":[{"index":0,"delta":{"content":" word"},'
    b'"logprobs":null,"finish_reason":null}],"obfuscation":"aB3dE"}'
)


def request_of(size: int, *, many: bool) -> bytes:
    """A chat request of about ``size`` bytes, in many short messages or in one long one."""
    text = 'Tell me about "rivers": where they rise, 3 of their names,\nand why. '
    count = max(1, size // 200) if many else 1
    part = text * max(1, size // count // len(text))
    messages = [{"role": "user" if at % 2 == 0 else "assistant", "content": part} for at in range(count)]
    return msgspec.json.encode(
        {"model": "gpt-4.1-mini", "messages": messages, "temperature": 0.5, "stream": True}
    )


def measured(name: str, work: Callable[[], object], *, per: int = 1) -> None:
    """Print the cost of ``work``, divided by the ``per`` operations it does."""
    rounds = 1
    while _cpu_s(work, rounds) < 0.02:
        rounds *= 2
    best = min(_cpu_s(work, rounds) for _ in range(5))
    print(f"{name:<44} {best / rounds / per * 1e6:>9.2f} us")


def _cpu_s(work: Callable[[], object], rounds: int) -> float:
    started = time.process_time()
    for _ in range(rounds):
        work()
    return time.process_time() - started


def measure_streams() -> None:
    """Server-sent events and chunks, for one event each."""
    event = b"data: %b\n\n" % CHUNK
    sse, chunks = SseDecoder(), ChunkDecoder()
    chunks.feed(CHUNK)
    encoder = ChunkEncoder(id="chatcmpl-AbCdEf", model="gpt-4.1-mini", created=1761999999, include_usage=True)
    delta = TextDelta(index=0, text=" word")
    responses = ResponseEncoder(id="resp_AbCdEf", created_at=1761999999, echo=Echo(model="gpt-4.1-mini"))
    for begun in ChunkDecoder().feed(CHUNK):
        responses.feed(begun)
    meter = RelayMeter(peek(request_of(1_000, many=True)))
    together = event * 16
    measured("SSE decode, an event a read", lambda: sse.feed(event))
    measured("SSE decode, 16 events a read", lambda: sse.feed(together), per=16)
    measured("SSE encode", lambda: encode_event(CHUNK))
    measured("SSE encode, with a type", lambda: encode_event(CHUNK, "response.output_text.delta"))
    measured("chunk decode and convert", lambda: chunks.feed(CHUNK))
    measured("chunk encode", lambda: encoder.feed(delta))
    measured("Responses event encode", lambda: responses.feed(delta))
    measured("chat event → Responses event", lambda: converted(event, sse, chunks, responses))
    measured("relay meter, an event a read", lambda: meter.feed(event))
    measured("relay meter, 16 events a read", lambda: meter.feed(together), per=16)


def converted(data: bytes, sse: SseDecoder, chunks: ChunkDecoder, responses: ResponseEncoder) -> list[bytes]:
    """What a client of one dialect reads of what an upstream of the other has sent."""
    return [responses.feed(each) for event in sse.feed(data) for each in chunks.feed(event.data)]


def measure_requests() -> None:
    """The guard beside msgspec's plain decoding, and reading a request in part and whole."""
    for size in (1_000, 20_000):
        for many in (True, False):
            measure_request(request_of(size, many=many), "many messages" if many else "one message")


def measure_request(body: bytes, shape: str) -> None:
    """All that is done with one request."""
    asked = peek(body)
    told = f"{len(body):>6} bytes, {shape}"
    measured(f"msgspec.json.decode, {told}", lambda: msgspec.json.decode(body))
    measured(f"guard,   {told}", lambda: check(body))
    measured(f"peek,    {told}", lambda: peek(body))
    measured(f"rewrite, {told}", lambda: rewrite(body, asked, model="upstream", include_usage=True))
    measured(f"decode,  {told}", lambda: decode_request(body))


if __name__ == "__main__":
    measure_streams()
    measure_requests()
