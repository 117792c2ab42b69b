"""The log of a turn: what happened, in order, so that everything else can be read from it.

A log is the events that the client is shown (`callboard.domain.turn.TurnEvent`), and between them what only
the runtime needs to go on from where it stopped: where a round ended, and where the process that ran the turn
was lost. Its last event is the only one of its kind: `GenerationStopped` of a turn that came to its end, or
`TurnBroken`.

Nothing is logged twice: deltas are, the texts they make are not; the conversation before the turn is not.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

import msgspec
from msgspec import Raw, Struct

from callboard.domain.block import ToolResultBlock, ToolUseBlock
from callboard.domain.codec import decode_block, encode_block
from callboard.domain.delta import (
    ArgumentsDelta,
    BlockStarted,
    BlockStopped,
    GenerationStarted,
    GenerationStopped,
    SignatureDelta,
    TextDelta,
    ThinkingDelta,
)
from callboard.domain.generation import StopReason
from callboard.domain.tools import ToolHome
from callboard.domain.turn import ApprovalAsked, ToolFinished, ToolsListed, ToolStarted, TurnEvent
from callboard.domain.usage import Usage
from callboard.errors import CallboardError, Refusal, StoreUnavailable, UpstreamError


class HiddenCall(Struct, frozen=True, kw_only=True):
    """A call of one of the runtime's own tools: part of what the model said, not of what the client is shown.

    Attributes:
        place: Where it stands among the blocks of its generation.
    """

    place: int
    call: ToolUseBlock


class RoundEnded(Struct, frozen=True, kw_only=True, tag=True):
    """A generation is complete; with the blocks shown since the last one it is everything the model said.

    Attributes:
        usage: What it used, reported or estimated.
    """

    stop_reason: StopReason
    usage: Usage
    hidden: tuple[HiddenCall, ...] = ()


class TurnInterrupted(Struct, frozen=True, kw_only=True, tag=True):
    """The process that ran the turn is gone, and another one goes on.

    What was being generated is lost; what of it was shown stands, and is marked as incomplete.
    """


class TurnBroken(Struct, frozen=True, kw_only=True, tag=True):
    """The turn ended before it was complete.

    Attributes:
        why: ``lost`` with the process that ran it.
        error_type: Of what failed it, one of the closed set of `callboard.errors`.
        message: Fit for the client's eyes.
        code: The provider's own word for it.
    """

    why: Literal["failed", "cancelled", "lost"]
    error_type: str = ""
    message: str = ""
    code: str | None = None


LogEvent: TypeAlias = TurnEvent | RoundEnded | TurnInterrupted | TurnBroken


def broken(error: BaseException) -> TurnBroken:
    """How the log tells of ``error``. Of a bug it tells nothing but that there was one."""
    if not isinstance(error, Refusal):
        return TurnBroken(why="failed", error_type=CallboardError.type)
    code = error.upstream_code if isinstance(error, UpstreamError) else None
    return TurnBroken(why="failed", error_type=error.type, message=str(error), code=code)


def error_of(event: TurnBroken) -> CallboardError:
    """The error that `broken` told of, as far as dialects tell clients of it."""
    kind = _BY_TYPE.get(event.error_type)
    if kind is None:
        return CallboardError(event.message)
    if issubclass(kind, UpstreamError):
        return kind(event.message, upstream_code=event.code)
    return kind(event.message)


def _by_type(kind: type[Refusal], found: dict[str, type[Refusal]]) -> dict[str, type[Refusal]]:
    found.setdefault(kind.type, kind)  # of those that share a type, the most general
    for below in kind.__subclasses__():
        _by_type(below, found)
    return found


_BY_TYPE = _by_type(Refusal, {})


# --- as JSON
# --------------------------------------------------------------------------------------------------
_NULL = Raw(b"null")

# Blocks of unknown types have their own form, so what carries whole blocks is written through the codec.


class _Text(Struct, frozen=True, kw_only=True, tag="TextDelta"):
    index: int
    text: str
    logprobs: Raw = _NULL


class _Block(Struct, frozen=True, kw_only=True, tag="BlockStarted"):
    index: int
    block: Raw


class _ToolStarted(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="ToolStarted"):
    call: Raw
    home: ToolHome | None = None


class _ApprovalAsked(Struct, frozen=True, kw_only=True, tag="ApprovalAsked"):
    call: Raw


class _ToolFinished(Struct, frozen=True, kw_only=True, tag="ToolFinished"):
    name: str
    result: Raw


class _Hidden(Struct, frozen=True, kw_only=True):
    place: int
    call: Raw


class _RoundEnded(Struct, frozen=True, kw_only=True, tag="RoundEnded"):
    stop_reason: StopReason
    usage: Usage
    hidden: tuple[_Hidden, ...] = ()


_Plain: TypeAlias = (
    ArgumentsDelta
    | ThinkingDelta
    | SignatureDelta
    | BlockStopped
    | GenerationStarted
    | GenerationStopped
    | ToolsListed
    | TurnInterrupted
    | TurnBroken
)
_Written: TypeAlias = (
    _Plain | TextDelta | _Block | _ToolStarted | _ApprovalAsked | _ToolFinished | _RoundEnded
)
_Readable: TypeAlias = _Plain | _Text | _Block | _ToolStarted | _ApprovalAsked | _ToolFinished | _RoundEnded

_encode = msgspec.json.Encoder().encode
_EVENTS = msgspec.json.Decoder(list[_Readable])


def encode_events(events: Iterable[LogEvent]) -> bytes:
    """A JSON array of events."""
    return _encode([_written(event) for event in events])


def decode_events(data: bytes) -> list[LogEvent]:
    """What `encode_events` wrote.

    Raises:
        StoreUnavailable: It did not write this.
    """
    try:
        return [_read(event) for event in _EVENTS.decode(data)]
    except msgspec.MsgspecError as error:
        raise StoreUnavailable(f"the log of a response cannot be read: {error}") from error


def _written(event: LogEvent) -> _Written:  # noqa: PLR0911 - one for each event with blocks in it
    match event:
        case TextDelta() | ThinkingDelta() | ArgumentsDelta():  # nearly all there is
            return event
        case BlockStarted():
            return _Block(index=event.index, block=Raw(encode_block(event.block)))
        case ToolStarted():
            return _ToolStarted(call=Raw(encode_block(event.call)), home=event.home)
        case ApprovalAsked():
            return _ApprovalAsked(call=Raw(encode_block(event.call)))
        case ToolFinished():
            return _ToolFinished(name=event.name, result=Raw(encode_block(event.result)))
        case RoundEnded():
            hidden = tuple(
                _Hidden(place=each.place, call=Raw(encode_block(each.call))) for each in event.hidden
            )
            return _RoundEnded(stop_reason=event.stop_reason, usage=event.usage, hidden=hidden)
        case _:
            return event


def _read(event: _Readable) -> LogEvent:  # noqa: PLR0911 - as above
    match event:
        case _Text(logprobs=logprobs):
            told = None if logprobs == _NULL else logprobs.copy()
            return TextDelta(index=event.index, text=event.text, logprobs=told)
        case _Block():
            return BlockStarted(index=event.index, block=decode_block(event.block))
        case _ToolStarted():
            return ToolStarted(call=_call(event.call), home=event.home)
        case _ApprovalAsked():
            return ApprovalAsked(call=_call(event.call))
        case _ToolFinished():
            result = decode_block(event.result)
            if not isinstance(result, ToolResultBlock):
                raise StoreUnavailable("the log of a response holds a tool's result that is none")
            return ToolFinished(name=event.name, result=result)
        case _RoundEnded():
            hidden = tuple(HiddenCall(place=each.place, call=_call(each.call)) for each in event.hidden)
            return RoundEnded(stop_reason=event.stop_reason, usage=event.usage, hidden=hidden)
        case _:
            return event


def _call(raw: Raw) -> ToolUseBlock:
    call = decode_block(raw)
    if not isinstance(call, ToolUseBlock):
        raise StoreUnavailable("the log of a response holds a call that is none")
    return call
