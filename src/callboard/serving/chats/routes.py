"""``/chat``, ``/get-all-conversations`` and ``/update-conversation-title``: the chat front's routes.

A turn is the one that ``POST /v1/responses`` makes with ``conversation``: the same request, decoded by the
same code, answered by the same assistant, and its events are what the front's are made of. The user's message
is stored first and stays, whatever comes of it; the answer is appended in the commit that ends the response.
An answer that breaks off leaves what had come of it, marked. So what a user sees, what is stored and what
the model is told next are one and the same.

Whoever asks is a user by its tenant; what belongs to another looks like what is not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import anyio
import msgspec
from msgspec import Struct

from callboard.actors.assistant import Respond
from callboard.actors.order import Keeping, TurnOrder
from callboard.actors.titler import NameConversation
from callboard.chats.conversations import cleaned
from callboard.chats.events import FrontEvent, MessageList, ToolCallCompleted, ToolCallStarted
from callboard.chats.processor import StreamEventProcessor
from callboard.chats.response_events import decode_response_event
from callboard.chats.user_file import NAMELESS
from callboard.domain.turn import ToolFinished, ToolStarted, TurnEvent
from callboard.errors import CallboardError, Overloaded
from callboard.serving.chats.stream import FrontStream
from callboard.serving.events import EVENTS_AHEAD
from callboard.serving.query import MOST_ON_A_PAGE, Query
from callboard.serving.responses.create import finished_at, ordered
from callboard.serving.visit import Visit
from callboard.wire.json import decode
from callboard.wire.openai_responses.request import decode_request
from callboard.wire.openai_responses.stream import ResponseEncoder
from callboard.wire.sse import SseDecoder

LAST_WRITE_S = 5.0
"""Time for the store to take what came of an answer that is broken off."""
DONE = b"[DONE]"


class _Asked(Struct, frozen=True, kw_only=True):
    user_input: str | None = None
    chat_name: str | None = None
    thread_id: str | None = None
    model: str | None = None


class _Titled(Struct, frozen=True, kw_only=True):
    conversation_id: str | None = None
    title: str | None = None


_ASKED = msgspec.json.Decoder(_Asked)
_TITLED = msgspec.json.Decoder(_Titled)


async def converse(visit: Visit) -> None:
    """Take a turn in a conversation, a new one where none is named, and stream it."""
    asked = decode(await visit.document(), _ASKED.decode, side="local")
    manager, user = visit.house.front.manager, visit.principal.tenant
    text = asked.user_input or ""
    if not text.strip():
        await _say(visit, 400, {"error": "No input provided"})
        return
    conversation_id, called = asked.thread_id or "", None
    if not conversation_id:
        called = cleaned(asked.chat_name or NAMELESS)
        conversation_id = await manager.create_conversation(user, called)
    elif not await manager.exists(user, conversation_id):
        await _say(visit, 404, {"error": "Conversation not found"})
        return
    order, keep = _order(visit, conversation_id, asked.model)
    await manager.add_message(user, conversation_id, "user", text)
    named = None
    if called is not None:
        named = NameConversation(
            principal=visit.principal,
            conversation_id=conversation_id,
            called=called,
            message=text,
            model=order.request.model,
        )
    turn = _Turn(visit, order, keep, named)
    visit.meter.stream = True
    await visit.exchange.attend(turn.stream, heartbeat_s=visit.house.heartbeat_s)


async def retrieve(visit: Visit) -> None:
    """Answer with the messages of a conversation, or with the latest ``limit`` of them."""
    query = Query(visit.exchange)
    conversation_id = query.text("thread_id")
    if not conversation_id:
        await _say(visit, 400, {"error": "No thread_id provided"})
        return
    limit = query.limit(MOST_ON_A_PAGE) if query.text("limit") is not None else None
    manager = visit.house.front.manager
    messages = await manager.get_message_list(visit.principal.tenant, conversation_id, limit)
    await _say(visit, 200, {"threadId": conversation_id, "messages": messages})


async def list_all(visit: Visit) -> None:
    """Answer with all conversations of the user by their ids, without their messages."""
    found = await visit.house.front.manager.list_conversations(visit.principal.tenant)
    await _say(visit, 200, found)


async def retitle(visit: Visit) -> None:
    """Give a conversation a title, and answer with all conversations."""
    asked = decode(await visit.document(), _TITLED.decode, side="local")
    if not asked.conversation_id or not asked.title:
        await _say(visit, 400, {"error": "Missing conversation_id or title"})
        return
    manager, user = visit.house.front.manager, visit.principal.tenant
    if not await manager.update_conversation_title(user, asked.conversation_id, asked.title):
        await _say(visit, 400, {"success": False, "error": "Failed to update conversation title"})
        return
    conversations = await manager.list_conversations(user)
    answer = {"success": True, "message": "Title updated successfully", "conversations": conversations}
    await _say(visit, 200, answer)


class _Turn:
    """One turn and its stream. Used once."""

    def __init__(self, visit: Visit, order: TurnOrder, keep: Keeping, named: NameConversation | None) -> None:
        self._visit = visit
        self._order = order
        self._named = named
        self._encoder = ResponseEncoder(id=order.response_id, created_at=keep.created_at_s, echo=keep.echo)
        self._decoder = SseDecoder()
        self._processor = StreamEventProcessor()
        self._stream = FrontStream(visit.exchange, self._processor)

    async def stream(self) -> None:
        """Stream the turn from the message list to its end; what breaks off is kept as far as it came."""
        visit, conversation_id = self._visit, self._order.conversation_id or ""
        front = visit.house.front
        try:
            messages = await front.manager.get_message_list(visit.principal.tenant, conversation_id)
            await self._stream.send((MessageList(threadId=conversation_id, messages=messages),))
            asked = front.assistant.stream(Respond(order=self._order), buffer=EVENTS_AHEAD)
            async with asked as events:
                while some := await events.some():
                    for event in some:
                        await self._stream.send(self._told(event))
                    await self._have_it_named()
            await self._stream.send(self._shown(self._encoder.finish(finished_at(visit))))
            await self._stream.send(self._processor.finish())
        except BaseException:
            with anyio.move_on_after(LAST_WRITE_S, shield=True):
                await self._keep_what_came()
            raise
        await self._stream.finish()

    def _told(self, event: TurnEvent) -> tuple[FrontEvent, ...]:
        told = self._shown(self._encoder.feed(event))
        match event:
            case ToolStarted():
                return (*told, ToolCallStarted(item_id=event.call.id, tool_name=event.call.name))
            case ToolFinished():
                result = event.result
                done = ToolCallCompleted(
                    item_id=result.tool_use_id, tool_name=event.name, success=not result.is_error
                )
                return (*told, done)
            case _:
                return told

    def _shown(self, told: bytes) -> tuple[FrontEvent, ...]:
        events = self._decoder.feed(told) if told else []
        return tuple(
            shown
            for each in events
            if each.data != DONE
            for shown in self._processor.feed(decode_response_event(each.data))
        )

    async def _have_it_named(self) -> None:
        """Only once the answer has begun: then nothing that is done for a title can delay it."""
        named, self._named = self._named, None
        if named is not None:
            with suppress(Overloaded):  # then it stays with the name that it has
                await self._visit.house.front.titler.tell(named)

    async def _keep_what_came(self) -> None:
        visit, processor = self._visit, self._processor
        with suppress(CallboardError):  # the user is told of what went wrong first
            await self._have_it_named()
            if not processor.answered:
                await visit.house.front.manager.keep_interrupted(
                    visit.principal.tenant,
                    self._order.conversation_id or "",
                    processor.text,
                    item_id=processor.item_id or "",
                )


def _order(visit: Visit, conversation_id: str, model: str | None) -> tuple[TurnOrder, Keeping]:
    """The turn as ``POST /v1/responses`` would be asked for it; its input stands in the conversation."""
    body = {
        "model": model or visit.house.front.model,
        "conversation": conversation_id,
        "stream": True,
        "store": True,
        "truncation": "auto",
        "user": visit.principal.tenant,
    }
    asked = decode_request(msgspec.json.encode(body))
    return ordered(visit, asked, streamed=True)


async def _say(visit: Visit, status: int, value: Mapping[str, object]) -> None:
    await visit.exchange.respond(status, msgspec.json.encode(value))
