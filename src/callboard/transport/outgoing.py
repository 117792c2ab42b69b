"""From an ``HttpRequest`` to what goes on the wire: the origin to dial, the target, and checked headers.

Everything a caller could use to smuggle a second request is refused here: control characters in header
fields, framing and hop-by-hop fields, and URLs that two parsers could read in two ways.
"""

from __future__ import annotations

import re
from functools import lru_cache

from msgspec import Struct

from callboard.errors import LocalWireError
from callboard.transport.http import HttpRequest, Upload

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
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
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
        head: The request line and header fields in HTTP/1.1, up to and with the empty line.
        upload: The body instead of ``body``, where it is sent as it comes.
    """

    origin: Origin
    method: str
    target: str
    fields: tuple[tuple[str, str], ...]
    head: bytes
    body: bytes = b""
    upload: Upload | None = None


class Template(Struct, frozen=True, kw_only=True):
    """What the requests of one method, URL and set of header fields have in common: all but their bodies.

    Attributes:
        head: The request line and ``fields``, without the body's length and the empty line.
    """

    origin: Origin
    method: str
    target: str
    fields: tuple[tuple[str, str], ...]
    head: bytes

    def head_for(self, body: bytes, upload: Upload | None = None) -> bytes:
        """The whole head of the request with this body, or with one that is still to come."""
        if upload is not None:
            return self.head + "{}: {}\r\n\r\n".format(*_framing(upload)).encode()
        if body or self.method in _WITH_BODY:
            return b"%bContent-Length: %d\r\n\r\n" % (self.head, len(body))
        return self.head + b"\r\n"

    def fill(self, body: bytes) -> Outgoing:
        """The request with this body."""
        fields = self.fields
        if body or self.method in _WITH_BODY:
            fields = (*fields, ("Content-Length", str(len(body))))
        return Outgoing(
            origin=self.origin,
            method=self.method,
            target=self.target,
            fields=fields,
            head=self.head_for(body),
            body=body,
        )

    def announce(self, upload: Upload) -> Outgoing:
        """The request with a body that is still to come."""
        return Outgoing(
            origin=self.origin,
            method=self.method,
            target=self.target,
            fields=(*self.fields, _framing(upload)),
            head=self.head_for(b"", upload),
            upload=upload,
        )


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
    """Check a request and complete its header fields; see `template`."""
    common = template(request.method, request.url, request.headers)
    return common.fill(request.body) if request.upload is None else common.announce(request.upload)


def template(method: str, url: str, headers: tuple[tuple[str, str], ...]) -> Template:
    """Check all of a request but its body, and complete its header fields.

    ``Accept-Encoding: identity`` is added where the caller names none: compressed answers cost more than they
    save.

    Raises:
        LocalWireError: The method, the URL or a header field breaks HTTP. The offending value is not quoted:
            it may be a credential.
    """
    if _METHOD.fullmatch(method) is None or method == "CONNECT":
        raise LocalWireError("not a method that can be sent")
    origin, target, authority = parse_url(url)
    fields = [("Host", authority)]
    names = set()
    for name, value in headers:
        names.add(_lower_name(name))
        if not (value.isascii() and value.isprintable()) and _VALUE.fullmatch(value) is None:
            raise LocalWireError(f"the value of header {name} holds characters that HTTP forbids")
        fields.append((name, value.strip(" \t")))
    if "accept-encoding" not in names:
        fields.append(("Accept-Encoding", "identity"))
    lines = [f"{method} {target} HTTP/1.1\r\n", *(f"{name}: {value}\r\n" for name, value in fields)]
    head = "".join(lines).encode("latin-1")
    return Template(origin=origin, method=method, target=target, fields=tuple(fields), head=head)


def _framing(upload: Upload) -> tuple[str, str]:
    length = upload.length
    return ("Transfer-Encoding", "chunked") if length is None else ("Content-Length", str(length))


@lru_cache(maxsize=256)  # pure, and the names in use are few
def _lower_name(name: str) -> str:
    """The name in lower case, once it is known to be one that a caller may give."""
    if _NAME.fullmatch(name) is None:
        raise LocalWireError("a header name holds characters that HTTP forbids")
    lower = name.lower()
    if lower in _OURS:
        raise LocalWireError(f"header {name} belongs to the connection and cannot be given")
    return lower
