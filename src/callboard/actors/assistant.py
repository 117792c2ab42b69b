"""Assistant: answers turns. Each live turn is a task of its own, owned by the actor that started it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import ClassVar

from msgspec import Struct

from callboard.actors.live_turn import AssistantSpec, Company, LiveTurn, TurnOrder
from callboard.actors.provider_system import ProviderSystem
from callboard.actors.tool_runner import ToolRunner
from callboard.domain.model import ModelTraits
from callboard.domain.observation import Observation
from callboard.domain.turn import TurnEvent
from callboard.kernel import Actor, Child, Context, MailboxSpec, Overflow, StreamRequest
from callboard.store.hidden_rounds import HiddenRounds
from callboard.store.memory import MemoryStore


class Respond(StreamRequest["Assistant", TurnEvent], frozen=True, kw_only=True):
    """Answer a turn; the events are one generation over all rounds (`callboard.domain.turn`).

    Raises:
        UnknownResponse: The turn is to follow an answer that the store does not hold.
        ContextTooLong: The turn's own input does not fit the model's window, where truncation is ``auto``.
        Refusal: Whatever the model's providers and the limits refuse with.
    """

    order: TurnOrder


class Cast(Struct, frozen=True, kw_only=True):
    """Whom assistants work with, as wiring names them.

    Attributes:
        traits_of: What the model that a request names can do; raises `UnknownModel` where there is none.
        store, hidden: Outlive the actor, so that its restart forgets no conversation.
    """

    providers: Child[ProviderSystem]
    traits_of: Callable[[str], ModelTraits]
    tools: Child[ToolRunner]
    store: MemoryStore
    hidden: HiddenRounds
    observe: Callable[[Observation], None]


class Assistant(Actor[Respond]):
    """One configured assistant.

    Its state is its description, so a restart loses nothing but the turns that are live.
    """

    mailbox: ClassVar[MailboxSpec] = MailboxSpec(capacity=1024, overflow=Overflow.REJECT)

    def __init__(self, spec: AssistantSpec, cast: Cast) -> None:
        self._spec = spec
        self._cast = cast
        self._company: Company

    @asynccontextmanager
    async def running(self, context: Context[Assistant]) -> AsyncIterator[None]:
        """Finds those it works with."""
        cast = self._cast
        self._company = Company(
            providers=context.ref(cast.providers),
            traits_of=cast.traits_of,
            tools=context.ref(cast.tools),
            store=cast.store,
            hidden=cast.hidden,
            observe=cast.observe,
        )
        yield

    async def receive(self, message: Respond, context: Context[Assistant]) -> None:
        """Starts the turn in a task of its own."""
        live = LiveTurn(self._spec, self._company, message.order)
        context.stream_from(message, live.produce)
