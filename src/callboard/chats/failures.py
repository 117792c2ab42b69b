"""What goes wrong, as a user is told of it: a closed table of codes, each with a sentence and a way on.

No sentence names a provider, a status, an address or an exception, and none is made of anything that came
from elsewhere: whatever an upstream says, a user reads one of these.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from callboard import errors
from callboard.chats.events import ErrorEvent

FailureCode: TypeAlias = Literal[
    "rate_limit",
    "model_unavailable",
    "quota_exceeded",
    "invalid_request",
    "authentication_error",
    "permission_error",
    "service_unavailable",
    "gateway_error",
    "api_error",
    "connection_error",
    "timeout_error",
    "parsing_error",
    "general_error",
    "stream_processing_error",
    "stream_thread_error",
    "storage_error",
    "empty_response",
]
"""The last four are of answers that had begun."""

_TABLE: Mapping[FailureCode, tuple[str, str]] = {
    "rate_limit": (
        "There were too many requests in a short time.",
        "Wait a moment before you send the next message.",
    ),
    "model_unavailable": (
        "The model is not available right now.",
        "Try again in a few minutes, or ask your administrator which models there are.",
    ),
    "quota_exceeded": (
        "The usage limit of this account is reached.",
        "Wait until the limit is renewed, or ask your administrator to raise it.",
    ),
    "invalid_request": (
        "The message could not be processed as it is.",
        "Say it in other words or more briefly, or begin a new chat.",
    ),
    "authentication_error": (
        "The assistant could not sign in to its service.",
        "Reload the page; if that does not help, tell your administrator.",
    ),
    "permission_error": (
        "This account may not do that.",
        "Ask your administrator for the permission.",
    ),
    "service_unavailable": (
        "The assistant's service is not available at the moment.",
        "Try again in a few minutes.",
    ),
    "gateway_error": (
        "The assistant's service could not be reached on the way there.",
        "Try again in a moment.",
    ),
    "api_error": (
        "The assistant's service could not answer the message.",
        "Try again; reload the page if it happens again.",
    ),
    "connection_error": (
        "The connection to the assistant was lost, or could not be made.",
        "Check your internet connection and try again.",
    ),
    "timeout_error": (
        "The answer took too long and the request timed out.",
        "Try again, perhaps with a shorter message.",
    ),
    "parsing_error": (
        "The assistant's service sent an answer that could not be read.",
        "Try again, or reload the page.",
    ),
    "general_error": (
        "An unexpected error occurred.",
        "Try again; reload the page if it happens again.",
    ),
    "stream_processing_error": (
        "The answer could not be shown to its end.",
        "Try again; what was shown so far is kept.",
    ),
    "stream_thread_error": (
        "An unexpected error ended the answer.",
        "Try again; what was shown so far is kept.",
    ),
    "storage_error": (
        "The conversation could not be saved.",
        "Copy what you need, and reload the page before you go on.",
    ),
    "empty_response": (
        "The assistant's answer was empty.",
        "Say it in other words, or try again.",
    ),
}

_CODES: Mapping[type[BaseException], FailureCode] = {
    errors.StoreUnavailable: "storage_error",
    errors.BudgetExceeded: "quota_exceeded",
    errors.RateLimited: "rate_limit",
    errors.UnknownModel: "model_unavailable",
    errors.UnknownAssistant: "model_unavailable",
    errors.Unauthenticated: "authentication_error",
    errors.PermissionDenied: "permission_error",
    errors.InvalidRequest: "invalid_request",
    errors.NotFound: "invalid_request",
    errors.TooLarge: "invalid_request",
    errors.Overloaded: "service_unavailable",
    errors.ActorStopped: "service_unavailable",
    errors.UpstreamRateLimited: "rate_limit",
    errors.UpstreamAuthentication: "authentication_error",
    errors.UpstreamPermission: "permission_error",
    errors.UpstreamInvalid: "invalid_request",
    errors.UpstreamNotFound: "model_unavailable",
    errors.UpstreamQuota: "quota_exceeded",
    errors.UpstreamOverloaded: "service_unavailable",
    errors.UpstreamTimeout: "timeout_error",
    errors.UpstreamUnreachable: "connection_error",
    errors.StreamIncomplete: "connection_error",
    errors.RemoteWireError: "parsing_error",
    errors.Refusal: "api_error",
    errors.Failure: "stream_thread_error",
    TimeoutError: "timeout_error",
    ConnectionError: "connection_error",
}
"""By class; one that is missing has its nearest ancestor's."""

_BY_STATUS: Mapping[int | None, FailureCode] = {
    502: "gateway_error",
    503: "service_unavailable",
    504: "gateway_error",
}
"""What a gateway says of itself, whatever the class it comes as."""


def code_of(error: BaseException, *, streaming: bool = False) -> FailureCode:
    """The code of ``error``; ``streaming`` tells a bug while an answer is shown from any other."""
    status = error.upstream_status if isinstance(error, errors.UpstreamError) else None
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    found = next((_CODES[base] for base in type(error).__mro__ if base in _CODES), None)
    return found or ("stream_processing_error" if streaming else "general_error")


def failure(code: FailureCode) -> ErrorEvent:
    """What a user is told of ``code``."""
    message, user_action = _TABLE[code]
    return ErrorEvent(message=message, error_code=code, user_action=user_action)
