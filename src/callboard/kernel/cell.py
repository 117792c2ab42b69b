"""One incarnation of an actor: the task that takes envelopes from the slot and hands them to ``receive``.

While the task of a `Decider` is parked, senders run ``decide`` themselves, through `Cell.decide_in_place`.
The event loop has one thread and ``decide`` never suspends, so it still handles one message at a time.
Nothing overtakes, because a parked task has an empty queue. A message decided in place has no envelope and
no reply unless something other than an answer comes of it; then they are made, and it goes on like any other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
from anyio.lowlevel import checkpoint

from callboard.errors import ActorFailed, Refusal
from callboard.kernel.actor import Actor, Decider
from callboard.kernel.admission import step_inside
from callboard.kernel.context import Context, Surroundings
from callboard.kernel.envelope import Envelope
from callboard.kernel.lifecycle import DeadLetterReason
from callboard.kernel.mailbox import STREAK, InPlace
from callboard.kernel.node import Ending
from callboard.kernel.ref import ActorRef
from callboard.kernel.slot import Slot
from callboard.kernel.trace import bind_trace
from callboard.kernel.work import Work, sole_cause


class Cell:
    """An incarnation, from ``start`` to the last line of ``running``.

    Attributes:
        work: What it has spawned.
    """

    def __init__(self, slot: Slot, ref: ActorRef[Any], surroundings: Surroundings) -> None:
        self.work = Work(slot)
        self._slot = slot
        self._ending: Ending | None = None
        self._crash: BaseException | None = None  # over a message that was decided in place
        self._decide: Callable[[Any, Context[Any]], None]
        self._in_place: InPlace | None = None  # `decide_in_place`, bound once
        self._context: Context[Any] = Context(
            ref, self.work, surroundings, lambda: self.finish(Ending.STEP_DOWN, None)
        )

    async def run(self, start: Callable[[], Actor[Any]], started: Callable[[], None]) -> None:
        """Live.

        Raises:
            Exception: The incarnation crashed or could not start. Its asker has been told, its work is gone.
        """
        actor = start()
        self._slot.mailbox.resize(actor.mailbox)
        step_inside()
        crash: Exception | None = None
        async with anyio.create_task_group() as tasks:
            self.work.open(tasks)
            try:
                async with actor.running(self._context):
                    started()
                    try:
                        await self._serve(actor)
                    except Exception as error:
                        crash = self.work.cause = error
                        raise
                    finally:
                        self._slot.mailbox.in_place = None
                        await self.work.close()
            except Exception as error:  # noqa: BLE001 - the actor's edge: its supervisor decides
                crash = crash or sole_cause(error)
            tasks.cancel_scope.cancel()
        if crash is not None:
            raise crash

    def finish(self, ending: Ending, until: float | None) -> None:
        """Begin to end. Halting overrides a gentler ending, never the other way round."""
        if self._ending is None or ending is Ending.HALT:
            self._ending = ending
        self.work.awaited = True
        for session in self.work.sessions:
            session.finish(Ending.FINISH, until)
        self._slot.mailbox.wake()

    def _over(self) -> bool:
        match self._ending:
            case None:
                return False
            case Ending.HALT:
                return True
            case Ending.STEP_DOWN:
                return not self.work.live
            case Ending.FINISH:
                return not self.work.live and not len(self._slot.mailbox)

    async def _serve(self, actor: Actor[Any]) -> None:
        slot, context = self._slot, self._context
        mailbox, receive = slot.mailbox, actor.receive
        if isinstance(actor, Decider):
            self._decide, self._in_place = actor.decide, self.decide_in_place
        streak = 0
        while self._ending is None or not self._over():
            envelope = None if self._ending is Ending.STEP_DOWN else mailbox.take()
            if envelope is None:
                streak, context.current = 0, None
                try:
                    await mailbox.park(self._in_place if self._ending is None else None)
                finally:
                    if self._crash is not None:
                        raise self._crash
                continue
            reply = envelope.reply
            if reply is not None and reply.gone:
                slot.skipped += 1
                continue
            slot.handled += 1
            context.current = envelope
            bind_trace(envelope.trace)
            try:
                await receive(envelope.message, context)
            except Refusal as refusal:
                self._refuse(envelope, refusal)
            except BaseException as error:
                envelope.fail(self._failure(envelope, error))
                raise
            if reply is not None and reply.open and reply.cancel_work is None:
                self._blame(envelope)
            # Neither taking an envelope nor a short `receive` suspends.
            streak += 1
            if streak == STREAK:
                streak = 0
                await checkpoint()

    def decide_in_place(self, message: object, is_request: bool) -> object:
        """Handle ``message`` now, in the step of its sender; see `callboard.kernel.mailbox.InPlace`."""
        slot, context = self._slot, self._context
        mailbox = slot.mailbox
        mailbox.in_place = None  # whoever comes back here from within is queued
        slot.handled += 1
        context.message = message
        context.pending = message if is_request else None
        try:
            self._decide(message, context)
        except Refusal as refusal:
            self._refuse(context.wrap(request=is_request), refusal)
        except BaseException as error:  # noqa: BLE001 - the actor's edge: its own task raises it
            self._crash_over(context.wrap(request=is_request), error)
        if context.pending is not None:
            self._blame(context.wrap(request=True))
        envelope, answer = context.current, context.answer
        context.current = context.message = context.answer = None
        if mailbox.reader is not None:
            mailbox.in_place = self._in_place
        return answer if envelope is None else envelope.reply

    def _crash_over(self, envelope: Envelope, error: BaseException) -> None:
        """End the incarnation over a message that was decided in place: its own task raises ``error``."""
        envelope.fail(self._failure(envelope, error))
        self._crash = error
        self._slot.mailbox.wake()
        if not isinstance(error, Exception):
            raise error

    def _refuse(self, envelope: Envelope, refusal: Refusal) -> None:
        if not envelope.fail(refusal) and not envelope.abandoned:
            self._slot.bury(envelope, DeadLetterReason.REFUSED)

    def _blame(self, envelope: Envelope) -> None:
        self._slot.bury(envelope, DeadLetterReason.UNANSWERED)
        envelope.fail(self._failure(envelope, None))

    def _failure(self, envelope: Envelope, error: BaseException | None) -> ActorFailed:
        did = "returned without answering" if error is None else "failed over"
        failure = ActorFailed(f"{self._slot.path} {did} {type(envelope.message).__name__}")
        # A cancellation is no cause: the incarnation was ended from outside.
        failure.__cause__ = error if isinstance(error, Exception) else None
        return failure
