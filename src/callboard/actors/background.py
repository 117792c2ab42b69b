"""A turn that goes on without a reader: one actor for each, a session of its Assistant.

It ends with its turn. When it is stopped before, because the process ends, the turn stands in the store as it
is, and another process continues it (`callboard.actors.caretaker`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import ClassVar

import anyio
from anyio import CancelScope

from callboard.actors.live_turn import LiveTurn
from callboard.errors import CallboardError
from callboard.kernel import Actor, Context, MailboxSpec, Notice


class GiveUp(Notice["BackgroundTurn"], frozen=True, kw_only=True):
    """End without making anything of it: somebody else has ended the response in the store."""


class BackgroundTurn(Actor[GiveUp]):
    """See the module's docstring.

    Args:
        live: The turn, not begun.
        over: Called when it has ended, however it did.
    """

    mailbox: ClassVar[MailboxSpec] = MailboxSpec(capacity=4)

    def __init__(self, live: LiveTurn, over: Callable[[], None]) -> None:
        self._live = live
        self._over = over
        self._scope = CancelScope()

    @asynccontextmanager
    async def running(self, context: Context[BackgroundTurn]) -> AsyncIterator[None]:
        """Runs the turn beside the mailbox."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._run, context)
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()

    async def receive(self, message: GiveUp, context: Context[BackgroundTurn]) -> None:
        """Stops the turn."""
        self._scope.cancel()

    async def _run(self, context: Context[BackgroundTurn]) -> None:
        try:
            with self._scope:
                await self._live.undertake()
        except* CallboardError:
            pass  # it is in the log, where its readers find it
        finally:
            self._over()
        context.stop()
