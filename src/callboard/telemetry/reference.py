"""docs/log.md, made from the schema. A test fails where the file differs, and says how to write it anew."""

from __future__ import annotations

from collections.abc import Iterator

from callboard import errors
from callboard.telemetry.event import CONTEXT, Event, Field
from callboard.telemetry.schema import EVENTS, VERSION

_INTRODUCTION = f"""\
# The log

<!-- Made from src/callboard/telemetry/schema.py by callboard.telemetry.reference; do not edit. -->

Schema version {VERSION}. One event is one line, as logfmt or, with `[log] format = "json"`, as a JSON object.

    time=2025-01-01T02:21:00Z level=INFO msg="processing command" assistant=default

- The first keys are always `time`, `level` and `msg`; then come `request_id`, `response_id`, `assistant`,
  `provider` and `model`, where they apply; then the event's own, in the order given here. A field without
  a value is left out.
- `time` is UTC, RFC 3339: to the second where it falls on a whole one, else to the millisecond.
- `level` is `DEBUG`, `INFO`, `WARN` or `ERROR`.
- In logfmt a value is bare unless it is empty or holds a space, `"`, `=` or anything unprintable; otherwise
  it is a JSON string. Control characters, line separators and marks that change the direction of text are
  always escaped. Strings are cut at 1024 characters and then end in `…`.
- Durations are written as Go does: `2s`, `1.5s`, `150ms`, `1m30s`.
- Fields marked *content* hold what users or models said. Unless `[log] content = true`, their size and a hash
  stand in their place. Credentials, and user names and queries in URLs, are never written.
- Lines are appended whole and in order. Up to `INFO` they wait for others, 10 ms at most, to be written with
  them; from `WARN` upward they are written at once. What cannot be written is counted and reported by
  `log lines lost`.

Later releases may add events and fields. Renaming or removing one, or changing what it means, raises the
version.
"""


def reference() -> str:
    """The whole document."""
    return "\n".join(_sections()) + "\n"


def error_types() -> tuple[str, ...]:
    """The closed set of ``error_type``: those of `callboard.errors`, and ``cancelled``."""
    every = {each.type for each in _subclasses(errors.CallboardError)}
    return tuple(sorted(every | {"cancelled"}))


def _subclasses(root: type[errors.CallboardError]) -> Iterator[type[errors.CallboardError]]:
    yield root
    for each in root.__subclasses__():
        if each.__module__ == errors.__name__:
            yield from _subclasses(each)


def _sections() -> Iterator[str]:
    yield _INTRODUCTION
    yield "## Fields that many events share\n"
    yield from _table(CONTEXT)
    yield "\n## Events\n"
    for event in EVENTS:
        yield from _event(event)
    yield "## Error types\n"
    yield "The values of `error_type`, which are also those in the bodies of answers:\n"
    yield ", ".join(f"`{each}`" for each in error_types()) + "."


def _event(event: Event) -> Iterator[str]:
    yield f"### {event.msg}\n"
    yield f"{event.level.upper()}. {event.meaning}\n"
    if event.context:
        yield "With " + ", ".join(f"`{name}`" for name in event.context) + ".\n"
    if event.fields:
        yield from _table(event.fields)
        yield ""


def _table(fields: tuple[Field, ...]) -> Iterator[str]:
    yield "| key | type | meaning |"
    yield "|---|---|---|"
    for field in fields:
        unit = f", {field.unit}" if field.unit else ""
        mark = " (*content*)" if field.content else ""
        yield f"| `{field.name}` | {field.type}{unit} | {field.meaning}{mark} |"
