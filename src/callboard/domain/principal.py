"""On whose behalf something is done: whose limits pay for it, whose data it may see, what it may use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

from msgspec import Struct

from callboard.errors import UnknownModel

KeyScope: TypeAlias = Literal["client", "admin", "monitor"]
"""What a caller is here for: to use models, to manage, to watch. None implies another."""

SCOPES: tuple[KeyScope, ...] = ("client", "admin", "monitor")


class Principal(Struct, frozen=True, kw_only=True):
    """A caller that was let in.

    Attributes:
        key_id: Whose limits and ledger lines its work belongs to.
        tenant: Whose data it sees and makes; several keys may share a tenant.
        models: What it may ask for: names, or beginnings of names with ``*`` behind them. None is all.
        tools: Names of our tools that its turns are offered; None is all.
    """

    key_id: str
    tenant: str
    scopes: frozenset[KeyScope] = frozenset({"client"})
    models: tuple[str, ...] | None = None
    tools: tuple[str, ...] | None = None

    def may_ask(self, model: str) -> bool:
        """Whether ``model``, as the client calls it, is one of its models; fallbacks are the operator's."""
        return self.models is None or is_among(model, self.models)

    def check_model(self, model: str) -> None:
        """Refuse a model that is not one of its own, in the same words whether or not there is such a model.

        Raises:
            UnknownModel: It may not ask for this.
        """
        if self.models is not None and not is_among(model, self.models):
            raise UnknownModel(f"model {model!r} is not configured")

    def may_call(self, tool: str) -> bool:
        """Whether its turns are offered our tool of this name."""
        return self.tools is None or tool in self.tools


LOCAL = Principal(key_id="local", tenant="local", scopes=frozenset(SCOPES))
"""Whoever is in this process, or on this machine while no key has been made."""


def is_among(model: str, patterns: Iterable[str]) -> bool:
    """Whether ``model`` is one of the names, or begins like one that has ``*`` behind it."""
    return any(
        model.startswith(pattern[:-1]) if pattern.endswith("*") else model == pattern for pattern in patterns
    )
