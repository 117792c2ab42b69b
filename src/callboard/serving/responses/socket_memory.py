"""What a socket remembers of its turns, so that one can follow another without anything being stored.

It is the conversation up to the latest response that is not stored; it goes with the connection.

Source: Open Responses specification, 2026-04-24, "WebSocket Continuation".
"""

from __future__ import annotations

import msgspec

from callboard.domain.message import Message


class Memory:
    """See the module's docstring.

    Args:
        max_bytes: Of JSON. What is more could not be sent as one request either, and is not remembered.
    """

    __slots__ = ("_conversation", "_max_bytes", "_response_id")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._response_id: str | None = None
        self._conversation: tuple[Message, ...] = ()

    def keep(self, response_id: str, conversation: tuple[Message, ...]) -> None:
        """Remember the conversation that ends with this response, and no other."""
        if len(msgspec.json.encode(conversation)) <= self._max_bytes:
            self._response_id, self._conversation = response_id, conversation
        else:
            self._response_id, self._conversation = None, ()

    def take(self, response_id: str | None) -> tuple[Message, ...] | None:
        """The conversation that ends with this response; None where it is not remembered.

        It is forgotten with that: "If a continuation turn fails with a `4xx` or `5xx` error, the server MUST
        evict the referenced `previous_response_id`", and one that succeeds is the latest itself.
        """
        if response_id is None or response_id != self._response_id:
            return None
        conversation, self._conversation = self._conversation, ()
        self._response_id = None
        return conversation
