"""What one generation consumed, without counting any token twice."""

from __future__ import annotations

from msgspec import Struct


class Usage(Struct, frozen=True, kw_only=True):
    """Tokens of one or more generations; add two to sum them.

    The four counted fields are disjoint, so their sum is what was processed. Dialects that fold cached
    tokens into the prompt (OpenAI) are taken apart on the way in and put together on the way out.

    Attributes:
        input_tokens: Prompt tokens that were neither read from nor written to a prompt cache.
        output_tokens: Generated tokens, reasoning included.
        cache_read_tokens: Prompt tokens served from a prompt cache.
        cache_write_tokens: Prompt tokens newly written to a prompt cache.
        reasoning_tokens: The part of ``output_tokens`` spent on reasoning; never added to it.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def prompt_tokens(self) -> int:
        """Everything the model read, cached or not."""
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens

    @property
    def total_tokens(self) -> int:
        """Everything the model read and wrote."""
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cache_read_tokens=self.cache_read_tokens + other.cache_read_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
        )
