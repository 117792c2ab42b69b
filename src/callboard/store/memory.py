"""The store in memory: conversations that live as long as the process, least recently used dropped first."""

from __future__ import annotations

from collections import OrderedDict

from msgspec import Struct

from callboard.domain.message import Message
from callboard.errors import UnknownResponse


class StoredResponse(Struct, frozen=True, kw_only=True):
    """A finished answer and the conversation that led to it.

    Attributes:
        key: Whose it is; to everybody else it does not exist.
        messages: The whole conversation, this answer included. Tuples share their messages with those of
            earlier answers, so a long conversation is not copied with every turn.
    """

    response_id: str
    key: str
    messages: tuple[Message, ...]


class MemoryStore:
    """Keeps the most recently used ``max_responses`` answers.

    Reading counts as use: a conversation that goes on is not dropped in favour of one that ended.
    """

    def __init__(self, *, max_responses: int = 100) -> None:
        self._max_responses = max_responses
        self._responses: OrderedDict[tuple[str, str], StoredResponse] = OrderedDict()

    def save(self, response: StoredResponse) -> None:
        """Keep ``response``; it can be read at once."""
        place = (response.key, response.response_id)
        self._responses[place] = response
        self._responses.move_to_end(place)
        while len(self._responses) > self._max_responses:
            self._responses.popitem(last=False)

    def messages(self, response_id: str, *, key: str) -> tuple[Message, ...]:
        """The conversation up to and with the answer ``response_id``.

        Raises:
            UnknownResponse: There is none of this name, there is none any more, or it is not ``key``'s.
        """
        place = (key, response_id)
        response = self._responses.get(place)
        if response is None:
            raise UnknownResponse(f"Previous response with id {response_id!r} not found.")
        self._responses.move_to_end(place)
        return response.messages

    def __len__(self) -> int:
        return len(self._responses)
