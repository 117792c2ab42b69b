"""Titler: finds titles for conversations that have just begun, beside everything else.

Nobody waits for a title. It is asked for when an answer has begun, of an assistant like any other turn, for
whoever began the conversation: within his limits and on his account, without tools, and kept nowhere. Where
none is found in time the conversation is called after the hour. One that its user has named meanwhile keeps
that name. Titles that are under way when the actor ends are given up.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import ClassVar

import anyio
from msgspec.structs import replace

from callboard.actors.archivist import Archivist, Commit
from callboard.actors.assistant import Assistant, Cast, Respond
from callboard.actors.order import TurnOrder
from callboard.domain.block import TextBlock
from callboard.domain.delta import TextDelta
from callboard.domain.generation import GenerationRequest
from callboard.domain.message import user_text
from callboard.domain.meter import Meter
from callboard.domain.principal import LOCAL, Principal
from callboard.domain.title import INSTRUCTIONS, clean_title, fallback_title, title_prompt
from callboard.errors import CallboardError
from callboard.kernel import Actor, ActorRef, Child, Context, MailboxSpec, Notice, Overflow
from callboard.store.changes import UpdateConversation

AT_ONCE = 4
IN_TIME_S = 60.0
ENOUGH_CHARS = 200
"""A model that says more than this does not write a title; it is not heard out."""


class NameConversation(Notice["Titler"], frozen=True, kw_only=True):
    """Find a title for a conversation.

    Attributes:
        principal: Whose it is.
        called: What it is called until then.
        message: What it begins with.
        model: What answers it; another assistant for titles has its own.
    """

    principal: Principal
    conversation_id: str
    called: str
    message: str
    model: str


class Titler(Actor[NameConversation]):
    """See the module's docstring.

    Args:
        assistant: Whom it asks.
        cast: The store, who writes to it, and the clock.
        own_model: Whether the assistant knows by itself what model to ask.
    """

    mailbox: ClassVar[MailboxSpec] = MailboxSpec(capacity=256, overflow=Overflow.REJECT)

    def __init__(self, assistant: Child[Assistant], cast: Cast, *, own_model: bool) -> None:
        self._asked = assistant
        self._cast = cast
        self._own_model = own_model

    @asynccontextmanager
    async def running(self, context: Context[Titler]) -> AsyncIterator[None]:
        """Holds the tasks that find titles."""
        self._assistant: ActorRef[Assistant] = context.ref(self._asked)
        self._archivist: ActorRef[Archivist] = context.ref(self._cast.archivist)
        self._places = anyio.CapacityLimiter(AT_ONCE)
        async with anyio.create_task_group() as self._tasks:
            try:
                yield
            finally:
                self._tasks.cancel_scope.cancel()

    async def receive(self, message: NameConversation, context: Context[Titler]) -> None:
        """Begins on the title as soon as few enough are under way; those behind wait in the mailbox."""
        await self._places.acquire_on_behalf_of(message)
        self._tasks.start_soon(self._name, message)

    async def _name(self, wanted: NameConversation) -> None:
        try:
            with suppress(CallboardError):  # the store says what is wrong at every door
                title = await self._found(wanted) or fallback_title(self._cast.now_s())
                await self._give(wanted, title)
        finally:
            self._places.release_on_behalf_of(wanted)

    async def _found(self, wanted: NameConversation) -> str | None:
        said = ""
        meter = Meter(_new_id("req_"), "chat_title", time.perf_counter_ns)
        meter.key_id = None if wanted.principal == LOCAL else wanted.principal.key_id
        try:
            with anyio.move_on_after(IN_TIME_S):
                said = await self._answer(wanted, meter)
        except CallboardError as error:
            meter.error_type = error.type
        except BaseException:
            meter.error_type = "cancelled"
            raise
        finally:
            self._cast.observe(meter.close())
        return clean_title(said)

    async def _answer(self, wanted: NameConversation, meter: Meter) -> str:
        order = TurnOrder(
            request=GenerationRequest(
                model="" if self._own_model else wanted.model,
                messages=(user_text(title_prompt(wanted.message)),),
                system=(TextBlock(text=INSTRUCTIONS),),
            ),
            response_id=_new_id("resp_"),
            principal=replace(wanted.principal, tools=()),
            meter=meter,
        )
        said = ""
        async with self._assistant.stream(Respond(order=order)) as events:
            async for event in events:
                said += event.text if isinstance(event, TextDelta) else ""
                if len(said) > ENOUGH_CHARS:
                    break
        return said

    async def _give(self, wanted: NameConversation, title: str) -> None:
        tenant = wanted.principal.tenant
        record = await self._cast.store.conversation(tenant, wanted.conversation_id)
        if record is None or record.title != wanted.called:
            return
        change = UpdateConversation(
            tenant=tenant, id=record.id, title=title, updated_at_s=int(self._cast.now_s())
        )
        await self._archivist.ask(Commit(changes=(change,)))


def _new_id(prefix: str) -> str:
    return prefix + os.urandom(16).hex()
