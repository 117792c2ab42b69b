"""What a source of tools must be able to do, whichever kind it is (functions, MCP servers, processes)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Protocol, runtime_checkable

from msgspec import Raw, Struct

from callboard.domain.tools import ToolDefinition, ToolOutcome, ToolReport, failed
from callboard.errors import Refusal
from callboard.tools.context import ToolContext


class SourceUnavailable(Refusal):
    """The source of a tool is not there, or was lost while it ran the call; the model is told.

    ``sent`` is whether the call may have reached it, and so may have had its effect.
    """

    retryable: ClassVar[bool] = True
    status_hint: ClassVar[int] = 503

    def __init__(self, message: str, *, sent: bool = False) -> None:
        super().__init__(message)
        self.sent = sent


class ToolTraits(Struct, frozen=True, kw_only=True):
    """What the caller of a tool must know of it, and the model need not.

    Attributes:
        idempotent: Running it twice does no harm, so a call whose outcome is unknown may be run again.
        timeout_s: Seconds after which the caller gives the call up.
        stoppable: A call that is cancelled ends; else it goes on somewhere, and may have its effect later.
    """

    idempotent: bool = False
    timeout_s: float = 60.0
    stoppable: bool = True


@runtime_checkable
class ToolSource(Protocol):
    """Several tools under distinct names. Calls may run at the same time."""

    async def definitions(self) -> tuple[ToolDefinition, ...]:
        """The tools there are at this moment, in a stable order."""
        ...

    def traits(self, name: str) -> ToolTraits:
        """How the tool ``name`` wants to be called; the defaults for one the source does not know."""
        ...

    async def call(self, name: str, arguments: Raw, context: ToolContext) -> ToolOutcome:
        """Run the tool ``name``; ``arguments`` is the JSON object the model wrote, not yet validated.

        ``context`` says whose call it is, and takes what is worth telling of it meanwhile.

        A tool that fails, or that does not exist, is an outcome and not an exception. Sources set no time
        limit: the caller holds the scope, with `ToolTraits.timeout_s`. Cancelling gives the call up.

        Raises:
            InvalidArguments: The arguments do not fit the schema; nothing was run. The message is for the
                model.
        """
        ...


@runtime_checkable
class ReportingSource(Protocol):
    """A source that can say more of its tools than their definitions: why one cannot be used, above all."""

    async def reports(self) -> tuple[ToolReport, ...]:
        """How each tool stands, in a stable order."""
        ...


async def reports_of(source: ToolSource) -> tuple[ToolReport, ...]:
    """How each tool of a source stands, as far as the source can tell."""
    if isinstance(source, ReportingSource):
        return await source.reports()
    kind = type(source).__name__
    return tuple(
        ToolReport(name=each.name, source=kind, description=each.description)
        for each in await source.definitions()
    )


def unknown_tool(name: str, known: Iterable[str]) -> ToolOutcome:
    """Tell the model that there is no tool ``name``, and which there are, so that it can go on."""
    names = ", ".join(sorted(known))
    there_are = f"The available tools are: {names}." if names else "There are no tools available."
    return failed(f"There is no tool named {name!r}. {there_are}")
