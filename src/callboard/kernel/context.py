"""What an actor may do besides computing: answer, spawn, tell itself later, start children, stop."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Generic, TypeVar

from msgspec import Struct

from callboard.kernel.channel import Channel
from callboard.kernel.envelope import Envelope
from callboard.kernel.environment import Environment
from callboard.kernel.node import Node
from callboard.kernel.ref import ActorRef
from callboard.kernel.reply import Reply, StreamReply
from callboard.kernel.request import Notice, Request, StreamRequest
from callboard.kernel.trace import TraceContext, current_trace
from callboard.kernel.tree import Child
from callboard.kernel.work import Promise, Work, notice_to_self

A = TypeVar("A")
E = TypeVar("E")
R = TypeVar("R")
T = TypeVar("T")


class Surroundings(Struct, frozen=True, kw_only=True, eq=False):
    """How an actor's context reaches the rest of the tree.

    Attributes:
        environment: What the system shares.
        ref: Finds the reference of a child of the system's tree.
        new_session: Makes the node of a session child, and the reference to its actor.
    """

    environment: Environment
    ref: Callable[[Child[Any]], ActorRef[Any]]
    new_session: Callable[[Child[Any]], tuple[Node, ActorRef[Any]]]


class Context(Generic[A]):
    """One incarnation's hands. Only that incarnation and what it spawned may use it.

    Attributes:
        now: Reads the event loop's time, which deadlines are stated in.
        self_ref: The reference under which others reach this actor. ``receive`` must not tell it anything: a
            full mailbox would wait for the very task that empties it. Spawned work may.

    The kernel's own are ``current``, the envelope in ``receive``, and for a message that is decided in place,
    which has no envelope unless it turns out to need one: ``message``; ``pending``, the same while an answer
    to it is due; ``answer``.
    """

    __slots__ = (
        "_step_down",
        "_surroundings",
        "_work",
        "answer",
        "current",
        "message",
        "now",
        "pending",
        "self_ref",
    )

    def __init__(
        self,
        self_ref: ActorRef[A],
        work: Work,
        surroundings: Surroundings,
        step_down: Callable[[], None],
    ) -> None:
        self.self_ref = self_ref
        self.now = surroundings.environment.now
        self.current: Envelope | None = None
        self.message: object = None
        self.pending: object = None
        self.answer: object = None
        self._work = work
        self._surroundings = surroundings
        self._step_down = step_down

    @property
    def trace(self) -> TraceContext:
        """The trace of the request that the running task works on."""
        return current_trace()

    @property
    def deadline(self) -> float:
        """When the asker of the message in ``receive`` stops waiting, in loop time; infinite if never."""
        if self.current is not None:
            return self.current.deadline
        return math.inf if self.message is None else self._surroundings.environment.deadline()

    def ref(self, child: Child[T]) -> ActorRef[T]:
        """Return the reference of a child of the system's tree, started or not.

        Raises:
            KeyError: The tree has no such child.
        """
        return self._surroundings.ref(child)

    def reply(self, request: Request[A, R], value: R) -> bool:
        """Answer the request in ``receive``, now.

        Returns:
            False if the asker has left: whatever ``value`` stands for must be taken back.

        Raises:
            RuntimeError: ``request`` is not the one in ``receive``, or it was answered before.
        """
        if request is self.pending:
            self.pending, self.answer = None, value
            return True
        envelope = self.current
        if envelope is not None and envelope.message is request:
            reply = envelope.reply
            if reply is not None and reply.open and reply.cancel_work is None:
                return reply.succeed(value)
        return self._take_up(request).succeed(value)

    def reply_from(self, request: Request[A, R], work: Callable[[], Awaitable[R]]) -> None:
        """Answer the request in ``receive`` later, with what ``work`` returns or raises.

        ``work`` runs in its own task, owned by this incarnation, under the asker's deadline and trace. It is
        cancelled when the asker leaves. A Refusal it raises is the answer; any other error reaches the asker
        as ActorFailed and leaves this actor alive.

        Raises:
            RuntimeError: As for `reply`.
        """
        self._hand_on(request, self._take_up(request), work)

    def promise(self, request: Request[A, R]) -> Promise[R]:
        """Answer the request in ``receive`` later, by whoever settles the promise.

        It costs no task: for actors that answer many requests at once, or when something else is done. An
        orderly end of this incarnation waits for it; a crash breaks it, and the asker gets ActorFailed.

        Raises:
            RuntimeError: As for `reply`.
        """
        return self._work.promise(self._take_up(request), type(request).__name__)

    def stream_from(
        self,
        request: StreamRequest[A, E],
        producer: Callable[[Channel[E]], Awaitable[None]],
    ) -> None:
        """Answer the stream request in ``receive`` with what ``producer`` sends.

        The stream ends when ``producer`` returns, and fails when it raises, after the last event it sent. It
        need not close the stream it is given. Otherwise as `reply_from`.

        Raises:
            RuntimeError: As for `reply`.
        """
        reply = self._take_up(request)
        if isinstance(reply, StreamReply):
            self._hand_on(request, reply, partial(producer, reply.events))

    def tell_later(self, notice: Notice[A], *, after: float) -> None:
        """Tell this actor ``notice`` in ``after`` seconds, unless the incarnation ends before."""
        self._work.later(notice_to_self(notice), after)

    async def spawn(self, child: Child[T]) -> ActorRef[T]:
        """Start a session child: an actor that lives within this incarnation and is supervised on its own.

        Returns once it is up. If it crashes more often than the default intensity allows it stays stopped,
        which is observed and leaves this actor alive. When this actor ends in order its sessions finish
        first, all at once.

        Raises:
            Exception: Whatever kept it from starting.
        """
        node, ref = self._surroundings.new_session(child)
        await self._work.run_session(node)
        return ref

    def stop(self) -> None:
        """End this incarnation normally once ``receive`` has returned and spawned work is done.

        The supervisor then decides: a permanent child comes back, a transient or temporary one has ended for
        good, and what is still queued is answered with ActorStopped.
        """
        self._step_down()

    def wrap(self, *, request: bool) -> Envelope:
        """Make the envelope that the message decided in place has done without; for the kernel."""
        envelope = self.current
        if envelope is None:
            environment = self._surroundings.environment
            reply: Reply[Any] | None = Reply(environment.signals) if request else None
            envelope = Envelope(self.message, reply, current_trace(), environment.deadline())
            self.current = envelope
            if reply is not None and self.pending is None:
                reply.succeed(self.answer)
            self.pending = None
        return envelope

    def _hand_on(self, request: object, reply: Reply[R], work: Callable[[], Awaitable[R]]) -> None:
        if reply.open:
            self._work.answer(reply, work, deadline=self.deadline, request=type(request).__name__)

    def _take_up(self, request: object) -> Reply[Any]:
        envelope = self.wrap(request=True) if request is self.pending else self.current
        in_hand = self.message if envelope is None else envelope.message
        if in_hand is not request or (envelope is not None and envelope.reply is None):
            raise RuntimeError(f"{type(request).__name__} is not the request in receive")
        reply = None if envelope is None else envelope.reply
        if reply is not None and (reply.gone or (reply.open and reply.cancel_work is None)):
            return reply
        raise RuntimeError(f"{type(request).__name__} is answered already")
