"""What a request was is given back with its last reference: nobody waits for the collector to find rings."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import pytest

from callboard.actors.live_turn import LiveTurn
from callboard.serving.events import EventStream
from tests.fakes.chatting import add
from tests.fakes.openai_traffic import Answer, chat, chat_stream, failure
from tests.fakes.relayed import chat_body, relayed
from tests.fakes.served import Carrier

pytestmark = pytest.mark.anyio

ANSWERS: dict[str, Callable[[], Answer]] = {
    "whole": lambda: chat_stream("a", "b"),
    "in one document": lambda: chat("a b"),
    "refused": lambda: failure(400),
    "failed": lambda: failure(500),
    "ended too early": lambda: replace(chat_stream("a", "b"), cut_after=250, ending="fin"),
    "broken off": lambda: replace(chat_stream("a", "b"), cut_after=250, ending="rst"),
    "broken off before its end": lambda: replace(chat("a b"), cut_after=20, ending="rst"),
}


@pytest.mark.parametrize("carrier", get_args(Carrier))
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", ANSWERS)
async def test_a_turn_that_is_over_is_gone_without_a_collection(
    name: str, stream: bool, carrier: Carrier
) -> None:
    async with relayed(tools=[add], carrier=carrier) as over:
        over.upstream.fallback = lambda _: ANSWERS[name]()
        gc.collect()
        gc.disable()
        try:
            for _ in range(3):
                await over.server.client.post("/v1/chat/completions", json=chat_body(stream=stream))
            left = [each for each in gc.get_objects() if isinstance(each, (LiveTurn, EventStream))]
            assert len(left) <= 1, left  # the last may still be on its way out
        finally:
            gc.enable()
