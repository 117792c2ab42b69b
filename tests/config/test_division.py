"""Limits that several workers share by each keeping a part."""

from __future__ import annotations

from decimal import Decimal

import pytest

from callboard.config.division import divided
from callboard.config.schema import Config, LimitsConfig, OpenAIProvider


def config() -> Config:
    return Config(
        limits=LimitsConfig(
            requests_per_minute=100,
            tokens_per_minute="unlimited",
            cost_per_day_usd=Decimal(10),
            parallel=1,
        ),
        providers=(OpenAIProvider(name="up", tokens_per_minute=999),),
        notices=("earlier",),
    )


def test_one_worker_keeps_everything() -> None:
    assert divided(config(), 1) == config()


@pytest.mark.parametrize("workers", [2, 3, 7])
def test_all_parts_together_never_exceed_the_whole(workers: int) -> None:
    part = divided(config(), workers)
    assert isinstance(part.limits.requests_per_minute, int)
    assert 100 - workers < part.limits.requests_per_minute * workers <= 100
    assert part.limits.cost_per_day_usd == Decimal(10) / workers
    assert part.providers[0].tokens_per_minute == 999 // workers
    assert part.limits.tokens_per_minute == "unlimited"
    assert part.notices == (
        "earlier",
        f"each of {workers} workers counts 1/{workers} of every limit for itself",
    )


def test_a_limit_of_one_stops_nobody() -> None:
    assert divided(config(), 4).limits.parallel == 1


def test_nothing_is_said_where_there_is_no_limit() -> None:
    off = LimitsConfig(requests_per_minute="unlimited", tokens_per_minute="unlimited", parallel="unlimited")
    assert divided(Config(limits=off), 4) == Config(limits=off, workers=4)
