"""What happens to a request, as values: given to an observer, who may log, count or ignore them.

The layers that do the work emit these and know nothing of logs. Kernel events (starts, crashes, restarts) are
`callboard.kernel.lifecycle`'s; these are the domain's.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from callboard.domain.usage import Usage


class CommandStarted(Struct, frozen=True, kw_only=True):
    """An assistant begins a turn."""

    request_id: str
    assistant: str


class ProviderAnswered(Struct, frozen=True, kw_only=True):
    """A generation ended.

    Attributes:
        tokens: Prompt and answer together.
    """

    request_id: str
    assistant: str
    provider: str
    model: str
    tokens: int


class ToolExecuting(Struct, frozen=True, kw_only=True):
    """A tool of ours is about to run."""

    request_id: str
    assistant: str
    name: str


class ToolExecuted(Struct, frozen=True, kw_only=True):
    """A tool of ours has run.

    Attributes:
        failed: Whether the model was told of an error. Its text is not here: it may hold arguments.
    """

    request_id: str
    assistant: str
    name: str
    duration_us: int
    failed: bool = False


class ToolProgressed(Struct, frozen=True, kw_only=True):
    """A tool of ours says how far it is.

    Attributes:
        fraction: From 0 to 1; None where it does not know.
    """

    request_id: str
    name: str
    fraction: float | None = None
    message: str = ""


class ToolRaised(Struct, frozen=True, kw_only=True):
    """A function that is a tool raised what it did not mean to; the model was told that it failed."""

    request_id: str
    name: str
    error: BaseException


class ToolGivenUp(Struct, frozen=True, kw_only=True):
    """Nobody waits for a tool any more, and it cannot be stopped: it goes on in its thread."""

    request_id: str
    name: str


class ToolProcessEnded(Struct, frozen=True, kw_only=True):
    """The program of an external tool has ended.

    Attributes:
        ending: How, e.g. ``ended with exit status 0``.
        complaint_bytes: Size of what it wrote to standard error; ``complaints`` is the end of that.
    """

    request_id: str
    name: str
    ending: str
    duration_us: int
    output_bytes: int
    complaint_bytes: int
    complaints: str


class ToolAvailable(Struct, frozen=True, kw_only=True):
    """A tool from outside this process can be used.

    Attributes:
        source: Where it comes from, e.g. ``process``.
        command: Absolute path of its program.
    """

    name: str
    source: str
    command: str


class ToolUnavailable(Struct, frozen=True, kw_only=True):
    """A configured tool cannot be used; no model is offered it.

    Attributes:
        reason: Ours; ``detail`` is what its program said.
    """

    name: str
    reason: str
    detail: str = ""


class CommandCompleted(Struct, frozen=True, kw_only=True):
    """The turn is over, and answered."""

    request_id: str
    assistant: str
    duration_us: int


class AttemptFailed(Struct, frozen=True, kw_only=True):
    """An upstream attempt came to nothing; another may follow.

    Attributes:
        error_type: The ``type`` of a class in `callboard.errors`.
    """

    request_id: str
    provider: str
    model: str
    error_type: str
    upstream_status: int | None = None


class TimeSplit(Struct, frozen=True, kw_only=True, gc=False):
    """Where the time of a request went, in microseconds; the first four add up to ``wall_us`` exactly.

    Attributes:
        queue_us: Waiting for admission: mailboxes and limits.
        own_us: Everything Callboard itself did, tools included.
        upstream_ttfb_us: From sending to the provider to the first of its answer, all attempts and rounds.
        upstream_us: Waiting for the rest of its answer.
        tool_us: The part of ``own_us`` spent in tools.
    """

    queue_us: int
    own_us: int
    upstream_ttfb_us: int
    upstream_us: int
    tool_us: int = 0

    @property
    def wall_us(self) -> int:
        """The whole of it."""
        return self.queue_us + self.own_us + self.upstream_ttfb_us + self.upstream_us


class RequestClosed(Struct, frozen=True, kw_only=True):
    """A request is over, however it ended; exactly one for each.

    Attributes:
        route: The door it came through, e.g. ``/v1/chat/completions`` or ``ask``.
        key_id: The client key it came with; None where none was needed.
        status: HTTP status that was sent; 499 where the client left first; None at doors without statuses.
        error_type: None where all went well, else the ``type`` of a class in `callboard.errors`, or
        ``cancelled``.
    """

    request_id: str
    route: str
    time: TimeSplit
    key_id: str | None = None
    status: int | None = None
    stream: bool = False
    response_id: str | None = None
    assistant: str | None = None
    provider: str | None = None
    model: str | None = None
    usage: Usage = Usage()
    cost_picousd: int = 0
    attempts: int = 0
    error_type: str | None = None


class EndNotKept(Struct, frozen=True, kw_only=True):
    """A turn has ended and the store could not be told: it looks unfinished until that is made up for."""

    response_id: str
    error_type: str


class TurnTakenUp(Struct, frozen=True, kw_only=True):
    """A response that another process had left unfinished.

    Attributes:
        continued: Whether it goes on; else it was ended.
    """

    response_id: str
    continued: bool


class ServerStarted(Struct, frozen=True, kw_only=True):
    """The server takes requests.

    Attributes:
        schema: Version of the log's schema.
    """

    address: str
    version: str
    schema: int


class ServerDraining(Struct, frozen=True, kw_only=True):
    """A signal came: nothing new is admitted."""


class ServerStopped(Struct, frozen=True, kw_only=True):
    """The server has ended, after so long."""

    duration_us: int


class ConfigurationNotice(Struct, frozen=True, kw_only=True):
    """Something configured has no effect; ``text`` says what and why."""

    text: str


class ToolSourceUp(Struct, frozen=True, kw_only=True):
    """A source of tools can be called.

    Attributes:
        source: Its configured name.
        protocol: Version of the protocol that was agreed on.
        tools: How many tools it has that may be offered.
    """

    source: str
    protocol: str
    tools: int


class ToolSourceDown(Struct, frozen=True, kw_only=True):
    """A source of tools was lost, or could not be reached.

    Attributes:
        reason: In words of ours.
        retry_s: Seconds until it is tried again.
    """

    source: str
    reason: str
    retry_s: float


class ToolDisabled(Struct, frozen=True, kw_only=True):
    """A tool is not offered, though its source has it.

    Attributes:
        tool: The source's own name for it, cut and with everything but printable characters escaped.
        reason: Why, and what would change it.
    """

    source: str
    tool: str
    reason: str


class ToolNameTaken(Struct, frozen=True, kw_only=True):
    """A tool is shown under its full name alone, because somebody else has had a tool of its plain name.

    Attributes:
        tool: The source's own name for it.
        name: What it is shown as.
    """

    source: str
    tool: str
    name: str


class ToolSourceRefused(Struct, frozen=True, kw_only=True):
    """A source of tools asked us for something and did not get it.

    Attributes:
        request: What it asked for, by its protocol's name.
        reason: What it was told.
        untold: How many refusals before this one were not told, because there were too many.
    """

    source: str
    request: str
    reason: str
    untold: int = 0


class ToolSourceSaid(Struct, frozen=True, kw_only=True):
    """A source of tools wrote something for its operator: on standard error, or as a log notification.

    Attributes:
        severity: As it says, or ``stderr``.
        text: One line of it, cut.
    """

    source: str
    severity: str
    text: str


Observation: TypeAlias = (
    ServerStarted
    | ServerDraining
    | ServerStopped
    | ConfigurationNotice
    | CommandStarted
    | ProviderAnswered
    | ToolExecuting
    | ToolExecuted
    | ToolProgressed
    | ToolRaised
    | ToolGivenUp
    | ToolProcessEnded
    | ToolAvailable
    | ToolUnavailable
    | CommandCompleted
    | EndNotKept
    | TurnTakenUp
    | AttemptFailed
    | RequestClosed
    | ToolSourceUp
    | ToolSourceDown
    | ToolDisabled
    | ToolNameTaken
    | ToolSourceRefused
    | ToolSourceSaid
)
