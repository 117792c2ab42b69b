"""External programs as tools: one run of the program for each call, JSON in and JSON out.

A program is asked ``--usage`` for its schema and ``--health`` for how it is, once, when tools are first
asked for; several programs at the same time, each within `PROBE_SECONDS` for both. One that cannot answer is
listed as unavailable with the reason, and everything else goes on without it.

Whatever a program does in a call (an exit status, a signal, junk, a flood) becomes a result that tells the
model of it. What it writes to standard error is never shown to a model: nobody knows what is in there.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import anyio
import msgspec
from anyio import CapacityLimiter, Lock
from msgspec import Raw, Struct
from msgspec.structs import replace

from callboard.domain.block import TextBlock
from callboard.domain.observation import Observation, ToolAvailable, ToolProcessEnded, ToolUnavailable
from callboard.domain.tool_process import ToolProcess
from callboard.domain.tools import ToolDefinition, ToolOutcome, ToolReport, failed
from callboard.errors import ConfigurationError
from callboard.tools import arguments as checked
from callboard.tools import process_environment
from callboard.tools.child import Command, Ending
from callboard.tools.context import NOWHERE, ToolContext
from callboard.tools.outcome import NO_OUTPUT
from callboard.tools.process_run import Run, run
from callboard.tools.source import ToolTraits, unknown_tool
from callboard.tools.usage import MAX_USAGE_BYTES, Usage, read_health, read_usage

PROBE_SECONDS = 5.0
PROBES_AT_ONCE = 8
MAX_OUTPUT_BYTES = 8 * 1024 * 1024
SIGXCPU = -24
"""Exit code of a program that used up its processor time."""


class _Ready(Struct, frozen=True):
    """A program that may be called."""

    command: Command
    usage: Usage


class _Unfit(Struct, frozen=True):
    """A program that may not, and why; ``detail`` is what it said itself."""

    reason: str
    detail: str = ""


class ProcessTools:
    """A `callboard.tools.source.ToolSource` of external programs.

    Args:
        tools: What the operator configured; their names differ.
        environ: Our own environment, of which they see what was declared.
        observe: Told which are available, and of each run.
        probe_s: Seconds in which a program has to say what it is and that it is well.
        places: Programs that are asked at the same time; shared by several sources, or eight of this one.

    Raises:
        ConfigurationError: Two have the same name.
    """

    def __init__(
        self,
        tools: Iterable[ToolProcess],
        *,
        environ: Mapping[str, str],
        observe: Callable[[Observation], None],
        probe_s: float = PROBE_SECONDS,
        places: CapacityLimiter | None = None,
    ) -> None:
        self._tools: dict[str, ToolProcess] = {}
        for each in tools:
            if each.name in self._tools:
                raise ConfigurationError(f"two tools are named {each.name!r}; rename one")
            self._tools[each.name] = each
        self._environ = environ
        self._observe = observe
        self._probe_s = probe_s
        self._places = places
        self._states: dict[str, _Ready | _Unfit] | None = None
        self._probing = Lock()

    async def definitions(self) -> tuple[ToolDefinition, ...]:
        """The available tools, in the order of the configuration."""
        states = await self._probed()
        return tuple(each.usage.definition for each in states.values() if isinstance(each, _Ready))

    def traits(self, name: str) -> ToolTraits:
        """How the tool ``name`` wants to be called."""
        tool = self._tools.get(name)
        return (
            ToolTraits() if tool is None else ToolTraits(idempotent=tool.idempotent, timeout_s=tool.timeout_s)
        )

    async def call(self, name: str, arguments: Raw, context: ToolContext = NOWHERE) -> ToolOutcome:
        """Run the program of the tool ``name`` once. Cancelled, it is gone within a second.

        Raises:
            InvalidArguments: The arguments do not fit the schema; nothing was run.
        """
        states = await self._probed()
        state = states.get(name)
        if not isinstance(state, _Ready):
            available = (each for each in states if isinstance(states[each], _Ready))
            return unknown_tool(name, available)
        checked.check(name, arguments, state.usage.definition.input_schema)
        since = time.perf_counter_ns()
        try:
            done = await run(state.command, bytes(arguments).strip() or b"{}", most=MAX_OUTPUT_BYTES)
        except OSError as error:
            return failed(f"Tool {name!r} could not be started: {error.strerror}")
        self._observe(
            ToolProcessEnded(
                request_id=context.request_id,
                name=name,
                ending="wrote too much" if done.ending is None else str(done.ending),
                duration_us=(time.perf_counter_ns() - since) // 1000,
                output_bytes=len(done.output),
                complaint_bytes=done.complaint_bytes,
                complaints=done.complaints,
            )
        )
        return _outcome(self._tools[name], done)

    async def reports(self) -> tuple[ToolReport, ...]:
        """How each tool stands, disabled ones too, in the order of the configuration."""
        states = await self._probed()
        return tuple(_report(tool, states.get(name)) for name, tool in self._tools.items())

    async def _probed(self) -> Mapping[str, _Ready | _Unfit]:
        """What is known of the enabled programs; they are asked once."""
        async with self._probing:
            if self._states is None:
                self._states = await self._probe()
                for name, state in self._states.items():
                    self._tell(name, state)
            return self._states

    async def _probe(self) -> dict[str, _Ready | _Unfit]:
        enabled = [each for each in self._tools.values() if each.enabled]
        found: dict[str, _Ready | _Unfit] = {}
        places = self._places or CapacityLimiter(PROBES_AT_ONCE)

        async def ask(tool: ToolProcess) -> None:
            found[tool.name] = _Unfit(f"it did not say how it is within {self._probe_s:g} s")
            async with places:
                with anyio.move_on_after(self._probe_s):
                    found[tool.name] = await self._ask(tool)

        async with anyio.create_task_group() as tasks:
            for each in enabled:
                tasks.start_soon(ask, each)
        return {each.name: found[each.name] for each in enabled}

    async def _ask(self, tool: ToolProcess) -> _Ready | _Unfit:
        """Ask one program for its usage and its health."""
        program = _program(tool, self._environ)
        if program is None:
            return _Unfit("there is no such program, or it may not be run")
        minimal = process_environment.minimal(self._environ)
        try:
            own = process_environment.declared(tool.variables, (), self._environ)
            command = Command(
                argv=(program, *tool.command[1:]),
                environment=minimal | own,
                folder=tool.folder,
                limits=tool.limits,
            )
            said = await _answer(command, "--usage")
            if isinstance(said, _Unfit):
                return said
            usage = read_usage(tool.name, said.output)
            declared = process_environment.declared(tool.variables, usage.variables, self._environ)
            command = replace(command, environment=minimal | declared)
            said = await _answer(command, "--health")
            if isinstance(said, _Unfit):
                return said
            well, details = read_health(said.output)
        except ValueError as error:
            return _Unfit(str(error))
        except OSError as error:
            return _Unfit(f"it could not be started: {error.strerror}")
        return _Ready(command, usage) if well else _Unfit("--health says that it is not well", details)

    def _tell(self, name: str, state: _Ready | _Unfit) -> None:
        match state:
            case _Ready():
                self._observe(ToolAvailable(name=name, source="process", command=state.command.argv[0]))
            case _Unfit():
                self._observe(ToolUnavailable(name=name, reason=state.reason, detail=state.detail))


async def _answer(command: Command, question: str) -> Run | _Unfit:
    """What a program says to ``--usage`` or ``--health``.

    Raises:
        OSError: It could not be started.
    """
    asked = replace(command, argv=(*command.argv, question))
    said = await run(asked, b"", most=MAX_USAGE_BYTES)
    if said.ending is None:
        return _Unfit(f"{question} printed more than {MAX_USAGE_BYTES} bytes")
    return said if said.succeeded else _Unfit(f"{question} {said.ending}", said.complaints)


def _program(tool: ToolProcess, environ: Mapping[str, str]) -> str | None:
    """The absolute path of a tool's program; None where there is none that may be run."""
    name = tool.command[0]
    if "/" in name:
        return shutil.which(str(Path(tool.folder, name)))
    return shutil.which(name, path=environ.get("PATH", ""))


def _outcome(tool: ToolProcess, done: Run) -> ToolOutcome:
    """What the model is told of a run."""
    ending = done.ending
    if ending is None:
        limit = MAX_OUTPUT_BYTES // (1024 * 1024)
        return failed(f"Tool {tool.name!r} wrote more than {limit} MiB and was stopped.")
    said = _text(done.output)
    if ending.code != 0:
        reason = f"Tool {tool.name!r} {_how(tool, ending)}."
        # A program that fails may still say why, in the form in which it would have answered.
        return failed(f"{reason} It said: {said}" if said else reason)
    if said is None:
        return failed(f"Tool {tool.name!r} did not answer in JSON.")
    return ToolOutcome(content=(TextBlock(text=said or NO_OUTPUT),))


def _how(tool: ToolProcess, ending: Ending) -> str:
    if ending.code == SIGXCPU and tool.limits.cpu_seconds is not None:
        return f"used more than {tool.limits.cpu_seconds} s of processor time and was stopped"
    return str(ending)


def _text(output: bytes) -> str | None:
    """A program's output for the model: the content of a JSON string, other JSON as it is; None for junk."""
    output = output.strip()
    if not output or output == b"null":
        return ""
    try:
        msgspec.json.decode(output, type=Raw)  # checks the form, and builds nothing
        return msgspec.json.decode(output, type=str) if output.startswith(b'"') else output.decode()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _report(tool: ToolProcess, state: _Ready | _Unfit | None) -> ToolReport:
    report = ToolReport(name=tool.name, source="process", command=tool.command[0], state="disabled")
    match state:
        case None:
            return report
        case _Unfit():
            return replace(report, state="unavailable", reason=state.reason, detail=state.detail)
        case _Ready():
            return replace(
                report,
                state="available",
                description=state.usage.definition.description,
                command=state.command.argv[0],
                variables=tuple(sorted(state.command.environment)),
            )
