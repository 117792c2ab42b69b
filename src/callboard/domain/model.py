"""A model as the operator describes it: what it can do, what it costs, who serves it."""

from __future__ import annotations

from msgspec import Struct

from callboard.domain.usage import Usage

PICOUSD_PER_USD = 1_000_000_000_000


class Price(Struct, frozen=True, kw_only=True):
    """Integer prices in pico-USD (1e-12 USD) per token; 1 USD per million tokens is 1,000,000 of them.

    Integers keep sums exact: a ledger of floats does not balance.
    """

    input_picousd: int = 0
    output_picousd: int = 0
    cache_read_picousd: int = 0
    cache_write_picousd: int = 0

    def cost_picousd(self, usage: Usage) -> int:
        """The price of ``usage``, in pico-USD."""
        return (
            usage.input_tokens * self.input_picousd
            + usage.output_tokens * self.output_picousd
            + usage.cache_read_tokens * self.cache_read_picousd
            + usage.cache_write_tokens * self.cache_write_picousd
        )


class ModelTraits(Struct, frozen=True, kw_only=True):
    """What a model can do, as far as requests have to be shaped for it.

    Attributes:
        context_window: Tokens of prompt and answer together; None where unknown, and then no assistant
            shortens a conversation for the model.
        max_output_tokens: The most one answer may have; None where unknown.
        reasoning: Takes reasoning-model parameters (``max_completion_tokens``, effort, developer role).
        tools: Calls functions natively.
        images: Reads images.
        audio: Hears sound.
    """

    context_window: int | None = None
    max_output_tokens: int | None = None
    reasoning: bool = False
    tools: bool = True
    images: bool = True
    audio: bool = False


class ModelSpec(Struct, frozen=True, kw_only=True):
    """One routable model.

    Attributes:
        name: What clients ask for.
        provider: Configured name of the provider that serves it.
        upstream_name: What the provider calls it.
        fallbacks: Names of other models, tried in order while nothing has been shown to the client.
        intelligence, speed, cost: Ranks from 0 to 1 for MCP model preferences, 1 the best, so the cheapest
            has ``cost`` 1; None where not ranked.
    """

    name: str
    provider: str
    upstream_name: str
    traits: ModelTraits = ModelTraits()
    price: Price = Price()
    fallbacks: tuple[str, ...] = ()
    intelligence: float | None = None
    speed: float | None = None
    cost: float | None = None
