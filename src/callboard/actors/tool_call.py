"""One call of one of the runtime's own tools, told to whoever watches."""

from __future__ import annotations

from callboard.actors.offered import Offered
from callboard.actors.order import Company
from callboard.actors.tool_runner import OUTCOME_UNKNOWN, RunTool
from callboard.domain.block import ToolResultBlock, ToolUseBlock
from callboard.domain.meter import Meter
from callboard.domain.observation import ToolExecuted, ToolExecuting
from callboard.domain.principal import Principal
from callboard.domain.sampling import Originator
from callboard.domain.tools import failed
from callboard.providers.tool_results import tool_result
from callboard.tools.context import CallOrigin
from callboard.tools.source import unknown_tool


async def run_tool(
    company: Company,
    meter: Meter,
    call: ToolUseBlock,
    *,
    principal: Principal,
    offered: Offered,
    again: bool,
) -> ToolResultBlock:
    """What ``call`` came to, for the model; whatever goes wrong is a result too.

    Args:
        company: Who runs it, and who watches.
        meter: The turn's account.
        call: By the model.
        principal: Whoever the turn is for.
        offered: Tools that the model was told of; no other one is run, whoever names it.
        again: It was begun before, and nobody knows what it came to.
    """
    request_id, assistant = meter.request_id, meter.assistant or ""
    company.observe(ToolExecuting(request_id=request_id, assistant=assistant, name=call.name))
    since_us = meter.elapsed_us()
    if call.name in offered.names:
        origin = CallOrigin(
            request_id=request_id,
            response_id=meter.response_id or "",
            tenant=principal.tenant,
            asker=Originator(principal, meter),
        )
        remote = offered.remote.find(call.name)
        if remote is None:
            outcome = await company.tools.ask(RunTool(call=call, again=again, origin=origin))
        else:
            outcome = await offered.remote.run(remote, call, origin)
    elif again:
        outcome = failed(OUTCOME_UNKNOWN)  # it was offered when it was begun
    else:
        outcome = unknown_tool(call.name, offered.names)
    company.observe(
        ToolExecuted(
            request_id=request_id,
            assistant=assistant,
            name=call.name,
            duration_us=meter.elapsed_us() - since_us,
            failed=outcome.is_error,
        )
    )
    return tool_result(call.id, outcome)
