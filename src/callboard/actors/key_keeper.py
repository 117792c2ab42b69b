"""KeyKeeper: keeps the register of client keys true to the store, which other processes write to as well."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import ClassVar

from callboard.errors import CallboardError
from callboard.kernel import Actor, Context, MailboxSpec, Notice
from callboard.store.key_register import KeyRegister

LOOK_AGAIN_S = 1.0
"""How late a key that another process revokes may still be let in."""


class LookAgain(Notice["KeyKeeper"], frozen=True, kw_only=True):
    """To itself: see what has changed."""


class KeyKeeper(Actor[LookAgain]):
    """See the module's docstring.

    Args:
        keys: Outlives the actor, so that its restart forgets nothing.
        every_s: How often to look.
    """

    mailbox: ClassVar[MailboxSpec] = MailboxSpec(capacity=4)

    def __init__(self, keys: KeyRegister, *, every_s: float = LOOK_AGAIN_S) -> None:
        self._keys = keys
        self._every_s = every_s

    @asynccontextmanager
    async def running(self, context: Context[KeyKeeper]) -> AsyncIterator[None]:
        """Looks once before anybody who comes later in the tree begins to work, and then again and again."""
        await self._look()
        context.tell_later(LookAgain(), after=self._every_s)
        yield

    async def receive(self, message: LookAgain, context: Context[KeyKeeper]) -> None:
        """Looks."""
        await self._look()
        context.tell_later(LookAgain(), after=self._every_s)

    async def _look(self) -> None:
        # The store says what is wrong at every door; until it can be read, what is known stays true.
        with suppress(CallboardError):
            await self._keys.refresh()
