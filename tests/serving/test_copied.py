"""callboard.serving.copied: what is kept of an answer, and what becomes of one that cannot be kept."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import anyio
import pytest

from callboard.errors import StoreUnavailable
from callboard.serving.asgi.exchange import AsgiExchange
from callboard.serving.copied import Copied
from callboard.serving.events import EventStream

pytestmark = pytest.mark.anyio

SCOPE = {"type": "http", "method": "POST", "path": "/v1/responses", "query_string": b"", "headers": []}


class Client:
    """Who reads an answer over ASGI, and a store of answers that may be full."""

    def __init__(self, *, full: bool = False) -> None:
        self.full = full
        self.pieces: list[tuple[bytes, bool]] = []
        self.kept: list[tuple[int, str, bytes | None]] = []
        self.exchange = AsgiExchange(SCOPE, self._receive, self._send)
        self.copied = Copied(self.exchange, b"", self._keep)

    async def _receive(self) -> MutableMapping[str, Any]:
        await anyio.sleep_forever()
        raise AssertionError

    async def _send(self, event: MutableMapping[str, Any]) -> None:
        if event["type"] == "http.response.body":
            self.pieces.append((event.get("body", b""), event.get("more_body", False)))

    async def _keep(self, status: int, media: str, answer: bytes | None) -> None:
        if self.full:
            raise StoreUnavailable("full")
        assert all(more for _, more in self.pieces), "the client may have all of it already"
        self.kept.append((status, media, answer))


async def test_a_stream_is_kept_before_its_end_is_sent() -> None:
    client = Client()
    stream = EventStream(client.copied)
    await stream.send(b"data: 1\n\n")
    await stream.finish(b"data: [DONE]\n\n")

    assert client.kept == [(200, "text/event-stream; charset=utf-8", b"data: 1\n\ndata: [DONE]\n\n")]
    assert client.pieces == [(b"data: 1\n\n", True), (b"data: [DONE]\n\n", True), (b"", False)]


async def test_a_stream_that_cannot_be_kept_still_has_its_last_event() -> None:
    client = Client(full=True)
    stream = EventStream(client.copied)
    await stream.send(b"data: 1\n\n")
    with pytest.raises(StoreUnavailable):
        await stream.finish(b"data: [DONE]\n\n")

    assert client.pieces == [(b"data: 1\n\n", True), (b"data: [DONE]\n\n", True)]


async def test_a_whole_answer_is_kept_before_it_is_sent() -> None:
    client = Client()
    await client.copied.respond(200, b"{}")

    assert client.kept == [(200, "application/json", b"{}")]
    assert client.pieces == [(b"{}", False)]


async def test_an_error_can_still_be_told_where_a_whole_answer_cannot_be_kept() -> None:
    client = Client(full=True)
    with pytest.raises(StoreUnavailable):
        await client.copied.respond(200, b"{}")

    assert (client.exchange.status, client.pieces) == (None, [])
