"""Tools as values: what the model is told of them, and what a call came to."""

from __future__ import annotations

from typing import Literal

from msgspec import Raw, Struct

from callboard.domain.block import Extra, ResultContent, TextBlock


class ToolDefinition(Struct, frozen=True, kw_only=True):
    """A tool as the model sees it.

    Attributes:
        input_schema: JSON Schema of the arguments, an object schema; opaque to everything but validation.
        strict: Whether the provider is asked to enforce the schema; None leaves it to the provider.
    """

    name: str
    description: str = ""
    input_schema: Raw = Raw(b'{"type":"object","properties":{}}')
    strict: bool | None = None
    extra: Extra | None = None


class ToolChoice(Struct, frozen=True, kw_only=True):
    """Whether the model may, must or must not call tools.

    Attributes:
        mode: ``tool`` means exactly the one named.
    """

    mode: Literal["auto", "required", "none", "tool"]
    name: str | None = None


class ToolOutcome(Struct, frozen=True, kw_only=True):
    """What running a tool came to; errors are answers to the model, not exceptions."""

    content: tuple[ResultContent, ...] = ()
    is_error: bool = False


def failed(text: str) -> ToolOutcome:
    """An outcome that tells the model, in words, what went wrong."""
    return ToolOutcome(content=(TextBlock(text=text),), is_error=True)
