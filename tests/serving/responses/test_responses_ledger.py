"""The ledger against the upstream's own bill, over however responses end.

Stored and not, streamed and not, in the foreground and in the background; whole, cut, failed, left by their
client, cancelled and deleted.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from tests.fakes.bill import HELD, ROUND, Case, End, one_round
from tests.fakes.relayed import Caller, Relayed, chat_request, relayed

pytestmark = pytest.mark.anyio

PATH = "/v1/responses"
ENDS: tuple[End, ...] = (
    *("full",) * 6,
    *("silent", "silent", "leave", "leave", "cancel", "cancel", "delete", "walk_away", "walk_away"),
    *("cut", "fail_once"),
)
"""A client can ``cancel`` and ``delete`` a response in the background, and can ``walk_away`` from it."""
BACKGROUND: tuple[End, ...] = ("cancel", "delete", "walk_away")


class ResponseCase(Case):
    """One response and how it shall end."""

    def __init__(self, chance: random.Random, name: str, end: End) -> None:
        super().__init__(chance, name, end)
        self.background = end in BACKGROUND or (end != "leave" and chance.random() < 0.3)
        self.streamed = self.stream or end == "walk_away"
        self.kept = self.background or chance.random() < 0.5
        self.stream = True  # the upstream always does

    async def run(self, over: Relayed) -> None:
        body = {
            "model": "demo-model",
            "input": self.name,
            "stream": self.streamed,
            "background": self.background,
            "store": self.kept,
        }
        if self.end in ("leave", "walk_away"):
            await self._leave(over, body)
            return
        client = over.server.client
        headers = {"x-request-id": self.name}
        if not self.background:
            answer = await client.post(PATH, json=body, headers=headers)
            assert self._as_expected(answer.text), answer.text
            return
        answer = await client.post(PATH, json={**body, "stream": False}, headers=headers)
        response_id = answer.json()["id"]
        if self.end in HELD:
            await self.gate.reached.wait()
            if self.end == "cancel":
                ended = await client.post(f"{PATH}/{response_id}/cancel")
            else:
                ended = await client.delete(f"{PATH}/{response_id}")
            assert ended.status_code == 200
        else:
            await client.get(f"{PATH}/{response_id}?stream=true")
            ended = await client.get(f"{PATH}/{response_id}")
            assert self._as_expected(ended.text), ended.text

    async def _leave(self, over: Relayed, body: dict[str, Any]) -> None:
        caller = Caller(over.server.port)
        caller.send(chat_request(body, request_id=self.name, target=PATH))
        await self.gate.reached.wait()
        if self.end == "walk_away":
            await caller.see(b" w0")
        caller.leave("rst" if len(self.words) % 2 else "fin")
        if self.end == "walk_away":
            self.gate.opened.set()
            response_id = caller.seen.split(b'"id":"resp_')[1].split(b'"')[0].decode()
            whole = await over.server.client.get(f"{PATH}/resp_{response_id}?stream=true")
            assert '"status":"completed"' in whole.text

    def _as_expected(self, told: str) -> bool:
        return ('"status":"completed"' in told) is (self.end != "cut")


async def test_the_ledger_equals_the_upstreams_bill_however_responses_end() -> None:
    async with relayed() as over:
        # Each loop has other ends.
        seed = 20_27 if type(asyncio.get_running_loop()).__module__.startswith("uvloop") else 20_28
        await one_round(over, random.Random(seed), 0, make=ResponseCase, ends=ENDS)


@pytest.mark.soak
async def test_the_ledger_equals_the_upstreams_bill_over_ten_thousand_ends_of_responses() -> None:
    chance = random.Random(12)
    for number in range(10_000 // ROUND):
        async with relayed() as over:
            await one_round(over, chance, number, make=ResponseCase, ends=ENDS)
