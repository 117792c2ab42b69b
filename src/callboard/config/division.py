"""One configuration for several workers that share no memory: each gets its part of every limit. Pure.

Whole numbers are rounded down, so that all workers together never exceed what the operator allowed; but
never to nothing, because a limit of one between two workers would otherwise stop both.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TypeVar

from msgspec.structs import replace

from callboard.config.schema import Config, LimitsConfig, ProviderConfig

L = TypeVar("L", bound=LimitsConfig | ProviderConfig)

_COUNTS = ("requests_per_minute", "tokens_per_minute", "parallel")
_AMOUNTS = ("cost_per_day_usd",)


def divided(config: Config, workers: int) -> Config:
    """What one of ``workers`` equal workers may do, and a notice where there is a limit at all."""
    if workers == 1:
        return config
    limits = _part(config.limits, workers)
    providers = tuple(_part(provider, workers) for provider in config.providers)
    notices = config.notices
    if limits != config.limits or providers != config.providers:
        notices = (*notices, f"each of {workers} workers counts 1/{workers} of every limit for itself")
    return replace(config, limits=limits, providers=providers, notices=notices, workers=workers)


def part(count: int, workers: int) -> int:
    """One worker's part of a limit."""
    return max(1, count // workers)


def _part(whole: L, workers: int) -> L:
    changes: dict[str, int | Decimal] = {}
    for name in _COUNTS:
        count = getattr(whole, name, None)
        if isinstance(count, int):
            changes[name] = part(count, workers)
    for name in _AMOUNTS:
        amount = getattr(whole, name, None)
        if isinstance(amount, Decimal):
            changes[name] = amount / workers
    return replace(whole, **changes) if changes else whole
