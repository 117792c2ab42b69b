"""A request's body as it comes: whole whatever its framing, and refused where that is an attack."""

from __future__ import annotations

import json

import anyio
import pytest

from tests.fakes.openai_traffic import chat
from tests.fakes.relayed import Caller, chat_body, raw_answers, relayed

pytestmark = pytest.mark.anyio
HEAD = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)


def in_chunks(body: bytes, size: int) -> bytes:
    """A request whose body comes in chunks of ``size`` bytes."""
    pieces = (body[at : at + size] for at in range(0, len(body), size))
    return HEAD + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


@pytest.mark.parametrize(
    "length, size, status",
    [(10_000, 1, 200), (10_000, 7, 200), (1_000_000, 64, 200), (1_200_000, 63, 400), (20_000, 1, 400)],
)
async def test_a_body_in_small_chunks_is_whole_and_one_of_crumbs_is_refused(
    length: int, size: int, status: int
) -> None:
    text = "".join(map(str, range(length)))[:length]
    async with relayed() as over:
        over.upstream.queue(chat("fine"))
        with Caller(over.server.port) as caller, anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(caller.send_all, in_chunks(json.dumps(chat_body(text)).encode(), size))
                [answer] = raw_answers(await caller.see_all())
                tasks.cancel_scope.cancel()
        assert answer.status == status
        if status == 200:
            assert over.upstream.exchanges[0].json()["messages"] == chat_body(text)["messages"]
        else:
            assert b"too small" in answer.body
            assert not over.upstream.exchanges
