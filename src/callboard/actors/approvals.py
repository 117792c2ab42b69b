"""What a turn has to do with approvals: it takes answers to earlier requests, and makes requests of its own.

That a request is answered is remembered in the store, in one commit with the intent to run the call: so the
call is run once, however often the answer is sent, and wherever the process dies. It is all that is
remembered of a turn that is not stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from callboard.actors import turn
from callboard.actors.archivist import Commit
from callboard.actors.offered import as_offered
from callboard.actors.order import AssistantSpec, Company, TurnOrder
from callboard.actors.recorder import Recorder
from callboard.actors.remote_tools import RemoteTools
from callboard.domain.approval import (
    Seal,
    approval_of,
    marked,
    returned_id,
    settled,
    touching,
    without_results,
)
from callboard.domain.arguments import INVALID_ARGUMENTS
from callboard.domain.block import Block, ToolResultBlock, ToolUseBlock
from callboard.domain.generation import Generation
from callboard.domain.message import Message, tool_uses
from callboard.domain.pairing import repairing
from callboard.domain.steps import in_turns
from callboard.domain.tools import ToolHome
from callboard.store.changes import Change, RememberReply
from callboard.store.hidden_rounds import joining
from callboard.store.records import StoredReply

_KEY = "\napproval "
"""What the key of an answer begins with; no Idempotency-Key has a line feed."""


class Approvals:
    """See the module's docstring. Used by one turn.

    Attributes:
        approved: Calls that are to be run before anything else.
        names: Of the tools that they call, as far as these are offered.
        answered: Requests that this turn's input answers, by their ids.
    """

    def __init__(self, company: Company, spec: AssistantSpec, order: TurnOrder, remote: RemoteTools) -> None:
        self._remote = remote
        self.approved: tuple[ToolUseBlock, ...] = ()
        self.names: frozenset[str] = frozenset()
        self.answered: tuple[str, ...] = ()
        self._company = company
        self._spec = spec
        self._order = order

    async def settle(
        self, history: tuple[Message, ...], given: tuple[Message, ...], *, again: bool
    ) -> tuple[Message, ...]:
        """The whole conversation, each call with its result but for those that are to be run.

        Args:
            history: What went before.
            given: This turn's input.
            again: Whether the turn is continued: then its answers were found good before.

        Raises:
            InvalidRequest: An answer is to no request of ours for this tenant, or to one that is too old or
                has been answered.
        """
        if not await in_turns(touching((*history, *given))):
            return await whole((*history, *given))
        found = settled(history, given)
        if found.answered and not again and not self._order.replayed:
            seal = await self._seal()
            for call in found.answered:
                seal.check(call, self._company.now_s())
        self.answered = tuple(mark.id for call in found.answered if (mark := approval_of(call)) is not None)
        self.approved, self.names = await as_offered(
            self._company, self._spec, self._order, self._remote, found.approved
        )
        return without_results(await whole(found.messages), found.approved)

    async def take(self, recorder: Recorder | None) -> None:
        """Remember what is answered: at once, or with whatever the recorder writes next.

        Raises:
            AlreadyExists: It was answered before; of a recorder's, when that writes.
        """
        changes = tuple(self._answers())
        if recorder is None:
            await self._company.archivist.ask(Commit(changes=changes))
        else:
            recorder.add_changes(changes)

    async def marked(self, state: turn.TurnState, generation: Generation) -> Generation:
        """``generation`` with a mark on each of its calls that waits for approval."""
        homes = {
            tool.name: tool.home
            for tool in state.request.tools
            if tool.home is not None and tool.home.asks and tool.name in state.policy.own_tools
        }
        if self._order.replayed or not homes or not any(_waits(block, homes) for block in generation.content):
            return generation
        seal, now_s = await self._seal(), int(self._company.now_s())
        content: list[Block] = []
        for place, block in enumerate(generation.content):
            home = _waits(block, homes)
            if home is None or not isinstance(block, ToolUseBlock):
                content.append(block)
                continue
            asker = (self._order.response_id, now_s)
            content.append(marked(block, seal.mark(block, (home.server, home.tool), asker, place)))
        return replace(generation, content=tuple(content))

    def remember_for_later(self, state: turn.TurnState, results: tuple[ToolResultBlock, ...]) -> None:
        """Keep what approved calls came to for a client that sends the conversation back without it."""
        said = next(
            each for each in reversed(state.request.messages[: state.asked]) if each.role == "assistant"
        )
        shown = shown_calls(state, (said,))
        hidden, tenant = self._company.hidden, self._order.principal.tenant
        before = hidden.recall(shown, key=tenant) or (said,)
        hidden.remember(shown, (*before, Message(role="user", content=results)), key=tenant)

    def _answers(self) -> Iterable[Change]:
        tenant, now_s = self._order.principal.tenant, int(self._company.now_s())
        for request_id in self.answered:
            key = f"{_KEY}{request_id}"
            yield RememberReply(
                reply=StoredReply(tenant=tenant, key=key, request_hash=b"", created_at_s=now_s)
            )

    async def _seal(self) -> Seal:
        secret = await self._company.store.key_secret()
        return Seal(secret=secret, tenant=self._order.principal.tenant)


def shown_calls(state: turn.TurnState, messages: Iterable[Message]) -> frozenset[str]:
    """Ids of those calls in ``messages`` that a client is shown, as it gives them back."""
    shown: set[str] = set()
    for call in (each for message in messages for each in tool_uses(message)):
        mark = approval_of(call)
        if mark is not None:
            shown.add(returned_id(mark.id))
        elif not turn.runs_here(state, call):
            shown.add(call.id)
    return frozenset(shown)


async def whole(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """A conversation as it may be sent: what belongs together is, and each call has its result."""
    return await in_turns(repairing(await in_turns(joining(messages))))


def _waits(block: Block, homes: Mapping[str, ToolHome]) -> ToolHome | None:
    """Whose tool is called, where the call waits; one that makes no sense is told so instead."""
    if not isinstance(block, ToolUseBlock) or INVALID_ARGUMENTS in (block.extra or {}):
        return None
    return homes.get(block.name)
