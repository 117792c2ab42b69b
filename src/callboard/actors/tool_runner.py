"""ToolRunner: runs the runtime's own tools, a bounded number at a time, each within its time.

Functions it calls itself; tools of MCP servers through a `callboard.actors.tool_host.ToolHost` for each of
these, which are its session children: they come up beside everything else, and end together.

Whatever goes wrong with a call is told to the model as its result: an unknown tool, arguments that do not
fit, a time limit, an exception, a lost server. Only cancellation passes through.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import ClassVar, TypeAlias, assert_never

import anyio
from anyio import CapacityLimiter

from callboard.actors.tool_host import CallTool, GetHostState, HostState, ToolHost
from callboard.domain.block import ToolUseBlock
from callboard.domain.observation import Observation
from callboard.domain.tools import ToolDefinition, ToolOutcome, ToolReport, failed
from callboard.errors import ActorFailed, ActorStopped, InvalidArguments, MailboxFull
from callboard.kernel import ActorRef, Child, Context, Decider, MailboxSpec, Request
from callboard.tools.arguments import check
from callboard.tools.cap import capped
from callboard.tools.context import CallOrigin, ToolContext
from callboard.tools.definitions import SEPARATOR, without_parameters
from callboard.tools.own import START_S, OwnTools
from callboard.tools.persistence import persistently
from callboard.tools.source import SourceUnavailable, ToolSource, unknown_tool
from callboard.tools.space import Allowed, Place, ToolSpace

OUTCOME_UNKNOWN = (
    "The outcome is unknown: the process ended while this call was running. It may have had its effect, "
    "so it was not run again."
)
MAY_HAVE_RUN = "The call may have had its effect, so it was not made again."
SLOW_S = 10.0
"""So long a call waits for a tool that is not known yet, while a source has not said what it has."""

STILL_RUNS = "was given up: nobody waits for it, but it may go on and still have its effect"


class ListTools(Request["ToolRunner", tuple[ToolDefinition, ...]], frozen=True, kw_only=True):
    """The tools to offer, in a stable order (prompt caches depend on it).

    Attributes:
        assistants: What the assistant may use, by full names.
        keys: What the client's key may use, by full names.
        besides: Names of the client's own tools, which win.
        approving: Whether the client has a way to approve calls.
        servers: MCP servers whose tools are meant; None is all of them.
    """

    assistants: Allowed = None
    keys: Allowed = None
    besides: frozenset[str] = frozenset()
    approving: bool = False
    servers: frozenset[str] | None = None


class RunTool(Request["ToolRunner", ToolOutcome], frozen=True, kw_only=True):
    """Run one call. Ask several at once to run them in parallel.

    Attributes:
        again: The call was begun before, and nobody knows what it came to. It is run once more only where
            that does no harm; else the model is told that the outcome is unknown.
        origin: Where it comes from, and on whose behalf.
    """

    call: ToolUseBlock
    again: bool = False
    origin: CallOrigin = CallOrigin()


class ListHosts(Request["ToolRunner", tuple[HostState, ...]], frozen=True, kw_only=True):
    """The MCP servers, as they are at this moment."""


class ReportTools(Request["ToolRunner", tuple[ToolReport, ...]], frozen=True, kw_only=True):
    """How every tool of the MCP servers stands; of a server that is not there, that it is not."""


_Message: TypeAlias = ListTools | RunTool | ListHosts | ReportTools


class ToolRunner(Decider[_Message]):
    """See the module's docstring.

    Args:
        sources: Functions of this process, and programs.
        space: Every tool there is; outlives the actor, and so do the definitions it has pinned.
        hosts: How to start the host of each MCP server, by the server's name.
        observe: Told what a tool says while it runs.
        parallel: Calls that run at the same time, over all turns.
        start_s: How long the start waits for sources to say what they have.
    """

    mailbox: ClassVar[MailboxSpec] = MailboxSpec(capacity=1024)

    def __init__(
        self,
        sources: Sequence[ToolSource],
        space: ToolSpace | None = None,
        hosts: Mapping[str, Child[ToolHost]] | None = None,
        *,
        observe: Callable[[Observation], None],
        parallel: int = 64,
        start_s: float = START_S,
    ) -> None:
        self._space = space or ToolSpace()
        self._own = OwnTools(sources, self._space, observe, start_s=start_s)
        self._children = hosts or {}
        self._observe = observe
        self._parallel = parallel
        self._hosts: dict[str, ActorRef[ToolHost]] = {}

    @asynccontextmanager
    async def running(self, context: Context[ToolRunner]) -> AsyncIterator[None]:
        """Asks each source for its tools, and starts the hosts; whether their servers come up is theirs."""
        self._places = CapacityLimiter(self._parallel)
        await self._own.list_quick()
        for name, child in self._children.items():
            self._hosts[name] = await context.spawn(child)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._own.list_slow)
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()

    def decide(self, message: _Message, context: Context[ToolRunner]) -> None:
        """Answers what it knows; runs tools in tasks of their own."""
        match message:
            case ListTools():
                tools = self._space.offered(
                    message.assistants,
                    message.keys,
                    besides=message.besides,
                    approving=message.approving,
                    servers=message.servers,
                )
                context.reply(message, tools)
            case RunTool():
                context.reply_from(message, lambda: self._run(message))
            case ListHosts():
                context.reply_from(message, self._host_states)
            case ReportTools():
                context.reply_from(message, self._reports)
            case _:
                assert_never(message)

    async def _run(self, message: RunTool) -> ToolOutcome:
        call = message.call
        place = self._space.find(call.name)
        if place is None:
            with anyio.move_on_after(SLOW_S):
                await self._own.complete()
            place = self._space.find(call.name)
        if place is None:
            return failed(OUTCOME_UNKNOWN) if message.again else self._unknown(call.name)
        if call.extra and "invalid_arguments" in call.extra:
            return failed(
                f"The arguments of {call.name} are not a JSON object. Send one that fits its schema."
            )
        if message.again and not place.traits.idempotent:
            return failed(OUTCOME_UNKNOWN)
        async with self._places:
            return await self._perform(place, message)

    async def _perform(self, place: Place, message: RunTool) -> ToolOutcome:
        name, traits = message.call.name, place.traits
        source = self._own.source_of(place.name)
        try:
            if source is None:
                attempt = partial(self._call_host, place, message)
                return capped(await persistently(attempt, idempotent=traits.idempotent))
            context = ToolContext(
                call_id=message.call.id, name=name, origin=message.origin, observe=self._observe
            )
            with anyio.fail_after(traits.timeout_s):
                return capped(await source.call(name, message.call.input, context))
        except TimeoutError:
            then = "was stopped" if traits.stoppable else STILL_RUNS
            return failed(f"Tool {name!r} did not finish within {traits.timeout_s:g} s and {then}.")
        except InvalidArguments as error:
            return failed(str(error))
        except SourceUnavailable as error:
            unsure = f" {MAY_HAVE_RUN}" if error.sent and not traits.idempotent else ""
            return failed(f"Tool {name!r} failed with error: {error}.{unsure}")

    async def _call_host(self, place: Place, message: RunTool) -> ToolOutcome:
        """One attempt at a tool of an MCP server's."""
        check(message.call.name, message.call.input, place.definition.input_schema)
        request = CallTool(
            tool=place.tool,
            arguments=without_parameters(message.call.input, place.added),
            origin=message.origin,
        )
        with anyio.fail_after(place.traits.timeout_s):
            try:
                return await self._hosts[place.source].ask(request)
            except (ActorFailed, ActorStopped, MailboxFull) as error:
                # A bug of ours, or too much at once: this call's misfortune, and not its turn's.
                raise SourceUnavailable("its host cannot take the call", sent=True) from error

    async def _host_states(self) -> tuple[HostState, ...]:
        return tuple([await _state_of(name, host) for name, host in self._hosts.items()])

    async def _reports(self) -> tuple[ToolReport, ...]:
        found: list[ToolReport] = []
        for host in await self._host_states():
            found += self._space.reports(host.server) if host.state == "up" else (_missing(host),)
        return tuple(found)

    def _unknown(self, name: str) -> ToolOutcome:
        server, separator, _ = name.partition(SEPARATOR)
        if separator and server in self._hosts:
            return failed(f"The MCP server {server!r} has no tool {name!r} at the moment.")
        return unknown_tool(name, self._space.names)


def _missing(host: HostState) -> ToolReport:
    """What is told of a server instead of its tools."""
    name, why = host.server, host.reason or "it has not started yet"
    return ToolReport(name=name, source="mcp", state="unavailable", reason=why, server=name)


async def _state_of(name: str, host: ActorRef[ToolHost]) -> HostState:
    try:
        return await host.ask(GetHostState())
    except (ActorFailed, ActorStopped, MailboxFull):
        return HostState(server=name, state="down", reason="its host has failed; see the log")
