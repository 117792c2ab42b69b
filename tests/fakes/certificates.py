"""Certificates of an authority that exists for the length of the tests, and contexts that trust it."""

from __future__ import annotations

import ssl

import trustme

_AUTHORITY = trustme.CA()


def serving(*names: str) -> ssl.SSLContext:
    """A server's context with a certificate for names or addresses."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _AUTHORITY.issue_cert(*names).configure_cert(context)
    return context


def trusting() -> ssl.SSLContext:
    """A client's context that trusts those certificates."""
    context = ssl.create_default_context()
    _AUTHORITY.configure_trust(context)
    return context
