"""What is asked of an assistant, and whom it works with to do it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from msgspec import Raw, Struct

from callboard.actors.archivist import Archivist
from callboard.actors.kept_order import (
    KeptOrder,
    decode_order,
    encode_order,
    generation_request,
    kept_request,
)
from callboard.actors.provider_system import ProviderSystem
from callboard.actors.tool_runner import ToolRunner
from callboard.domain.block import ToolUseBlock
from callboard.domain.generation import GenerationRequest
from callboard.domain.item import lifted, together
from callboard.domain.message import Message
from callboard.domain.meter import Meter
from callboard.domain.observation import Observation
from callboard.domain.preferences import ModelPreferences
from callboard.domain.principal import Principal
from callboard.domain.tools import McpChoice, RemoteServer
from callboard.errors import Refusal
from callboard.kernel import ActorRef
from callboard.providers.routing import RouteTable
from callboard.store.adrift import Adrift
from callboard.store.hidden_rounds import HiddenRounds
from callboard.store.records import ResponseRecord
from callboard.store.store import Store


class AssistantSpec(Struct, frozen=True, kw_only=True):
    """An assistant as the operator describes it.

    Attributes:
        name: What users call it by.
        model: What answers where the request names no model.
        instructions: Go before whatever instructions the request has.
        tools: Names of the tools it may use; None allows all there are.
        max_rounds: Rounds of tools in one turn.
        directives: Whether a message may begin with one (`callboard.domain.directives`).
    """

    name: str
    model: str = ""
    instructions: str = ""
    tools: tuple[str, ...] | None = None
    temperature: float | None = None
    max_output_tokens: int | None = None
    max_rounds: int = 25
    directives: bool = False


class Company(Struct, frozen=True, kw_only=True):
    """Whom an assistant works with, and what it knows of models (see `callboard.actors.assistant.Cast`)."""

    providers: ActorRef[ProviderSystem]
    routes: RouteTable
    tools: ActorRef[ToolRunner]
    archivist: ActorRef[Archivist]
    store: Store
    hidden: HiddenRounds
    adrift: Adrift
    observe: Callable[[Observation], None]
    now_s: Callable[[], float]


class Keeping(Struct, frozen=True, kw_only=True):
    """How a turn is kept.

    Attributes:
        created_at_s: Seconds since the epoch.
        streamed: Whether its events leave the process as they come. What of a turn nobody is told before its
            end need not be durable before.
        background: Whether it goes on without a reader, and after the end of the process.
        echo: What the client's dialect repeats of its request.
    """

    created_at_s: int
    streamed: bool = False
    background: bool = False
    echo: Raw = Raw(b"null")


class TurnOrder(Struct, frozen=True, kw_only=True):
    """What is asked of an assistant.

    Attributes:
        request: An empty ``model`` means the assistant's; ``tools`` are the client's own.
        preferences: What the model should be like where ``auto`` is asked for.
        response_id: The answer's name, chosen by the asker.
        principal: Whose limits, history, models and tools apply.
        meter: The request's running account; the turn writes to it until the stream is left.
        items: What the client said, item by item (`callboard.domain.item`), where that is more than
            ``request.messages`` say: which of them were given together, and instructions among them.
        previous_response_id: The stored answer that this turn follows.
        history: What went before where that is stored nowhere; not together with ``previous_response_id``.
        conversation_id: The conversation that it stands in; not together with ``previous_response_id``.
        keep: How the turn is kept, so that a later one can follow it; None keeps nothing.
        stopped: Why the asker cancels the turn; None where he has just left. It is what he is told, and so it
            is what is kept.
        told: Called with the whole conversation, this turn's answer included, when the turn has come to its
            end, and before its last event is shown.
        truncation: ``auto`` sends what fits where the conversation is longer than the model's window, as far
            as the operator has stated it; the latest turn goes whole or is refused with `ContextTooLong`.
            ``disabled`` sends everything, and what does not fit is the provider's to refuse: it is for
            clients that keep their conversations themselves and must not lose any of one unawares.
            Source: OpenAI Responses API, "Create a model response", ``truncation``.
        max_tool_calls: Calls of our own tools that may be run; None leaves it to the assistant's rounds.
        approving: Whether the asker's dialect has a way to approve calls; where it has none, tools that wait
            for approval are not offered.
        servers: MCP servers that the asker names. Where there are some, no others' tools are offered, and he
            is shown their calls.
        remote: Those among them that are not ours. Not together with a turn in the background: what lets us
            in there is kept nowhere.
        direct: A call that the user makes himself; it is run, and no model is asked.
        replayed: Whether the turn is a recorded one that is run again. Only the server that ran it could make
            or check its seals (`callboard.domain.approval`), so calls that waited come with their marks, and
            answers were found good.
    """

    request: GenerationRequest
    response_id: str
    principal: Principal
    meter: Meter
    items: tuple[Message, ...] = ()
    previous_response_id: str | None = None
    history: tuple[Message, ...] = ()
    conversation_id: str | None = None
    keep: Keeping | None = None
    stopped: Callable[[], Refusal | None] | None = None
    told: Callable[[tuple[Message, ...]], None] | None = None
    truncation: Literal["auto", "disabled"] = "disabled"
    max_tool_calls: int | None = None
    approving: bool = False
    servers: tuple[McpChoice, ...] = ()
    remote: tuple[RemoteServer, ...] = ()
    direct: ToolUseBlock | None = None
    preferences: ModelPreferences | None = None
    replayed: bool = False

    @property
    def input(self) -> tuple[Message, ...]:
        """The turn's own input, as it is kept."""
        return self.items or self.request.messages


def record_of(order: TurnOrder, keep: Keeping, assistant: str, default_model: str = "") -> ResponseRecord:
    """The response that ``order`` is to be stored as."""
    kept = KeptOrder(
        assistant=assistant,
        request=kept_request(order.request),
        request_id=order.meter.request_id,
        truncation=order.truncation,
        max_tool_calls=order.max_tool_calls,
        approving=order.approving,
        servers=order.servers,
        echo=keep.echo,
        principal=order.principal,
    )
    return ResponseRecord(
        id=order.response_id,
        tenant=order.principal.tenant,
        status="queued" if keep.background else "in_progress",
        created_at_s=keep.created_at_s,
        model=order.request.model or default_model,
        background=keep.background,
        previous_id=order.previous_response_id,
        conversation_id=order.conversation_id,
        request=encode_order(kept),
        input=order.input,
    )


def order_of(record: ResponseRecord, meter: Meter) -> TurnOrder:
    """The order that ``record`` was made of.

    Raises:
        StoreUnavailable: It cannot be read.
    """
    kept = decode_order(record.request)
    return TurnOrder(
        request=generation_request(kept.request, together(lifted(record.input)[1])),
        response_id=record.id,
        principal=kept.principal or Principal(key_id=record.tenant, tenant=record.tenant),
        meter=meter,
        items=record.input,
        previous_response_id=record.previous_id,
        conversation_id=record.conversation_id,
        keep=Keeping(
            created_at_s=record.created_at_s, streamed=True, background=record.background, echo=kept.echo
        ),
        truncation=kept.truncation,
        max_tool_calls=kept.max_tool_calls,
        approving=kept.approving,
        servers=kept.servers,
        replayed=kept.replayed,
    )
