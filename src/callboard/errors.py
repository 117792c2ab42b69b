"""Every exception Callboard raises, in one tree.

::

    CallboardError
    ├── Refusal                     part of a protocol: answers the asker, leaves the actor alive
    │   ├── InvalidRequest          the client sent something we cannot serve            400
    │   │   ├── LocalWireError      bytes from our client break their dialect            400
    │   │   ├── UnreadableRequest   the HTTP message itself is broken, or came too slowly 400…505
    │   │   ├── ContextTooLong      the prompt does not fit the model's window           400
    │   │   ├── KeyReused           the Idempotency-Key came with another request before 422
    │   │   └── InvalidArguments    a tool was called with arguments its schema refuses  400
    │   ├── Unauthenticated         no key, or not one of ours                           401
    │   ├── PermissionDenied        the key may not do this                              403
    │   ├── NotFound                the named thing does not exist, or is not yours      404
    │   │   ├── UnknownModel, UnknownAssistant
    │   │   └── UnknownResponse     previous_response_id names no stored response
    │   ├── Conflict                what is stored meanwhile stands against it           409
    │   │   └── VersionConflict, AlreadyExists, StillUnderWay
    │   ├── MethodNotAllowed        the route exists, not for this HTTP method           405
    │   ├── TooLarge                the body, or a header, exceeds its limit              413
    │   ├── UnsupportedMedia        the body's type or compression is not accepted       415
    │   ├── Misdirected             the request names a host that we do not serve        421
    │   ├── RateLimited             a request or token bucket is empty                   429
    │   ├── BudgetExceeded          the money for this key or model is spent             429
    │   ├── Overloaded              no room now; try again shortly                       503
    │   │   ├── MailboxFull         a REJECT mailbox is at capacity
    │   │   ├── Draining            the system is stopping and admits nothing new
    │   │   └── StoreUnavailable    the disk is full, failing, read-only, or locked by others
    │   ├── ActorStopped            the asked actor has ended for good                   503
    │   ├── DeadlineExceeded        the caller's time ran out                            504
    │   └── UpstreamError           a provider failed us                                 502
    │       ├── UpstreamRateLimited     429
    │       ├── UpstreamAuthentication  our key for the provider is refused
    │       ├── UpstreamPermission
    │       ├── UpstreamInvalid         the provider refuses the request itself          400
    │       ├── UpstreamNotFound        the provider does not know the model             404
    │       ├── UpstreamQuota           our credit at the provider is used up
    │       ├── UpstreamOverloaded      503, 529
    │       ├── UpstreamServerError     5xx
    │       ├── UpstreamTimeout         connect, first byte, idle or total               504
    │       ├── UpstreamUnreachable     no connection could be made
    │       ├── StreamIncomplete        the answer was cut before its end
    │       └── RemoteWireError         the provider's bytes break their dialect
    ├── ToolError                   raised by a tool on purpose: its text is for the model
    ├── ConfigurationError          one line that says what to mend; exit status 2
    └── Failure                     a bug or a lost process: the actor crashes
        └── ActorFailed             asked actor crashed while handling; ``__cause__`` says why

A *refusal* is an answer. A *failure* is not: it crashes the actor's incarnation and its supervisor decides.
Each class states ``type`` (the closed set used in API bodies and log lines), ``retryable`` (may the same call
succeed later, unchanged?) and ``status_hint`` (the HTTP status a server would send).
"""

from __future__ import annotations

from typing import ClassVar


class CallboardError(Exception):
    """Root of the tree; catches everything that Callboard raises by intent."""

    type: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = False
    status_hint: ClassVar[int] = 500


class Refusal(CallboardError):
    """An answer that is not the hoped-for value. The message is fit for the client's eyes."""

    type: ClassVar[str] = "refused"


class InvalidRequest(Refusal):
    """The request cannot be served as it stands.

    ``param`` is a path in the client's dialect, e.g. ``messages[2].content``; ``code`` a word of its.
    """

    type: ClassVar[str] = "invalid_request"
    status_hint: ClassVar[int] = 400

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code


class LocalWireError(InvalidRequest):
    """Bytes on our client's side break JSON, the dialect, or a limit on either."""


class UnreadableRequest(InvalidRequest):
    """The HTTP message is broken, its head too large or it too late: ``status`` 400 to 431, 501 or 505."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class ContextTooLong(InvalidRequest):
    """The prompt does not fit into the model's window."""

    type: ClassVar[str] = "context_length_exceeded"


class KeyReused(InvalidRequest):
    """The Idempotency-Key came with another request before."""

    status_hint: ClassVar[int] = 422


class InvalidArguments(InvalidRequest):
    """A tool was called with arguments that its schema refuses; the model is told."""

    type: ClassVar[str] = "invalid_arguments"


class Unauthenticated(Refusal):
    """No key was given, or it is not one of ours."""

    type: ClassVar[str] = "authentication_error"
    status_hint: ClassVar[int] = 401


class PermissionDenied(Refusal):
    """The key is known and may not do this."""

    type: ClassVar[str] = "permission_denied"
    status_hint: ClassVar[int] = 403


class NotFound(Refusal):
    """The named thing does not exist, or belongs to somebody else: the two look alike."""

    type: ClassVar[str] = "not_found"
    status_hint: ClassVar[int] = 404


class UnknownModel(NotFound):
    """No route leads to a model of this name."""

    type: ClassVar[str] = "model_not_found"


class UnknownAssistant(NotFound):
    """No assistant of this name is configured."""

    type: ClassVar[str] = "assistant_not_found"


class UnknownResponse(NotFound):
    """``previous_response_id`` names no response that the store still holds."""

    type: ClassVar[str] = "previous_response_not_found"


class Conflict(Refusal):
    """What is stored by now stands against the change; nothing of it was done."""

    type: ClassVar[str] = "conflict"
    status_hint: ClassVar[int] = 409


class VersionConflict(Conflict):
    """Somebody else has written since it was read. Read again, and decide anew."""


class AlreadyExists(Conflict):
    """The id or key is taken."""


class StillUnderWay(Conflict):
    """The request that first came with this Idempotency-Key has no answer yet; ask again soon."""

    retryable: ClassVar[bool] = True


class TooLarge(Refusal):
    """A body or a header exceeds its limit."""

    type: ClassVar[str] = "request_too_large"
    status_hint: ClassVar[int] = 413


class MethodNotAllowed(Refusal):
    """The route exists, not for this HTTP method."""

    type: ClassVar[str] = "method_not_allowed"
    status_hint: ClassVar[int] = 405


class UnsupportedMedia(Refusal):
    """The body's media type or compression is not accepted."""

    type: ClassVar[str] = "unsupported_media_type"
    status_hint: ClassVar[int] = 415


class Misdirected(Refusal):
    """The request names a host that we do not serve."""

    type: ClassVar[str] = "misdirected_request"
    status_hint: ClassVar[int] = 421


class RateLimited(Refusal):
    """A bucket is empty; ``retry_after_s`` seconds until it could be admitted, None where it never could."""

    type: ClassVar[str] = "rate_limit_exceeded"
    retryable: ClassVar[bool] = True
    status_hint: ClassVar[int] = 429

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class BudgetExceeded(RateLimited):
    """The money for this key or model is spent until the budget's window moves on."""

    type: ClassVar[str] = "budget_exceeded"


class Overloaded(Refusal):
    """There is no room right now; trying again is sensible after ``retry_after_s`` seconds."""

    type: ClassVar[str] = "overloaded"
    retryable: ClassVar[bool] = True
    status_hint: ClassVar[int] = 503

    def __init__(self, message: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class MailboxFull(Overloaded):
    """A mailbox that rejects on overflow is at capacity."""


class Draining(Overloaded):
    """The system is stopping and admits nothing new."""


class StoreUnavailable(Overloaded):
    """The store's disk is full, failing or read-only, or others hold it locked. Nothing is acknowledged."""

    type: ClassVar[str] = "store_unavailable"


class ActorStopped(Refusal):
    """The asked actor has ended for good, or its supervisor gave it up. Asking again is no use."""

    type: ClassVar[str] = "overloaded"
    status_hint: ClassVar[int] = 503


class DeadlineExceeded(Refusal, TimeoutError):
    """The caller's deadline passed first. A `TimeoutError` too: the asker's own scope may say so first."""

    type: ClassVar[str] = "deadline_exceeded"
    retryable: ClassVar[bool] = True
    status_hint: ClassVar[int] = 504


class UpstreamError(Refusal):
    """A provider did not give what it should have.

    Attributes:
        provider: Configured name of the provider, for the log; empty where it is not known yet.
        upstream_status: HTTP status the provider sent, None where none arrived.
        upstream_code: The provider's own error code or type, verbatim, None where it sent none.
        retry_after_s: Seconds the provider asked us to wait, None where it did not say.
        body: The provider's own error body, for dialects that pass it on; never logged.
    """

    type: ClassVar[str] = "upstream_error"
    status_hint: ClassVar[int] = 502

    def __init__(
        self,
        message: str,
        *,
        provider: str = "",
        upstream_status: int | None = None,
        upstream_code: str | None = None,
        retry_after_s: float | None = None,
        body: bytes | None = None,
    ) -> None:
        super().__init__(message)
        self.provider = provider
        self.upstream_status = upstream_status
        self.upstream_code = upstream_code
        self.retry_after_s = retry_after_s
        self.body = body


class UpstreamRateLimited(UpstreamError):
    """The provider limits us."""

    type: ClassVar[str] = "upstream_rate_limited"
    retryable: ClassVar[bool] = True
    status_hint: ClassVar[int] = 429


class UpstreamAuthentication(UpstreamError):
    """The provider refuses the key the operator configured; nothing the client can mend."""

    type: ClassVar[str] = "upstream_authentication"


class UpstreamPermission(UpstreamError):
    """The provider knows our key and refuses this use of it."""

    type: ClassVar[str] = "upstream_permission"


class UpstreamInvalid(UpstreamError):
    """The provider finds the request itself invalid; passing it on again would fail alike."""

    type: ClassVar[str] = "upstream_invalid_request"
    status_hint: ClassVar[int] = 400


class UpstreamNotFound(UpstreamError):
    """The provider does not know the model, or the route."""

    type: ClassVar[str] = "upstream_not_found"
    status_hint: ClassVar[int] = 404


class UpstreamQuota(UpstreamError):
    """Our credit with the provider is used up; waiting does not help."""

    type: ClassVar[str] = "upstream_quota"
    status_hint: ClassVar[int] = 429


class UpstreamOverloaded(UpstreamError):
    """The provider sheds load (503, 529)."""

    type: ClassVar[str] = "upstream_overloaded"
    retryable: ClassVar[bool] = True
    status_hint: ClassVar[int] = 503


class UpstreamServerError(UpstreamError):
    """The provider failed inside (5xx)."""

    type: ClassVar[str] = "upstream_server_error"
    retryable: ClassVar[bool] = True


class UpstreamTimeout(UpstreamError):
    """Connecting, the first byte, a pause within the answer, or the whole call took too long."""

    type: ClassVar[str] = "upstream_timeout"
    retryable: ClassVar[bool] = True
    status_hint: ClassVar[int] = 504


class UpstreamUnreachable(UpstreamError):
    """No connection to the provider could be made, or it broke before an answer began."""

    type: ClassVar[str] = "upstream_unreachable"
    retryable: ClassVar[bool] = True


class StreamIncomplete(UpstreamError):
    """The provider's answer ended before it was complete. Never retried: part of it may have been shown."""

    type: ClassVar[str] = "stream_incomplete"


class RemoteWireError(UpstreamError):
    """The provider's bytes break HTTP, JSON or their dialect, or exceed a limit."""

    type: ClassVar[str] = "upstream_protocol_error"


class ToolError(CallboardError):
    """A tool's way to say why it cannot do what it was asked. The model, not the client, is told its text."""

    type: ClassVar[str] = "tool_error"


class ConfigurationError(CallboardError):
    """The configuration cannot be used. ``str(error)`` is one line that says what to mend and where."""

    type: ClassVar[str] = "configuration_error"


class Failure(CallboardError):
    """Something that must not happen did. Crashes the actor it happens in."""


class ActorFailed(Failure):
    """The asked actor crashed over the request, or did not answer it. It is not handled a second time."""

    type: ClassVar[str] = "actor_failed"
