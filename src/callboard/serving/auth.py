"""Who is asking, and whether we may answer: host and origin checks, client keys, and what a key is for.

Until the first key is made, whoever reaches us is let in; so we listen on loopback only by then, unless the
operator says otherwise in so many words. From the first key on every route wants one but those that say
nothing of anybody. Why a key is not let in, wrong, revoked or expired, is not said.

On loopback the threat is a web page in the operator's own browser: the ``Host`` allow-list stops names that
were re-bound to 127.0.0.1, and the ``Origin`` check stops pages from posting across origins.

Source: RFC 6750, section 2.1 (bearer tokens); Anthropic API, "Authentication" (``x-api-key``).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import TypeAlias
from urllib.parse import urlsplit

from callboard.domain.client_key import key_id_of
from callboard.domain.principal import LOCAL, KeyScope, Principal
from callboard.errors import ConfigurationError, Misdirected, PermissionDenied, Unauthenticated
from callboard.serving.exchange import Exchange
from callboard.store.key_register import KeyRegister

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1", "[::1]"})
REMEMBERED_HOSTS = 256
"""Values of ``Host`` that were found to be ours; each client sends the same one over and over."""
REMEMBERED_CREDENTIALS = 4096
REMEMBERED_LENGTH = 512
"""Bytes of credentials that are worth remembering; a key of ours has fifty."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

ANYBODY = Principal(key_id="", tenant="", scopes=frozenset())
"""Who asks for what is everybody's; nothing is anybody's that has no name."""

_Credentials: TypeAlias = tuple[bytes | None, bytes | None]
"""The values of ``Authorization`` and ``x-api-key``."""


class Doorkeeper:
    """Decides for each request whether it may come in.

    What credentials were found to prove is remembered until any key changes. They are looked up whole in a
    dictionary, whose hashes are seeded anew in each process: what is compared does not depend on how much of
    a guess is right.

    Args:
        hosts: Names and addresses accepted in ``Host``, besides loopback names.
        keys: The keys there are.
    """

    def __init__(self, hosts: frozenset[str], keys: KeyRegister) -> None:
        self._hosts = LOOPBACK_NAMES | {host.lower() for host in hosts}
        self._any_host = "*" in hosts
        self._welcome: set[bytes] = set()
        self._keys = keys
        self._proven: dict[_Credentials, tuple[Principal, float | None]] = {}
        self._proven_at = -1

    def admit(self, exchange: Exchange, scope: KeyScope | None) -> Principal | None:
        """The principal of a request; None where only `identify` can tell, which may have to wait.

        A page may open a WebSocket anywhere, and then read what comes.

        Args:
            exchange: The request.
            scope: What it wants to do here; None is what anybody may.

        Raises:
            Misdirected: Its ``Host`` is not ours.
            PermissionDenied: It comes from a page of another origin, or its key is for something else.
        """
        headers = exchange.headers
        host = headers.get(b"host", b"")
        if host not in self._welcome:
            self._check_host(host)
        from_a_page = b"origin" in headers or b"sec-fetch-site" in headers
        if from_a_page and (exchange.method not in SAFE_METHODS or exchange.opens_socket):
            self._check_origin(exchange, host)
        if scope is None:
            return ANYBODY
        if self._proven_at != self._keys.version:
            self._forget()
        found = self._proven.get((headers.get(b"authorization"), headers.get(b"x-api-key")))
        if found is None:
            return None
        principal, until_s = found
        if until_s is not None and self._keys.now_s() >= until_s:
            return None
        if scope not in principal.scopes:
            raise _not_for(scope)
        return principal

    async def identify(self, exchange: Exchange, scope: KeyScope | None) -> Principal:
        """The principal of a request whose credentials are not known yet.

        Raises:
            Unauthenticated: It has no key, and needs one; or what it has is none of ours, or no longer.
            PermissionDenied: Its key is for something else.
            StoreUnavailable: The keys cannot be read.
        """
        keys = self._keys
        credentials = (exchange.header(b"authorization"), exchange.header(b"x-api-key"))
        token = _token(credentials)
        key_id = None if token is None else key_id_of(token)
        if not keys.loaded or (key_id is not None and keys.key(key_id) is None):
            await keys.refresh()
        if keys.is_empty:
            self._remember(credentials, LOCAL, None)
            return LOCAL
        if credentials == (None, None):
            raise Unauthenticated("A key is needed: send it as Authorization: Bearer KEY, or as x-api-key.")
        key = None if token is None or key_id is None else keys.verified(key_id, token)
        if key is None:
            raise Unauthenticated("The key is not valid.")
        principal = key.principal()
        self._remember(credentials, principal, key.expires_at_s)
        if scope is not None and scope not in principal.scopes:
            raise _not_for(scope)
        return principal

    def _remember(self, credentials: _Credentials, principal: Principal, until_s: float | None) -> None:
        if sum(len(each or b"") for each in credentials) > REMEMBERED_LENGTH:
            return
        if self._proven_at != self._keys.version or len(self._proven) >= REMEMBERED_CREDENTIALS:
            self._forget()
        self._proven[credentials] = (principal, until_s)

    def _forget(self) -> None:
        self._proven.clear()
        self._proven_at = self._keys.version

    def _check_host(self, host: bytes) -> None:
        if not host or not (self._any_host or _name(host) in self._hosts):
            raise Misdirected(
                "This server does not answer for that host; [server] allowed_hosts names those it does."
            )
        if len(self._welcome) < REMEMBERED_HOSTS:
            self._welcome.add(host)

    def _check_origin(self, exchange: Exchange, host: bytes) -> None:
        if exchange.header(b"sec-fetch-site") in (b"cross-site", b"same-site"):
            raise PermissionDenied("Requests from other origins are not accepted.")
        origin = exchange.header(b"origin")
        if origin is not None and urlsplit(origin.decode("latin-1")).netloc.encode() != host:
            raise PermissionDenied("Requests from other origins are not accepted.")


def _no_keys() -> bool:
    return False


def check_listen_address(host: str, *, insecure: bool, keyed: Callable[[], bool] = _no_keys) -> None:
    """Refuse to serve a network without authentication.

    Args:
        host: Where we are to listen.
        insecure: Whether the operator insists.
        keyed: Whether there are client keys; asked only where it matters.

    Raises:
        ConfigurationError: ``host`` is not loopback, there is no key, and the operator did not insist.
    """
    if insecure or host == "localhost":
        return
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback and not keyed():
        raise ConfigurationError(
            f"refusing to listen on {host} without client keys: anybody who can reach it could spend your "
            "money. Make a key with `callboard keys create NAME`, or listen on 127.0.0.1, or pass "
            "--insecure-no-auth if something before it authenticates."
        )


def _token(credentials: _Credentials) -> bytes | None:
    """The token in a request's credentials: the bearer's, else ``x-api-key``."""
    authorization, api_key = credentials
    if authorization is not None:
        scheme, _, token = authorization.partition(b" ")
        if scheme.lower() == b"bearer":
            return token.strip(b" ")
    return api_key


def _not_for(scope: KeyScope) -> PermissionDenied:
    return PermissionDenied(f"This key is not for that: it lacks the scope {scope!r}.")


def _name(host: bytes) -> str:
    """The name in a ``Host`` header, without its port, in lower case; empty where it is malformed."""
    text = host.decode("latin-1").lower()
    if text.startswith("["):
        name, bracket, rest = text.partition("]")
        return name + bracket if bracket and (not rest or rest.startswith(":")) else ""
    name, _, port = text.partition(":")
    return name if not port or port.isdigit() else ""
