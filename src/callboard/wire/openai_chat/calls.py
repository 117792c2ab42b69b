"""Which call a piece of a call belongs to.

The dialect says: the one at ``index``, whose first piece carries id and name. Servers leave out the index,
the id or both, repeat them, or send a new call under an index that is taken, so the rules here are, first
match counts:

1. An index that is new begins a call. One that is taken goes on with its call, unless an id comes that is not
that call's: then it begins another. 2. Without an index, an id goes on with the call it was sent for, or
begins one. 3. With neither, the piece belongs to the latest call, unless it brings a name although that call
is complete.
"""

from __future__ import annotations

from callboard.domain.arguments import is_object
from callboard.errors import RemoteWireError
from callboard.wire.json import decode
from callboard.wire.openai_chat.incoming import arguments_text
from callboard.wire.openai_chat.schema import MAX_CALLS, FunctionDelta, ToolCallDelta
from callboard.wire.structure import Structure


class Call:
    """One call as far as it has come.

    Attributes:
        sent_id: What the upstream called it; empty where it has not said.
        waiting: Pieces of its arguments that have not been handed on.
        queued: It stands, or has stood, in its answer's queue of parts.
        closed: It was complete, and the next has begun.
    """

    def __init__(self) -> None:
        self.sent_id = ""
        self.name = ""
        self.waiting: list[str] = []
        self.queued = False
        self.closed = False
        self._arguments: list[str] = []
        self._structure = Structure()
        self._measured = 0
        self._complete: bool | None = None

    def add(self, function: FunctionDelta | None) -> str:
        """Take in a piece; returns what it adds to the arguments."""
        if function is None:
            return ""
        self.name = self.name or function.name or ""
        text = decode(function.arguments, arguments_text, side="remote")
        if text:
            self._arguments.append(text)
        return text

    @property
    def complete(self) -> bool:
        """Whether the arguments are one whole JSON object."""
        # Asked for each piece of the calls behind this one, so nothing is read twice: an object is whole
        # where its brackets balance for the first time, and what is none there never becomes one.
        if self._complete is None and self._measured < len(self._arguments):
            unread = "".join(self._arguments[self._measured :])
            self._measured = len(self._arguments)
            self._structure.feed(unread.encode("utf-8", "replace"))
            if self._structure.is_balanced:
                self._complete = is_object("".join(self._arguments).encode("utf-8", "replace"))
        return bool(self._complete)


class Calls:
    """All calls of an answer."""

    def __init__(self) -> None:
        self._at: dict[int, Call] = {}
        self._sent: dict[str, Call] = {}
        self._begun = 0
        self._latest: Call | None = None
        self._legacy: Call | None = None

    def __bool__(self) -> bool:
        return self._latest is not None

    def of(self, piece: ToolCallDelta) -> Call:
        """The call that ``piece`` belongs to, begun if there is none.

        Raises:
            RemoteWireError: There are too many.
        """
        call = self._known(piece)
        if call is None:
            self._begun += 1
            if self._begun > MAX_CALLS:
                raise RemoteWireError(f"the upstream's answer holds more than {MAX_CALLS} tool calls")
            call = Call()
        if piece.id and not call.sent_id:
            call.sent_id = piece.id
            self._sent.setdefault(piece.id, call)
        if piece.index is not None:
            self._at[piece.index] = call
        self._latest = call
        return call

    def legacy(self) -> Call:
        """The one call of the legacy ``function_call`` field."""
        if self._legacy is None:
            self._latest = self._legacy = Call()
        return self._legacy

    def _known(self, piece: ToolCallDelta) -> Call | None:
        if piece.index is not None:
            taken = self._at.get(piece.index)
            other = taken is not None and piece.id and taken.sent_id and piece.id != taken.sent_id
            return None if other else taken
        if piece.id:
            return self._sent.get(piece.id)
        latest = self._latest
        named = piece.function is not None and piece.function.name
        return None if latest is not None and named and latest.complete else latest
