"""Which tools of ours a turn offers, and runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from callboard.actors.order import AssistantSpec, Company, TurnOrder
from callboard.actors.remote_tools import RemoteTools
from callboard.actors.tool_runner import ListTools
from callboard.domain.approval import approval_of
from callboard.domain.block import ToolUseBlock
from callboard.domain.principal import is_among
from callboard.domain.tools import McpChoice, ToolDefinition
from callboard.tools.definitions import SEPARATOR
from callboard.tools.space import MAX_OFFERED


class Offered(Struct, frozen=True, kw_only=True, eq=False):
    """The tools that a turn runs.

    Attributes:
        names: As the model was told.
        remote: Those that are not ours.
    """

    names: frozenset[str]
    remote: RemoteTools


async def own_tools(
    company: Company, spec: AssistantSpec, order: TurnOrder, remote: RemoteTools
) -> tuple[ToolDefinition, ...]:
    """The tools that a turn offers and runs; the client's own of the same name wins."""
    choice = order.request.tool_choice
    if choice is not None and choice.mode == "none":
        return ()
    listing = ListTools(
        assistants=spec.tools,
        keys=order.principal.tools,
        besides=frozenset(tool.name for tool in order.request.tools),
        approving=order.approving,
        servers=frozenset(each.server for each in order.servers) if order.servers else None,
    )
    tools = await company.tools.ask(listing)
    if not order.servers:
        return tools
    ours = tuple(_chosen(tools, order.servers))
    taken = listing.besides | {each.name for each in ours}
    return (*ours, *(each for each in remote.definitions if each.name not in taken))[:MAX_OFFERED]


def _chosen(tools: Sequence[ToolDefinition], choices: Sequence[McpChoice]) -> Iterator[ToolDefinition]:
    """Of the servers' tools those that are meant, as the client wants them."""
    by_server = {each.server: each for each in choices}
    for tool in tools:
        choice = None if tool.home is None else by_server.get(tool.home.server)
        if tool.home is None or choice is None:
            yield tool
        elif choice.allowed is None or is_among(tool.home.tool, choice.allowed):
            asks = tool.home.asks or choice.approval.asks(tool.home.tool)
            yield replace(tool, home=replace(tool.home, asks=asks))


async def as_offered(
    company: Company,
    spec: AssistantSpec,
    order: TurnOrder,
    remote: RemoteTools,
    approved: Sequence[ToolUseBlock],
) -> tuple[tuple[ToolUseBlock, ...], frozenset[str]]:
    """Approved calls under the names that their tools have by now; and which of these names are offered."""
    if not approved:
        return (), frozenset()
    listing = ListTools(assistants=spec.tools, keys=order.principal.tools, approving=True)
    tools = (*await company.tools.ask(listing), *remote.definitions)
    names = {(each.home.server, each.home.tool): each.name for each in tools if each.home is not None}
    calls = tuple(replace(call, name=_name(call, names)) for call in approved)
    return calls, frozenset(call.name for call in calls) & frozenset(names.values())


def _name(call: ToolUseBlock, names: Mapping[tuple[str, str], str]) -> str:
    """What the tool of a call that waited is called; what is not offered any more has its full name."""
    mark = approval_of(call)
    if mark is None:
        return call.name
    return names.get((mark.server, mark.tool), f"{mark.server}{SEPARATOR}{mark.tool}")
