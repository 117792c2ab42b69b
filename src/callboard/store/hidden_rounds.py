"""Rounds of tools that a stateless client never sees, kept until it comes back.

On /v1/chat/completions the client holds the conversation. When a turn ran tools of ours and then ends with
calls of the client's own, the client is shown only its calls; what ours found would be lost when it sends the
conversation back with its results. So the turn's messages are remembered under the ids of those calls, and
put back in place.
"""

from __future__ import annotations

from collections import OrderedDict

from callboard.domain.message import Message, tool_uses


class HiddenRounds:
    """Remembers the most recent ``max_turns`` of such turns."""

    def __init__(self, *, max_turns: int = 1000) -> None:
        self._max_turns = max_turns
        self._turns: OrderedDict[tuple[str, frozenset[str]], tuple[Message, ...]] = OrderedDict()

    def remember(self, shown: frozenset[str], produced: tuple[Message, ...], *, key: str) -> None:
        """Keep what a turn produced.

        Args:
            shown: Ids of the calls that the client was given.
            produced: All messages of the turn; the last is the user's where some calls were answered already.
            key: Whose turn it was.
        """
        self._turns[key, shown] = produced
        while len(self._turns) > self._max_turns:
            self._turns.popitem(last=False)

    def restore(self, messages: tuple[Message, ...], *, key: str) -> tuple[Message, ...]:
        """``messages`` with every remembered turn in the place of what the client was shown of it."""
        if not self._turns:
            return messages
        restored: list[Message] = []
        for message in messages:
            turn = self._of(message, key)
            for each in (message,) if turn is None else turn:
                append(restored, each)
        return tuple(restored)

    def _of(self, message: Message, key: str) -> tuple[Message, ...] | None:
        if message.role != "assistant":
            return None
        shown = frozenset(call.id for call in tool_uses(message))
        return self._turns.get((key, shown)) if shown else None

    def __len__(self) -> int:
        return len(self._turns)


def append(messages: list[Message], message: Message) -> None:
    """Add a message; results of calls that were made together go into one, as the pairing rule wants."""
    if messages and messages[-1].role == message.role == "user":
        last = messages[-1]
        messages[-1] = Message(role="user", content=(*last.content, *message.content), extra=last.extra)
    else:
        messages.append(message)
