"""The tools of this process and of its programs: who has which, also where somebody is slow to say.

A source may have to run programs before it knows what it has. The start waits a moment for that; what takes
longer comes in when it is known, so a program that hangs keeps neither the start nor other tools waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import anyio

from callboard.domain.observation import ToolUnavailable
from callboard.domain.tools import ToolDefinition
from callboard.errors import ConfigurationError
from callboard.tools.source import ToolSource
from callboard.tools.space import ToolSpace

START_S = 2.0
"""So long the start waits for sources to say what they have."""


class OwnTools:
    """Asks the sources, and states what they have in the tool space, in the order of the sources.

    Args:
        sources: Their tools have names that differ, from each other and from those of the space's servers.
        space: Where the tools go.
        observe: Told of tools that come too late to keep their names.
        start_s: How long `list_quick` waits.
    """

    def __init__(
        self,
        sources: Sequence[ToolSource],
        space: ToolSpace,
        observe: Callable[[ToolUnavailable], None],
        *,
        start_s: float = START_S,
    ) -> None:
        self._sources = tuple(sources)
        self._space = space
        self._observe = observe
        self._start_s = start_s
        self._listed: dict[int, tuple[ToolDefinition, ...]] = {}
        self._by_name: dict[str, ToolSource] = {}
        self._complete = anyio.Event()

    def source_of(self, name: str) -> ToolSource | None:
        """Whose tool it is; None where it is none of ours."""
        return self._by_name.get(name)

    async def complete(self) -> None:
        """Wait until every source has said what it has."""
        await self._complete.wait()

    async def list_quick(self) -> None:
        """Ask all sources at once, and state what those have that answer in time.

        Raises:
            ConfigurationError: Two tools have one name.
        """
        faults: list[ConfigurationError] = []

        async def ask(place: int, source: ToolSource) -> None:
            try:
                with anyio.move_on_after(self._start_s):
                    self._listed[place] = await source.definitions()
            except ConfigurationError as fault:
                faults.append(fault)

        async with anyio.create_task_group() as tasks:
            for place, source in enumerate(self._sources):
                tasks.start_soon(ask, place, source)
        for fault in faults:
            raise fault
        self._state()

    async def list_slow(self) -> None:
        """Ask the others again, in their own time; what they have is stated as it comes."""

        async def ask(place: int, source: ToolSource) -> None:
            self._listed[place] = definitions = await source.definitions()
            try:
                self._state()
            except ConfigurationError as fault:
                del self._listed[place]
                for each in definitions:
                    self._observe(ToolUnavailable(name=each.name, reason=str(fault)))

        async with anyio.create_task_group() as tasks:
            for place, source in enumerate(self._sources):
                if place not in self._listed:
                    tasks.start_soon(ask, place, source)
        self._complete.set()

    def _state(self) -> None:
        found = [
            (self._sources[place], definition)
            for place in sorted(self._listed)
            for definition in self._listed[place]
        ]
        self._space.put_own((definition, source.traits(definition.name)) for source, definition in found)
        self._by_name = {definition.name: source for source, definition in found}
