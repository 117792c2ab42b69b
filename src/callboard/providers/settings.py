"""What an operator says about one provider, as its handler gets it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import msgspec
from msgspec import Struct

from callboard.errors import ConfigurationError
from callboard.secret import Secret
from callboard.transport.http import Timeouts

OptionsT = TypeVar("OptionsT")


class ProviderSettings(Struct, frozen=True, kw_only=True):
    """One configured provider.

    Attributes:
        name: The operator's name for it, unique.
        kind: Which registered handler serves it.
        base_url: Where it lives, path prefix included; empty where the handler needs or knows none.
        api_key: None where the provider takes none.
        headers: Further header fields of every call.
        timeouts: Time limits of every call.
        proxy: URL of an HTTP proxy that calls go through.
        http2: Offer HTTP/2.
        max_connections: Open to it at the same time; further calls wait in line.
        allow_private: Whether its host may resolve to a private address; None means where the URL itself
            shows that it is one: a literal address, or a name that cannot be a public one.
        options: What only this kind of provider understands; its handler refuses what it does not.
    """

    name: str
    kind: str
    base_url: str = ""
    api_key: Secret | None = None
    headers: Mapping[str, Secret] = {}
    timeouts: Timeouts = Timeouts()
    proxy: Secret | None = None
    http2: bool = False
    max_connections: int = 1024
    allow_private: bool | None = None
    options: Mapping[str, object] = {}


def options_as(kind: type[OptionsT], settings: ProviderSettings) -> OptionsT:
    """The options as a handler's own struct; give it ``forbid_unknown_fields`` so that typing errors show.

    Raises:
        ConfigurationError: The options do not fit.
    """
    try:
        return msgspec.convert(settings.options, kind)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"provider {settings.name!r}: {error}") from error
