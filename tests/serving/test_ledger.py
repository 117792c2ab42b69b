"""The ledger against the upstream's own bill, over however answers end."""

from __future__ import annotations

import random

import pytest

from tests.fakes.bill import ROUND, one_round
from tests.fakes.relayed import relayed

pytestmark = pytest.mark.anyio


async def test_the_ledger_equals_the_upstreams_bill_however_answers_end() -> None:
    async with relayed() as over:
        await one_round(over, random.Random(20_26), 0)


@pytest.mark.soak
async def test_the_ledger_equals_the_upstreams_bill_over_ten_thousand_ends() -> None:
    chance = random.Random(11)
    for number in range(10_000 // ROUND):
        async with relayed() as over:
            await one_round(over, chance, number)
