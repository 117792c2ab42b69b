"""What is kept of an order beside its messages, so that another process can go on with it and show it."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Raw, Struct

from callboard.domain.block import Extra, TextBlock
from callboard.domain.generation import GenerationRequest, ResponseFormat
from callboard.domain.message import Message
from callboard.domain.principal import Principal
from callboard.domain.tools import McpChoice, ToolChoice, ToolDefinition
from callboard.errors import StoreUnavailable


class KeptRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A `GenerationRequest` without its messages, which are stored as such."""

    model: str
    system: tuple[TextBlock, ...] = ()
    tools: tuple[ToolDefinition, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: str | None = None
    user: str | None = None
    dialect: str | None = None
    extra: Extra | None = None


class KeptOrder(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The ``request`` of a stored response.

    Attributes:
        assistant: Who answers it.
        request_id: Of the request that ordered it, for the log.
        max_tool_calls, approving, servers: As `callboard.actors.order.TurnOrder` has it.
        echo: What the client's dialect repeats of its request; opaque here.
        principal: Who ordered it; orders from before there were keys have none.
        replayed: As `callboard.actors.order.TurnOrder` has it; of no response that a client has ordered.
    """

    assistant: str
    request: KeptRequest
    request_id: str = ""
    truncation: Literal["auto", "disabled"] = "disabled"
    max_tool_calls: int | None = None
    approving: bool = False
    servers: tuple[McpChoice, ...] = ()
    echo: Raw = Raw(b"null")
    principal: Principal | None = None
    replayed: bool = False


_NAMES = KeptRequest.__struct_fields__
_encode = msgspec.json.Encoder().encode
_ORDER = msgspec.json.Decoder(KeptOrder)


def kept_request(request: GenerationRequest) -> KeptRequest:
    """``request`` without its messages."""
    return KeptRequest(**{name: getattr(request, name) for name in _NAMES})


def generation_request(kept: KeptRequest, messages: tuple[Message, ...]) -> GenerationRequest:
    """The request again, with the messages it had."""
    return GenerationRequest(messages=messages, **{name: getattr(kept, name) for name in _NAMES})


def encode_order(order: KeptOrder) -> bytes:
    """As JSON."""
    return _encode(order)


def decode_order(data: bytes) -> KeptOrder:
    """What `encode_order` wrote.

    Raises:
        StoreUnavailable: It did not write this.
    """
    try:
        return _ORDER.decode(data)
    except msgspec.MsgspecError as error:
        raise StoreUnavailable(f"a stored response cannot be read: {error}") from error
