"""The desk where client keys are handed out and taken back: for the operator, beside a running server or not.

It works on the configured store alone, and whoever serves from that store notices (`KeyRegister`).
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Struct

from callboard.config import Config
from callboard.domain.client_key import (
    LAST,
    Allowance,
    ClientKey,
    hash_of,
    is_model_pattern,
    is_name,
    new_token,
)
from callboard.domain.principal import KeyScope
from callboard.errors import ConfigurationError
from callboard.secret import Secret
from callboard.store.changes import PutKey, RevokeKey
from callboard.store.opening import open_store
from callboard.store.store import Store

DAY_S = 86_400


class KeyOrder(Struct, frozen=True, kw_only=True):
    """What a new key shall be.

    Attributes:
        name: For people; need not be unique.
        tenant: None makes a tenant of its own, called like the key's id.
        days: How long it is valid; None is for ever.
        models, tools: As in `callboard.domain.principal.Principal`.
    """

    name: str
    tenant: str | None = None
    scopes: frozenset[KeyScope] = frozenset({"client"})
    days: float | None = None
    allowance: Allowance = Allowance()
    models: tuple[str, ...] | None = None
    tools: tuple[str, ...] | None = None


class KeyDesk:
    """See the module's docstring.

    Args:
        store: Open as long as the desk is used.
        now_s: Seconds since the epoch.
    """

    def __init__(self, store: Store, now_s: Callable[[], float]) -> None:
        self._store = store
        self._now_s = now_s

    async def create(self, order: KeyOrder) -> tuple[Secret, ClientKey]:
        """A new key, and its token, which nobody can ever be told again.

        Raises:
            ConfigurationError: The order is for something no key can be.
            StoreUnavailable: It could not be kept; there is no such key then.
        """
        _check(order)
        key_id, token = new_token(secrets.choice)
        now_s = int(self._now_s())
        text = token.decode()
        key = ClientKey(
            id=key_id,
            hash=hash_of(token, await self._store.key_secret()),
            name=order.name,
            tenant=order.tenant or key_id,
            scopes=order.scopes,
            created_at_s=now_s,
            expires_at_s=None if order.days is None else now_s + round(order.days * DAY_S),
            last_four=text[-LAST:],
            allowance=order.allowance,
            models=order.models,
            tools=order.tools,
        )
        await self._store.commit((PutKey(key=key),))
        return Secret(text), key

    async def keys(self) -> list[ClientKey]:
        """All keys, oldest first, those that are not valid any more too."""
        return sorted(await self._store.keys(), key=lambda key: (key.created_at_s, key.id))

    async def revoke(self, key_id: str) -> None:
        """Take a key back, for good.

        Raises:
            NotFound: There is none of this id.
        """
        await self._store.commit((RevokeKey(id=key_id, revoked_at_s=int(self._now_s())),))


@asynccontextmanager
async def open_desk(config: Config, now_s: Callable[[], float]) -> AsyncIterator[KeyDesk]:
    """The desk of the store that ``config`` names.

    Raises:
        ConfigurationError: That one is in memory, and nobody else's.
        StoreUnavailable: It cannot be opened.
    """
    if _is_in_memory(config):
        raise ConfigurationError(
            'keys are kept in the store, and this one is forgotten with its process: set [store] url to "'
            'sqlite:///PATH"'
        )
    async with open_store(config.store.url, _folder(config)) as store:
        yield KeyDesk(store, now_s)


async def has_keys(config: Config) -> bool:
    """Whether any key was ever made, so that nobody is let in without one.

    Raises:
        StoreUnavailable: The store cannot be opened or read.
    """
    if _is_in_memory(config):
        return False
    async with open_store(config.store.url, _folder(config)) as store:
        return bool(await store.keys())


def _is_in_memory(config: Config) -> bool:
    return config.store.url == "memory:"


def _folder(config: Config) -> Path:
    return Path.cwd() if config.path is None else config.path.parent


def _check(order: KeyOrder) -> None:
    names = (("name", order.name), ("tenant", order.tenant or order.name))
    for what, text in (*names, *(("tool", tool) for tool in order.tools or ())):
        if not is_name(text):
            raise ConfigurationError(
                f"a {what} has 1 to 128 characters, none of them a control or an outer blank"
            )
    for model in order.models or ():
        if not is_model_pattern(model):
            raise ConfigurationError(f"model {model!r}: a name, or the beginning of names and * behind it")
    if not order.scopes:
        raise ConfigurationError("a key is for something: client, admin or monitor")
