"""The embedding API: a thin face over the running tree."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from functools import partial
from pathlib import Path

from anyio import create_task_group, move_on_after, sleep
from msgspec.structs import replace

from callboard.actors.archivist import Archivist
from callboard.actors.assistant import Abandon, Assistant, Respond
from callboard.actors.order import Keeping, TurnOrder
from callboard.actors.provider_system import ProviderSystem
from callboard.actors.rate_limiter import Accounts, GetAccounts, RateLimiter
from callboard.actors.tool_host import HostState
from callboard.actors.tool_runner import ListHosts, ReportTools, RunTool, ToolRunner
from callboard.config import Config, load
from callboard.config.load import ConfigSource
from callboard.domain.arguments import tool_use
from callboard.domain.generation import GenerationRequest
from callboard.domain.message import Message, user_text
from callboard.domain.meter import Meter
from callboard.domain.preferences import AUTO, ModelPreferences
from callboard.domain.principal import LOCAL
from callboard.domain.reply_fold import ReplyFold
from callboard.domain.sampling import Originator
from callboard.domain.tools import ToolOutcome, ToolReport
from callboard.domain.turn import Reply, TurnEvent
from callboard.errors import CallboardError, InvalidRequest, UnknownAssistant
from callboard.kernel import ActorRef, Observer, System, choose_soon, open_system
from callboard.providers.registry import Registry
from callboard.store.opening import open_store
from callboard.telemetry import schema
from callboard.telemetry.libraries import library_logs
from callboard.telemetry.logging import Log, open_log
from callboard.telemetry.observer import observe_bug, observe_domain, observe_kernel, observe_ledger
from callboard.tool_wiring import own_sources
from callboard.tools.context import CallOrigin
from callboard.tools.function import FunctionTool
from callboard.tools.source import ToolSource, reports_of
from callboard.wiring import Wiring, new_id, wire

LINES_WAIT_S = 0.01
"""So long closing lines may wait for others, to be written with them."""

SERVERS_WAIT_S = 5.0
"""So long those who ask only once wait for MCP servers to start."""

LOG_SCHEMA = schema.VERSION
"""Version of the log's schema; docs/log.md."""


@contextmanager
def kernel_log(config: Config) -> Iterator[Observer]:
    """The log that ``config`` describes, for a system that is no runtime; closed with the block."""
    log = open_log(config.log)
    try:
        yield lambda event: observe_kernel(log, event)
    finally:
        log.close()


class Runtime:
    """A running company of assistants; made by `open_runtime`, alive within its block.

    Attributes:
        config: What it runs by.
        wiring: Where the actors are, for those who add doors of their own.
        system: The kernel's handle.
        log: Where its lines go.
        has_tools: Whether it has tools of its own.
        observe: Writes what happened to the log.
    """

    def __init__(
        self,
        config: Config,
        wiring: Wiring,
        system: System,
        log: Log,
        *,
        has_tools: bool,
        sources: Sequence[ToolSource] = (),
    ) -> None:
        self.config = config
        self._sources = tuple(sources)
        self.has_tools = has_tools
        self.wiring = wiring
        self.system = system
        self.log = log
        self.observe: Callable[[object], None] = partial(observe_domain, log)
        every = () if has_tools else wiring.routes.models
        self._relayed = frozenset(spec.name for spec in every if wiring.relays(spec.name))

    @property
    def providers(self) -> ActorRef[ProviderSystem]:
        """Decides who serves a model."""
        return self.system.ref(self.wiring.provider_system)

    @property
    def tool_runner(self) -> ActorRef[ToolRunner]:
        """Runs our own tools, and knows the MCP servers."""
        return self.system.ref(self.wiring.tool_runner)

    @property
    def archivist(self) -> ActorRef[Archivist]:
        """Writes to the store."""
        return self.system.ref(self.wiring.archivist)

    @property
    def limiter(self) -> ActorRef[RateLimiter]:
        """Keeps limits and ledger."""
        return self.system.ref(self.wiring.rate_limiter)

    async def ask(
        self,
        assistant: str,
        text: str | Sequence[Message],
        *,
        model: str | None = None,
        preferences: ModelPreferences | None = None,
        previous_response_id: str | None = None,
    ) -> Reply:
        """Ask an assistant and wait for its whole answer.

        Where the conversation has become longer than the model's window, as ``context_window`` states it, the
        model is sent what fits: older turns abbreviated, then without the oldest. What is kept stays whole.

        Args:
            assistant: Its configured name.
            text: What to ask, or the messages of a conversation.
            model: Instead of the assistant's own; ``auto`` leaves the choice to us.
            preferences: What the model should be like; where ``model`` is None, as if it were ``auto``.
            previous_response_id: The reply that this turn follows.

        Raises:
            UnknownAssistant, UnknownModel, UnknownResponse: No such thing.
            ContextTooLong: What is asked does not fit the model's window, even without what went before.
            RateLimited, Overloaded, Draining: Not now.
            UpstreamError: The provider failed, and so did what else could be tried.
        """
        stream = self.stream(
            assistant,
            text,
            model=model,
            preferences=preferences,
            previous_response_id=previous_response_id,
        )
        async with stream as events:
            return await _collect(events)

    def stream(
        self,
        assistant: str,
        text: str | Sequence[Message],
        *,
        model: str | None = None,
        preferences: ModelPreferences | None = None,
        previous_response_id: str | None = None,
    ) -> AbstractAsyncContextManager[AsyncIterator[TurnEvent]]:
        """Ask an assistant and read its answer as it comes; leaving the block early closes the upstream.

        Arguments and errors are those of `ask`; errors come out of the iteration.
        """
        child = self.wiring.assistants.get(assistant)
        if child is None:
            known = ", ".join(self.wiring.assistants)
            raise UnknownAssistant(f"assistant {assistant!r} is not configured; there are: {known}")
        name = model or ("" if preferences is None else AUTO)
        order = self._order("ask", name, text, previous_response_id=previous_response_id, store=True)
        return self._turn(self.system.ref(child), replace(order, preferences=preferences))

    async def generate(
        self, model: str, text: str | Sequence[Message], *, max_output_tokens: int | None = None
    ) -> Reply:
        """Ask a model without an assistant: no instructions, nothing is stored or left out.

        Errors are those of `ask`; what does not fit the model's window is refused by its provider.
        """
        order = self._order("generate", model, text, max_output_tokens=max_output_tokens)
        async with self._turn(self.system.ref(self.wiring.chat), order) as events:
            return await _collect(events)

    async def accounts(self) -> Accounts:
        """The ledger as it stands."""
        return await self.limiter.ask(GetAccounts())

    async def tools(self) -> tuple[ToolReport, ...]:
        """How every tool of this process stands, those that no model is offered too, source by source."""
        found: dict[int, tuple[ToolReport, ...]] = {}

        async def ask(place: int, source: ToolSource) -> None:
            found[place] = await reports_of(source)

        async with create_task_group() as tasks:
            for place, source in enumerate(self._sources):
                tasks.start_soon(ask, place, source)
        return tuple(each for place in sorted(found) for each in found[place])

    async def server_tools(self, within_s: float = SERVERS_WAIT_S) -> tuple[ToolReport, ...]:
        """How every tool of the MCP servers stands, once none of these is starting, or after so long."""
        await self.settled_servers(within_s)
        return await self.tool_runner.ask(ReportTools())

    async def call_tool(self, name: str, arguments: str) -> ToolOutcome:
        """Run a tool as a turn would: checked, within its time, its result cut where it is too long.

        Args:
            name: What a model would call it.
            arguments: A JSON object.
        """
        call = tool_use(new_id("call_"), name, arguments)
        meter = Meter(new_id("req_"), "tool", time.perf_counter_ns)
        origin = CallOrigin(request_id=meter.request_id, tenant=LOCAL.tenant, asker=Originator(LOCAL, meter))
        return await self.tool_runner.ask(RunTool(call=call, origin=origin))

    async def tool_servers(self) -> tuple[HostState, ...]:
        """The MCP servers, as they are at this moment."""
        return await self.tool_runner.ask(ListHosts())

    async def settled_servers(self, within_s: float = SERVERS_WAIT_S) -> tuple[HostState, ...]:
        """The MCP servers when none is starting any more, or after so long: for those who ask only once."""
        with move_on_after(within_s):
            while any(  # noqa: ASYNC110 - how servers are is asked
                each.state == "starting" for each in await self.tool_servers()
            ):
                await sleep(0.02)
        return await self.tool_servers()

    def snapshot(self) -> Mapping[str, object]:
        """The supervision tree, live, as plain values."""
        return self.system.snapshot()

    async def drain(self, *, grace: float = 30.0) -> None:
        """Admit nothing new, let what runs finish within ``grace`` seconds, then stop everything in order."""
        await self.system.drain(grace=grace)

    def library_logs(self) -> AbstractContextManager[None]:
        """Take the libraries' own log lines into ours for a block; for a server, which owns its process."""
        return library_logs(self.log)

    def bug(self, request_id: str, error: BaseException) -> None:
        """Write what should not have happened to the log: its class and place, not its text."""
        observe_bug(self.log, request_id, error)

    async def give_up(self, assistant: str, response_id: str) -> None:
        """Have an assistant stop its work on a response that was ended in the store, if it has any."""
        child = self.wiring.assistants.get(assistant, self.wiring.chat)
        await self.system.ref(child).tell(Abandon(response_id=response_id))

    def check_model(self, model: str) -> None:
        """Raise `UnknownModel` for a model that no provider serves."""
        self.wiring.routes.candidates(model)

    def relays(self, model: str) -> bool:
        """Whether requests for ``model`` may be passed on as they come: no tool of ours is on offer."""
        return model in self._relayed or (not self.has_tools and self.wiring.relays(model))

    def _order(
        self,
        route: str,
        model: str,
        text: str | Sequence[Message],
        *,
        previous_response_id: str | None = None,
        store: bool = False,
        max_output_tokens: int | None = None,
    ) -> TurnOrder:
        if isinstance(text, str):
            text = (user_text(_encodable(text)),)
        return TurnOrder(
            request=GenerationRequest(model=model, messages=tuple(text), max_output_tokens=max_output_tokens),
            response_id=new_id("resp_"),
            principal=LOCAL,
            meter=Meter(new_id("req_"), route, time.perf_counter_ns),
            previous_response_id=previous_response_id,
            keep=Keeping(created_at_s=int(time.time()), streamed=True) if store else None,
            # What we keep for somebody, we also keep within bounds for him; what he keeps is his.
            truncation="auto" if store else "disabled",
        )

    @asynccontextmanager
    async def _turn(
        self, assistant: ActorRef[Assistant], order: TurnOrder
    ) -> AsyncIterator[AsyncIterator[TurnEvent]]:
        meter = order.meter
        try:
            with self.system.admit():
                async with assistant.stream(Respond(order=order)) as events:
                    yield events
        except CallboardError as error:
            meter.error_type = error.type
            raise
        except BaseException:
            meter.error_type = "cancelled"
            raise
        finally:
            self.observe(meter.close())


def _encodable(text: str) -> str:
    """``text``, which no provider could be sent where it holds half a character.

    Raises:
        InvalidRequest: It holds a lone surrogate.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"the text has a lone surrogate at position {error.start}") from error
    return text


async def _collect(events: AsyncIterator[TurnEvent]) -> Reply:
    fold = ReplyFold()
    async for event in events:
        fold.apply(event)
    return fold.reply()


@asynccontextmanager
async def open_runtime(
    config: ConfigSource = None,
    *,
    tools: Sequence[FunctionTool[..., object]] = (),
    sources: Sequence[ToolSource] = (),
    registry: Registry | None = None,
    log: Log | None = None,
) -> AsyncIterator[Runtime]:
    """Run a company of assistants for the length of a block.

    Leaving the block lets what runs finish within each actor's grace, last started first.

    Args:
        config: A path, a mapping, a `Config`; by default ``callboard.toml`` here or above, else the built-in
            defaults: the local model, and a store in ``.callboard`` here.
        tools: Functions marked with `callboard.tool`.
        sources: Further sources of tools.
        registry: The kinds of provider, where there are more than come with Callboard.
        log: Where lines go; by default as the configuration says.

    Raises:
        ConfigurationError: One line that says what to mend.
        StoreUnavailable: The store cannot be opened.
    """
    chosen = load(config, environ=os.environ, cwd=Path.cwd())
    lines = log or open_log(chosen.log)
    try:
        folder = Path.cwd() if chosen.path is None else chosen.path.parent
        async with open_store(chosen.store.url, folder) as store:
            observe = partial(observe_domain, lines)
            every = (*own_sources(chosen, tools, observe), *sources)
            wiring = wire(
                chosen,
                sources=every,
                store=store,
                observe=observe,
                on_line=partial(observe_ledger, lines),
                registry=registry,
            )
            with lines.put_off(choose_soon(LINES_WAIT_S)):
                async with open_system(
                    wiring.tree, observe=lambda event: observe_kernel(lines, event)
                ) as system:
                    has_tools = bool(every or chosen.mcp.servers)
                    yield Runtime(chosen, wiring, system, lines, has_tools=has_tools, sources=every)
    finally:
        if log is None:
            lines.close()
