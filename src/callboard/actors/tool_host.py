"""ToolHost: one MCP server, from the first connection to the last.

It holds the session, in one task of its own, and connects again, later and later, when the session is lost or
cannot be had. That is no crash: servers come and go, and the supervisor is for bugs of ours. So one broken
server costs nobody else anything, and a server that hangs while it starts keeps nobody waiting: until it has
listed its tools, nothing of it is offered.

What the server has goes into the `callboard.tools.space.ToolSpace`, which stays as it was while a lost server
is looked for once more, and then forgets it.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import ClassVar, Literal, TypeAlias, assert_never

import anyio
import msgspec
from anyio import CancelScope, CapacityLimiter
from msgspec import Raw, Struct
from msgspec.structs import replace

from callboard.actors.sampling_desk import Sampling, SamplingDesk
from callboard.domain.observation import ToolSourceDown, ToolSourceUp
from callboard.domain.tools import ToolOutcome
from callboard.errors import InvalidArguments
from callboard.kernel import Context, Decider, MailboxSpec, Request
from callboard.tools.context import CallOrigin
from callboard.tools.mcp import Desk, OpenSession, ServerSettings, Session, load_opener
from callboard.tools.source import SourceUnavailable
from callboard.tools.space import ToolSpace

FIRST_RETRY_S = 0.2
STEADY_S = 10.0
"""A session that stood so long was a good one: the next attempt comes as soon as the first."""

FORGOTTEN_AFTER = 2
"""Attempts in a row that must fail before the tools of a lost server are no longer offered."""


class HostState(Struct, frozen=True, kw_only=True):
    """A server as it is at this moment.

    Attributes:
        reason: Why it is down.
        tools: How many of its tools may be offered.
        protocol: The version that was agreed on.
    """

    server: str
    state: Literal["starting", "up", "down"] = "starting"
    reason: str = ""
    tools: int = 0
    protocol: str = ""


class CallTool(Request["ToolHost", ToolOutcome], frozen=True, kw_only=True):
    """Call a tool of the server.

    Raises `SourceUnavailable` at once where there is no session, and as soon as the session is lost.
    Cancelling tells the server; the session stays.

    Attributes:
        tool: The server's own name for it.
        arguments: A JSON object.
        origin: On whose behalf.
    """

    tool: str
    arguments: Raw
    origin: CallOrigin = CallOrigin()


class GetHostState(Request["ToolHost", HostState], frozen=True, kw_only=True):
    """The server's state."""


_Message: TypeAlias = CallTool | GetHostState
_Report: TypeAlias = Callable[[ToolSourceUp | ToolSourceDown], None]


class ToolHost(Decider[_Message]):
    """See the module's docstring.

    Args:
        server: Which.
        desk: Whom the session turns to.
        space: Where its tools go.
        report: Told when it is up, and when and why it is not.
        sampling: Answers the server where it asks for generations and its policy allows that.
        opener: Gives what opens sessions.
    """

    mailbox: ClassVar[MailboxSpec] = MailboxSpec(capacity=256)

    def __init__(
        self,
        server: ServerSettings,
        desk: Desk,
        space: ToolSpace,
        report: _Report,
        *,
        sampling: Sampling | None = None,
        opener: Callable[[], Awaitable[OpenSession]] = load_opener,
    ) -> None:
        self._server = server
        self._desk = desk
        self._space = space
        self._report = report
        self._sampling = sampling
        self._opener = opener
        self._session: Session | None = None
        self._state = HostState(server=server.name)

    @asynccontextmanager
    async def running(self, context: Context[ToolHost]) -> AsyncIterator[None]:
        """Keeps the server beside the mailbox."""
        self._places = CapacityLimiter(self._server.parallel)
        self._desk = self._whole_desk(context)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._keep)
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()

    def _whole_desk(self, context: Context[ToolHost]) -> Desk:
        """The desk, with somebody who answers sampling where the server's policy allows it."""
        if self._sampling is None:
            return self._desk
        manager, providers = self._sampling.manager, context.ref(self._sampling.providers)
        policy = manager.policy_of(self._server.name)
        if not policy.enabled:
            return self._desk
        desk = SamplingDesk(manager, providers)
        return replace(self._desk, answer_sampling=desk, sampling_tools=policy.tools)

    def decide(self, message: _Message, context: Context[ToolHost]) -> None:
        """Answers what it knows; calls run in tasks of their own."""
        match message:
            case CallTool():
                context.reply_from(message, lambda: self._call(message))
            case GetHostState():
                context.reply(message, self._state)
            case _:
                assert_never(message)

    async def _call(self, message: CallTool) -> ToolOutcome:
        try:
            given = bytes(message.arguments).strip() or b"{}"
            arguments = msgspec.json.decode(given, type=dict[str, object])
        except msgspec.DecodeError as error:
            raise InvalidArguments("the arguments are not a JSON object") from error
        self._present()  # who finds nobody there does not wait for a place
        async with self._places:
            return await self._present().call(message.tool, arguments, message.origin)

    def _present(self) -> Session:
        if self._session is None:
            why = self._state.reason or "it has not started yet"
            raise SourceUnavailable(f"the MCP server {self._server.name!r} is not available: {why}")
        return self._session

    async def _keep(self) -> None:
        """Hold one session after the other, for ever."""
        failures = 0
        while True:
            since = anyio.current_time()
            reason = await self._hold()
            was_up = self._state.state == "up"
            steady = was_up and anyio.current_time() - since >= STEADY_S
            failures = 1 if steady else failures + 1
            if not was_up and failures > FORGOTTEN_AFTER:
                self._space.withdraw(self._server.name)
            retry_s = min(self._server.longest_retry_s, FIRST_RETRY_S * 2.0 ** min(failures - 1, 16))
            retry_s *= 1 - 0.2 * random.random()  # noqa: S311 - so that many do not come back at once
            self._state = HostState(server=self._server.name, state="down", reason=reason)
            self._report(ToolSourceDown(source=self._server.name, reason=reason, retry_s=round(retry_s, 3)))
            await anyio.sleep(retry_s)

    async def _hold(self) -> str:
        """Hold one session until it is lost.

        Returns:
            Why it is lost, or could not be had.
        """
        reason = ""
        scope = CancelScope(deadline=anyio.current_time() + self._server.start_s)
        try:
            open_session = await self._opener()
            with scope:
                async with open_session(self._server, self._desk) as session:
                    try:
                        await self._follow(session, scope)
                    except SourceUnavailable as lost:
                        reason = str(lost)
                    finally:
                        self._session = None
        except SourceUnavailable as lost:
            reason = reason or str(lost)
        return reason or f"it did not start within {self._server.start_s:g} s"

    async def _follow(self, session: Session, starting: CancelScope) -> None:
        """Keep the list of tools true until the session is lost."""
        server = self._server
        every_s = server.refresh_s or float("inf")
        count = self._space.put(server.name, await session.tools(), server.policy)
        starting.deadline = float("inf")
        self._session = session
        self._tell_up(session, count)
        while True:
            await session.news(every_s)
            tools = None
            # A server that is busy may be slow to list, or refuse; that is no reason to end calls. Where it
            # is the connection that was lost, the next news is that.
            with anyio.move_on_after(server.start_s), suppress(SourceUnavailable):
                tools = await session.tools()
            if tools is not None:
                count = self._space.put(server.name, tools, server.policy)
                self._state = replace(self._state, tools=count)

    def _tell_up(self, session: Session, count: int) -> None:
        name, protocol = self._server.name, session.protocol
        self._state = HostState(server=name, state="up", tools=count, protocol=protocol)
        self._report(ToolSourceUp(source=name, protocol=protocol, tools=count))
