"""Errors as answers: the dialect's own JSON, a true status, and never the text of a bug."""

from __future__ import annotations

import math

from callboard.errors import (
    CallboardError,
    Overloaded,
    RateLimited,
    StillUnderWay,
    Unauthenticated,
    UnreadableRequest,
    UpstreamError,
)
from callboard.serving.exchange import Exchange, Header
from callboard.wire.openai_chat.error import encode_error

SOON_S = 1.0

UPGRADE: tuple[Header, ...] = (
    (b"connection", b"upgrade"),
    (b"upgrade", b"websocket"),
    (b"sec-websocket-version", b"13"),
)
"""What has to be said with status 426 (RFC 9110, 15.5.22 and 7.8; RFC 6455, 4.4)."""


def error_type_of(error: BaseException) -> str:
    """The closed name under which ``error`` appears in logs."""
    return error.type if isinstance(error, CallboardError) else "internal_error"


def status_of(error: BaseException) -> int:
    """The HTTP status that tells of ``error``."""
    if isinstance(error, UnreadableRequest):
        return error.status
    return error.status_hint if isinstance(error, CallboardError) else 500


def headers_of(error: BaseException) -> tuple[Header, ...]:
    """``Retry-After`` where the error knows when (RFC 9110, 10.2.3: whole seconds, so rounded up).

    And where a key is missing, what kind of it is wanted (11.6.1; RFC 6750, 3).
    """
    if isinstance(error, UnreadableRequest) and error.status == 426:
        return UPGRADE
    if isinstance(error, Unauthenticated):
        return ((b"www-authenticate", b"Bearer"),)
    wait_s = None
    if isinstance(error, RateLimited | Overloaded | UpstreamError):
        wait_s = error.retry_after_s
    elif isinstance(error, StillUnderWay):
        wait_s = SOON_S
    if wait_s is None:
        return ()
    return ((b"retry-after", str(max(1, math.ceil(wait_s))).encode()),)


async def answer_failure(exchange: Exchange, error: BaseException) -> None:
    """Tell the client of ``error``, where nothing has been sent yet."""
    body = encode_error(error, request_id=exchange.request_id)
    await exchange.respond(status_of(error), body, headers=headers_of(error))
