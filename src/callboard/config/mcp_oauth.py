"""``[mcp.servers.NAME.oauth]``: how tokens for a server behind a URL are had."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Annotated, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from callboard.config.problems import KeyPath
from callboard.config.urls import NO_URL, parts_of
from callboard.secret import Secret

# RFC 6749, appendix A: client_id and client_secret are *VSCHAR; of a scope's NQCHAR we leave out the quote.
_VISIBLE = re.compile(r"[\x20-\x7e]+")
_SCOPES = re.compile(r"[\x21\x23-\x26\x28-\x5b\x5d-\x7e]+( [\x21\x23-\x26\x28-\x5b\x5d-\x7e]+)*")


class McpOAuthConfig(Struct, frozen=True, kw_only=True):
    """``[mcp.servers.NAME.oauth]``: tokens from an authorization server, by OAuth 2.1.

    Attributes:
        issuers: The authorization servers that we let the server send us to, each as it calls itself, and the
            origins of those of their endpoints that are elsewhere. Nothing else is dialled. The first is the
            one that ``client_id`` and ``client_secret`` are meant for.
        grant: By default a person consents, once (``callboard tools login NAME``). With
            ``client_credentials`` nobody has to; it needs ``client_id`` and ``client_secret``.
        client_id: Who we are to the authorization server; without it we register ourselves.
        token_endpoint_auth_method: How we prove that. By default as the authorization server says when we
            register; of a configured client ``client_secret_basic`` with a secret, else ``none``.
        client_metadata_url: An HTTPS URL of a document that describes us, which is our ``client_id`` wherever
            the authorization server takes such.
        scope: Names, with spaces between them, to ask for instead of those that the server wants.
        redirect_port: Where `callboard tools login` listens on 127.0.0.1; the redirect URI is
            ``http://127.0.0.1:PORT/callback``.
    """

    issuers: tuple[str, ...]
    grant: Literal["authorization_code", "client_credentials"] = "authorization_code"
    client_id: str | None = None
    client_secret: Secret | None = None
    token_endpoint_auth_method: Literal["client_secret_basic", "client_secret_post", "none"] | None = None
    client_metadata_url: str | None = None
    scope: str | None = None
    redirect_port: Annotated[int, Meta(ge=1, le=65535)] = 8976


def oauth_faults(oauth: McpOAuthConfig) -> Iterator[tuple[KeyPath, str]]:
    """What no single key of the table can tell."""
    if not oauth.issuers:
        yield ("issuers",), "missing; name the authorization servers that may be asked for tokens"
    for each in oauth.issuers:
        if fault := _issuer_fault(each):
            yield ("issuers",), fault
    if oauth.client_id is not None and not _VISIBLE.fullmatch(oauth.client_id):
        yield ("client_id",), "empty, or with a character that none may have"
    if oauth.client_secret is not None and not _VISIBLE.fullmatch(oauth.client_secret.reveal()):
        yield ("client_secret",), "empty, or with a character that none may have"
    if oauth.scope is not None and not is_scope(oauth.scope):
        yield ("scope",), "expected names with single spaces between them"
    yield from _mismatched(oauth)


def is_scope(text: str) -> bool:
    """Whether these are names of scopes, which need no quoting anywhere."""
    return _SCOPES.fullmatch(text) is not None


def _mismatched(oauth: McpOAuthConfig) -> Iterator[tuple[KeyPath, str]]:
    """Keys that do not go together."""
    needed = oauth.grant == "client_credentials"
    if oauth.client_id is None and (needed or oauth.client_secret is not None):
        yield ("client_id",), f"missing; {'client_credentials' if needed else 'client_secret'} needs it"
    if oauth.client_secret is None and needed:
        yield ("client_secret",), "missing; client_credentials needs it"
    method = oauth.token_endpoint_auth_method
    if method == "none" and oauth.client_secret is not None:
        yield ("token_endpoint_auth_method",), '"none" does not go with client_secret'
    if method not in {None, "none"} and oauth.client_id is not None and oauth.client_secret is None:
        yield ("token_endpoint_auth_method",), f'"{method}" needs client_secret'
    if oauth.client_metadata_url is not None:
        if oauth.client_id is not None:
            yield ("client_metadata_url",), "has no meaning with client_id"
        elif not _is_document(oauth.client_metadata_url):
            yield ("client_metadata_url",), "expected a URL that begins with https:// and has a path"


def _issuer_fault(url: str) -> str | None:
    parts = parts_of(url)
    if parts is None or parts.hostname is None:
        return NO_URL
    if parts.query or parts.fragment or "@" in parts.netloc:
        return "expected URLs without a query, a fragment or a user"
    near = "." not in parts.hostname or _is_address(parts.hostname)
    if parts.scheme != "https" and not (parts.scheme == "http" and near):
        return "expected URLs that begin with https://; http:// is for hosts without a dot, and addresses"
    return None


def _is_document(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "https" and bool(parts.hostname) and parts.path not in {"", "/"}


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
