"""Requests that could be read in two ways, as values: what they are made of, and those about message length.

A case is raw bytes, the statuses that are allowed, and what becomes of the connection. A family is a function
that states the section it comes from. `tests.serving.test_hostile_wire` sends them all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from tests.fakes.relayed import chat_body

After = Literal["kept", "closed", "either"]
"""Whether the connection must carry the next request, must be closed, or may do either."""

MAY_BE_SAID = {200, 400, 404, 405, 408, 411, 413, 414, 415, 417, 421, 431, 501, 505}
BODY = json.dumps(chat_body("hi")).encode()
SIZE = b"%d" % len(BODY)
MIB = 1 << 20


class Case(Struct, frozen=True, kw_only=True):
    """What is sent, and what may come of it."""

    raw: bytes
    statuses: frozenset[int]
    after: After

    @property
    def works(self) -> bool:
        """Whether a 200 means that the upstream was asked."""
        return self.raw.lstrip().startswith(b"POST")


def case(raw: bytes, *statuses: int, after: After = "closed") -> Case:
    """A case; by default one that ends its connection."""
    assert MAY_BE_SAID.issuperset(statuses)
    return Case(raw=raw, statuses=frozenset(statuses), after=after)


def post(*fields: bytes, body: bytes = BODY, version: bytes = b"HTTP/1.1") -> bytes:
    """A chat request with these header lines; nothing is added that could frame it."""
    lines = (b"Host: localhost", b"Content-Type: application/json", *fields)
    return (
        b"POST /v1/chat/completions %s\r\n" % version + b"".join(f + b"\r\n" for f in lines) + b"\r\n" + body
    )


def sized(body: bytes, *fields: bytes) -> bytes:
    """A chat request of this body, framed as it should be."""
    return post(b"Content-Length: %d" % len(body), *fields, body=body)


def get(*fields: bytes, line: bytes = b"GET /health HTTP/1.1", host: bytes = b"Host: localhost\r\n") -> bytes:
    """A small request with these header lines."""
    return line + b"\r\n" + host + b"".join(f + b"\r\n" for f in fields) + b"\r\n"


def chunked(body: bytes = BODY) -> bytes:
    """``body`` in two chunks."""
    return b"5\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (body[:5], len(body) - 5, body[5:])


def content_length() -> Iterator[Case]:
    """RFC 9110, 8.6 (``1*DIGIT``); RFC 9112, 6.3 (an invalid one is unrecoverable: 400 and close)."""
    for good in (SIZE, b"  " + SIZE + b"\t", b"000" + SIZE):
        yield case(post(b"Content-Length: " + good), 200, after="kept")
    bad = (b"+%s", b"-%s", b"0x%s", b"%s.0", b"%se0", b"%s;", b"%s %s", b"%s, %s", b"%s,", b",%s", b'"%s"')
    for text in (each.replace(b"%s", SIZE) for each in bad):
        yield case(post(b"Content-Length: " + text), 400)
    for text in (b"", b"x", b"-0", b"\x0b" + SIZE, SIZE + b"\x00", SIZE + b"\xa0", "４２".encode(), b"1_0"):
        yield case(post(b"Content-Length: " + text), 400)
    for number in (2**31 - 1, 2**32 + 5, 2**63, 2**64, 2**64 + len(BODY), 10**30, 8 * MIB + 1):
        yield case(post(b"Content-Length: %d" % number), 400, 413)
    for other in (SIZE, b"0", b"5", b"999"):
        yield case(post(b"Content-Length: " + SIZE, b"Content-Length: " + other), 400)
        yield case(post(b"Content-Length: " + other, b"content-length: " + SIZE), 400)
    yield case(post(b"Content-Length: " + SIZE, b"Content_Length: 5"), 200, 400, after="either")
    yield case(post(body=b""), 400, 411, after="either")
    yield case(get(b"Content-Length: 5") + b"hello", 200, 400, after="either")


def transfer_encoding() -> Iterator[Case]:
    """RFC 9112, 6.1 and 6.3: only ``chunked``, once and last; never with a length; never in HTTP/1.0."""
    for good in (b"chunked", b"Chunked", b"CHUNKED", b" chunked "):
        yield case(post(b"Transfer-Encoding:" + good, body=chunked()), 200, after="kept")
    bad = (
        *(b"xchunked", b"chunkedx", b"chunked, identity", b"identity, chunked", b"identity", b"gzip", b"br"),
        *(
            b"gzip, chunked",
            b"chunked, gzip",
            b"chunked, chunked",
            b"chunked;q=1",
            b"chunked;a",
            b'"chunked"',
        ),
        *(b"\x0bchunked", b"chunked\x0b", b"chun\x00ked", b"chunked\xa0", b"", b"chunked chunked", b"cow"),
        *(b"chunk", b"0", b"x\tchunked"),
    )
    for text in bad:
        yield case(post(b"Transfer-Encoding: " + text, body=chunked()), 400, 501)
    # Empty elements of a list are to be ignored (RFC 9110, 5.6.1.2); refusing them does no harm either.
    for text in (b"chunked,", b",chunked", b", ,chunked", b"chunked\t"):
        yield case(post(b"Transfer-Encoding: " + text, body=chunked()), 200, 400, 501, after="either")
    for pair in ((b"chunked", b"chunked"), (b"chunked", b"identity"), (b"identity", b"chunked"), (b"x", b"")):
        yield case(post(*(b"Transfer-Encoding: " + each for each in pair), body=chunked()), 400, 501)
    both = (b"Transfer-Encoding: chunked", b"Content-Length: 5")
    for fields in (
        both,
        both[::-1],
        (both[0], b"Content-Length: 0"),
        (both[1], b"TRANSFER-ENCODING: chunked"),
    ):
        yield case(post(*fields, body=chunked()), 400)
    for name in (
        b"Transfer-Encoding :",
        b"Transfer-Encoding\t:",
        b" Transfer-Encoding:",
        b"Transfer-Encoding",
    ):
        yield case(post(b"Content-Length: " + SIZE, name + b" chunked"), 400)
    yield case(post(b"Transfer-Encoding:\r\n chunked", body=chunked()), 400)
    yield case(post(b"Content-Length: " + SIZE, b"X: y\nTransfer-Encoding: chunked"), 400)
    yield case(post(b"Content-Length: " + SIZE, b"X: y\rTransfer-Encoding: chunked"), 400)
    yield case(post(b"Content-Length: " + SIZE, b"Transfer_Encoding: chunked"), 200, 400, after="either")
    yield case(post(b"Content-Length: " + SIZE, b"TE: trailers"), 200, after="kept")
    for more in ((), (b"Connection: keep-alive",), (both[1],)):
        yield case(post(both[0], *more, body=chunked(), version=b"HTTP/1.0"), 400)


def chunks() -> Iterator[Case]:
    """RFC 9112, 7.1: sizes in hexadecimal digits, CRLF after size and data, trailers like fields."""

    def sent(body: bytes, *statuses: int, after: After = "closed") -> Case:
        return case(post(b"Transfer-Encoding: chunked", body=body), *statuses, after=after)

    body, size = BODY.ljust(0xAB), b"ab"
    one = body + b"\r\n0\r\n\r\n"
    for good in (size, size.upper(), b"aB", b"0" + size, b"0" * 12 + size):
        yield sent(good + b"\r\n" + one, 200, after="kept")
    yield sent(chunked().replace(b"\r\n0\r\n", b"\r\n0000\r\n"), 200, after="kept")
    for extension in (b";", b";a", b";a=b", b';a="b c"', b" ;a=b", b"; a = b", b";" + b"a" * 1000):
        yield sent(size + extension + b"\r\n" + one, 200, 400, after="either")
    for extension in (b";a\n", b";a\nb", b";\rb", b";a\x00", b" \n", b";a=b\n5"):
        yield sent(size + extension + b"\r\n" + one, 400)
    yield sent(size + b";" + b"a" * 100_000 + b"\r\n" + one, 400, 413, 431)
    bad = (b"+%s", b"-%s", b"0x%s", b" %s", b"\t%s", b"%s,", b"%sg", b"%s_", b"%s.", b"", b"g", b" ", b"-1")
    for text in (each.replace(b"%s", size) for each in bad):
        yield sent(text + b"\r\n" + one, 400)
    for huge in (b"f" * 16, b"1" + b"0" * 15 + size, b"8" + b"0" * 15, b"f" * 40, b"7fffffff", b"900000"):
        # More is announced than may ever come; a server may also wait for it until its time limit.
        yield sent(huge + b"\r\n" + one, 400, 408, 413)
    for end in (b"\n", b"\r", b"\n\r", b"\r\r\n", b""):
        yield sent(size + end + one, 400)
        yield sent(size + b"\r\n" + body + end + b"0\r\n\r\n", 400)
    yield sent(b"%x\r\n" % (len(body) - 3) + one, 400)
    yield sent(size + b"\r\n" + body + b"\r\n", 400)  # no last chunk
    yield sent(size + b"\r\n" + body + b"\r\n0\r\n", 400)  # no end of trailers
    start = size + b"\r\n" + body + b"\r\n0\r\n"
    for trailer in (b"X: y", b"X:", b"Content-Length: 5", b"Transfer-Encoding: gzip", b"Host: evil.example"):
        yield sent(start + trailer + b"\r\n\r\n", 200, 400, after="either")
    for trailer in (b"X", b"X : y", b" X: y", b"X: y\r\n z", b"X: y\n", b"X: \x00", b": y", b"X: y\rZ: z"):
        yield sent(start + trailer + b"\r\n\r\n", 400)
    yield sent(start + b"X: y\r\n" * 200 + b"\r\n", 400, 431)
    yield sent(start + b"X: " + b"y" * MIB + b"\r\n\r\n", 400, 431)
