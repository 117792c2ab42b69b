"""A model in the test's own process, which outlives the server that is killed: it plays turns of three tools.

What it says next follows from the conversation it is sent alone, so that it does not matter who asks, or how
often. It looks whether each conversation is one that a provider would take.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

from tests.fakes.openai_traffic import Json, chunk, sse

ROUNDS: dict[int, tuple[str, ...]] = {0: ("look",), 1: ("pay", "look"), 3: ("wait",)}
"""What is called, by how many results the turn has."""
PACE_S = 0.002
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class Model:
    """What the connections share.

    Attributes:
        faults: What was wrong with the conversations that came, in words.
        told: What the model was told that a call came to, by the turn's key and the tool's name.
    """

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.told: dict[tuple[str, str], str] = {}

    def answer(self, messages: list[Any]) -> list[Json]:
        """The chunks of what it says next."""
        self.faults += _unpaired(messages)
        last = max(at for at, each in enumerate(messages) if each["role"] == "user")
        key = str(messages[last]["content"])
        results = [each for each in messages[last:] if each["role"] == "tool"]
        for each in results:
            name = str(each["tool_call_id"]).rpartition("_")[2]
            said = self.told.setdefault((key, name), str(each["content"]))
            if said != each["content"]:
                self.faults.append(f"{name} of {key} came to {said!r} and then to {each['content']!r}")
        names = ROUNDS.get(len(results), ()) if key.startswith("key") else ()
        words = f"{key}: {len(results)} results so far . ".split(" ")
        chunks = [chunk({"content": f"{word} "}) for word in words]
        for index, name in enumerate(names):
            called = {"name": name, "arguments": '{"key": '}
            begun = {"index": index, "id": f"call_{len(results)}_{name}", "type": "function"}
            rest = {"index": index, "function": {"arguments": f'"{key}"}}'}}
            chunks += [chunk({"tool_calls": [{**begun, "function": called}]}), chunk({"tool_calls": [rest]})]
        return [*chunks, chunk({}, finish_reason="tool_calls" if names else "stop")]


def _unpaired(messages: list[Any]) -> Iterator[str]:
    open_calls: list[str] = []
    for each in messages:
        if each["role"] == "tool":
            if each["tool_call_id"] in open_calls:
                open_calls.remove(each["tool_call_id"])
            else:
                yield f"a result without a call: {each}"
            continue
        if open_calls:
            yield f"calls without a result: {open_calls}"
        open_calls = [call["id"] for call in each.get("tool_calls") or ()]
    if open_calls:
        yield f"calls without a result at the end: {open_calls}"


class Connection(asyncio.Protocol):
    """One request after the other, a chunk of its answer every so often."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._received = bytearray()
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # it writes
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        length = int(bytes(self._received[:end]).lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        if len(self._received) < end + 4 + length:
            return
        document = json.loads(self._received[end + 4 :])
        self._received.clear()
        self._transport.write(HEAD)
        self._say([sse(each) for each in self._model.answer(document["messages"])] + [b"data: [DONE]\n\n"])

    def _say(self, left: list[bytes]) -> None:
        if self._transport.is_closing():
            return
        if not left:
            self._transport.write(b"0\r\n\r\n")
            return
        self._transport.write(b"%x\r\n%s\r\n" % (len(left[0]), left[0]))
        self._timer = asyncio.get_running_loop().call_later(PACE_S, self._say, left[1:])


@asynccontextmanager
async def modelled() -> AsyncIterator[tuple[Model, int]]:
    """A running model on loopback, and its port."""
    model = Model()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(model), "127.0.0.1", 0)
    try:
        yield model, server.sockets[0].getsockname()[1]
    finally:
        server.close()
