"""Every line the log can have: its message, level and fields. docs/log.md is made from these values.

A line's first keys are `HEAD`, then those of `CONTEXT` that apply, then the event's own in the order given
here; a field without a value is left out. Adding events and fields keeps `VERSION`; renaming, removing or
changing the meaning of one raises it.
"""

from __future__ import annotations

from callboard.telemetry.event import AT, CONTEXT, DETAIL, DURATION, ERROR, TURN, Event, Field
from callboard.telemetry.tool_events import TOOL_EVENTS

VERSION = 1

_CALL = ("request_id", "provider", "model")
_PATH = Field("path", "string", "names from the root of the supervision tree to the actor")
_INCARNATION = Field("incarnation", "integer", "starts of this actor so far, this one included")
_REQUEST = Field("request", "string", "type of the request to the actor")

PROCESSING_COMMAND = Event("processing command", "info", "An assistant begins a turn.", (), TURN)
PROVIDER_RESPONSE = Event(
    "provider response",
    "info",
    "A generation ended.",
    (Field("tokens", "integer", "prompt and answer together", "tokens"),),
    ("request_id", "assistant", "provider", "model"),
)
COMMAND_COMPLETED = Event("command completed", "info", "The turn is over.", (DURATION,), TURN)
END_NOT_KEPT = Event(
    "end not kept",
    "error",
    "A turn has ended and the store could not be told; it looks unfinished until that can be made up for.",
    (Field("error_type", "string", "one of the error types below"),),
    ("response_id",),
)
TURN_TAKEN_UP = Event(
    "turn taken up",
    "warn",
    "A response that another process had left unfinished.",
    (Field("continued", "boolean", "whether it goes on; else it was ended as incomplete"),),
    ("response_id",),
)
ATTEMPT_FAILED = Event(
    "attempt failed",
    "warn",
    "An upstream attempt came to nothing; another may follow.",
    (
        Field("status", "integer", "HTTP status the provider sent, where one arrived"),
        Field("error_type", "string", "one of the error types below"),
    ),
    _CALL,
)
ATTEMPT_SETTLED = Event(
    "attempt settled",
    "debug",
    "What one upstream attempt came to, as it stands in the ledger.",
    (
        Field("attempt_id", "string", "the attempt"),
        Field("outcome", "string", "how it ended"),
        DURATION,
        Field("tokens_in", "integer", "prompt, cached or not", "tokens"),
        Field("tokens_out", "integer", "answer, reasoning included", "tokens"),
        Field("cost_usd", "usd", "its price", "USD"),
        Field("basis", "string", "whether the cost follows from reported or estimated tokens"),
    ),
    ("request_id", "response_id", "provider", "model"),
)
REQUEST_CLOSED = Event(
    "request closed",
    "info",
    "A request is over, however it ended; one line for each. At level WARN where the status is 500 or above.",
    (
        Field(
            "route",
            "string",
            "the path it came to, or what of ours asked: a method of the runtime, `background`, `chat_title`",
        ),
        Field("key_id", "string", "the client key it came with, where one was needed"),
        Field("status", "integer", "HTTP status sent; 499 where the client left first"),
        Field("stream", "boolean", "whether the answer was streamed"),
        Field("wall_ms", "number", "from its arrival to its end", "ms"),
        Field("queue_ms", "number", "part of wall_ms: waiting for admission", "ms"),
        Field("own_ms", "number", "part of wall_ms: our own work, tools included", "ms"),
        Field("upstream_ttfb_ms", "number", "part of wall_ms: until a provider's first byte", "ms"),
        Field("upstream_ms", "number", "part of wall_ms: waiting for the rest of its answer", "ms"),
        Field("tool_ms", "number", "part of own_ms: running tools", "ms"),
        Field("tokens_in", "integer", "prompt, cached or not", "tokens"),
        Field("tokens_out", "integer", "answer, reasoning included", "tokens"),
        Field("tokens_cached", "integer", "part of tokens_in: read from a prompt cache", "tokens"),
        Field("tokens_reasoning", "integer", "part of tokens_out: spent on reasoning", "tokens"),
        Field("cost_usd", "usd", "price of all attempts", "USD"),
        Field("attempts", "integer", "upstream calls made"),
        Field("error_type", "string", "one of the error types below; absent where all went well"),
    ),
    tuple(each.name for each in CONTEXT),
)

SERVER_STARTED = Event(
    "server started",
    "info",
    "The server listens.",
    (
        Field("address", "string", "where"),
        Field("version", "string", "of Callboard"),
        Field("schema", "integer", "version of this schema"),
    ),
)
SERVER_DRAINING = Event("server draining", "info", "A signal came: nothing new is admitted.")
SERVER_STOPPED = Event("server stopped", "info", "The server has ended.", (DURATION,))
CONFIGURATION_NOTICE = Event(
    "configuration notice",
    "warn",
    "Something configured has no effect.",
    (Field("text", "string", "what, and why"),),
)
UNEXPECTED_ERROR = Event(
    "unexpected error",
    "error",
    "A bug: the client got an internal error.",
    (ERROR, AT, DETAIL),
    ("request_id",),
)

ACTOR_STARTED = Event("actor started", "debug", "An actor takes requests.", (_PATH, _INCARNATION))
ACTOR_STOPPED = Event(
    "actor stopped",
    "debug",
    "An actor ended as it was meant to.",
    (_PATH, _INCARNATION, Field("cancelled", "boolean", "whether its grace ran out first")),
)
ACTOR_CRASHED = Event(
    "actor crashed",
    "error",
    "An actor ended with an exception; its supervisor decides what follows.",
    (_PATH, _INCARNATION, ERROR, AT, DETAIL),
)
ACTORS_RESTARTED = Event(
    "actors restarted",
    "warn",
    "A supervisor starts children again.",
    (
        _PATH,
        _INCARNATION,
        Field("children", "string", "their names, joined by commas"),
        Field("delay_s", "number", "until they start", "s"),
    ),
)
SUPERVISOR_ESCALATED = Event(
    "supervisor escalated",
    "error",
    "A supervisor gave up, because a child crashed too often.",
    (_PATH, _INCARNATION, Field("child", "string", "its name"), ERROR, AT, DETAIL),
)
WORK_FAILED = Event(
    "work failed",
    "error",
    "Work for one request failed; the actor lives on.",
    (_PATH, _REQUEST, ERROR, AT, DETAIL),
)
DEAD_LETTER = Event(
    "dead letter",
    "warn",
    "A request to an actor will not be acted on.",
    (_PATH, _REQUEST, Field("reason", "string", "why")),
)
MAILBOX_REJECTED = Event("mailbox rejected", "warn", "A full mailbox refused a request.", (_PATH, _REQUEST))
SYSTEM_DRAINED = Event(
    "system drained",
    "info",
    "Every actor has stopped.",
    (_PATH, Field("in_time", "boolean", "whether all ended by themselves within the grace")),
)

LOG_FILE_UNUSABLE = Event(
    "log file unusable",
    "warn",
    "The file for the log cannot be opened; lines go to standard error.",
    (Field("file", "string", "its path"), ERROR),
)
LOG_LINES_LOST = Event(
    "log lines lost",
    "warn",
    "Writing failed, and works again.",
    (Field("count", "integer", "lines that are missing before this one", "lines"),),
)
LIBRARY_LOG = Event(
    "library log",
    "info",
    "A library we use logged something, at the level it chose.",
    (
        Field("logger", "string", "its name"),
        Field("text", "string", "what it says, without the values it fills in"),
        ERROR,
        AT,
    ),
)

EVENTS: tuple[Event, ...] = (
    PROCESSING_COMMAND,
    PROVIDER_RESPONSE,
    *TOOL_EVENTS,
    COMMAND_COMPLETED,
    END_NOT_KEPT,
    TURN_TAKEN_UP,
    ATTEMPT_FAILED,
    ATTEMPT_SETTLED,
    REQUEST_CLOSED,
    SERVER_STARTED,
    SERVER_DRAINING,
    SERVER_STOPPED,
    CONFIGURATION_NOTICE,
    UNEXPECTED_ERROR,
    ACTOR_STARTED,
    ACTOR_STOPPED,
    ACTOR_CRASHED,
    ACTORS_RESTARTED,
    SUPERVISOR_ESCALATED,
    WORK_FAILED,
    DEAD_LETTER,
    MAILBOX_REJECTED,
    SYSTEM_DRAINED,
    LOG_FILE_UNUSABLE,
    LOG_LINES_LOST,
    LIBRARY_LOG,
)
