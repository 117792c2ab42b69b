"""What a client is shown of the tools on MCP servers: lists and calls of those that it names."""

from __future__ import annotations

from collections.abc import Sequence

from callboard.actors.order import TurnOrder
from callboard.domain.approval import approval_of
from callboard.domain.block import ToolUseBlock
from callboard.domain.tools import ToolDefinition, ToolHome
from callboard.domain.turn import ToolsListed, ToolStarted


class Showing:
    """See the module's docstring. Used by one turn.

    Args:
        order: Which servers it names.
        own: The tools of ours that it is offered.
    """

    def __init__(self, order: TurnOrder, own: Sequence[ToolDefinition] = ()) -> None:
        self._order = order
        self._own = own
        self._named = {each.server for each in order.servers}
        self._homes = {each.name: each.home for each in own} if self._named else {}

    def started(self, call: ToolUseBlock) -> ToolStarted:
        """That ``call`` begins to run."""
        return ToolStarted(call=call, home=self._home(call))

    def listings(self) -> list[ToolsListed]:
        """What is offered of each server, at the start of a conversation; a client that has it gets none."""
        order = self._order
        if order.previous_response_id is not None or order.conversation_id is not None or order.history:
            return []
        return [
            ToolsListed(
                server=each.server,
                tools=tuple(
                    tool for tool in self._own if tool.home is not None and tool.home.server == each.server
                ),
            )
            for each in order.servers
            if not each.listed
        ]

    def _home(self, call: ToolUseBlock) -> ToolHome | None:
        mark = approval_of(call)
        home = self._homes.get(call.name) if mark is None else ToolHome(server=mark.server, tool=mark.tool)
        return home if home is not None and home.server in self._named else None
