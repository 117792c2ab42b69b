"""Supervised actors over bounded mailboxes, on plain anyio. Knows no LLM and never logs."""

from callboard.kernel.actor import Actor, Decider
from callboard.kernel.channel import Channel
from callboard.kernel.context import Context
from callboard.kernel.lifecycle import (
    Crashed,
    DeadLetter,
    DeadLetterReason,
    Drained,
    Escalated,
    LifecycleEvent,
    MailboxRejected,
    Observer,
    Restarted,
    Started,
    Stopped,
    WorkFailed,
)
from callboard.kernel.mailbox import MailboxSpec, Overflow
from callboard.kernel.ref import ActorRef
from callboard.kernel.request import Notice, Request, StreamRequest
from callboard.kernel.signal import choose_soon
from callboard.kernel.system import System, open_system
from callboard.kernel.trace import TraceContext, current_trace, use_trace
from callboard.kernel.tree import Backoff, Child, Intensity, Restart, Strategy, Supervisor
from callboard.kernel.work import Promise

__all__ = [
    "Actor",
    "ActorRef",
    "Backoff",
    "Channel",
    "Child",
    "Context",
    "Crashed",
    "DeadLetter",
    "DeadLetterReason",
    "Decider",
    "Drained",
    "Escalated",
    "Intensity",
    "LifecycleEvent",
    "MailboxRejected",
    "MailboxSpec",
    "Notice",
    "Observer",
    "Overflow",
    "Promise",
    "Request",
    "Restart",
    "Restarted",
    "Started",
    "Stopped",
    "Strategy",
    "StreamRequest",
    "Supervisor",
    "System",
    "TraceContext",
    "WorkFailed",
    "choose_soon",
    "current_trace",
    "open_system",
    "use_trace",
]
