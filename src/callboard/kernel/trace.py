"""The trace a request belongs to: a value that travels in the envelope.

Context variables are inherited by the tasks one starts, but a mailbox joins two tasks of which neither
started the other. So the sender's value is copied into the envelope, and bound again around the handling.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from msgspec import Struct


class TraceContext(Struct, frozen=True, kw_only=True):
    """Whose work this is.

    Attributes:
        trace_id: W3C trace id, 32 hexadecimal digits; empty where nobody traces.
        span_id: The sender's span, 16 hexadecimal digits; parent of whatever the receiver opens.
        request_id: The id shown to the client and written in every log line.
    """

    trace_id: str = ""
    span_id: str = ""
    request_id: str = ""


UNTRACED = TraceContext()
_current: ContextVar[TraceContext] = ContextVar("callboard_trace", default=UNTRACED)

current_trace = _current.get
"""Return the trace of the running task."""

bind_trace = _current.set
"""Make a trace the running task's own from here on; for the kernel's loops, which never need to go back."""


@contextmanager
def use_trace(trace: TraceContext) -> Iterator[None]:
    """Bind ``trace`` for the length of a block, and for every task started within it."""
    token = _current.set(trace)
    try:
        yield
    finally:
        _current.reset(token)
