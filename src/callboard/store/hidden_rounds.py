"""Rounds of tools that a stateless client never sees, kept until it comes back.

On /v1/chat/completions the client holds the conversation. When a turn ran tools of ours and then ends with
calls of the client's own, the client is shown only its calls; what ours found would be lost when it sends the
conversation back with its results. So the turn's messages are remembered under the ids of those calls, and
put back in place.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import TypeAlias

import msgspec
from msgspec.structs import replace

from callboard.domain.block import Block
from callboard.domain.message import Message, tool_uses
from callboard.domain.steps import IN_A_STEP, Steps, at_once

_Shown: TypeAlias = tuple[str, frozenset[str]]
"""Whose turn it was, and the ids of the calls that were shown of it."""


class HiddenRounds:
    """Remembers the most recent of such turns, up to ``max_turns`` and ``max_bytes`` of JSON in all."""

    def __init__(self, *, max_turns: int = 1000, max_bytes: int = 32 << 20) -> None:
        self._max_turns = max_turns
        self._max_bytes = max_bytes
        self._bytes = 0
        self._turns: OrderedDict[_Shown, tuple[tuple[Message, ...], int]] = OrderedDict()

    def remember(self, shown: frozenset[str], produced: tuple[Message, ...], *, key: str) -> None:
        """Keep what a turn produced.

        Args:
            shown: Ids of the calls that the client was given.
            produced: All messages of the turn; the last is the user's where some calls were answered already.
            key: Whose turn it was.
        """
        size = len(msgspec.json.encode(produced))
        _, before = self._turns.pop((key, shown), ((), 0))
        self._turns[key, shown] = (produced, size)
        self._bytes += size - before
        while len(self._turns) > self._max_turns or self._bytes > self._max_bytes:
            _, (_, gone) = self._turns.popitem(last=False)
            self._bytes -= gone

    def recall(self, shown: frozenset[str], *, key: str) -> tuple[Message, ...] | None:
        """What is kept under the ids of these calls."""
        turn, _ = self._turns.get((key, shown), (None, 0))
        return turn

    def restore(self, messages: tuple[Message, ...], *, key: str) -> tuple[Message, ...]:
        """``messages`` with every remembered turn in the place of what the client was shown of it."""
        return at_once(self.restoring(messages, key=key))

    def restoring(self, messages: tuple[Message, ...], *, key: str) -> Steps[tuple[Message, ...]]:
        """`restore` in steps."""
        if not self._turns:
            return messages
        restored: list[Message] = []
        for at, message in enumerate(messages):
            if at % IN_A_STEP == IN_A_STEP - 1:
                yield
            turn = self._of(message, key)
            restored.extend((message,) if turn is None else turn)
        return (yield from joining(restored))

    def _of(self, message: Message, key: str) -> tuple[Message, ...] | None:
        if message.role != "assistant":
            return None
        shown = frozenset(call.id for call in tool_uses(message))
        return self.recall(shown, key=key) if shown else None

    def __len__(self) -> int:
        return len(self._turns)


def joining(messages: Iterable[Message]) -> Steps[tuple[Message, ...]]:
    """In steps: messages with those of the user's that follow each other made one.

    Results of calls that were made together go into one message, as the pairing rule wants.
    """
    runs: list[tuple[Message, list[Block]]] = []
    for at, message in enumerate(messages):
        if at % IN_A_STEP == IN_A_STEP - 1:
            yield
        if runs and message.role == runs[-1][0].role == "user":
            runs[-1][1].extend(message.content)
        else:
            runs.append((message, list(message.content)))
    whole: list[Message] = []
    for at, (first, content) in enumerate(runs):
        if at % IN_A_STEP == IN_A_STEP - 1:
            yield
        grew = len(content) > len(first.content)
        whole.append(replace(first, content=tuple(content)) if grew else first)
    return tuple(whole)
