"""Client keys: what is known of one, and how a token proves that its bearer holds it.

A token is ``cb_<id>_<secret>``. The id finds the key; the secret, 190 random bits, is kept nowhere. What is
kept is the token's hash under a secret of the server's own (HMAC-SHA256), so that neither a copy of the
database nor write access to it is enough to make a token that is let in. Pure: randomness and the hour are
arguments.

Source: RFC 2104 (HMAC).
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from decimal import Decimal

from msgspec import Struct

from callboard.domain.principal import KeyScope, Principal

ID_CHARS = "0123456789abcdefghijklmnopqrstuvwxyz"
SECRET_CHARS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ" + ID_CHARS
ID_LENGTH = 10
SECRET_LENGTH = 32
LAST = 4
"""Characters of a token by which its owner may know it again."""

_TOKEN = re.compile(rb"cb_([0-9a-z]{%d})_[0-9A-Za-z]{%d}" % (ID_LENGTH, SECRET_LENGTH))
_PATTERN = re.compile(r"[^*\x00-\x1f\x7f]+\*?|\*")
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,128}")


class Allowance(Struct, frozen=True, kw_only=True):
    """What a key may use; None leaves it to the defaults of ``[limits]``."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    cost_per_day_usd: Decimal | None = None
    parallel: int | None = None


class ClientKey(Struct, frozen=True, kw_only=True):
    """One key, without its secret. Nothing of it ever changes but that it is revoked.

    Attributes:
        id: Unique in the whole store; the key's name in limits, ledger and log.
        hash: Of the token, by `hash_of`.
        tenant: Whose data its bearer sees.
        created_at_s, expires_at_s, revoked_at_s: Seconds since the Unix epoch; None is never.
        last_four: The token's last characters.
        models, tools: As in `callboard.domain.principal.Principal`.
        version: Number of the last change to it, of all changes to keys. The store's to fill in.
    """

    id: str
    hash: bytes
    name: str
    tenant: str
    scopes: frozenset[KeyScope] = frozenset({"client"})
    created_at_s: int
    expires_at_s: int | None = None
    revoked_at_s: int | None = None
    last_four: str
    allowance: Allowance = Allowance()
    models: tuple[str, ...] | None = None
    tools: tuple[str, ...] | None = None
    version: int = 0

    def is_valid(self, now_s: float) -> bool:
        """Whether its bearer is let in at ``now_s``."""
        return self.revoked_at_s is None and (self.expires_at_s is None or now_s < self.expires_at_s)

    def principal(self) -> Principal:
        """Who bears it."""
        return Principal(
            key_id=self.id, tenant=self.tenant, scopes=self.scopes, models=self.models, tools=self.tools
        )


def key_id_of(token: bytes) -> str | None:
    """The id in ``token``; None where it is no token of ours, whatever else it is."""
    found = _TOKEN.fullmatch(token)
    return None if found is None else found[1].decode()


def new_token(choice: Callable[[str], str]) -> tuple[str, bytes]:
    """An id, and the token it is in.

    Args:
        choice: Picks one of the characters it is given, each with the same chance, unguessably.
    """
    key_id = "".join(choice(ID_CHARS) for _ in range(ID_LENGTH))
    secret = "".join(choice(SECRET_CHARS) for _ in range(SECRET_LENGTH))
    return key_id, f"cb_{key_id}_{secret}".encode()


def hash_of(token: bytes, server_secret: bytes) -> bytes:
    """What is kept of ``token``."""
    return hmac.digest(server_secret, token, "sha256")


def proves(token: bytes, key: ClientKey, server_secret: bytes) -> bool:
    """Whether ``token`` is that of ``key``; takes as long if it is not."""
    return hmac.compare_digest(hash_of(token, server_secret), key.hash)


def is_model_pattern(text: str) -> bool:
    """Whether ``text`` may stand in ``models``: one ``*`` at most, at its end."""
    return _PATTERN.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """Whether ``text`` may name a key, a tenant or a tool: up to 128 characters, no control among them."""
    return _NAME.fullmatch(text) is not None and text.strip() == text
