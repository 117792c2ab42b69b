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


class ToolReport(Struct, frozen=True, kw_only=True):
    """How a tool stands, for the operator.

    Attributes:
        source: Where it comes from: ``function``, ``process``, or what else there may be.
        state: A tool that is not ``available`` is not offered to any model.
        reason: Why it is not available; holds nothing that a program or a user said.
        detail: What its program said to that, as it is: for the operator's terminal, and content in a log.
        command: The program that is run, where there is one.
        variables: Names of the environment variables it is given.
    """

    name: str
    source: str
    state: Literal["available", "unavailable", "disabled"] = "available"
    description: str = ""
    reason: str = ""
    detail: str = ""
    command: str = ""
    variables: tuple[str, ...] = ()

    @property
    def why(self) -> str:
        """Why it is not available, for the operator: our reason, and the last that its program said."""
        last = self.detail.rpartition("\n")[2]
        return f"{self.reason}: {last}" if last else self.reason
