"""ToolRunner: runs the runtime's own tools, a bounded number at a time, each within its time.

Whatever goes wrong with a call is told to the model as its result: an unknown tool, arguments that do not
fit, a time limit, an exception. Only cancellation passes through.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import ClassVar, TypeAlias, assert_never

import anyio
from anyio import CapacityLimiter

from callboard.domain.block import ToolUseBlock
from callboard.domain.observation import Observation
from callboard.domain.tools import ToolDefinition, ToolOutcome, failed
from callboard.errors import InvalidArguments
from callboard.kernel import Context, Decider, MailboxSpec, Request
from callboard.tools.cap import capped
from callboard.tools.context import CallOrigin, ToolContext
from callboard.tools.source import ToolSource, unknown_tool

OUTCOME_UNKNOWN = (
    "The outcome is unknown: the process ended while this call was running. It may have had its effect, "
    "so it was not run again."
)

STILL_RUNS = "was given up: nobody waits for it, but it may go on and still have its effect"


class ListTools(Request["ToolRunner", tuple[ToolDefinition, ...]], frozen=True, kw_only=True):
    """The tools there are, in a stable order (prompt caches depend on it)."""


class RunTool(Request["ToolRunner", ToolOutcome], frozen=True, kw_only=True):
    """Run one call. Ask several at once to run them in parallel.

    Attributes:
        again: The call was begun before, and nobody knows what it came to. It is run once more only where
            that does no harm; else the model is told that the outcome is unknown.
        origin: Where it comes from, for the tool to know.
    """

    call: ToolUseBlock
    again: bool = False
    origin: CallOrigin = CallOrigin()


_Message: TypeAlias = ListTools | RunTool


class ToolRunner(Decider[_Message]):
    """See the module's docstring.

    Args:
        sources: Where tools come from; their names do not clash (wiring has checked).
        observe: Told what a tool says while it runs.
        parallel: Calls that run at the same time, over all turns.
    """

    mailbox: ClassVar[MailboxSpec] = MailboxSpec(capacity=1024)

    def __init__(
        self, sources: Sequence[ToolSource], *, observe: Callable[[Observation], None], parallel: int = 64
    ) -> None:
        self._sources = tuple(sources)
        self._observe = observe
        self._parallel = parallel
        self._definitions: tuple[ToolDefinition, ...] = ()
        self._by_name: dict[str, ToolSource] = {}

    @asynccontextmanager
    async def running(self, context: Context[ToolRunner]) -> AsyncIterator[None]:
        """Asks each source for its tools."""
        self._places = CapacityLimiter(self._parallel)
        definitions: list[ToolDefinition] = []
        for source in self._sources:
            for definition in await source.definitions():
                definitions.append(definition)
                self._by_name[definition.name] = source
        self._definitions = tuple(definitions)
        yield

    def decide(self, message: _Message, context: Context[ToolRunner]) -> None:
        """Answers what it knows; runs tools in tasks of their own."""
        match message:
            case ListTools():
                context.reply(message, self._definitions)
            case RunTool():
                context.reply_from(message, lambda: self._run(message))
            case _:
                assert_never(message)

    async def _run(self, request: RunTool) -> ToolOutcome:
        call = request.call
        source = self._by_name.get(call.name)
        if source is None:
            return unknown_tool(call.name, tuple(self._by_name))
        if call.extra and "invalid_arguments" in call.extra:
            return failed(
                f"The arguments of {call.name} are not a JSON object. Send one that fits its schema."
            )
        traits = source.traits(call.name)
        if request.again and not traits.idempotent:
            return failed(OUTCOME_UNKNOWN)
        timeout_s = traits.timeout_s
        context = ToolContext(call_id=call.id, name=call.name, origin=request.origin, observe=self._observe)
        async with self._places:
            try:
                with anyio.fail_after(timeout_s):
                    return capped(await source.call(call.name, call.input, context))
            except TimeoutError:
                then = "was stopped" if traits.stoppable else STILL_RUNS
                return failed(f"Tool {call.name!r} did not finish within {timeout_s:g} s and {then}.")
            except InvalidArguments as error:
                return failed(str(error))
