"""``[models.NAME]`` becomes a `ModelSpec`: prices turn into integers without passing through a float."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from callboard.config.problems import KeyPath, Problem, Source
from callboard.config.schema import ModelTable
from callboard.domain.model import PICOUSD_PER_USD, ModelSpec, ModelTraits, Price

PRICES = ("input", "output", "cache_read", "cache_write")
MAX_USD_PER_MILLION = 1_000_000
PICOUSD_PER_TOKEN = PICOUSD_PER_USD // 1_000_000
"""Pico-USD per token in one USD per million tokens."""


def check_prices(table: ModelTable, source: Source, path: KeyPath) -> Iterator[Problem]:
    """Prices that are negative, absurd, or finer than the ledger counts."""
    for key in PRICES:
        usd: Decimal | None = getattr(table, key)
        if usd is None:
            continue
        if not 0 <= usd <= MAX_USD_PER_MILLION:
            message = f"expected USD per million tokens, from 0 to {MAX_USD_PER_MILLION}, got {usd}"
            yield source.problem((*path, key), message)
        elif (usd * PICOUSD_PER_TOKEN) % 1:
            yield source.problem((*path, key), f"expected at most 6 decimal places, got {usd}")


def model_spec(name: str, table: ModelTable) -> ModelSpec:
    """The routable model that a table describes; its prices have passed `check_prices`."""
    return ModelSpec(
        name=name,
        provider=table.provider,
        upstream_name=table.upstream_name or name,
        traits=ModelTraits(
            context_window=table.context_window,
            max_output_tokens=table.max_output_tokens,
            reasoning=table.reasoning,
            tools=table.tools,
            images=table.images,
            audio=table.audio,
        ),
        price=Price(
            input_picousd=_picousd(table.input),
            output_picousd=_picousd(table.output),
            cache_read_picousd=_picousd(table.input if table.cache_read is None else table.cache_read),
            cache_write_picousd=_picousd(table.input if table.cache_write is None else table.cache_write),
        ),
        fallbacks=table.fallbacks,
        intelligence=table.intelligence,
        speed=table.speed,
        cost=table.cost,
    )


def _picousd(usd_per_million: Decimal) -> int:
    return int(usd_per_million * PICOUSD_PER_TOKEN)
