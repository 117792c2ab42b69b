"""Calls that wait until somebody approves them: how they are marked, named, answered, and settled.

A call that waits is a `ToolUseBlock` like any other, marked in its ``extra``. It stands at the end of its
turn without a result, as calls of the client's own tools do; the answer comes with the next turn's input.
From there on every history has exactly one result for it: what it came to, where it was approved; else a
sentence that says it was not.

The name of a request for approval says which response asks, and when, and is sealed with a secret of the
server's: over the tenant, the tool and the arguments. So a client that keeps its conversation itself can hand
the request back, and nobody can make one up, or change what was asked for. It can be answered for a day.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator, Sequence

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from callboard.domain.arguments import arguments_of, tool_use
from callboard.domain.block import Block, OpaqueBlock, TextBlock, ToolResultBlock, ToolUseBlock
from callboard.domain.message import Message, tool_results, tool_uses
from callboard.domain.pairing import Messages, interrupted
from callboard.domain.steps import IN_A_STEP, Steps
from callboard.errors import InvalidRequest

APPROVAL = "approval"
"""Key in the ``extra`` of a call that waits; and the type of the `OpaqueBlock` that is an answer."""

VALID_S = 86_400
"""How long a request can be answered. That it was answered is remembered as long, and no longer."""

NOT_APPROVED = "Not run: the user did not approve this call."
FORGOTTEN = "The user approved this call and it was made; what it came to is not known any more."

_ID = re.compile(r"mcpr_([0-9A-Za-z]+)_a([0-9a-f]{8})([0-9a-f]{4})([0-9a-f]{24})")


class Approval(Struct, frozen=True, kw_only=True):
    """The mark of a call that waits.

    Attributes:
        id: Of the request for approval.
        server: Whose tool it is.
        tool: The server's own name for it.
    """

    id: str
    server: str
    tool: str


class Answer(Struct, frozen=True, kw_only=True, tag_field="type", tag=APPROVAL):
    """What the user says to a request for approval."""

    approval_request_id: str
    approve: bool
    reason: str | None = None


class Settled(Struct, frozen=True, kw_only=True):
    """A conversation in which nothing waits any more.

    Attributes:
        messages: Without the answers. Each call has a result; those of ``approved`` stand for what is to come
            (`without_results`).
        approved: Calls to be run now.
        answered: Requests that are answered now.
    """

    messages: Messages
    approved: tuple[ToolUseBlock, ...] = ()
    answered: tuple[ToolUseBlock, ...] = ()


_MARK = msgspec.json.Decoder(Approval)
_ANSWER = msgspec.json.Decoder(Answer)


# --- marks and names
# --------------------------------------------------------------------------------------------


def approval_of(block: Block) -> Approval | None:
    """The mark of a call that waits, or did; None for everything else."""
    if not isinstance(block, ToolUseBlock) or block.extra is None:
        return None
    mark = block.extra.get(APPROVAL)
    return None if mark is None else _MARK.decode(mark)


def marked(call: ToolUseBlock, approval: Approval) -> ToolUseBlock:
    """``call``, which waits."""
    mark = Raw(msgspec.json.encode(approval))
    return replace(call, extra={**(call.extra or {}), APPROVAL: mark})


def is_ours(request_id: str) -> bool:
    """Whether this is the name of a request that a server of our kind makes."""
    return _ID.fullmatch(request_id) is not None


def returned(approval: Approval, arguments: str) -> ToolUseBlock:
    """A call that waits, as a client gives it back: the model's own name for the call is not among that."""
    return marked(
        tool_use(returned_id(approval.id), f"{approval.server}__{approval.tool}", arguments), approval
    )


def returned_id(request_id: str) -> str:
    """The id of a call that is given back."""
    return f"call_{request_id[-24:]}"


class Seal(Struct, frozen=True, kw_only=True):
    """Makes and checks the names of requests.

    Attributes:
        secret: The server's.
        tenant: Whose requests they are.
    """

    secret: bytes
    tenant: str

    def mark(self, call: ToolUseBlock, home: tuple[str, str], asker: tuple[str, int], place: int) -> Approval:
        """A mark for ``call``.

        Args:
            call: By the model.
            home: The server, and its own name for the tool.
            asker: The response's id, and the time in seconds since the epoch.
            place: Of the call among those of the response.
        """
        server, tool = home
        head = f"mcpr_{asker[0].removeprefix('resp_')}_a{asker[1]:08x}{place & 0xFFFF:04x}"
        return Approval(id=head + self._digest(head, server, tool, call), server=server, tool=tool)

    def check(self, call: ToolUseBlock, now_s: float) -> None:
        """See that a request was made by us, for this tenant and call, and is not too old.

        Raises:
            InvalidRequest: It was not, or is.
        """
        mark = approval_of(call)
        found = None if mark is None else _ID.fullmatch(mark.id)
        if mark is None or found is None:
            raise unknown("" if mark is None else mark.id)
        digest = self._digest(mark.id[:-24], mark.server, mark.tool, call)
        if not hmac.compare_digest(digest, found[4]):
            raise unknown(mark.id)
        if now_s >= int(found[2], 16) + VALID_S:
            raise InvalidRequest(
                f"Approval request {mark.id!r} is too old to be answered.",
                param="input",
                code="approval_request_expired",
            )

    def _digest(self, head: str, server: str, tool: str, call: ToolUseBlock) -> str:
        said = msgspec.json.encode(
            ("mcp approval", self.tenant, head, server, tool, arguments_of(call).lstrip())
        )
        return hmac.new(self.secret, said, hashlib.sha256).hexdigest()[:24]


def unknown(request_id: str) -> InvalidRequest:
    """The refusal of an answer to a request that there is not."""
    return InvalidRequest(
        f"Approval request with id {request_id!r} not found.",
        param="input",
        code="approval_request_not_found",
    )


def answered_before(request_id: str) -> InvalidRequest:
    """The refusal of a second answer."""
    return InvalidRequest(
        f"Approval request {request_id!r} has been answered already.",
        param="input",
        code="approval_request_already_answered",
    )


# --- answers
# --------------------------------------------------------------------------------------------------


def answer_block(answer: Answer) -> OpaqueBlock:
    """An answer as a block of the user's."""
    return OpaqueBlock(type=APPROVAL, raw=Raw(msgspec.json.encode(answer)))


def answer_in(block: Block) -> Answer | None:
    """The answer that a block is, if it is one."""
    if not isinstance(block, OpaqueBlock) or block.type != APPROVAL:
        return None
    return _ANSWER.decode(block.raw)


def touching(messages: Messages) -> Steps[bool]:
    """In steps: whether anything in a conversation waits, did, or is an answer."""
    done = 0
    for message in messages:
        done += len(message.content)
        if done > IN_A_STEP:
            yield
            done = 0
        for block in message.content:
            if isinstance(block, OpaqueBlock) and block.type == APPROVAL:
                return True
            if isinstance(block, ToolUseBlock) and block.extra is not None and APPROVAL in block.extra:
                return True
    return False


def settled(history: Messages, given: Messages) -> Settled:
    """``history`` and what was ``given`` after it, settled.

    Answers count that were given behind all that the model said; what it said after a request has passed
    over it.

    Raises:
        InvalidRequest: An answer answers nothing, or what was answered before.
    """
    messages = (*history, *given)
    said = max((at for at, each in enumerate(messages) if each.role == "assistant"), default=-1)
    start = max(said + 1, len(history))
    earlier = {each.approval_request_id: each for at, each in _answers(messages) if at < start}
    fresh = _fresh(messages, start)
    answered: list[ToolUseBlock] = []
    for request_id in fresh:
        call, results_in = _asked(messages, request_id)
        if request_id in earlier or call.id in results_in:
            raise answered_before(request_id)
        if call not in messages[said].content:
            raise InvalidRequest(
                f"Approval request {request_id!r} can be answered no more: the conversation has gone on.",
                param="input",
                code="approval_request_expired",
            )
        answered.append(call)
    whole = tuple(_with_results(messages, said, {**earlier, **fresh}))
    approved = [call for call in answered if fresh[_request_id(call)].approve]
    return Settled(messages=whole, approved=tuple(approved), answered=tuple(answered))


def without_results(messages: Messages, calls: Sequence[ToolUseBlock]) -> Messages:
    """``messages`` without the results of ``calls``, which the last of the model's messages makes."""
    gone = {call.id for call in calls}
    at = len(messages)
    while at and messages[at - 1].role == "user":
        at -= 1
    kept = list(messages[:at])
    for message in messages[at:]:
        content = tuple(
            each
            for each in message.content
            if not (isinstance(each, ToolResultBlock) and each.tool_use_id in gone)
        )
        if content:
            kept.append(replace(message, content=content))
    return tuple(kept)


def _fresh(messages: Messages, start: int) -> dict[str, Answer]:
    found: dict[str, Answer] = {}
    for at, answer in _answers(messages):
        if at >= start:
            if answer.approval_request_id in found:
                raise answered_before(answer.approval_request_id)
            found[answer.approval_request_id] = answer
    return found


def _answers(messages: Messages) -> Iterator[tuple[int, Answer]]:
    for at, message in enumerate(messages):
        for block in message.content:
            answer = answer_in(block)
            if answer is not None:
                yield at, answer


def _asked(messages: Messages, request_id: str) -> tuple[ToolUseBlock, frozenset[str]]:
    """The latest call of that request, and the calls that have results behind it."""
    for at in range(len(messages) - 1, -1, -1):
        for call in tool_uses(messages[at]):
            mark = approval_of(call)
            if mark is not None and mark.id == request_id:
                return call, _results(_user_turn(messages, at + 1))
    raise unknown(request_id)


def _with_results(messages: Messages, said: int, answers: dict[str, Answer]) -> Iterator[Message]:
    """The messages without answers, and with a result for every call that waited."""
    for at, message in enumerate(messages):
        content = tuple(block for block in message.content if answer_in(block) is None)
        if content:
            yield message if len(content) == len(message.content) else replace(message, content=content)
        waited = [call for call in tool_uses(message) if approval_of(call) is not None]
        if waited:
            done = _results(_user_turn(messages, at + 1))
            missing = tuple(
                _result(call, answers.get(_request_id(call)), is_last=at == said)
                for call in waited
                if call.id not in done
            )
            if missing:
                yield Message(role="user", content=missing)


def _result(call: ToolUseBlock, answer: Answer | None, *, is_last: bool) -> ToolResultBlock:
    if answer is not None and answer.approve:
        return interrupted(call.id) if is_last else _saying(call, FORGOTTEN, is_error=False)
    reason = "" if answer is None or not answer.reason else f" The reason given: {answer.reason}"
    return _saying(call, NOT_APPROVED + reason, is_error=True)


def _saying(call: ToolUseBlock, text: str, *, is_error: bool) -> ToolResultBlock:
    return ToolResultBlock(tool_use_id=call.id, content=(TextBlock(text=text),), is_error=is_error)


def _request_id(call: ToolUseBlock) -> str:
    mark = approval_of(call)
    return "" if mark is None else mark.id


def _user_turn(messages: Messages, start: int) -> Messages:
    end = start
    while end < len(messages) and messages[end].role == "user":
        end += 1
    return messages[start:end]


def _results(messages: Messages) -> frozenset[str]:
    return frozenset(each.tool_use_id for message in messages for each in tool_results(message))
