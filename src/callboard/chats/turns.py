"""ChatTurns: one turn of a conversation with a Responses server, kept by a ConversationManager.

The user's message is stored first, then the answer, so that nothing that was said is lost, whatever breaks.
What the server knows of the conversation is what led to the latest whole answer, by its id; everything said
since then, be it by a turn that failed, goes with the next one. So the stored conversation and what the model
knows of it never disagree. Where the server has lost that answer, the whole conversation is sent once.

For a front within our own server see `callboard.serving.chats.routes`: there the turn itself goes on from the
stored conversation.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TypeAlias

import anyio

from callboard.chats.client import Input, ResponsesAPIClient, is_lost
from callboard.chats.conversation import ChatMessage
from callboard.chats.conversations import ConversationManager, shown
from callboard.chats.events import FrontEvent, MessageList
from callboard.chats.failures import code_of, failure
from callboard.chats.processor import StreamEventProcessor
from callboard.chats.refusals import unknown
from callboard.domain.title import fallback_title
from callboard.errors import CallboardError, StoreUnavailable, UpstreamError

LAST_WRITE_S = 5.0
"""Time for the store to take what came of an answer that is broken off."""

Show: TypeAlias = Callable[[FrontEvent], Awaitable[None]]
"""Told each event of a turn, in order."""


class ChatTurns:
    """See the module's docstring.

    Args:
        manager: Keeps the conversations.
        client: Asks the server.
        now_s: Seconds since the epoch.
    """

    def __init__(
        self,
        manager: ConversationManager,
        client: ResponsesAPIClient,
        *,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._manager = manager
        self._client = client
        self._now_s = now_s

    async def take(self, username: str, conversation_id: str, text: str, show: Show) -> None:
        """Take one turn. What breaks off is told by its last event, and raised only where it is a bug.

        Cancelled, it keeps what had come of the answer and ends the answer upstream.

        Raises:
            UnknownConversation: The user has no conversation of this id.
            StoreUnavailable: The user's message could not be stored; nothing was done.
        """
        await self._manager.add_message(username, conversation_id, "user", text)
        conversation = await self._manager.get_conversation(username, conversation_id)
        if conversation is None:
            raise unknown(conversation_id)
        messages = conversation.messages
        await show(MessageList(threadId=conversation_id, messages=shown([*messages])))
        turn = _Turn(self._manager, username, conversation_id, show)
        previous, unsent = since_last_answer(messages, conversation.last_response_id)
        try:
            try:
                await self._answer(turn, username, unsent, previous)
            except UpstreamError as error:
                if previous is None or not is_lost(error):
                    raise
                await self._answer(turn, username, messages, None)
            await turn.finish()
        except CallboardError as error:
            await turn.break_off(error)
        except BaseException as error:
            await turn.break_off(error)
            raise

    async def name(self, username: str, conversation_id: str, first_message: str) -> None:
        """Find a title for a new conversation. A call of its own: run it beside the first turn."""
        title = await self._client.generate_conversation_title(first_message)
        title = title or fallback_title(self._now_s())
        await self._manager.name_conversation(username, conversation_id, title)

    async def _answer(
        self, turn: _Turn, username: str, unsent: Sequence[ChatMessage], previous: str | None
    ) -> None:
        asked: Input = unsent[0].text if len(unsent) == 1 else unsent
        answer = self._client.create_response(asked, previous, stream=True, username=username)
        async with answer as events:
            async for event in events:
                await turn.tell(turn.processor.feed(event))
                if turn.processor.ended:
                    return


class _Turn:
    """What is shown of one answer, and what is kept of it."""

    def __init__(self, manager: ConversationManager, username: str, conversation_id: str, show: Show) -> None:
        self.processor = StreamEventProcessor()
        self._manager = manager
        self._of = (username, conversation_id)
        self._show = show
        self._kept = False

    async def tell(self, events: Sequence[FrontEvent]) -> None:
        """Show ``events``; before the end of an answer is shown, the answer is stored."""
        if self.processor.ended and not self._kept:
            try:
                await self._keep()
            except StoreUnavailable as error:
                events = (*events[:-1], failure(code_of(error)))
        for event in events:
            await self._show(event)

    async def finish(self) -> None:
        """The server has said all that it has to say."""
        await self.tell(self.processor.finish())

    async def break_off(self, error: BaseException) -> None:
        """Keep what has come, and say why there is no more."""
        last = self.processor.fail(error)
        with suppress(StoreUnavailable):  # the user is told of what went wrong first
            await self._keep()
        if isinstance(error, Exception):
            for event in last:
                await self._show(event)

    async def _keep(self) -> None:
        """Store what came of the answer, once. Whoever leaves meanwhile waits for it."""
        if self._kept:
            return
        self._kept = True
        processor = self.processor
        with anyio.move_on_after(LAST_WRITE_S, shield=True):
            if processor.answered:
                await self._manager.add_message(*self._of, "assistant", processor.text, processor.response_id)
            else:
                await self._manager.keep_interrupted(*self._of, processor.text)


def since_last_answer(
    messages: Sequence[ChatMessage], last_response_id: str | None
) -> tuple[str | None, Sequence[ChatMessage]]:
    """The answer that the next turn follows, and the messages that the server has not been told of yet."""
    if last_response_id is None:
        return None, messages
    for place in range(len(messages) - 1, -1, -1):
        if messages[place].response_id == last_response_id:
            return last_response_id, messages[place + 1 :]
    return last_response_id, messages[-1:]
