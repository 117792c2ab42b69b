"""The client keys of a store, known by heart: who asks never waits.

A key that is verified costs no look at the store, and whoever decides (the door, the limiter) need not be
able to wait. In return the register has to be told to `KeyRegister.refresh`: regularly, so that what other
processes revoke is noticed, and before it is said of a key that there is none.

While the store cannot be read, what is known stays true. Nothing can be revoked there by then either.
"""

from __future__ import annotations

from collections.abc import Callable

import anyio

from callboard.domain.client_key import ClientKey, proves
from callboard.store.store import Store

_NO_SECRET = b""


class KeyRegister:
    """See the module's docstring.

    Args:
        store: Open as long as the register is refreshed.
        now_s: Seconds since the epoch.

    Attributes:
        loaded: Whether the store was read at all. Before that nothing may be concluded from what is missing.
        version: Number of the last change known; with each one, what was derived from the register is stale.
    """

    def __init__(self, store: Store, now_s: Callable[[], float]) -> None:
        self._store = store
        self.now_s = now_s
        self._keys: dict[str, ClientKey] = {}
        self._secret = _NO_SECRET
        self._reads = 0
        self._reading = anyio.Lock()
        self.loaded = False
        self.version = 0

    @property
    def is_empty(self) -> bool:
        """Whether it is known that no key was ever made."""
        return self.loaded and not self._keys

    def key(self, key_id: str) -> ClientKey | None:
        """The key of this id, valid or not."""
        return self._keys.get(key_id)

    def verified(self, key_id: str, token: bytes) -> ClientKey | None:
        """The key that ``token`` proves its bearer to hold; None where it does not, or is not valid any more.

        Args:
            key_id: As it stands in the token.
            token: The whole of it.
        """
        key = self._keys.get(key_id)
        if key is None or not proves(token, key, self._secret) or not key.is_valid(self.now_s()):
            return None
        return key

    def may_spend(self, key_id: str) -> bool:
        """Whether work is still done for this key; so it is for those who need none."""
        key = self._keys.get(key_id)
        return key is None or key.is_valid(self.now_s())

    async def refresh(self) -> None:
        """Know what the store knows by now. Many who ask at once share one reading.

        Raises:
            StoreUnavailable: It cannot be read.
        """
        reads = self._reads
        async with self._reading:
            if self._reads > reads:
                return  # a reading has begun and ended since we asked
            self._reads += 1
            try:
                await self._read()
            except BaseException:
                self._reads -= 1
                raise

    async def _read(self) -> None:
        changed = await self._store.keys(after=self.version)
        if changed and not self._secret:
            self._secret = await self._store.key_secret()
        self._keys.update({key.id: key for key in changed})
        if changed:
            self.version = changed[-1].version
        self.loaded = True
