"""Lines about tools and where they come from."""

from __future__ import annotations

from callboard.telemetry.event import AT, DETAIL, DURATION, ERROR, TURN, Event, Field

EXECUTING_TOOL = Event(
    "executing tool",
    "info",
    "A tool of ours is about to run.",
    (
        Field("name", "string", "the tool"),
        Field("arguments", "string", "what it is called with", content=True),
    ),
    TURN,
)
TOOL_EXECUTED = Event(
    "tool executed",
    "debug",
    "A tool of ours has run.",
    (
        Field("name", "string", "the tool"),
        DURATION,
        Field("failed", "boolean", "whether the model was told of an error"),
    ),
    TURN,
)
TOOL_PROGRESS = Event(
    "tool progress",
    "debug",
    "A tool of ours says how far it is.",
    (
        Field("name", "string", "the tool"),
        Field("fraction", "number", "from 0 to 1, where it knows"),
        Field("message", "string", "what it says", content=True),
    ),
    ("request_id",),
)
TOOL_RAISED = Event(
    "tool raised",
    "warn",
    "A function that is a tool raised what it did not mean to; the model was told that it failed.",
    (Field("name", "string", "the tool"), ERROR, AT, DETAIL),
    ("request_id",),
)
TOOL_GIVEN_UP = Event(
    "tool given up",
    "warn",
    "Nobody waits for a synchronous function any more; it goes on in its thread until it returns.",
    (Field("name", "string", "the tool"),),
    ("request_id",),
)
TOOL_PROCESS_ENDED = Event(
    "tool process ended",
    "debug",
    "The program of an external tool has ended.",
    (
        Field("name", "string", "the tool"),
        Field("ending", "string", "how"),
        DURATION,
        Field("stdout_bytes", "integer", "size of what it answered", "bytes"),
        Field("stderr_bytes", "integer", "size of what it wrote to standard error", "bytes"),
        Field("stderr", "string", "the end of that", content=True),
    ),
    ("request_id",),
)
TOOL_AVAILABLE = Event(
    "tool available",
    "info",
    "A tool from outside this process can be used.",
    (
        Field("name", "string", "the tool"),
        Field("source", "string", "where it comes from"),
        Field("command", "string", "absolute path of its program"),
    ),
)
TOOL_UNAVAILABLE = Event(
    "tool unavailable",
    "warn",
    "A configured tool cannot be used; no model is offered it.",
    (
        Field("name", "string", "the tool"),
        Field("reason", "string", "why"),
        Field("detail", "string", "what its program said", content=True),
    ),
)
_SOURCE = Field("source", "string", "configured name of the source of tools, e.g. of an MCP server")
_TOOL = Field("tool", "string", "the tool, as its source calls it")
TOOL_SOURCE_UP = Event(
    "tool source up",
    "info",
    "A source of tools can be called.",
    (
        _SOURCE,
        Field("protocol", "string", "version of the protocol agreed on"),
        Field("tools", "integer", "tools it has that may be offered", "tools"),
    ),
)
TOOL_SOURCE_DOWN = Event(
    "tool source down",
    "warn",
    "A source of tools was lost or could not be reached; it is tried again.",
    (
        _SOURCE,
        Field("reason", "string", "why"),
        Field("retry_s", "number", "until it is tried again", "s"),
    ),
)
TOOL_DISABLED = Event(
    "tool disabled",
    "warn",
    "A source has a tool that is not offered.",
    (_SOURCE, _TOOL, Field("reason", "string", "why, and what would change it")),
)
TOOL_NAME_TAKEN = Event(
    "tool name taken",
    "warn",
    "A tool is shown under its full name alone, because somebody else has had a tool of its plain name.",
    (_SOURCE, _TOOL, Field("name", "string", "what it is shown as")),
)
TOOL_SOURCE_REFUSED = Event(
    "tool source refused",
    "warn",
    "A source asked us for something, a generation for example, and did not get it.",
    (
        _SOURCE,
        Field("request", "string", "what it asked for, by its protocol's name"),
        Field("reason", "string", "what it was told"),
        Field(
            "untold", "integer", "refusals since the last such line that have none of their own", "refusals"
        ),
    ),
)
TOOL_SOURCE_SAID = Event(
    "tool source said",
    "debug",
    "What a source wrote for its operator, on standard error or as a log notification.",
    (
        _SOURCE,
        Field("severity", "string", "as it says, or stderr"),
        Field("text", "string", "one line of it", content=True),
    ),
)

TOOL_EVENTS = (
    EXECUTING_TOOL,
    TOOL_EXECUTED,
    TOOL_PROGRESS,
    TOOL_RAISED,
    TOOL_GIVEN_UP,
    TOOL_PROCESS_ENDED,
    TOOL_AVAILABLE,
    TOOL_UNAVAILABLE,
    TOOL_SOURCE_UP,
    TOOL_SOURCE_DOWN,
    TOOL_DISABLED,
    TOOL_NAME_TAKEN,
    TOOL_SOURCE_REFUSED,
    TOOL_SOURCE_SAID,
)
