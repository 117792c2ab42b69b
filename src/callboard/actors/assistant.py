"""Assistant: answers turns.

A turn with a reader is a task of its own, owned by the actor that started it and cancelled when the reader
leaves. A turn in the background is an actor of its own, a session of this one; see
`callboard.actors.background`.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import ClassVar, TypeAlias, assert_never

import anyio
from msgspec import Struct

from callboard.actors.addressing import addressed
from callboard.actors.archivist import Archivist
from callboard.actors.background import BackgroundTurn, GiveUp
from callboard.actors.kept_order import decode_order
from callboard.actors.live_turn import LiveTurn
from callboard.actors.order import AssistantSpec, Company, TurnOrder, order_of
from callboard.actors.provider_system import ProviderSystem
from callboard.actors.recorder import Recorder
from callboard.actors.telling import Taker
from callboard.actors.tool_runner import ToolRunner
from callboard.domain.meter import Meter
from callboard.domain.observation import Observation
from callboard.domain.turn import TurnEvent
from callboard.domain.turn_log import LogEvent
from callboard.kernel import (
    Actor,
    ActorRef,
    Child,
    Context,
    MailboxSpec,
    Notice,
    Request,
    Restart,
    StreamRequest,
)
from callboard.providers.routing import RouteTable
from callboard.store.adrift import Adrift
from callboard.store.hidden_rounds import HiddenRounds
from callboard.store.records import ResponseRecord
from callboard.store.store import Store


class Respond(StreamRequest["Assistant", TurnEvent], frozen=True, kw_only=True):
    """Answer a turn; the events are one generation over all rounds (`callboard.domain.turn`).

    Raises:
        UnknownResponse: The turn is to follow an answer that the store does not hold.
        ContextTooLong: The turn's own input does not fit the model's window, where truncation is ``auto``.
        Refusal: Whatever the model's providers and the limits refuse with.
    """

    order: TurnOrder


class RespondWhole(Request["Assistant", None], frozen=True, kw_only=True):
    """Answer a turn for somebody who waits for all of it. Raises as `Respond`.

    Attributes:
        take: Given the events as they come, in the turn's own task.
    """

    order: TurnOrder
    take: Callable[[TurnEvent], object]


class Undertake(Notice["Assistant"], frozen=True, kw_only=True):
    """See a stored response through to its end, for whoever reads its log.

    Attributes:
        record: A live one that this store owns.
        log: What has happened of it already.
    """

    record: ResponseRecord
    log: tuple[LogEvent, ...] = ()


class Abandon(Notice["Assistant"], frozen=True, kw_only=True):
    """Stop working on a response: somebody has ended it in the store. Nothing, where nobody works on it."""

    response_id: str


_Message: TypeAlias = Respond | RespondWhole | Undertake | Abandon


class Cast(Struct, frozen=True, kw_only=True):
    """Whom assistants work with, as wiring names them.

    Attributes:
        routes: Which models there are.
        store, hidden, adrift: Outlive the actor, so that its restart forgets no conversation.
        now_s: Seconds since the epoch.
    """

    providers: Child[ProviderSystem]
    routes: RouteTable
    tools: Child[ToolRunner]
    archivist: Child[Archivist]
    store: Store
    hidden: HiddenRounds
    adrift: Adrift
    observe: Callable[[Observation], None]
    now_s: Callable[[], float]


class Assistant(Actor[_Message]):
    """One configured assistant.

    Its state is its description and the turns that are live, and of those what is kept is in the store.
    """

    # Whoever asks in the same instant as a thousand others waits: how many may ask is bounded at the doors.
    mailbox: ClassVar[MailboxSpec] = MailboxSpec(capacity=1024)

    def __init__(self, spec: AssistantSpec, cast: Cast) -> None:
        self._spec = spec
        self._cast = cast
        self._company: Company
        self._background: dict[str, ActorRef[BackgroundTurn]] = {}

    @asynccontextmanager
    async def running(self, context: Context[Assistant]) -> AsyncIterator[None]:
        """Finds those it works with."""
        cast = self._cast
        self._company = Company(
            providers=context.ref(cast.providers),
            routes=cast.routes,
            tools=context.ref(cast.tools),
            archivist=context.ref(cast.archivist),
            store=cast.store,
            hidden=cast.hidden,
            adrift=cast.adrift,
            observe=cast.observe,
            now_s=cast.now_s,
        )
        yield

    async def receive(self, message: _Message, context: Context[Assistant]) -> None:
        """Starts the turn in a task, or in an actor, of its own."""
        match message:
            case Respond():
                order = addressed(message.order, self._spec, self._company.routes)
                live = LiveTurn(self._spec, self._company, order)
                context.stream_from(message, live.produce)
            case RespondWhole():
                live = LiveTurn(self._spec, self._company, message.order, whole=True)
                context.reply_from(message, partial(live.produce, Taker(message.take)))
            case Undertake():
                await self._undertake(message, context)
            case Abandon():
                working = self._background.get(message.response_id)
                if working is not None:
                    await working.tell(GiveUp())
            case _:
                assert_never(message)

    async def _undertake(self, message: Undertake, context: Context[Assistant]) -> None:
        record = message.record
        if record.id in self._background:
            return
        asked = decode_order(record.request)
        # Its attempts are accounted under a name that no process before this one has used.
        meter = Meter(
            asked.request_id,
            "background",
            time.perf_counter_ns,
            account_id=f"{record.id}.{record.version}",
        )
        live = LiveTurn(
            self._spec,
            self._company,
            order_of(record, meter),
            recorder=Recorder(self._company.archivist, record, stored=True),
            log=message.log,
        )

        is_over = anyio.Event()

        def over() -> None:
            is_over.set()
            self._background.pop(record.id, None)
            self._company.observe(meter.close())

        child = Child(
            name=f"turn:{record.id}",
            start=lambda: BackgroundTurn(live, over),
            restart=Restart.TEMPORARY,
        )
        working = await context.spawn(child)
        if not is_over.is_set():
            self._background[record.id] = working
