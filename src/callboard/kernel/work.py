"""What one incarnation has spawned: work that answers requests, timers, and session children.

All of it ends before the incarnation leaves ``running``, so that it may use what ``running`` holds.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

import anyio
from anyio import TaskHandle
from anyio.abc import TaskGroup

from callboard.errors import ActorFailed, DeadlineExceeded, Refusal
from callboard.kernel.admission import step_inside
from callboard.kernel.envelope import Envelope
from callboard.kernel.lifecycle import WorkFailed
from callboard.kernel.node import Ending, Node
from callboard.kernel.reply import Reply
from callboard.kernel.slot import Slot
from callboard.kernel.trace import current_trace

R = TypeVar("R")


def sole_cause(error: Exception) -> Exception:
    """Unwrap groups of one: a task group around a single failure must not change what failed."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


class Promise(Generic[R]):
    """An answer that is owed: made by `callboard.kernel.context.Context.promise`, settled at most once.

    What comes after it was settled, or after the asker has left, changes nothing.
    """

    __slots__ = ("_over", "_reply")

    def __init__(self, reply: Reply[R], over: Callable[[], None]) -> None:
        self._reply = reply
        self._over = over

    def keep(self, value: R) -> bool:
        """Answer with ``value``. Returns whether the asker will see it."""
        seen = self._reply.succeed(value)
        self._over()
        return seen

    def refuse(self, refusal: Exception) -> bool:
        """Answer with ``refusal``, which is raised in the asker. Returns whether the asker will see it."""
        return self._reply.fail(refusal)  # which ends what it waits for, and so this


class Work:
    """The tasks of one incarnation, and what it has promised.

    Attributes:
        live: How many of them an orderly end waits for; timers are not among them.
        awaited: Whether it waits already; otherwise their end is none of the actor's own task's business.
        cause: The crash that cuts them short, told to their askers.
        sessions: The session children that run now.
    """

    def __init__(self, slot: Slot) -> None:
        self.live = 0
        self.awaited = False
        self.cause: Exception | None = None
        self.sessions: list[Node] = []
        self._slot = slot
        self._tasks: TaskGroup
        self._running: dict[int, TaskHandle[None]] = {}  # in order, so that runs repeat
        self._promises: dict[int, tuple[Promise[Any], str]] = {}
        self._made = 0
        self._idle = anyio.Event()

    def open(self, tasks: TaskGroup) -> None:
        """Spawn into ``tasks`` from now on."""
        self._tasks = tasks

    async def close(self) -> None:
        """Cancel everything and wait until it is gone, even when the caller is itself cancelled.

        Promises that are still owed are broken: their askers are told.
        """
        for promise, request in tuple(self._promises.values()):
            promise.refuse(self._failure(request))
        with anyio.CancelScope(shield=True):
            while self._running:
                self._idle = anyio.Event()
                for task in tuple(self._running.values()):
                    task.cancel()
                await self._idle.wait()

    def answer(
        self, reply: Reply[R], work: Callable[[], Awaitable[R]], *, deadline: float, request: str
    ) -> None:
        """Run ``work`` under ``deadline`` and answer ``request`` with what it returns or raises.

        It is cancelled when the asker leaves. Its failure reaches the asker and nobody else.
        """
        self.live += 1
        answering = self._answer(reply, work, deadline, request)
        if deadline != math.inf:  # a task has a scope of its own, but that one has no deadline
            answering = _until(deadline, answering)
        reply.cancel_work = self._spawn(answering).cancel

    def promise(self, reply: Reply[R], request: str) -> Promise[R]:
        """Owe the answer to ``request``; an orderly end waits until it is given, or its asker has left."""
        self._made += 1
        number = self._made

        def over() -> None:
            if self._promises.pop(number, None) is not None:
                self._lay_down()

        promise = Promise(reply, over)
        if reply.open:
            self.live += 1
            self._promises[number] = (promise, request)
            reply.cancel_work = over
        return promise

    def later(self, envelope: Envelope, after: float) -> None:
        """Put ``envelope`` into the actor's own mailbox after that many seconds, waiting for room then."""

        async def wait_and_post() -> None:
            await anyio.sleep(after)
            await self._slot.wait_for_place(envelope)

        self._spawn(wait_and_post())

    async def run_session(self, node: Node) -> None:
        """Start a session child; return once it is up. It then lives until it ends or the incarnation does.

        Raises:
            Exception: It could not start.
        """
        settled = anyio.Event()
        failures: list[Exception] = []

        async def run() -> None:
            try:
                await node.run(settled.set)
            except Exception as error:  # noqa: BLE001 - an actor's edge; escalation was observed
                failures.append(error)
            finally:
                node.close()
                self.sessions.remove(node)
                self._lay_down()
                settled.set()

        self.live += 1
        self.sessions.append(node)
        self._spawn(run())
        try:
            await settled.wait()
        except BaseException:
            node.finish(Ending.FINISH, anyio.current_time())
            raise
        if failures:
            raise failures[0]

    def _spawn(self, work: Coroutine[object, object, None]) -> TaskHandle[None]:
        self._made += 1
        number = self._made
        # It begins when whoever spawns it has suspended, and finds itself here then.
        task = self._running[number] = self._tasks.create_task(self._run(number, work))
        return task

    async def _run(self, number: int, work: Coroutine[object, object, None]) -> None:
        step_inside()  # it may have been spawned in place, by a sender from outside
        try:
            await work
        finally:
            del self._running[number]
            if not self._running:
                self._idle.set()

    async def _answer(
        self, reply: Reply[R], work: Callable[[], Awaitable[R]], deadline: float, request: str
    ) -> None:
        try:
            reply.succeed(await work())
        except Exception as raised:  # noqa: BLE001 - an actor's edge: the failure belongs to the asker
            self._answer_error(reply, sole_cause(raised), request)
        except BaseException:
            late = anyio.current_time() >= deadline
            reply.fail(
                DeadlineExceeded(f"the time for {request} ran out") if late else self._failure(request)
            )
            raise
        finally:
            self._lay_down()

    def _answer_error(self, reply: Reply[Any], error: Exception, request: str) -> None:
        if isinstance(error, Refusal):
            reply.fail(error)
            return
        if not reply.open and isinstance(error, anyio.BrokenResourceError | anyio.ClosedResourceError):
            return  # a producer that noticed its consumer's leaving before its own cancellation
        environment = self._slot.environment
        event = WorkFailed(at=environment.clock(), path=self._slot.path, request=request, error=error)
        environment.observe(event)
        failure = ActorFailed(f"{self._slot.path} failed while it worked on {request}")
        failure.__cause__ = error
        reply.fail(failure)

    def _failure(self, request: str) -> ActorFailed:
        failure = ActorFailed(f"{self._slot.path} ended before its work on {request} did")
        failure.__cause__ = self.cause
        return failure

    def _lay_down(self) -> None:
        self.live -= 1
        if self.awaited and not self.live:
            self._slot.mailbox.wake()


async def _until(deadline: float, work: Coroutine[object, object, None]) -> None:
    with anyio.CancelScope(deadline=deadline):
        await work


def notice_to_self(message: object) -> Envelope:
    """Wrap a notice that an actor sends itself: with the current trace, and no deadline but its own."""
    return Envelope(message, None, current_trace(), float("inf"))
