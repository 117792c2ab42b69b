"""Tools as values: what the model is told of them, and what a call came to."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Literal

from msgspec import Raw, Struct

from callboard.domain.block import Extra, ResultContent, TextBlock
from callboard.domain.principal import is_among
from callboard.secret import Secret


class ToolHome(Struct, frozen=True, kw_only=True):
    """Which MCP server a tool of ours is on; no model is told.

    Attributes:
        tool: The server's own name for it.
        asks: Whether each call waits for somebody's approval.
    """

    server: str
    tool: str
    asks: bool = False


class ApprovalPolicy(Struct, frozen=True, kw_only=True):
    """Whose calls wait for somebody's approval, by the server's own names.

    Attributes:
        always: Names, or beginnings with ``*``, of those that wait.
        never: The same, of those that do not; then all others do. None names no exceptions, and then nobody
            waits but those of ``always``.
    """

    always: tuple[str, ...] = ()
    never: tuple[str, ...] | None = None

    def asks(self, tool: str) -> bool:
        """Whether calls of ``tool`` wait; ``always`` goes before ``never``."""
        return is_among(tool, self.always) or (self.never is not None and not is_among(tool, self.never))


class McpChoice(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An MCP server of ours that a client names, to have its tools offered and to see their calls.

    Attributes:
        allowed: Those of its tools that are meant, by its own names, or beginnings with ``*``; None is all.
        approval: What the client wants to approve, besides what the operator does.
        listed: Whether the client has the list of its tools already.
    """

    server: str
    allowed: tuple[str, ...] | None = None
    approval: ApprovalPolicy = ApprovalPolicy()
    listed: bool = False


class RemoteServer(Struct, frozen=True, kw_only=True):
    """An MCP server that a client names by its URL, for one turn. It is kept nowhere.

    Attributes:
        choice: What is meant of it; ``server`` is the client's name for it.
        headers: Sent to it, and to nobody else.
    """

    choice: McpChoice
    url: str
    headers: Mapping[str, Secret] = {}


class ToolDefinition(Struct, frozen=True, kw_only=True, dict=True):
    """A tool as the model sees it.

    Attributes:
        input_schema: JSON Schema of the arguments, an object schema; opaque to everything but validation.
        strict: Whether the provider is asked to enforce the schema; None leaves it to the provider.
        home: Where it is, if it is on an MCP server of ours.
    """

    name: str
    description: str = ""
    input_schema: Raw = Raw(b'{"type":"object","properties":{}}')
    strict: bool | None = None
    extra: Extra | None = None
    home: ToolHome | None = None

    @cached_property
    def length(self) -> int:
        """Characters that a model reads of it; kept, because every request has them counted."""
        return len(self.name) + len(self.description) + len(bytes(self.input_schema))


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
        source: Where it comes from: ``function``, ``process``, ``mcp``, or what else there may be.
        state: A tool that is not ``available`` is not offered to any model.
        reason: Why it is not available; holds nothing that a program or a user said.
        detail: What its program said to that, as it is: for the operator's terminal, and content in a log.
        command: The program that is run, where there is one.
        variables: Names of the environment variables it is given.
        server: The MCP server that it is on; of one that is not there, ``name`` is the server's too.
        waits: Whether its calls wait for somebody's approval.
    """

    name: str
    source: str
    state: Literal["available", "unavailable", "disabled"] = "available"
    description: str = ""
    reason: str = ""
    detail: str = ""
    command: str = ""
    variables: tuple[str, ...] = ()
    server: str = ""
    waits: bool = False

    @property
    def why(self) -> str:
        """Why it is not available, for the operator: our reason, and the last that its program said."""
        last = self.detail.rpartition("\n")[2]
        return f"{self.reason}: {last}" if last else self.reason
