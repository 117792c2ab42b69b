"""What the runtime tells its observers, as lines of the log.

One table says which event a class becomes and which attribute fills which field; the lines that every request
has are written without it. Any other class is nobody's line: observers are told more than a log needs.
"""

from __future__ import annotations

from msgspec import Struct

from callboard.domain.observation import (
    AttemptFailed,
    CommandCompleted,
    CommandStarted,
    ConfigurationNotice,
    EndNotKept,
    ProviderAnswered,
    RequestClosed,
    ServerDraining,
    ServerStarted,
    ServerStopped,
    ToolAvailable,
    ToolDisabled,
    ToolExecuted,
    ToolExecuting,
    ToolGivenUp,
    ToolNameTaken,
    ToolProcessEnded,
    ToolProgressed,
    ToolRaised,
    ToolSourceDown,
    ToolSourceRefused,
    ToolSourceSaid,
    ToolSourceUp,
    ToolUnavailable,
    TurnTakenUp,
)
from callboard.kernel.lifecycle import (
    Crashed,
    DeadLetter,
    Drained,
    Escalated,
    LifecycleEvent,
    MailboxRejected,
    Restarted,
    Started,
    Stopped,
    WorkFailed,
)
from callboard.limits.ledger import LedgerLine
from callboard.telemetry import schema, tool_events
from callboard.telemetry.event import Event
from callboard.telemetry.failure import failure_fields
from callboard.telemetry.logging import Log


class Row(Struct, frozen=True):
    """How one class becomes a line.

    Attributes:
        attributes: The attribute for each field; an exception fills ``error``, ``at`` and ``detail``.
    """

    event: Event
    attributes: dict[str, str]


def _row(event: Event, *same: str, **renamed: str) -> Row:
    return Row(event, {name: name for name in same} | renamed)


ROWS: dict[type[Struct], Row] = {
    ToolExecuted: _row(
        tool_events.TOOL_EXECUTED, "request_id", "assistant", "name", "failed", duration="duration_us"
    ),
    ToolProgressed: _row(tool_events.TOOL_PROGRESS, "request_id", "name", "fraction", "message"),
    ToolRaised: _row(tool_events.TOOL_RAISED, "request_id", "name", "error"),
    ToolGivenUp: _row(tool_events.TOOL_GIVEN_UP, "request_id", "name"),
    ToolProcessEnded: _row(
        tool_events.TOOL_PROCESS_ENDED,
        *("request_id", "name", "ending"),
        duration="duration_us",
        stdout_bytes="output_bytes",
        stderr_bytes="complaint_bytes",
        stderr="complaints",
    ),
    ToolAvailable: _row(tool_events.TOOL_AVAILABLE, "name", "source", "command"),
    ToolUnavailable: _row(tool_events.TOOL_UNAVAILABLE, "name", "reason", "detail"),
    EndNotKept: _row(schema.END_NOT_KEPT, "response_id", "error_type"),
    TurnTakenUp: _row(schema.TURN_TAKEN_UP, "response_id", "continued"),
    AttemptFailed: _row(
        schema.ATTEMPT_FAILED, "request_id", "provider", "model", "error_type", status="upstream_status"
    ),
    ServerStarted: _row(schema.SERVER_STARTED, "address", "version", "schema"),
    ServerDraining: _row(schema.SERVER_DRAINING),
    ServerStopped: _row(schema.SERVER_STOPPED, duration="duration_us"),
    ConfigurationNotice: _row(schema.CONFIGURATION_NOTICE, "text"),
    ToolSourceUp: _row(tool_events.TOOL_SOURCE_UP, "source", "protocol", "tools"),
    ToolSourceDown: _row(tool_events.TOOL_SOURCE_DOWN, "source", "reason", "retry_s"),
    ToolDisabled: _row(tool_events.TOOL_DISABLED, "source", "tool", "reason"),
    ToolNameTaken: _row(tool_events.TOOL_NAME_TAKEN, "source", "tool", "name"),
    ToolSourceRefused: _row(tool_events.TOOL_SOURCE_REFUSED, "source", "request", "reason", "untold"),
    ToolSourceSaid: _row(tool_events.TOOL_SOURCE_SAID, "source", "severity", "text"),
    Started: _row(schema.ACTOR_STARTED, "path", "incarnation"),
    Stopped: _row(schema.ACTOR_STOPPED, "path", "incarnation", "cancelled"),
    Crashed: _row(schema.ACTOR_CRASHED, "path", "incarnation", "error"),
    Restarted: _row(schema.ACTORS_RESTARTED, "path", "incarnation", "children", "delay_s"),
    Escalated: _row(schema.SUPERVISOR_ESCALATED, "path", "incarnation", "child", "error"),
    WorkFailed: _row(schema.WORK_FAILED, "path", "request", "error"),
    DeadLetter: _row(schema.DEAD_LETTER, "path", "request", "reason"),
    MailboxRejected: _row(schema.MAILBOX_REJECTED, "path", "request"),
    Drained: _row(schema.SYSTEM_DRAINED, "path", "in_time"),
}


def observe_domain(log: Log, observation: object) -> None:
    """Write what happened to a request."""
    match observation:
        case RequestClosed():
            log.closing(observation)
        case CommandStarted() | ProviderAnswered() | ToolExecuting() | CommandCompleted():
            log.turn(observation)
        case _:
            _write(log, observation)


def observe_kernel(log: Log, event: LifecycleEvent) -> None:
    """Write what happened to an actor."""
    _write(log, event)


def observe_ledger(log: Log, line: LedgerLine) -> None:
    """Write what an upstream attempt came to."""
    if log.attempts:
        log.event(
            schema.ATTEMPT_SETTLED,
            request_id=line.request_id,
            response_id=line.response_id,
            provider=line.provider,
            model=line.model,
            attempt_id=line.attempt_id,
            outcome=line.outcome,
            duration=(line.ended_ns - line.started_ns) // 1000,
            tokens_in=line.input_tokens + line.cache_read_tokens + line.cache_write_tokens,
            tokens_out=line.output_tokens,
            cost_usd=line.cost_picousd,
            basis=line.cost_basis,
        )


def observe_bug(log: Log, request_id: str, error: BaseException) -> None:
    """Write that a request met an exception that should not have happened."""
    log.event(schema.UNEXPECTED_ERROR, request_id=request_id, **failure_fields(error))


def _write(log: Log, observation: object) -> None:
    row = ROWS.get(type(observation)) if isinstance(observation, Struct) else None
    if row is None or not log.enabled(row.event.level):
        return
    fields: dict[str, object] = {}
    for field, attribute in row.attributes.items():
        value: object = getattr(observation, attribute)
        if isinstance(value, BaseException):
            fields |= failure_fields(value)
        else:
            fields[field] = value
    log.event(row.event, **fields)
