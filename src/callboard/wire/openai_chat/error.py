"""Errors, both ways: ours for clients, and what upstreams answer as members of our tree.

What an upstream sends is judged by its own code first, then its type, then the HTTP status: a 429 that says
``insufficient_quota`` is no rate limit, and errors within a stream have no status at all. Messages are passed
on, with everything in them that looks like a key or an account masked; of a refused key nothing is passed on,
because the key is the operator's.

Source: OpenAI API reference, "Error codes". RFC 9110, 10.2.3 (Retry-After) and 5.6.7 (dates).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TypeAlias

import msgspec
from msgspec import Raw, Struct

from callboard import errors
from callboard.errors import CallboardError, Refusal, UpstreamError

MAX_RETRY_AFTER_S = 86_400.0
MAX_MESSAGE_CHARS = 2_000

Headers: TypeAlias = Iterable[tuple[str, str]]
"""Header fields, names in lower case."""

# --- ours, to clients
# -------------------------------------------------------------------------------------------

_TYPES: Mapping[type[Refusal], tuple[str, str | None]] = {
    errors.InvalidRequest: ("invalid_request_error", None),
    errors.ContextTooLong: ("invalid_request_error", "context_length_exceeded"),
    errors.Unauthenticated: ("authentication_error", "invalid_api_key"),
    errors.PermissionDenied: ("permission_error", "permission_denied"),
    errors.NotFound: ("invalid_request_error", "not_found"),
    errors.UnknownModel: ("invalid_request_error", "model_not_found"),
    errors.UnknownAssistant: ("invalid_request_error", "assistant_not_found"),
    errors.UnknownResponse: ("invalid_request_error", "previous_response_not_found"),
    errors.Conflict: ("invalid_request_error", "conflict"),
    errors.TooLarge: ("invalid_request_error", "request_too_large"),
    errors.MethodNotAllowed: ("invalid_request_error", "method_not_allowed"),
    errors.UnsupportedMedia: ("invalid_request_error", "unsupported_media_type"),
    errors.Misdirected: ("invalid_request_error", "misdirected_request"),
    errors.RateLimited: ("rate_limit_error", "rate_limit_exceeded"),
    errors.BudgetExceeded: ("insufficient_quota", "insufficient_quota"),
    errors.Overloaded: ("server_error", "overloaded"),
    errors.ActorStopped: ("server_error", "overloaded"),
    errors.DeadlineExceeded: ("server_error", "deadline_exceeded"),
    errors.UpstreamRateLimited: ("rate_limit_error", "rate_limit_exceeded"),
    errors.UpstreamQuota: ("insufficient_quota", "insufficient_quota"),
    errors.UpstreamInvalid: ("invalid_request_error", None),
    errors.UpstreamNotFound: ("invalid_request_error", "model_not_found"),
    errors.UpstreamError: ("server_error", None),
}
"""The dialect's type and code; a class that is missing has its nearest ancestor's."""

_INTERNAL = "The server had an error while processing your request."


class ErrorFields(Struct, kw_only=True):
    """What the dialect says of an error."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class _ErrorBody(Struct, kw_only=True, omit_defaults=True):
    error: ErrorFields
    request_id: str = ""


def encode_error(error: BaseException, *, request_id: str = "") -> bytes:
    """The body that tells a client of ``error``.

    Only a refusal's message is meant for it; anything else is a bug, and says no more than that.
    """
    return msgspec.json.encode(_ErrorBody(error=error_fields(error), request_id=request_id))


def error_fields(error: BaseException) -> ErrorFields:
    """The fields of `encode_error`."""
    if not isinstance(error, Refusal):
        return ErrorFields(message=_INTERNAL, type="server_error", code=CallboardError.type)
    kind, code = next(
        (_TYPES[base] for base in type(error).__mro__ if base in _TYPES), ("server_error", None)
    )
    param: str | None = None
    if isinstance(error, errors.InvalidRequest):
        param, code = error.param, error.code or code
    elif isinstance(error, errors.UnknownModel):
        param = "model"
    elif isinstance(error, errors.UnknownResponse):
        param = "previous_response_id"
    elif isinstance(error, errors.UpstreamInvalid | errors.UpstreamNotFound):
        param, code = _upstream_param(error.body), error.upstream_code or code
    elif isinstance(error, UpstreamError):
        code = code or error.type
    return ErrorFields(message=str(error), type=kind, param=param, code=code)


# --- upstreams', to us
# ------------------------------------------------------------------------------------------


class _Object(Struct):
    message: Raw = Raw(b"null")
    type: Raw = Raw(b"null")
    code: Raw = Raw(b"null")
    param: Raw = Raw(b"null")


class _Body(Struct):
    """OpenAI's envelope, and what others have in its place (LM Studio, Ollama, FastAPI servers)."""

    error: Raw = Raw(b"null")
    message: Raw = Raw(b"null")
    detail: Raw = Raw(b"null")


_BODY = msgspec.json.Decoder(_Body)
_OBJECT = msgspec.json.Decoder(_Object)
_SCALAR = msgspec.json.Decoder(str | int | None)

_BY_CODE: Mapping[str, type[UpstreamError]] = {
    "insufficient_quota": errors.UpstreamQuota,
    "billing_hard_limit_reached": errors.UpstreamQuota,
    "billing_not_active": errors.UpstreamQuota,
    "rate_limit_exceeded": errors.UpstreamRateLimited,
    "rate_limit_error": errors.UpstreamRateLimited,
    "invalid_api_key": errors.UpstreamAuthentication,
    "authentication_error": errors.UpstreamAuthentication,
    "permission_error": errors.UpstreamPermission,
    "model_not_found": errors.UpstreamNotFound,
    "not_found_error": errors.UpstreamNotFound,
    "DeploymentNotFound": errors.UpstreamNotFound,
    "context_length_exceeded": errors.UpstreamInvalid,
    "content_filter": errors.UpstreamInvalid,
    "overloaded_error": errors.UpstreamOverloaded,
    "engine_overloaded": errors.UpstreamOverloaded,
    "server_overloaded": errors.UpstreamOverloaded,
}
"""Codes and types that say more than the status."""

_BY_TYPE: Mapping[str, type[UpstreamError]] = {
    "invalid_request_error": errors.UpstreamInvalid,
    "BadRequestError": errors.UpstreamInvalid,
    "timeout": errors.UpstreamTimeout,
}
"""Types so general that the status goes first."""

_BY_STATUS: Mapping[int, type[UpstreamError]] = {
    401: errors.UpstreamAuthentication,
    402: errors.UpstreamQuota,
    403: errors.UpstreamPermission,
    404: errors.UpstreamNotFound,
    408: errors.UpstreamTimeout,
    429: errors.UpstreamRateLimited,
    503: errors.UpstreamOverloaded,
    504: errors.UpstreamTimeout,
    524: errors.UpstreamTimeout,
    529: errors.UpstreamOverloaded,
}

_SECRET = re.compile(
    r"\b(?:sk|pk|rk|gsk|key|xai|org|proj|user|req)[-_][A-Za-z0-9*._-]{4,}"
    r"|\bAIza[A-Za-z0-9_-]{8,}|\bBearer\s+\S+|\beyJ[A-Za-z0-9_.-]{16,}"
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_TIME = r"(?P<time>[0-2][0-9]:[0-5][0-9]:[0-6][0-9])"
_DATE = re.compile(
    r"[A-Z][a-z]{2,8}, (?P<day>[0-9]{2})[ -](?P<month>[A-Z][a-z]{2})[ -]"
    rf"(?P<year>(?:[0-9]{{2}}){{1,2}}) {_TIME} GMT"
)
_ASCTIME = re.compile(
    rf"[A-Z][a-z]{{2}} (?P<month>[A-Z][a-z]{{2}}) (?P<day>[0-9 ][0-9]) {_TIME} (?P<year>[0-9]{{4}})"
)
_SECONDS = re.compile(r"[0-9]+(?:\.[0-9]*)?")


def decode_error(
    status: int, headers: Headers = (), body: bytes = b"", *, now_epoch_s: float | None = None
) -> UpstreamError:
    """The error that an upstream's answer stands for.

    Args:
        status: Its HTTP status.
        headers: Its header fields.
        body: What was read of its body.
        now_epoch_s: To turn a date into a delay; without it the answer's own ``date`` is the present.
    """
    fields = _fields(body)
    retry_after_s = parse_retry_after(headers, now_epoch_s=now_epoch_s)
    return _error(fields, status=status, body=body, retry_after_s=retry_after_s)


def stream_error(error: bytes) -> UpstreamError:
    """The error that an ``error`` value within an answer stands for; a numeric code counts as its status."""
    fields = _described(error)
    code = fields.code or ""
    status = int(code) if code.isdecimal() and len(code) == 3 else None
    return _error(fields, status=status, body=b'{"error":%b}' % error, retry_after_s=None)


def parse_retry_after(headers: Headers, *, now_epoch_s: float | None = None) -> float | None:
    """Seconds that the answer asks us to wait; None where it does not say, or not in a form we trust.

    ``retry-after-ms`` goes before ``retry-after``, in which decimals are taken too. Junk and negative numbers
    are None; a date that is past is 0; whatever exceeds a day is a day.
    """
    given = dict(headers)
    milliseconds = given.get("retry-after-ms", "").strip()
    if _SECONDS.fullmatch(milliseconds):
        return min(float(milliseconds) / 1000, MAX_RETRY_AFTER_S)
    value = given.get("retry-after", "").strip()
    if _SECONDS.fullmatch(value):
        return min(float(value), MAX_RETRY_AFTER_S)
    now = _epoch_s(given.get("date", "")) if now_epoch_s is None else now_epoch_s
    until = _epoch_s(value)
    if until is None or now is None:
        return None
    return min(max(until - now, 0.0), MAX_RETRY_AFTER_S)


def masked(text: str) -> str:
    """``text`` without what looks like a key or an account, and of bounded length."""
    return _SECRET.sub("[masked]", text[:MAX_MESSAGE_CHARS])


def _error(
    fields: ErrorFields, *, status: int | None, body: bytes, retry_after_s: float | None
) -> UpstreamError:
    kind = _kind(fields, status)
    message = masked(fields.message) or f"request failed with status {status}"
    secret = kind is errors.UpstreamAuthentication
    return kind(
        "the upstream refuses the key that is configured for it" if secret else message,
        upstream_status=status,
        upstream_code=fields.code or fields.type or None,
        retry_after_s=retry_after_s,
        body=None if secret else body,
    )


def _kind(fields: ErrorFields, status: int | None) -> type[UpstreamError]:
    by_code = _BY_CODE.get(fields.code or "") or _BY_CODE.get(fields.type)
    if by_code is not None:
        return by_code
    if status is None:
        return _BY_TYPE.get(fields.type, errors.UpstreamServerError)
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status < 400:
        return errors.RemoteWireError
    return errors.UpstreamInvalid if status < 500 else errors.UpstreamServerError


def _fields(body: bytes) -> ErrorFields:
    try:
        wire = _BODY.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ErrorFields(message="", type="")
    for value in (wire.error, wire.message, wire.detail):
        if value != Raw(b"null"):
            return _described(bytes(value) if value is wire.error else b'{"message":%b}' % bytes(value))
    return ErrorFields(message="", type="")


def _described(error: bytes) -> ErrorFields:
    """The object under ``error``, or the plain string that some servers have there."""
    if not error.startswith(b"{"):
        return ErrorFields(message=_scalar(Raw(error)) or "", type="")
    try:
        wire = _OBJECT.decode(error)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ErrorFields(message="", type="")
    return ErrorFields(
        message=_scalar(wire.message) or "",
        type=_scalar(wire.type) or "",
        param=_scalar(wire.param),
        code=_scalar(wire.code),
    )


def _scalar(value: Raw) -> str | None:
    try:
        found = _SCALAR.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return None if found is None else str(found)


def _upstream_param(body: bytes | None) -> str | None:
    return _fields(body).param if body else None


def _epoch_s(date: str) -> float | None:
    """An HTTP date, in any of its three forms, as seconds since the epoch; None where it is none."""
    found = _DATE.fullmatch(date) or _ASCTIME.fullmatch(date)
    if found is None:
        return None
    year = int(found["year"])
    # "Recipients … MUST interpret a timestamp that appears to be more than 50 years in the future as
    # representing the most recent year in the past that had the same last two digits": no delay is that long.
    year += 2000 if year < 100 else 0
    try:
        day = datetime(year, _MONTHS.index(found["month"]) + 1, int(found["day"]), tzinfo=UTC)
    except ValueError:
        return None
    hours, minutes, seconds = map(int, found["time"].split(":"))
    return day.timestamp() + hours * 3600 + minutes * 60 + seconds
