"""The one tool space: every tool of ours under one name, whichever source it comes from.

A tool's *full name* is ``source__tool``; a function of the embedding program has no source and goes by its
own. Allow-lists mean full names, with ``*`` for any ending. The model is shown the plain name wherever only
one source has ever had a tool of that name, else the full one. A plain name that two sources have had is
given to neither again: nobody gets calls that were meant for somebody else by being there at the right time.

A definition is *pinned* when it is first seen: its SHA-256 is remembered for as long as this value lives,
over restarts of actors and reconnections. A tool whose definition changes is disabled until the old one is
back, or the operator states the new one's hash. Nothing is remembered beyond the process.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from callboard.domain.observation import ToolDisabled, ToolNameTaken
from callboard.domain.principal import is_among
from callboard.domain.tools import ApprovalPolicy, ToolDefinition, ToolHome, ToolReport
from callboard.errors import ConfigurationError
from callboard.tools.definitions import (
    MAX_NAME_CHARS,
    SEPARATOR,
    SourceTool,
    canonical_name,
    check_definition,
    readable,
    with_parameters,
)
from callboard.tools.source import ToolTraits

MAX_OFFERED = 128
"""Tools that a model is told of at once; what comes later in the order is left out."""

UNASKABLE = (
    "its calls wait for approval, so it is offered to clients of the Responses API only; to have them run "
    'unasked, set approve = "never" in [mcp.servers.{source}], or alwaysAllow in an mcpServers file'
)
"""Why a tool is not offered to others, and what would change that."""

NOT_ALLOWED = "the server's table does not allow it, or denies it"

MAX_KNOWN = 5000
"""Names of tools that are remembered of a source; one that changes them all the time ends there."""

MAX_TOLD = 10_000
"""Remarks that are remembered, so that none is made twice."""

MAX_REMARKS = 10
"""Tools of one listing that are told of one by one; `ToolSpace.reports` has them all."""

Allowed: TypeAlias = tuple[str, ...] | None
"""Full names, or beginnings of them with ``*`` behind; None allows everything."""

_Who: TypeAlias = tuple[Allowed, Allowed, bool, frozenset[str] | None]


class SourcePolicy(Struct, frozen=True, kw_only=True):
    """What the operator says of a source's tools, by the source's own names for them.

    Attributes:
        allow: Names, or beginnings with ``*``; None allows all.
        deny: The same; goes before ``allow``.
        pins: The one definition of a tool that may be used, as its SHA-256.
        parameters: Asked of the model besides the tool's own, by name and description; see
            `callboard.tools.definitions.with_parameters`.
        trusted: Whether the source's word is believed that a tool may be run twice, or only reads.
        timeout_s: For each call.
        approval: Whose calls wait for somebody's approval.
        spares_reading: Whether those of tools that only read do not, where that is believed.
    """

    allow: Allowed = None
    deny: tuple[str, ...] = ()
    pins: Mapping[str, str] = {}
    parameters: Mapping[str, str] = {}
    trusted: bool = False
    timeout_s: float = 60.0
    approval: ApprovalPolicy = ApprovalPolicy()
    spares_reading: bool = False

    def asks(self, tool: SourceTool) -> bool:
        """Whether calls of ``tool`` wait for somebody's approval."""
        spared = self.spares_reading and self.trusted and tool.read_only
        return not spared and self.approval.asks(tool.name)


class Place(Struct, frozen=True, kw_only=True):
    """Where a tool is, and how to call it.

    Attributes:
        source: Whose it is.
        tool: The source's own name for it.
        name: Its full name.
        added: Parameters of ours, which the source does not know.
    """

    source: str
    tool: str
    name: str
    definition: ToolDefinition
    traits: ToolTraits
    added: tuple[str, ...] = ()

    @property
    def asks(self) -> bool:
        """Whether its calls wait for somebody's approval."""
        return self.definition.home is not None and self.definition.home.asks


class ToolSpace:
    """See the module's docstring. One for the runtime; actors that publish into it may come and go.

    Args:
        sources: Names of the sources there may be, in the order in which their tools are shown.
        own: Names that tools of this process may have later: nobody else is shown under them.
        observe: Told of every tool that is disabled, or not shown under its plain name, once.

    Raises:
        ConfigurationError: One of ``own`` is the full name of a source's tool.
    """

    def __init__(
        self,
        sources: Sequence[str] = (),
        *,
        own: Iterable[str] = (),
        observe: Callable[[ToolDisabled | ToolNameTaken], None] = lambda _: None,
    ) -> None:
        self._observe = observe
        self._own: tuple[Place, ...] = ()
        self._listed: dict[str, tuple[Place, ...]] = dict.fromkeys(sources, ())
        self._last: dict[str, tuple[SourceTool, ...]] = {}
        self._refused: dict[str, tuple[tuple[str, str], ...]] = {}
        self._pinned: dict[str, dict[str, str]] = {}
        self._owners: dict[str, set[str]] = {}
        self._told: set[tuple[str, str, str]] = set()
        self._shown: tuple[tuple[str, Place], ...] = ()
        self._places: dict[str, Place] = {}
        self._cache: dict[_Who, tuple[tuple[ToolDefinition, ...], frozenset[str]]] = {}
        for name in own:
            self._claim(name)

    # --- what there is
    # ------------------------------------------------------------------------------------------

    def put_own(self, tools: Iterable[tuple[ToolDefinition, ToolTraits]]) -> None:
        """State the tools of this process.

        Raises:
            ConfigurationError: Two have one name, or one has the name of a configured source's tools.
        """
        places: dict[str, Place] = {}
        for definition, traits in tools:
            name = definition.name
            if name in places:
                raise ConfigurationError(f"two tools are named {name!r}; rename one")
            self._claim(name)
            places[name] = Place(source="", tool=name, name=name, definition=definition, traits=traits)
        self._own = tuple(places.values())
        self._rebuild()

    def put(self, source: str, tools: Sequence[SourceTool], policy: SourcePolicy) -> int:
        """State all tools of a source; what it had before and has no more is gone.

        Returns:
            How many of them may be offered.
        """
        listed = tuple(tools)
        if self._last.get(source) != listed:
            self._last[source] = listed
            self._listed[source] = self._accepted(source, listed, policy)
            self._rebuild()
        return len(self._listed[source])

    def withdraw(self, source: str) -> None:
        """Offer nothing of ``source`` until it states its tools again."""
        self._last.pop(source, None)
        self._refused.pop(source, None)
        if self._listed.get(source):
            self._listed[source] = ()
            self._rebuild()

    # --- what is asked
    # ------------------------------------------------------------------------------------------

    def offered(
        self,
        assistants: Allowed = None,
        keys: Allowed = None,
        *,
        besides: Collection[str] = (),
        approving: bool = True,
        servers: frozenset[str] | None = None,
    ) -> tuple[ToolDefinition, ...]:
        """The tools to tell a model of, at most `MAX_OFFERED`, always in the same order.

        Args:
            assistants: What the assistant may use.
            keys: What the client's key may use.
            besides: Names of the client's own tools, which win.
            approving: Whether the client has a way to approve calls; else tools that wait are left out.
            servers: MCP servers whose tools are meant; None is all of them.
        """
        who = (assistants, keys, approving, servers)
        chosen = self._cache.get(who)
        if chosen is None:
            chosen = self._choose(who)
        definitions, names = chosen
        if not besides or names.isdisjoint(besides):
            return definitions
        return tuple(each for each in definitions if each.name not in besides)

    def find(self, name: str) -> Place | None:
        """The tool that a model means by ``name``: one that it was shown, or a full name."""
        return self._places.get(name)

    @property
    def names(self) -> tuple[str, ...]:
        """What the tools are shown as."""
        return tuple(name for name, _ in self._shown)

    def reports(self, source: str) -> tuple[ToolReport, ...]:
        """How every tool stands that an MCP server has listed, those that nobody is offered too."""
        named = ToolReport(name="", source="mcp", server=source)
        usable = (
            replace(named, name=each.name, description=each.definition.description, waits=each.asks)
            for each in self._listed.get(source, ())
        )
        refused = (
            replace(named, name=f"{source}{SEPARATOR}{_in_a_line(tool)}", state="disabled", reason=why)
            for tool, why in self._refused.get(source, ())
        )
        return (*usable, *refused)

    # --- the rest
    # ------------------------------------------------------------------------------------------

    def _claim(self, name: str) -> None:
        """Keep a plain name for a tool of this process."""
        owner, separator, _ = name.partition(SEPARATOR)
        if separator and owner in self._listed:
            raise ConfigurationError(
                f"the tool {name!r} is named like one of the MCP server {owner!r}; rename one of them"
            )
        self._owners.setdefault(name, set()).add("")

    def _choose(self, who: _Who) -> tuple[tuple[ToolDefinition, ...], frozenset[str]]:
        assistants, keys, approving, servers = who
        allowed = [
            place
            for _, place in self._shown
            if is_allowed(place.name, assistants)
            and is_allowed(place.name, keys)
            and (servers is None or not place.source or place.source in servers)
        ]
        if not approving:
            self._tell_waiting(place for place in allowed if place.asks)
            allowed = [place for place in allowed if not place.asks]
        definitions = tuple(place.definition for place in allowed[:MAX_OFFERED])
        if len(self._cache) >= 256:  # as many combinations of assistants and keys are worth remembering
            self._cache.clear()
        chosen = definitions, frozenset(each.name for each in definitions)
        self._cache[who] = chosen
        return chosen

    def _accepted(self, source: str, tools: Sequence[SourceTool], policy: SourcePolicy) -> tuple[Place, ...]:
        accepted: dict[str, Place] = {}
        refused: list[tuple[str, str]] = []
        unwanted: list[tuple[str, str]] = []
        for tool in tools:
            if not is_allowed(tool.name, policy.allow) or any(
                is_allowed(tool.name, (each,)) for each in policy.deny
            ):
                unwanted.append((tool.name, NOT_ALLOWED))
                continue
            try:
                name = self._checked(source, tool, policy)
            except ValueError as fault:
                refused.append((tool.name, str(fault)))
                continue
            if name in accepted:
                refused.append((tool.name, "the server has another tool of this name before it"))
                continue
            accepted[name] = _place(source, name, tool, policy)
            self._owners.setdefault(_plain(name), set()).add(source)
        self._remark(source, refused)
        self._refused[source] = (*refused, *unwanted)
        return tuple(accepted[name] for name in sorted(accepted))

    def _checked(self, source: str, tool: SourceTool, policy: SourcePolicy) -> str:
        """The full name of a tool that may be offered; ValueError says why it may not."""
        name = canonical_name(source, tool.name)
        check_definition(tool)
        found = tool.fingerprint
        known = self._pinned.setdefault(source, {})
        if tool.name not in known and len(known) >= MAX_KNOWN:
            raise ValueError(f"the server has named more than {MAX_KNOWN} different tools by now")
        pinned = policy.pins.get(tool.name) or known.setdefault(tool.name, found)
        if pinned.removeprefix("sha256:") != found:
            raise ValueError(
                f'its definition has changed; to use the new one, set pins = {{ "{tool.name}" = "{found}" }}'
            )
        return name

    def _tell_waiting(self, places: Iterable[Place]) -> None:
        by_source: dict[str, list[tuple[str, str]]] = {}
        for place in places:
            why = UNASKABLE.format(source=place.source)
            by_source.setdefault(place.source, []).append((place.tool, why))
        for source, waiting in by_source.items():
            self._remark(source, waiting)

    def _remark(self, source: str, refused: Sequence[tuple[str, str]]) -> None:
        # What is longer than a name may be is refused; so much of it is enough to know it again.
        known = [(source, tool[:MAX_NAME_CHARS], why) for tool, why in refused]
        new = [each for each, key in zip(refused, known, strict=True) if key not in self._told]
        self._told.update(known[: MAX_TOLD - len(self._told)])
        for tool, why in new[:MAX_REMARKS]:
            self._observe(ToolDisabled(source=source, tool=_in_a_line(tool), reason=why))
        if len(new) > MAX_REMARKS:
            rest = f"{len(new) - MAX_REMARKS} more tools are not offered either; see `callboard tools list`"
            self._observe(ToolDisabled(source=source, tool="*", reason=rest))

    def _tell_taken(self, place: Place) -> None:
        once = (place.source, place.tool, "")
        if once not in self._told and len(self._told) < MAX_TOLD:
            self._told.add(once)
            self._observe(ToolNameTaken(source=place.source, tool=_in_a_line(place.tool), name=place.name))

    def _rebuild(self) -> None:
        """Name everything anew; what was chosen for anybody is chosen again when it is next asked for."""
        shown: list[tuple[str, Place]] = [(place.name, place) for place in self._own]
        places = {place.name: place for place in self._own}
        for listed in self._listed.values():
            for place in listed:
                plain = _plain(place.name)
                name = plain if len(self._owners[plain]) == 1 else place.name
                if name != plain:
                    self._tell_taken(place)
                named = Place(
                    source=place.source,
                    tool=place.tool,
                    name=place.name,
                    definition=_renamed(place.definition, name),
                    traits=place.traits,
                    added=place.added,
                )
                shown.append((name, named))
                places[name] = places[place.name] = named
        self._shown, self._places = tuple(shown), places
        self._cache.clear()


def is_allowed(name: str, patterns: Allowed) -> bool:
    """Whether a full name is one of ``patterns``."""
    return patterns is None or is_among(name, patterns)


def _place(source: str, name: str, tool: SourceTool, policy: SourcePolicy) -> Place:
    schema, added = with_parameters(tool.input_schema, policy.parameters)
    home = ToolHome(server=source, tool=tool.name, asks=policy.asks(tool))
    return Place(
        source=source,
        tool=tool.name,
        name=name,
        definition=ToolDefinition(
            name=name, description=readable(tool.description), input_schema=schema, home=home
        ),
        traits=ToolTraits(idempotent=policy.trusted and tool.traits.idempotent, timeout_s=policy.timeout_s),
        added=added,
    )


def _renamed(definition: ToolDefinition, name: str) -> ToolDefinition:
    return replace(definition, name=name)


def _plain(name: str) -> str:
    return name.partition(SEPARATOR)[2]


def _in_a_line(name: str) -> str:
    """A stranger's name for a line of the log."""
    cut = name[:64]
    return cut if cut.isprintable() else ascii(cut)[1:-1]
