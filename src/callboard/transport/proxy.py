"""A proxy's URL: where the proxy is, and who we are to it."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from callboard.transport.outgoing import Origin, parse_url

# Source: RFC 3986 section 3.2.1 (userinfo); RFC 7617 section 2: no colon in the user's name, and no control
# characters. The configuration's checks refuse the same.
_PROXY = re.compile(
    r"(?P<scheme>https?://)"
    r"(?:(?P<user>(?:[A-Za-z0-9._~!$&'()*+,;=-]|(?!%3[Aa])%(?:[2-689A-Fa-f][0-9A-Fa-f]|7[0-9A-Ea-e]))*)"
    r"(?::(?P<password>(?:[A-Za-z0-9._~!$&'()*+,;=:-]|%(?:[2-689A-Fa-f][0-9A-Fa-f]|7[0-9A-Ea-e]))*))?@)?"
    r"(?P<rest>.*)"
)


def parse_proxy(url: str) -> tuple[Origin, tuple[bytes, bytes] | None]:
    """Split a proxy's URL into its origin and the user and password in it, None where there is no user.

    Raises:
        LocalWireError: It is not an absolute http or https URL in the strict form we accept. Nothing of it is
            quoted: it may hold a password.
    """
    match = _PROXY.fullmatch(url)
    if match is None or match["user"] is None:
        return parse_url(url)[0], None
    origin, _, _ = parse_url(match["scheme"] + match["rest"])
    return origin, (unquote_to_bytes(match["user"]), unquote_to_bytes(match["password"] or ""))
