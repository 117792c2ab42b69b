"""What a provider must be able to do: eight methods, of which one touches the network.

The conversions are pure and come from `callboard.wire`; `call_api` alone does I/O, through
`callboard.transport`. A new provider is one class and one registration (see docs/architecture.md, "Adding a
provider").
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import ClassVar, Protocol, runtime_checkable

from msgspec import Struct

from callboard.domain.block import TextBlock, ToolResultBlock, ToolUseBlock
from callboard.domain.delta import GenerationEvent
from callboard.domain.generation import Generation, GenerationRequest
from callboard.domain.message import Message
from callboard.domain.model import ModelTraits
from callboard.domain.tools import ToolDefinition, ToolOutcome
from callboard.transport.http import HttpResponse, Upload


class ProviderCall(Struct, frozen=True, kw_only=True):
    """One upstream attempt: the request, and what routing decided about it.

    Attributes:
        upstream_name: The model's name in the provider's words.
        stream: Whether the upstream is asked to stream; the events are the same either way.
    """

    request: GenerationRequest
    upstream_name: str
    traits: ModelTraits = ModelTraits()
    stream: bool = True


class UpstreamAnswer(Protocol):
    """An answer as it arrives: iterate its events; leaving it early closes the upstream.

    Attributes:
        upstream_request_id: The provider's id of the HTTP exchange, for the log.
    """

    upstream_request_id: str | None

    def __aiter__(self) -> UpstreamAnswer:
        """Itself: an answer is read once."""
        ...

    async def __anext__(self) -> GenerationEvent:
        """The next event, in the order that `callboard.domain.delta` states.

        Raises:
            UpstreamError: The answer broke off or broke its dialect.
        """
        ...


class UpstreamBurst(Protocol):
    """Optional, of an answer: several events often come at once, and can be had at once."""

    def ready(self) -> Sequence[GenerationEvent]:
        """The events that iterating would give without waiting, in order; they are given once."""
        ...


@runtime_checkable
class ProviderHandler(Protocol):
    """The eight methods. Instances are made once per configured provider and shared by all calls."""

    def initialize_client(self) -> AbstractAsyncContextManager[None]:
        """Open what the provider needs for its lifetime (connections, a model); leaving closes it.

        Entered once, by the actor that owns the provider. Must be quick: what is slow is opened at first use.
        """
        ...

    def prepare_system(self, system: Sequence[TextBlock], traits: ModelTraits) -> Sequence[Struct]:
        """Instructions as this provider's wire structs."""
        ...

    def convert_to_provider_messages(self, messages: Sequence[Message]) -> Sequence[Struct]:
        """The conversation as this provider's wire structs; ``messages`` are not changed."""
        ...

    def prepare_tools(self, tools: Sequence[ToolDefinition]) -> Sequence[Struct]:
        """Tool definitions as this provider's wire structs."""
        ...

    def call_api(self, call: ProviderCall) -> AbstractAsyncContextManager[UpstreamAnswer]:
        """Make the call. Entering returns when the upstream has begun to answer; leaving closes it.

        Raises:
            UpstreamError: The closed taxonomy of `callboard.errors`, status and retry delay attached.
        """
        ...

    def convert_from_provider_response(self, body: bytes) -> Generation:
        """A whole, unstreamed answer of this provider as a generation."""
        ...

    def parse_tool_use(self, call: Struct) -> ToolUseBlock:
        """A tool call in this provider's wire struct as a block; broken arguments are kept, marked."""
        ...

    def make_tool_result(self, tool_use_id: str, outcome: ToolOutcome) -> ToolResultBlock:
        """The block that tells the model what its call came to."""
        ...


@runtime_checkable
class RelayHandler(Protocol):
    """Optional: a provider whose wire dialect a client may speak too, so that bytes can be passed on.

    Attributes:
        dialect: Name of the dialect, e.g. ``openai_chat``.
    """

    dialect: ClassVar[str]

    async def relay(self, body: bytes, *, stream: bool) -> HttpResponse:
        """Send a request body of the dialect as it is; the answer's status is already known to be 2xx.

        The caller owns the answer and must close it.

        Raises:
            UpstreamError: As `ProviderHandler.call_api`; the provider's error body is attached.
        """
        ...


class ForwardedRequest(Struct, frozen=True, kw_only=True):
    """A client's request that is passed on, whatever it is.

    Attributes:
        path: As the client has it, checked and percent-encoded; begins with a slash.
        query: With its question mark; empty where there is none.
        headers: Those of the client's that may pass; none of them a credential.
        upload: The body; None where there is none.
    """

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    upload: Upload | None


@runtime_checkable
class ForwardHandler(Protocol):
    """Optional: a provider behind a URL, to which requests that we know nothing of can be passed on."""

    async def forward(self, request: ForwardedRequest) -> HttpResponse:
        """Send a request with the provider's own credentials; the answer is as it came, whatever its status.

        The caller owns the answer and must close it.

        Raises:
            UpstreamError: There is no answer.
        """
        ...
