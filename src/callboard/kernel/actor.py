"""The class every actor derives from."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar, Generic, Self, TypeVar

from callboard.kernel.context import Context
from callboard.kernel.mailbox import MailboxSpec

M = TypeVar("M")


class Actor(Generic[M]):
    """State that one task owns, reached only by messages of the union ``M``.

    ::

        class RateLimiter(Actor["Acquire | Refund"]):
            async def receive(self, message: Acquire | Refund, context: Context[RateLimiter]) -> None:
                match message:
                    case Acquire():
                        context.reply(message, self._take(message))
                    case Refund():
                        self._give_back(message)
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
