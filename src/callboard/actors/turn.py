"""What a turn does next: a pure function of what has happened so far.

A turn runs from user input to final answer. It makes generations and runs tools in rounds::

    begin ─→ Generate ─→ after_generation ─┬→ Finish
               ↑                           └→ RunTools ─→ after_tools ─┬→ Generate
               └───────────────────────────────────────────────────────┴→ Finish

The caller (`callboard.actors.assistant`) performs each step and hands back its result; nothing here awaits.
Three rules hold in every history this module builds:

* *Pairing.* Every tool call has exactly one result in the next message, except calls that the client has to
  answer or approve, and those are always in the last message.
* *Bounded.* At most ``max_rounds`` rounds of tools run; then the model is asked once more with tools
  withheld, so
  that the user gets an answer from what was found. Calls it makes even so are answered by a refusal and end
  the turn. Calls beyond ``max_calls`` are answered by a refusal each, and the model goes on.
* *Complete.* Calls of an answer that was cut short (``max_tokens``) are not run: their arguments may be half
there.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from callboard.domain.approval import approval_of
from callboard.domain.block import TextBlock, ToolResultBlock, ToolUseBlock
from callboard.domain.generation import Generation, GenerationRequest, StopReason
from callboard.domain.message import Message, tool_results, tool_uses
from callboard.domain.tools import ToolChoice
from callboard.domain.usage import Usage

EndReason: TypeAlias = Literal["answered", "client_tools", "cut_short", "max_rounds", "token_limit"]


CUT_SHORT: frozenset[StopReason] = frozenset({"max_tokens", "refusal"})
"""Why an answer may end before it is complete."""


class TurnPolicy(Struct, frozen=True, kw_only=True):
    """The bounds of a turn.

    Attributes:
        own_tools: Names of the tools that run here. A tool of the client's with the same name wins.
        max_rounds: Rounds of tools that may run.
        max_total_tokens: Tokens of all generations together after which no further one is made.
        max_calls: Calls of own tools that may run; those beyond it are refused, and the model goes on.
    """

    own_tools: frozenset[str] = frozenset()
    max_rounds: int = 25
    max_total_tokens: int | None = None
    max_calls: int | None = None


class TurnState(Struct, frozen=True, kw_only=True):
    """What has happened so far.

    Attributes:
        request: As the next generation is asked for: its messages grow with the rounds.
        asked: How many messages the turn began with; the rest are the turn's own.
        clients_tools: Names of the tools that the client runs.
        rounds: Rounds of tools run so far.
        calls: Calls of own tools run so far.
        usage: Of the generations so far.
        direct: Whether the user runs a tool, and its result is the answer.
    """

    policy: TurnPolicy
    request: GenerationRequest
    asked: int
    clients_tools: frozenset[str] = frozenset()
    rounds: int = 0
    calls: int = 0
    usage: Usage = Usage()
    direct: bool = False

    @property
    def produced(self) -> tuple[Message, ...]:
        """The messages this turn has added to the conversation."""
        return self.request.messages[self.asked :]


class Generate(Struct, frozen=True, kw_only=True):
    """Make a generation with ``state.request``."""

    state: TurnState


class RunTools(Struct, frozen=True, kw_only=True):
    """Run ``calls`` and hand their results to `after_tools`.

    Attributes:
        awaiting: Calls of the same answer that the client has to run, or to approve.
        refused: Calls of the same answer that are not run, because no more may be.
    """

    state: TurnState
    calls: tuple[ToolUseBlock, ...]
    awaiting: tuple[ToolUseBlock, ...] = ()
    refused: tuple[ToolUseBlock, ...] = ()


class Finish(Struct, frozen=True, kw_only=True):
    """The turn is over.

    Attributes:
        stop_reason: What the client is told.
        reason: Why it is over, for the log.
    """

    state: TurnState
    stop_reason: StopReason
    reason: EndReason


Step: TypeAlias = Generate | RunTools | Finish


def begin(request: GenerationRequest, policy: TurnPolicy) -> Generate:
    """The first step. ``request.tools`` names the client's tools and ours, merged already."""
    offered = frozenset(tool.name for tool in request.tools)
    return Generate(
        state=TurnState(
            policy=policy,
            request=request,
            asked=len(request.messages),
            clients_tools=offered - policy.own_tools,
        )
    )


def resume(request: GenerationRequest, policy: TurnPolicy, approved: tuple[ToolUseBlock, ...]) -> RunTools:
    """The first step of a turn whose input approves calls, the last that were made and have no result."""
    state = begin(request, policy).state
    return RunTools(state=replace(state, calls=len(approved)), calls=approved)


def directly(request: GenerationRequest, policy: TurnPolicy, call: ToolUseBlock) -> RunTools:
    """The only step of a turn in which the user runs a tool himself."""
    state = replace(begin(request, policy).state, direct=True)
    return RunTools(state=_with_message(state, Message(role="assistant", content=(call,))), calls=(call,))


def after_generation(state: TurnState, generation: Generation) -> Step:
    """What follows an answer of the model."""
    usage = state.usage + (generation.usage or Usage())
    state = replace(state, usage=usage)
    if not generation.content:
        return Finish(state=state, stop_reason=generation.stop_reason, reason="answered")
    answer = Message(role="assistant", content=generation.content)
    calls = tool_uses(answer)
    state = _with_message(state, answer)
    if not calls:
        return Finish(state=state, stop_reason=generation.stop_reason, reason="answered")
    if generation.stop_reason in CUT_SHORT:
        state = _refuse_calls(state, calls, "Not run: the answer was cut short before it was complete.")
        return Finish(state=state, stop_reason=generation.stop_reason, reason="cut_short")
    held = tuple(call for call in calls if approval_of(call) is not None)
    own = tuple(call for call in calls if not _is_clients(state, call) and call not in held)
    if (own or held) and state.rounds >= state.policy.max_rounds:
        state = _refuse_calls(state, calls, "Not run: the limit of tool rounds for one turn is reached.")
        return Finish(state=state, stop_reason="max_tokens", reason="max_rounds")
    if not own:
        return Finish(state=state, stop_reason="tool_use", reason="client_tools")
    awaiting = tuple(call for call in calls if _is_clients(state, call) or call in held)
    run = own[: _calls_left(state)]
    state = replace(state, calls=state.calls + len(run))
    step = RunTools(state=state, calls=run, awaiting=awaiting, refused=own[len(run) :])
    return step if run else after_tools(step, ())


def after_tools(step: RunTools, results: tuple[ToolResultBlock, ...]) -> Generate | Finish:
    """What follows the results of our tools, given in the order of ``step.calls``."""
    refused = _refusals(step.refused, "Not run: the limit of tool calls for one response is reached.")
    state = _with_message(step.state, Message(role="user", content=(*results, *refused)))
    if state.direct:
        found = [each for result in results for each in result.content]
        said = "".join(each.text for each in found if isinstance(each, TextBlock))
        state = _with_message(state, Message(role="assistant", content=(TextBlock(text=said),)))
        return Finish(state=state, stop_reason="end_turn", reason="answered")
    state = replace(state, rounds=state.rounds + 1)
    if step.awaiting:
        return Finish(state=state, stop_reason="tool_use", reason="client_tools")
    limit = state.policy.max_total_tokens
    if limit is not None and state.usage.total_tokens >= limit:
        return Finish(state=state, stop_reason="max_tokens", reason="token_limit")
    return Generate(state=replace(state, request=_next_request(state)))


def waiting(state: TurnState) -> tuple[ToolUseBlock, ...]:
    """The calls that a turn which is over leaves to be approved."""
    answered: set[str] = set()
    for message in reversed(state.produced):
        if message.role == "assistant":
            calls = tool_uses(message)
            return tuple(call for call in calls if approval_of(call) is not None and call.id not in answered)
        answered.update(each.tool_use_id for each in tool_results(message))
    return ()


def runs_here(state: TurnState, call: ToolUseBlock) -> bool:
    """Whether ``call`` is answered here: by a tool of ours, or by saying that there is none of that name."""
    return not _is_clients(state, call)


def _next_request(state: TurnState) -> GenerationRequest:
    """The next round's request: a forced choice is spent; after the last round tools are withheld."""
    choice = state.request.tool_choice
    exhausted = _calls_left(state) == 0 and not state.clients_tools
    if state.rounds >= state.policy.max_rounds or exhausted:
        choice = ToolChoice(mode="none")
    elif choice is not None and choice.mode in {"required", "tool"}:
        # Left in force it would make the model call tools for ever; behind approved calls it has yet to hold.
        choice = None if any(each.role == "assistant" for each in state.produced) else choice
    return replace(state.request, tool_choice=choice)


def _is_clients(state: TurnState, call: ToolUseBlock) -> bool:
    return call.name in state.clients_tools


def _with_message(state: TurnState, message: Message) -> TurnState:
    return replace(state, request=replace(state.request, messages=(*state.request.messages, message)))


def _calls_left(state: TurnState) -> int | None:
    limit = state.policy.max_calls
    return None if limit is None else max(0, limit - state.calls)


def _refuse_calls(state: TurnState, calls: tuple[ToolUseBlock, ...], why: str) -> TurnState:
    return _with_message(state, Message(role="user", content=_refusals(calls, why)))


def _refusals(calls: tuple[ToolUseBlock, ...], why: str) -> tuple[ToolResultBlock, ...]:
    return tuple(
        ToolResultBlock(tool_use_id=call.id, content=(TextBlock(text=why),), is_error=True) for call in calls
    )
