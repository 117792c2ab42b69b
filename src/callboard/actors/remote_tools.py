"""Tools of MCP servers that a request names by their URLs.

Their sessions are the turn's: tasks of it open them before anything else is done, and close them at its end.
Nothing of them outlives it, neither definitions nor headers. A call to a server that was lost meanwhile has a
result that says so. Where a server may be is the operator's to say, and checked at the door
(`callboard.config.remote_servers`); dialling goes through the guard like any other.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import anyio
import msgspec
from msgspec.structs import replace

from callboard.actors.order import Company, TurnOrder
from callboard.domain.block import ToolUseBlock
from callboard.domain.principal import is_among
from callboard.domain.tools import RemoteServer, ToolDefinition, ToolHome, ToolOutcome, failed
from callboard.errors import InvalidArguments, InvalidRequest
from callboard.tools.arguments import check
from callboard.tools.cap import capped
from callboard.tools.context import CallOrigin
from callboard.tools.definitions import SourceTool, canonical_name, check_definition, readable
from callboard.tools.mcp import Desk, HttpServer, ServerSettings, Session, load_opener
from callboard.tools.source import SourceUnavailable

START_S = 10.0
CALL_S = 60.0
MAY_HAVE_RUN = "The call may have had its effect, so it was not made again."


class RemoteTools:
    """See the module's docstring. Used by one turn.

    Attributes:
        definitions: The tools that the model may be told of, all under their full names.
    """

    def __init__(self, company: Company, order: TurnOrder) -> None:
        self.definitions: tuple[ToolDefinition, ...] = ()
        self._company = company
        self._order = order
        self._listed: dict[str, tuple[SourceTool, ...]] = {}
        self._sessions: dict[str, Session] = {}
        self._lost: dict[str, str] = {}

    async def during(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run ``work`` while the sessions are open.

        Raises:
            InvalidRequest: A server cannot be had.
        """
        servers = self._order.remote
        if not servers:
            await work()
            return
        try:
            async with anyio.create_task_group() as tasks:
                async with anyio.create_task_group() as starting:
                    for server in servers:
                        starting.start_soon(tasks.start, self._hold, server)
                self._offer()
                await work()
                tasks.cancel_scope.cancel()
        except BaseExceptionGroup as several:
            raise _first(several) from several

    def find(self, name: str) -> ToolDefinition | None:
        """The tool of that name."""
        return next((each for each in self.definitions if each.name == name), None)

    async def run(self, tool: ToolDefinition, call: ToolUseBlock, origin: CallOrigin) -> ToolOutcome:
        """What ``call`` came to, for the model."""
        if call.extra and "invalid_arguments" in call.extra:
            return failed(f"The arguments of {call.name} are not a JSON object.")
        home = tool.home
        session = None if home is None else self._sessions.get(home.server)
        if home is None or session is None:
            why = "" if home is None else self._lost.get(home.server, "")
            return failed(f"Tool {call.name!r} failed with error: its server is not available: {why}.")
        try:
            check(call.name, call.input, tool.input_schema)
            arguments = msgspec.json.decode(call.input, type=dict[str, object])
            with anyio.fail_after(CALL_S):
                return capped(await session.call(home.tool, arguments, origin))
        except TimeoutError:
            return failed(f"Tool {call.name!r} did not finish within {CALL_S:g} s and was stopped.")
        except InvalidArguments as error:
            return failed(str(error))
        except SourceUnavailable as error:
            unsure = f" {MAY_HAVE_RUN}" if error.sent else ""
            return failed(f"Tool {call.name!r} failed with error: {error}.{unsure}")

    async def _hold(self, server: RemoteServer, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """Hold one session until it is lost, or the turn is over."""
        label = server.choice.server
        way = HttpServer(url=server.url, headers=server.headers)
        settings = ServerSettings(name=label, way=way, start_s=START_S)
        observe = self._company.observe
        desk = Desk(said=observe, progressed=observe, refused=observe)
        reason = f"it did not start within {START_S:g} s"
        started = False
        try:
            open_session = await load_opener()
            with anyio.CancelScope(deadline=anyio.current_time() + START_S) as scope:
                async with open_session(settings, desk) as session:
                    self._listed[label] = await session.tools()
                    scope.deadline = float("inf")
                    self._sessions[label] = session
                    started = True
                    task_status.started()
                    while True:
                        await session.news(float("inf"))
        except SourceUnavailable as lost:
            reason = str(lost)
        finally:
            self._sessions.pop(label, None)
        self._lost[label] = reason
        if not started:
            task_status.started()

    def _offer(self) -> None:
        """Name the tools that may be offered.

        Raises:
            InvalidRequest: A server is not there.
        """
        found: dict[str, ToolDefinition] = {}
        for server in self._order.remote:
            choice = server.choice
            if choice.server not in self._sessions:
                raise InvalidRequest(
                    f"The MCP server {choice.server!r} is not available: {self._lost.get(choice.server, '')}",
                    param="tools",
                    code="mcp_server_unavailable",
                )
            for tool in self._listed[choice.server]:
                if choice.allowed is None or is_among(tool.name, choice.allowed):
                    asks = choice.approval.asks(tool.name)
                    definition = _definition(choice.server, tool, asks=asks)
                    if definition is not None:
                        found.setdefault(definition.name, definition)
        may_call = partial(_may_call, self._order.principal.tools)
        self.definitions = tuple(found[name] for name in sorted(found) if may_call(name))


def _definition(label: str, tool: SourceTool, *, asks: bool) -> ToolDefinition | None:
    """What a model may be told of a tool; None for one that it must not hear of."""
    try:
        name = canonical_name(label, tool.name)
        check_definition(tool)
    except ValueError:
        return None
    plain = ToolDefinition(name=name, input_schema=tool.input_schema)
    home = ToolHome(server=label, tool=tool.name, asks=asks)
    return replace(plain, description=readable(tool.description), home=home)


def _may_call(allowed: tuple[str, ...] | None, name: str) -> bool:
    return allowed is None or is_among(name, allowed)


def _first(error: BaseException) -> BaseException:
    """What went wrong; the tasks beside it were cancelled because of it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
