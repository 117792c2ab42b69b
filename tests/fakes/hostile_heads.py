"""Requests whose head is hostile: fields, request lines, targets, hosts, sizes, expectations.

See `tests.fakes.hostile_framing` for what a case and a family are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tests.fakes.hostile_framing import MIB, SIZE, After, Case, case, chunked, get, post


def fields() -> Iterator[Case]:
    """RFC 9112, 2.2 and 5; RFC 9110, 5.1 and 5.5: tokens as names, no folding, no bare CR, LF or NUL."""
    for good in (
        b"X:",
        b"X: \t a \t",
        b"X: caf\xc3\xa9",
        b"X: \xff",
        b"!#$%&'*+-.^_`|~: y",
        b"X:" + b"y" * 20_000,
    ):
        yield case(get(good), 200, after="kept")
    names = (
        *(
            b"X ",
            b"X\t",
            b"X\x00",
            b"X\x0b",
            b"X\r",
            b"",
            b" ",
            b"(X)",
            b"X Y",
            b"X@Y",
            b'X"',
            b"X/Y",
            b"X,Y",
        ),
        *(b"[X]", b"{X}", b"X;Y", b"X<", b"X=Y", b"X?", b"X\\", b"\xc3\xa9", b"\x7f", b"\x01", b"\xff"),
    )
    for name in names:
        yield case(get(name + b": y"), 400)
    for line in (b"X: a\rb", b"X: a\nb", b"X: a\x00b", b"X: a\x00", b"nonsense", b"X", b"X: a\r\r", b"\x00"):
        yield case(get(line), 400)
    for line in (b" X: a", b"\tX: a", b" ", b"\t"):  # white space before the first field, or a folded one
        yield case(get(line), 400)
        yield case(get(host=line + b"\r\nHost: localhost\r\n"), 400)
        yield case(get(b"X: a", line), 400)
    for control in (b"\x01", b"\x08", b"\x0b", b"\x0c", b"\x1b", b"\x7f"):
        yield case(get(b"X: a" + control + b"b"), 200, 400, after="either")
    whole = get(b"X: a")
    yield case(whole.replace(b"\r\n", b"\n"), 400)
    yield case(whole.replace(b"\r\n", b"\r"), 400)
    yield case(whole.replace(b"\r\n", b"\n\r"), 400)
    yield case(whole.replace(b": a\r\n", b": a\n"), 400)
    yield case(whole[:-2] + b"\n", 400)
    yield case(b"\r\n" + whole, 200, after="kept")
    yield case(b" " + whole, 400)
    yield case(b"\x00" + whole, 400)


def request_line() -> Iterator[Case]:
    """RFC 9112, 3 and 2.3; RFC 9110, 9.1 (methods are case-sensitive), 9.3.8, 15.6.2, 15.6.6."""

    def line(text: bytes, *statuses: int, after: After = "closed") -> Case:
        return case(get(line=text), *statuses, after=after)

    for method in (b"get", b"Get", b"BREW", b"PROPFIND", b"TRACE", b"DELETE", b"PUT", b"PATCH", b"OPTIONS"):
        yield line(method + b" /health HTTP/1.1", 400, 405, 501, after="either")
    for method in (b"CONNECT localhost:80", b"CONNECT /health", b"OPTIONS *"):
        yield line(method + b" HTTP/1.1", 400, 404, 405, 501, after="either")
    for method in (b"", b"G(T", b"G\x00T", b"G\tT", b"G\xffT", b"GET:", b'"GET"', b"\x16\x03\x01"):
        yield line(method + b" /health HTTP/1.1", 400, 405, 501)
    yield line(b"G" * 100_000 + b" /health HTTP/1.1", 400, 405, 414, 431, 501)
    # Section 3: a recipient may take any white space for the single space.
    for text in (b"GET  /health HTTP/1.1", b"GET\t/health HTTP/1.1", b"GET /health  HTTP/1.1"):
        yield line(text, 200, 400, after="either")
    yield line(b"GET /health", 400, 505)
    for text in (
        b"GET",
        b"GET HTTP/1.1",
        b"GET  HTTP/1.1",
        b"GET /health\tHTTP/1.1",
        b"GET /health HTTP/1.1 x",
    ):
        yield line(text, 400)
    yield line(b"GET /health HTTP/1.1 ", 200, 400, after="either")
    for version in (b"HTTP/2.0", b"HTTP/3.0", b"HTTP/0.9", b"HTTP/9.9", b"HTTP/11.1"):
        yield line(b"GET /health " + version, 400, 505)
    for version in (b"HTTP/1", b"HTTP/1.", b"HTTP/1.x", b"http/1.1", b"HTTP 1.1", b"HTTP/1.1.1", b"HTTP/1,1"):
        yield line(b"GET /health " + version, 400, 505)
    for version in (
        b"HTTPS/1.1",
        b"ICE/1.0",
        b"RTSP/1.0",
        b"SIP/2.0",
        b"HTTP/01.1",
        b"HTTP/1.10",
        b"HTTP/+1.1",
    ):
        yield line(b"GET /health " + version, 400, 505)
    yield line(b"GET /health HTTP/1.2", 200, 400, 505, after="either")
    yield line(b"GET /health HTTP/1.0", 200)
    yield case(get(line=b"GET /health HTTP/1.0", host=b""), 200, 400, 421)
    yield case(b"GET /health\r\n", 400)  # HTTP/0.9
    yield case(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9), 400, 405, 501, 505)


def target() -> Iterator[Case]:
    """RFC 9112, 3.2; RFC 3986, 3.3: one reading of a path, or none."""

    def at(text: bytes, *statuses: int, after: After = "either") -> Case:
        return case(get(line=b"GET %s HTTP/1.1" % text), *statuses, after=after)

    for path in (b"/health?", b"/health?x=%ff", b"/health?x=/../y", b"/health?" + b"x" * 10_000):
        yield at(path, 200, after="kept")
    for path in (b"//health", b"/../health", b"/./health", b"/x/../health", b"/%2e%2e/health", b"/health/"):
        yield at(path, 400, 404)
    for path in (b"/health%2f", b"/health%00", b"/health%0d%0aX:y", b"/health;x=y", b"/health%", b"/%zz"):
        yield at(path, 400, 404)
    for path in (b"/\\health", b"\\health", b"/health\\", b"/..\\health", b"/health#x", b"/health%5c", b"/."):
        yield at(path, 400, 404)
    for path in (b"/h\xc3\xa9alth", b"/health\xff", b"/\xc0\xae\xc0\xae/health", b"///health", b"/HEALTH"):
        yield at(path, 400, 404)
    for path in (
        b"/health\x00",
        b"/health\x7f",
        b"/he alth",
        b"/he\talth",
        b"/health\x0b",
        b"/\x01",
        b"/x y z",
    ):
        yield at(path, 400, after="closed")
    for text in (b"health", b"localhost:80", b"localhost", b"?x", b"*", b"#", b"@", b"..", b"%2fhealth"):
        yield at(text, 400, 404)
    yield at(b"http://localhost/health", 200, 400, 421)
    foreign = (
        b"http://evil.example/health",
        b"https://evil.example/",
        b"http:///health",
        b"http://",
        b"file:///x",
    )
    for text in (
        *foreign,
        b"http://localhost@evil.example/health",
        b"//evil.example/health",
        b"javascript:x",
    ):
        yield at(text, 400, 404, 421)
    yield at(b"/%68ealth", 200, 404)
    yield at(b"/" + b"x" * 40_000, 414, 431)
    yield at(b"/health?" + b"x" * MIB, 414, 431)


def host() -> Iterator[Case]:
    """RFC 9112, 3.2 (none, two or an invalid one: 400); RFC 9110, 7.2 and 15.5.20 (421)."""

    def named(*values: bytes, statuses: Iterable[int] = (400, 421), after: After = "either") -> Case:
        return case(get(host=b"".join(b"Host:%s\r\n" % each for each in values)), *statuses, after=after)

    for good in (b" localhost", b"localhost", b" LOCALHOST:1", b" 127.0.0.1:8080", b" [::1]", b" [::1]:80"):
        yield named(good, statuses=(200,), after="kept")
    for odd in (b" localhost:", b" localhost.", b" localhost:99999"):
        yield named(odd, statuses=(200, 400, 421))
    bad = (
        *(
            b"",
            b" ",
            b" a/#@b",
            b" localhost:abc",
            b" localhost:-1",
            b" local host",
            b" localhost, evil.example",
        ),
        *(
            b" evil.example",
            b" [::1",
            b" [::1]x",
            b" ::1",
            b" user@localhost",
            b" localhost#",
            b" localhost/",
        ),
        *(
            b" 127.0.0.1.evil.example",
            b" localhost\\",
            b" loc\xc3\xa4lhost",
            b" 0x7f.1",
            b" 2130706433",
            b" *",
        ),
        *(
            b" localhost:80:80",
            b" http://localhost",
            b" [localhost]",
            b" %6cocalhost",
            b' "localhost"',
            b" null",
        ),
    )
    for text in bad:
        yield named(text)
    yield named(statuses=(400,), after="closed")
    yield named(b" localhost", b" localhost", statuses=(400,), after="closed")
    for second in (b" evil.example", b""):
        yield named(b" localhost", second, statuses=(400,), after="closed")
        yield named(second, b" localhost", statuses=(400,), after="closed")
    yield case(get(b"X-Forwarded-Host: evil.example", b"Forwarded: host=evil.example"), 200, after="kept")
    yield case(get(b"Host: localhost", line=b"GET /health HTTP/1.0"), 400, after="either")


def sizes() -> Iterator[Case]:
    """RFC 6585, 5: a head is bounded, by fields and by bytes; ours: 100 fields, 32 KiB."""
    yield case(get(*[b"X: y"] * 99), 200, after="kept")
    for count in (100, 101, 1000, 10_000):
        yield case(get(*[b"X: y"] * count), 431, after="either")
    yield case(get(*[b"X: " + b"y" * 1000] * 40), 431, after="either")
    for size in (33_000, 100_000, MIB):
        yield case(get(b"X: " + b"y" * size), 431, after="either")
        yield case(get(b"y" * size + b": X"), 400, 431, after="either")
        yield case(get(b"Cookie: " + b"a=b; " * (size // 5)), 431, after="either")


def expectations() -> Iterator[Case]:
    """RFC 9110, 10.1.1 (Expect) and 7.8 (Upgrade may be ignored); RFC 9113, 3.1 (no h2c)."""
    length = b"Content-Length: " + SIZE
    for value in (b"100-continue", b"100-Continue"):
        yield case(post(length, b"Expect: " + value), 200, after="kept")
    for value in (b"", b"200-ok", b"100-continue, x", b"100-continue;x", b"x" * 1000):
        yield case(post(length, b"Expect: " + value), 200, 417, after="either")
    yield case(get(b"Expect: 100-continue"), 200, 417, after="either")
    yield case(post(length, b"Expect: 100-continue", version=b"HTTP/1.0"), 200, 417)
    h2c = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__")
    socket = (
        b"Connection: Upgrade",
        b"Upgrade: websocket",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: eA==",
    )
    for upgrade in (h2c, socket, (b"Connection: upgrade", b"Upgrade: x/1, TLS/1.0"), (b"Upgrade: h2c",)):
        yield case(get(*upgrade), 200, 400, after="either")
        yield case(post(length, *upgrade), 200, 400, after="either")
        yield case(post(b"Transfer-Encoding: chunked", *upgrade, body=chunked()), 200, 400, after="either")
