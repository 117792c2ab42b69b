"""From an ``HttpRequest`` to what goes on the wire: the origin to dial, the target, and checked headers.

Everything a caller could use to smuggle a second request is refused here: control characters in header
fields, framing and hop-by-hop fields, and URLs that two parsers could read in two ways.
"""

from __future__ import annotations

import re
from functools import lru_cache

from msgspec import Struct

from callboard.errors import LocalWireError
from callboard.transport.http import HttpRequest

# Source: RFC 3986 appendix A, narrowed: ASCII only, no userinfo, no fragment, no backslash, no empty host.
_URL = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9.])?|\[[0-9A-Fa-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*)?"
    r"(?P<query>\?(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?"
)
_METHOD = re.compile(r"[A-Z]{1,20}")
# Source: RFC 9110 section 5.6.2 (token) and 5.5 (field values: no CR, LF, NUL; other controls are dropped
# too).
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_OURS = frozenset(
    [
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "upgrade",
        "expect",
    ]
)


class Origin(Struct, frozen=True, kw_only=True):
    """Whom a request goes to: connections are kept and counted per origin.

    Attributes:
        secure: Whether TLS is spoken.
        host: Lower-case name or address, an IPv6 address without its brackets.
        port: TCP port.
    """

    secure: bool
    host: str
    port: int

    @property
    def is_default_port(self) -> bool:
        """Whether the scheme implies the port, which ``Host`` then leaves out."""
        return self.port == (443 if self.secure else 80)


class Outgoing(Struct, frozen=True, kw_only=True):
    """A request that has been checked and may be written.

    Attributes:
        origin: Whom to connect to.
        target: Path and query, as they go into the request line.
        fields: All header fields, ``Host`` first.
    """

    origin: Origin
    method: str
    target: str
    fields: tuple[tuple[str, str], ...]
    body: bytes

    def head(self) -> bytes:
        """The request line and header fields in HTTP/1.1, up to and with the empty line."""
        lines = [f"{self.method} {self.target} HTTP/1.1\r\n"]
        lines += [f"{name}: {value}\r\n" for name, value in self.fields]
        lines.append("\r\n")
        return "".join(lines).encode("latin-1")


@lru_cache(maxsize=256)  # pure, and the URLs of the configured upstreams are few
def parse_url(url: str) -> tuple[Origin, str, str]:
    """Split a URL into origin, target and the value of ``Host``.

    Raises:
        LocalWireError: It is not an absolute http or https URL in the strict form we accept.
    """
    match = _URL.fullmatch(url)
    if match is None:
        raise LocalWireError("not an absolute http(s) URL in plain ASCII without user and fragment")
    scheme, host, port_text, path, query = match.group("scheme", "host", "port", "path", "query")
    secure = scheme == "https"
    port = int(port_text) if port_text is not None else 443 if secure else 80
    if not 0 < port < 65536:
        raise LocalWireError("the URL's port is out of range")
    host = host.lower()
    origin = Origin(secure=secure, host=host.strip("[]"), port=port)
    authority = host if origin.is_default_port else f"{host}:{port}"
    return origin, (path or "/") + (query or ""), authority


def prepare(request: HttpRequest) -> Outgoing:
    """Check a request and complete its header fields.

    ``Accept-Encoding: identity`` is added where the caller names none: compressed answers cost more than they
    save.

    Raises:
        LocalWireError: The method, the URL or a header field breaks HTTP. The offending value is not quoted:
            it may be a credential.
    """
    if _METHOD.fullmatch(request.method) is None or request.method == "CONNECT":
        raise LocalWireError("not a method that can be sent")
    origin, target, authority = parse_url(request.url)
    fields = [("Host", authority)]
    names = set()
    for name, value in request.headers:
        names.add(_lower_name(name))
        if not (value.isascii() and value.isprintable()) and _VALUE.fullmatch(value) is None:
            raise LocalWireError(f"the value of header {name} holds characters that HTTP forbids")
        fields.append((name, value.strip(" \t")))
    if "accept-encoding" not in names:
        fields.append(("Accept-Encoding", "identity"))
    if request.body or request.method in {"POST", "PUT", "PATCH"}:
        fields.append(("Content-Length", str(len(request.body))))
    return Outgoing(
        origin=origin, method=request.method, target=target, fields=tuple(fields), body=request.body
    )


@lru_cache(maxsize=256)  # pure, and the names in use are few
def _lower_name(name: str) -> str:
    """The name in lower case, once it is known to be one that a caller may give."""
    if _NAME.fullmatch(name) is None:
        raise LocalWireError("a header name holds characters that HTTP forbids")
    lower = name.lower()
    if lower in _OURS:
        raise LocalWireError(f"header {name} belongs to the connection and cannot be given")
    return lower
