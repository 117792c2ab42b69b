"""The log: events of the schema in, lines out.

structlog is the pipeline: redaction and rendering are its processors. It is wrapped around our sink here and
never configured globally, so that an application which embeds us keeps its own configuration, and ours is not
changed by it. The lines that every request has go past the pipeline, to the same sink.

The level is compared before anything else happens, so a line that is not wanted costs one comparison.

Lines may be put off for a moment (`Log.put_off`): then the answers that they tell of are on their way
already, and all that wait are written together. What an operator should know of at once, from `warn` upward,
does not wait.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from decimal import Decimal
from threading import get_ident
from typing import TypeAlias

import structlog
from msgspec import Struct

from callboard.config import LogConfig
from callboard.domain.observation import RequestClosed
from callboard.telemetry import schema
from callboard.telemetry.closing import closing_json, closing_level, closing_logfmt
from callboard.telemetry.event import CONTEXT, HEAD, SEVERITY, Event, Field, Level
from callboard.telemetry.redaction import digest, is_secret_key, plain
from callboard.telemetry.render import Pairs, Plain, Timestamps, go_duration, json_line, logfmt_line, usd
from callboard.telemetry.sink import Sink, open_file, open_stderr
from callboard.telemetry.turn_lines import TurnLine, turn_json, turn_logfmt

REMEMBERED = 2048
REMEMBERED_CHARS = 64
"""So many texts, of so many characters at most, are known to hold nothing to hide."""

_Waiting: TypeAlias = str | tuple[str, RequestClosed | TurnLine]
"""A line, or its time and what it tells: that is rendered when it is written."""

URGENT = SEVERITY["warn"]

PUT_OFF = 16
"""As many lines wait at most."""


class Log:
    """Writes events; safe to call from anywhere, as it neither waits nor raises for reasons of the outside.

    Args:
        sink: Where lines go; closed with the log.
        settings: Format, level, and whether content may be shown.
        now_ns: Nanoseconds since the epoch.

    Attributes:
        attempts: Whether the line of each upstream attempt is written.
    """

    def __init__(self, sink: Sink, settings: LogConfig, *, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._sink = sink
        self._threshold = SEVERITY[settings.level]
        self.attempts = self.enabled(schema.ATTEMPT_SETTLED.level)
        self._content = settings.content
        self._stamps = Timestamps(now_ns)
        as_json = settings.format == "json"
        self._closing_line = closing_json if as_json else closing_logfmt
        self._turn_line = turn_json if as_json else turn_logfmt
        self._shows_turns = self.enabled("info")
        self._render: Callable[[Pairs], str] = json_line if as_json else logfmt_line
        pipeline: _Pipeline = structlog.wrap_logger(
            _Outlet(self._wait),
            processors=[_Redaction(), self._last_processor],
            wrapper_class=_Pipeline,
            context_class=dict,
        ).bind()
        self._pipeline = pipeline
        self._waiting: deque[_Waiting] = deque()
        self._soon: Callable[[Callable[[], None]], object] | None = None
        self._thread = 0  # whose event loop it is that calls back
        self._fields = {event.msg: _fields_by_name(event) for event in schema.EVENTS}
        sink.announce = self._lost_line

    def enabled(self, level: Level) -> bool:
        """Whether lines of this level are written."""
        return SEVERITY[level] >= self._threshold

    def event(self, event: Event, /, **fields: object) -> None:
        """Write one line.

        Args:
            event: One of `callboard.telemetry.schema`.
            **fields: Values for its fields; those that are None are left out.

        Raises:
            TypeError: The event has no field of this name; checked at every level, so that tests find it.
        """
        known = self._fields[event.msg]
        if not fields.keys() <= known.keys():
            raise TypeError(f"{event.msg!r} has no field {sorted(fields.keys() - known.keys())}")
        if SEVERITY[event.level] < self._threshold:
            return
        line = self._head(event)
        for name, field in known.items():
            value = fields.get(name)
            if value is not None:
                line[name] = self._shown(field, value)
        self._pipeline.emit(line)
        if SEVERITY[event.level] >= URGENT:
            self.flush()

    def closing(self, line: RequestClosed) -> None:
        """Write the closing line of a request."""
        urgent = closing_level(line) == "warn"
        if self._shows_turns or (urgent and self.enabled("warn")):
            self._wait((self._stamps.now(), line))
            if urgent:
                self.flush()

    def turn(self, line: TurnLine) -> None:
        """Write one of the lines that a turn has."""
        if self._shows_turns:
            self._wait((self._stamps.now(), line))

    @contextmanager
    def put_off(self, soon: Callable[[Callable[[], None]], object]) -> Iterator[None]:
        """Within the block, lines wait until ``soon`` calls what it is given; order is kept.

        Lines of other threads do not wait. An urgent line, closing the log, and the end of the block write
        what waits before them. Only a sudden death of the process loses some.
        """
        before = (self._soon, self._thread)
        self._soon, self._thread = soon, get_ident()
        try:
            yield
        finally:
            self._soon, self._thread = before
            self.flush()

    def flush(self) -> None:
        """Write the lines that wait."""
        waiting = self._waiting
        if not waiting:
            return
        lines: list[str] = []
        with suppress(IndexError):  # another thread that logs may take them too
            while waiting:
                lines.append(self._rendered(waiting.popleft()))
        self._sink.write("".join(lines))

    def _rendered(self, line: _Waiting) -> str:
        if isinstance(line, str):
            return line
        time, told = line
        return (
            self._closing_line(time, told) if isinstance(told, RequestClosed) else self._turn_line(time, told)
        )

    def _wait(self, line: _Waiting) -> None:
        waiting = self._waiting
        waiting.append(line)
        if self._soon is None or get_ident() != self._thread or len(waiting) >= PUT_OFF:
            self.flush()
        elif len(waiting) == 1:
            self._soon(self.flush)

    def close(self) -> None:
        """Close the sink; what is logged later is lost."""
        self.flush()
        self._sink.close()

    def _shown(self, field: Field, value: object) -> object:
        if field.content and not self._content:
            return digest(value)
        if isinstance(value, int) and field.type == "duration":
            return go_duration(value)
        if isinstance(value, int) and field.type == "usd":
            return Decimal(usd(value))
        return value

    def _head(self, event: Event) -> dict[str, object]:
        return dict(zip(HEAD, (self._stamps.now(), event.level.upper(), event.msg), strict=True))

    def _lost_line(self, count: int) -> str:
        event = schema.LOG_LINES_LOST
        return self._render(
            (
                ("time", self._stamps.now()),
                ("level", event.level.upper()),
                ("msg", event.msg),
                ("count", count),
            )
        )

    def _last_processor(self, _sink: object, _method: str, line: MutableMapping[str, Plain]) -> str:
        return self._render(line.items())


class _Outlet(Struct, frozen=True):
    """Where structlog's lines go."""

    write: Callable[[str], None]


class _Pipeline(structlog.BoundLoggerBase):
    """structlog's side of the log: runs the processors, then calls the sink's ``write``."""

    def emit(self, line: Mapping[str, object]) -> None:
        self._proxy_to_logger("write", None, **line)


class _Redaction:
    """A processor: nothing goes past it but what `plain` lets through.

    Names and ids come again and again. Those that were found to hold nothing to hide are remembered, so that
    they are searched once; what was hidden is not kept.
    """

    def __init__(self) -> None:
        self._harmless: set[str] = set()

    def __call__(
        self, _sink: object, _method: str, line: MutableMapping[str, object]
    ) -> MutableMapping[str, Plain]:
        shown: dict[str, Plain] = {}
        for name, value in line.items():
            if isinstance(value, str) and value in self._harmless and not is_secret_key(name):
                shown[name] = value
                continue
            found = plain(name, value)
            if found is not None:
                shown[name] = found
            if found is value and isinstance(value, str) and len(value) <= REMEMBERED_CHARS:
                if len(self._harmless) >= REMEMBERED:
                    self._harmless.clear()
                self._harmless.add(value)
        return shown


def _fields_by_name(event: Event) -> dict[str, Field]:
    context = {each.name: each for each in CONTEXT}
    return {name: context[name] for name in event.context} | {each.name: each for each in event.fields}


def open_log(settings: LogConfig) -> Log:
    """The log that the configuration describes; the caller closes it.

    A file that cannot be opened is replaced by standard error, and the log's first line says so.
    """
    if settings.file is None:
        return Log(open_stderr(), settings)
    try:
        return Log(open_file(settings.file), settings)
    except OSError as error:
        log = Log(open_stderr(), settings)
        log.event(schema.LOG_FILE_UNUSABLE, file=settings.file, error=type(error).__name__)
        return log
