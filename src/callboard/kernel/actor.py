"""The classes every actor derives from."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar, Generic, Self, TypeVar, final

from callboard.kernel.context import Context
from callboard.kernel.mailbox import MailboxSpec

M = TypeVar("M")


class Actor(Generic[M]):
    """State that one task owns, reached only by messages of the union ``M``.

    ::

        class Kettle(Actor["Boil | Empty"]):
            async def receive(self, message: Boil | Empty, context: Context[Kettle]) -> None:
                match message:
                    case Boil():
                        context.reply_from(message, self._boil)
                    case Empty():
                        self._litres = 0
                    case _:
                        assert_never(message)

    An instance is one incarnation: after a crash the supervisor starts a fresh one behind the same reference.

    Attributes:
        mailbox: Its size and what senders meet when it is full.
    """

    mailbox: ClassVar[MailboxSpec] = MailboxSpec()

    @asynccontextmanager
    async def running(self, context: Context[Self]) -> AsyncIterator[None]:
        """Hold what the actor needs while it lives; entered and left by the same task that calls `receive`.

        It is up once this is entered. On the way out everything it spawned has already ended. An error on the
        way in fails the start; an error of a task group held here crashes the incarnation.
        """
        yield

    async def receive(self, message: M, context: Context[Self]) -> None:
        """Handle one message; the next one waits.

        Keep it short and never await the network here: hand slow work to ``context.reply_from``. It is not
        cancelled when the asker leaves. A request must be answered or handed on before it returns.

        Raises:
            Refusal: The answer; the actor lives on.
            Exception: A bug: the asker gets ActorFailed, the incarnation ends, the supervisor decides.
        """
        raise NotImplementedError


class Decider(Actor[M]):
    """An actor whose handling never suspends: it only decides, and hands slow work on.

    ::

        class RateLimiter(Decider["Acquire | Refund"]):
            def decide(self, message: Acquire | Refund, context: Context[RateLimiter]) -> None:
                match message:
                    case Acquire():
                        context.reply(message, self._take(message))
                    case Refund():
                        self._give_back(message)
                    case _:
                        assert_never(message)

    Because it cannot be interrupted, nobody needs to wait for its task: while that is idle, a message is
    decided *in place*, in the sender's own step, which costs a function call instead of two task switches.
    While it is not idle (something is queued, it decides already, it starts, ends or the system drains) the
    message is queued as for any actor. Order, mutual exclusion, supervision and the books are the same both
    ways; the sender cannot tell them apart but by `ActorRef.ask` not suspending.
    """

    def decide(self, message: M, context: Context[Self]) -> None:
        """Handle one message at once.

        It runs in the actor's task or in a sender's: trace and deadline are the sender's either way, and
        nothing else may be taken from the surroundings. Other actors are reached with `ActorRef.ask_now` and
        `ActorRef.tell_now`, or from work that is handed to ``context.reply_from``. A request must be answered
        or handed on before it returns.

        Raises:
            Refusal: As for `receive`.
            Exception: As for `receive`.
        """
        raise NotImplementedError

    @final
    async def receive(self, message: M, context: Context[Self]) -> None:
        """Decide what was queued."""
        self.decide(message, context)
