"""The only way to reach an actor."""

from __future__ import annotations

import math
from typing import Generic, TypeVar

import anyio
from anyio import WouldBlock
from anyio.lowlevel import checkpoint

from callboard.kernel.envelope import Envelope
from callboard.kernel.mailbox import STREAK
from callboard.kernel.reply import LastingReply, Reply
from callboard.kernel.request import Notice, Request, StreamRequest
from callboard.kernel.slot import Slot
from callboard.kernel.stream import EventStream
from callboard.kernel.trace import current_trace

A = TypeVar("A")
R = TypeVar("R")
E = TypeVar("E")


class ActorRef(Generic[A]):
    """A reference to the actor ``A`` in one slot of the tree: hashable, cheap, and valid across restarts.

    There is no time limit to give: callers use ``anyio.fail_after``, and their deadline travels with the
    request. Messages of one sender arrive in the order in which they were sent, each at most once.

    An idle `Decider` is called in place, and then `tell` and `ask` do not suspend. So they are no
    checkpoints: a sender that was cancelled learns of it where it next suspends. After 64 messages that an
    actor handled so in a row, the next ask suspends before it is sent, and the next notice goes through the
    mailbox: a loop that does nothing but ask starves nobody and finds out that it was cancelled.
    """

    __slots__ = ("_slot",)

    def __init__(self, slot: Slot) -> None:
        self._slot = slot

    def __repr__(self) -> str:
        return f"<ActorRef {self._slot.path}>"

    async def tell(self, notice: Notice[A]) -> None:
        """Send ``notice``; return once it is queued.

        Does not suspend while the mailbox has room, not even to be cancelled: a notice told in a ``finally``
        block is then delivered. A notice to an actor that has ended for good becomes a dead letter.

        Raises:
            MailboxFull: The mailbox is full and rejects. One that waits suspends the sender instead.
        """
        slot = self._slot
        mailbox = slot.mailbox
        in_place = mailbox.in_place
        if in_place is not None and mailbox.patience > 0 and not slot.admission.closed:
            mailbox.patience -= 1
            in_place(notice, False)
            return
        envelope = Envelope(notice, None, current_trace(), slot.environment.deadline())
        if not slot.post(envelope):
            await slot.wait_for_place(envelope)

    def tell_now(self, notice: Notice[A]) -> None:
        """Send ``notice`` without ever suspending: it is decided in place, else queued.

        Not bound to the 64 in a row: whoever uses it in a loop sees to it that the loop suspends.

        Raises:
            WouldBlock: The mailbox is full and waits.
            MailboxFull: The mailbox is full and rejects.
        """
        slot = self._slot
        in_place = slot.mailbox.in_place
        if in_place is not None and not slot.admission.closed:
            in_place(notice, False)
        elif not slot.post(Envelope(notice, None, current_trace(), slot.environment.deadline())):
            raise WouldBlock

    async def ask(self, request: Request[A, R]) -> R:
        """Send ``request`` and wait for its answer.

        A cancellation while waiting withdraws the request if it is still queued, and else cancels the work
        spawned for it; ``receive`` itself is never cut short. An answer that arrives together with the
        cancellation is returned: the cancellation is delivered at the next checkpoint.

        Raises:
            Refusal: The actor's answer.
            ActorFailed: The actor crashed over this request; ``__cause__`` says why.
            MailboxFull: The mailbox is full and rejects.
            ActorStopped: The actor has ended for good.
            Draining: The system is stopping.
            DeadlineExceeded: The work spawned for this request met the caller's own deadline first.
        """
        slot = self._slot
        mailbox = slot.mailbox
        if mailbox.patience <= 0 and mailbox.in_place is not None:
            # Enough of them in a row: everybody else gets a turn. Only this sender waits for it.
            mailbox.patience = STREAK + 1
            await checkpoint()
        in_place = mailbox.in_place
        reply: Reply[R]
        if in_place is not None and not slot.admission.closed:
            mailbox.patience -= 1
            answer: R | Reply[R] = in_place(request, True)
            if not isinstance(answer, Reply):
                return answer
            reply = answer
        else:
            environment = slot.environment
            reply = Reply(environment.signals)
            envelope = Envelope(request, reply, current_trace(), environment.deadline())
            if not slot.post(envelope):
                await slot.wait_for_place(envelope)
        # As in `Reply.wait`, without the cost of one more coroutine.
        try:
            await reply.signal
        except BaseException as cancellation:
            if not reply.outlives(cancellation):
                raise
        return reply.result()

    async def ask_shielded(self, request: Request[A, R]) -> R:
        """As `ask`, but the answer is waited for even when the asker is cancelled meanwhile.

        For what must not be left in doubt: whoever asks knows afterwards what came of it, and is cancelled at
        the next checkpoint. This is none, so a loop of such asks needs another. No deadline travels with the
        request, and it is never decided in place.
        """
        slot = self._slot
        reply: LastingReply[R] = LastingReply(slot.environment.signals)
        envelope = Envelope(request, reply, current_trace(), math.inf)
        if not slot.post(envelope):
            with anyio.CancelScope(shield=True):
                await slot.wait_for_place(envelope)
        return await reply.wait()

    def ask_now(self, request: Request[A, R]) -> R:
        """Send ``request`` if the answer can be had in this very step; for use in `Decider.decide`.

        Only an idle `Decider` that answers by itself can give it. Not bound to the 64 in a row.

        Raises:
            WouldBlock: The answer takes time. Where the actor has handed the request on, that work is
                cancelled as for an asker who leaves; otherwise nothing was sent.
            Refusal: The actor's answer.
            ActorFailed: The actor crashed over this request; ``__cause__`` says why.
            Draining: The system is stopping.
        """
        slot = self._slot
        in_place = slot.mailbox.in_place
        if slot.admission.closed:
            slot.admission.check()
            raise WouldBlock
        if in_place is None:
            raise WouldBlock
        answer: R | Reply[R] = in_place(request, True)
        if not isinstance(answer, Reply):
            return answer
        if answer.open:
            answer.abandon()
            raise WouldBlock
        return answer.result()

    def stream(self, request: StreamRequest[A, E], *, buffer: int = 0) -> EventStream[E]:
        """Send ``request`` on entering the block; iterate over its events inside.

        Leaving the block, however that happens, cancels the producer. Errors come out of the iteration after
        the last event delivered, except the mailbox's own, which come out of entering; they are those of
        `ask`.

        Args:
            request: What to ask.
            buffer: Events the producer may be ahead; 0 makes it wait for the consumer each time.

        Returns:
            What is entered for the block, and iterated in it; its ``ready`` gives what has come meanwhile.
        """
        return EventStream(self._slot, request, buffer)
