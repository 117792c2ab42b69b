"""Passing requests and answers on without decoding them.

Where the client and the upstream speak this dialect, only what routing, limits and the ledger need is read:
of the request, a few fields; of the answer, the events that say something about its end. Everything else
stays bytes. A quotation mark within a JSON string always has a backslash in front, so text that looks like a
field is never taken for one.
"""

from __future__ import annotations

import re

import msgspec
from msgspec import Raw, Struct

from callboard.domain.usage import Usage
from callboard.errors import RemoteWireError
from callboard.wire.json import decode
from callboard.wire.openai_chat.response import usage_of
from callboard.wire.openai_chat.schema import NULL, CompletionUsage, StreamOptions, UsageElsewhere
from callboard.wire.sse import DONE_DATA, MAX_EVENT_BYTES


class Peek(Struct, frozen=True, kw_only=True, gc=False):
    """What the relay has to know of a request.

    Attributes:
        include_usage: The client asked for the usage of a stream.
        n: How many answers it asked for.
        body_bytes: Size of the request, from which its tokens are estimated.
    """

    model: str
    stream: bool
    include_usage: bool
    max_output_tokens: int | None
    n: int
    has_tools: bool
    body_bytes: int


class _Fields(Struct):
    model: str
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    n: int | None = None
    tools: list[Raw] | None = None
    functions: list[Raw] | None = None


_FIELDS = msgspec.json.Decoder(_Fields)
_ALL = msgspec.json.Decoder(dict[str, Raw])


def peek(body: bytes) -> Peek:
    """The few fields of a request that the relay needs.

    Raises:
        LocalWireError: The body breaks JSON or the dialect; ``param`` names the field.
    """
    fields = decode(body, _FIELDS.decode, side="local")
    stream = bool(fields.stream)
    options = fields.stream_options
    return Peek(
        model=fields.model,
        stream=stream,
        include_usage=stream and options is not None and bool(options.include_usage),
        max_output_tokens=fields.max_completion_tokens or fields.max_tokens,
        n=fields.n or 1,
        has_tools=bool(fields.tools or fields.functions),
        body_bytes=len(body),
    )


def rewrite(body: bytes, asked: Peek, *, model: str, include_usage: bool) -> bytes:
    """The request as its upstream shall have it: another name for the model, and the usage asked for.

    All other values keep their bytes, and where nothing changes at all, ``body`` itself is returned.

    Args:
        body: The request, which `callboard.wire.json.check` has passed.
        asked: What `peek` found in it.
        model: What the upstream calls the model.
        include_usage: Ask for the usage of the stream, whether or not the client did.
    """
    adds_usage = include_usage and asked.stream and not asked.include_usage
    if model == asked.model and not adds_usage:
        return body
    fields = _ALL.decode(body)
    fields["model"] = _raw(model)
    if adds_usage:
        given = fields.get("stream_options", NULL)
        options = {} if given == NULL else _ALL.decode(given)
        fields["stream_options"] = _raw({**options, "include_usage": True})
    return msgspec.json.encode(fields)


def _raw(value: object) -> Raw:
    return Raw(msgspec.json.encode(value))


class _EndChoice(Struct):
    index: int | None = 0
    finish_reason: str | None = None


class _EndChunk(Struct):
    choices: list[_EndChoice] | None = None
    usage: CompletionUsage | None = None
    x_groq: UsageElsewhere | None = None


_END_CHUNK = msgspec.json.Decoder(_EndChunk)
_ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r")
"""What ends an event."""

_END = re.compile(rb"\n\n|\r\n\r\n|\r\r")

_SIGNS = (b'"usage":{', b'"finish_reason":"', b"[DONE]", b'"usage": {', b'"finish_reason": "')
"""What an event may hold that says something about the end of the answer."""

_SIGN = re.compile(b"|".join(re.escape(sign) for sign in _SIGNS))

_SEAM_BYTES = 3
"""An event's end has at most four bytes, so it can begin in this many before a piece."""


class RelayMeter:
    """Watches an answer's bytes as they pass.

    Events are looked into only where the bytes hold a sign that one says something about the end. If the
    client did not ask for the usage, the chunk that holds nothing else is taken out; only then, and only
    between the answer's last words and that chunk, are bytes held back until their event is whole.

    Attributes:
        usage: What the upstream says was consumed; None until it does.
        finish_reason: The last one seen, in the dialect's words.
        deltas: Chunks that carried a piece of the answer: about as many as tokens.
    """

    def __init__(self, asked: Peek) -> None:
        self.usage: Usage | None = None
        self.finish_reason: str | None = None
        self.deltas = 0
        self._hides_usage = not asked.include_usage
        self._choices = asked.n
        self._finished: set[int] = set()
        self._done = False
        self._holds = False
        self._open: list[bytes] = []
        self._open_bytes = 0

    @property
    def complete(self) -> bool:
        """Whether the answer came to its end: each choice has finished, or the end marker came."""
        return self._done or len(self._finished) >= self._choices

    @property
    def between_events(self) -> bool:
        """Whether all bytes handed out so far are whole events, so that a comment may go in between."""
        return self._holds or not self._open

    def feed(self, piece: bytes) -> bytes:
        """Take in the next bytes; returns what the client shall have now, mostly ``piece`` itself.

        Raises:
            RemoteWireError: An event exceeds its limit.
        """
        if not self._open and piece.endswith(b"\n\n"):
            if not _says_something(piece):
                self.deltas += piece.count(b'"delta"')
                return piece
            cut = len(piece)
        else:
            cut = self._end_of_events(piece)
            if cut == 0:
                return self._keep(piece)
        whole = b"".join((*self._open, piece[:cut])) if self._open else piece[:cut]
        shown = 0 if self._holds else len(whole) - cut
        self._open, self._open_bytes, self._holds = [], 0, False
        self.deltas += whole.count(b'"delta"')
        kept = self._look_into(whole, shown) if _says_something(whole) else whole
        rest = self._keep(piece[cut:])
        if kept is whole and len(whole) == cut and len(rest) == len(piece) - cut:
            return piece
        return kept[shown:] + rest

    def end(self) -> bytes:
        """The stream has ended; returns what was held back in vain."""
        held = b"".join(self._open)
        self._open = []
        if held.strip().endswith(DONE_DATA):
            self._done = True
        return held if self._holds else b""

    def _end_of_events(self, piece: bytes) -> int:
        """Where in ``piece`` the last whole event ends; 0 where none does."""
        seam = b"".join(self._open[-_SEAM_BYTES:])[-_SEAM_BYTES:]  # no kept piece is empty
        joined = seam + piece
        ends = (joined.rfind(end) + len(end) for end in (b"\n\n", b"\r\n\r\n", b"\r\r") if end in joined)
        return max(0, max(ends, default=0) - len(seam))

    def _keep(self, rest: bytes) -> bytes:
        """``rest`` belongs to an event that is still open; returns what the client shall have of it now."""
        if not rest:
            return rest
        if not self._open:
            self._holds = self._hides_usage and self.usage is None and self.complete
        self._open.append(rest)
        self._open_bytes += len(rest)
        if self._open_bytes > MAX_EVENT_BYTES:
            raise RemoteWireError(f"the stream holds an event of more than {MAX_EVENT_BYTES} bytes")
        return b"" if self._holds else rest

    def _look_into(self, whole: bytes, shown: int) -> bytes:
        """Read the events that say something; returns ``whole``, less the usage's chunk if it had to go."""
        hidden: list[slice] = []
        at = 0
        while (sign := _SIGN.search(whole, at)) is not None:
            start = _event_start(whole, at, sign.start())
            end, at = _event_end(whole, sign.start())
            only_usage = self._read(whole[start:end])
            if only_usage and self._hides_usage and start >= shown:
                hidden.append(slice(start, at))
        for place in reversed(hidden):
            whole = whole[: place.start] + whole[place.stop :]
        return whole

    def _read(self, event: bytes) -> bool:
        """Learn what one event says of the end; returns whether it says nothing but the usage."""
        lines = (line for line in event.splitlines() if line.startswith(b"data:"))
        data = b"".join(line[5:].strip() for line in lines)
        if data == DONE_DATA:
            self._done = True
            return False
        try:
            chunk = _END_CHUNK.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return False  # not ours to judge: the client will
        for choice in chunk.choices or ():
            if choice.finish_reason:
                self.finish_reason = choice.finish_reason
                self._finished.add(choice.index or 0)
        usage = chunk.usage or (chunk.x_groq.usage if chunk.x_groq is not None else None)
        if usage is not None:
            self.usage = usage_of(usage)
        return usage is not None and not chunk.choices


def _says_something(events: bytes) -> bool:
    """Whether one of the events may be about the end of the answer."""
    for sign in _SIGNS:  # noqa: SIM110 - a third of any()'s price, paid for every piece
        if sign in events:
            return True
    return False


def _event_start(events: bytes, at: int, inside: int) -> int:
    """Where the event begins that holds ``inside``; none begins before ``at``."""
    ends = (events.rfind(end, at, inside) + len(end) for end in _ENDS if events.rfind(end, at, inside) >= 0)
    return max(ends, default=at)


def _event_end(events: bytes, inside: int) -> tuple[int, int]:
    """Where the event ends that holds ``inside``, and where the next one begins."""
    found = _END.search(events, inside)
    return found.span() if found is not None else (len(events), len(events))
