"""A child's place in the tree: what stays when its incarnations come and go."""

from __future__ import annotations

from callboard.errors import ActorStopped, Draining, MailboxFull, Refusal
from callboard.kernel.envelope import Envelope
from callboard.kernel.environment import Environment
from callboard.kernel.lifecycle import DeadLetter, DeadLetterReason, MailboxRejected
from callboard.kernel.mailbox import Mailbox, MailboxSpec, Overflow


class Slot:
    """The mailbox of a child, the rules for getting into it, and the books about what became of each message.

    Every message that was accepted ends in exactly one of three counts: handled, skipped or dead.

    Attributes:
        path: Names from the root to this child, joined by ``/``.
        environment: What the system shares.
        admission: The system's door.
        mailbox: The queue; of the default size until the first incarnation states its own.
        handled: Messages given to ``receive`` or ``decide``.
        skipped: Requests whose asker had left before their turn came.
        rejected: Messages refused because the mailbox was full; they were never accepted.
        dead: Messages still queued, or told afterwards, when the actor ended for good.
    """

    __slots__ = ("admission", "dead", "environment", "handled", "mailbox", "path", "rejected", "skipped")

    def __init__(self, path: str, environment: Environment) -> None:
        self.path = path
        self.environment = environment
        self.admission = environment.admission
        self.mailbox = Mailbox(MailboxSpec(), environment.signals)
        self.handled = 0
        self.skipped = 0
        self.rejected = 0
        self.dead = 0

    def post(self, envelope: Envelope) -> bool:
        """Accept ``envelope`` without suspending.

        Returns:
            False if a place must be waited for (see `wait_for_place`).

        Raises:
            MailboxFull: The mailbox is full and its rule is to reject.
            Draining: The system is stopping, and the running task is not inside or the actor has stopped.
            ActorStopped: The actor has ended for good. A notice never raises this: it becomes a dead letter.
        """
        if self.admission.closed and envelope.reply is not None:
            self.admission.check()
        mailbox = self.mailbox
        if mailbox.offer(envelope):
            return True
        if mailbox.closed:
            self._refuse(envelope)
            return True
        if mailbox.spec.overflow is Overflow.WAIT:
            return False
        self.rejected += 1
        self._observe_rejection(envelope)
        raise MailboxFull(f"{self.path} has {len(mailbox)} messages waiting and takes no more")

    async def wait_for_place(self, envelope: Envelope) -> None:
        """Accept ``envelope`` as soon as the mailbox has room, whatever its overflow rule.

        A sender cancelled meanwhile has sent nothing.

        Raises:
            ActorStopped: As for `post`.
            Draining: As for `post`.
        """
        if not await self.mailbox.put(envelope):
            self._refuse(envelope)

    def bury(self, envelope: Envelope, reason: DeadLetterReason) -> None:
        """Say that nobody will act on ``envelope``."""
        environment = self.environment
        request = type(envelope.message).__name__
        event = DeadLetter(at=environment.clock(), path=self.path, request=request, reason=reason)
        environment.observe(event)

    def close(self) -> None:
        """End the slot for good: answer whatever is queued, refuse whatever comes. Idempotent."""
        for envelope in self.mailbox.close():
            if envelope.abandoned:
                self.skipped += 1
            else:
                self.dead += 1
                self.bury(envelope, DeadLetterReason.STOPPED)
                envelope.fail(self._farewell())

    def _refuse(self, envelope: Envelope) -> None:
        self.dead += 1
        self.bury(envelope, DeadLetterReason.STOPPED)
        if envelope.reply is not None:
            raise self._farewell()

    def _farewell(self) -> Refusal:
        if self.environment.admission.closed:
            return Draining(f"{self.path} has stopped with the system")
        return ActorStopped(f"{self.path} has ended")

    def _observe_rejection(self, envelope: Envelope) -> None:
        environment = self.environment
        request = type(envelope.message).__name__
        environment.observe(MailboxRejected(at=environment.clock(), path=self.path, request=request))
