"""Requests whose body is hostile: JSON that breaks or exhausts a parser, and media that are not JSON.

See `tests.fakes.hostile_framing` for what a case and a family are.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator

from tests.fakes.hostile_framing import BODY, MIB, SIZE, After, Case, case, sized


def with_x(value: bytes) -> bytes:
    """The usual body with one more member."""
    return BODY[:-1] + b', "x": ' + value + b"}"


def json_bodies() -> Iterator[Case]:
    """RFC 8259, 4, 6, 7, 8.1 and 9; our bounds: depth 64, 100,000 values, 1,000 digits, 8 MiB."""
    for good in (
        b"[" * 50 + b"]" * 50,
        b"9" * 900,
        b'"\\ud83d\\ude00"',
        b'"\xe2\x80\xa8"',
        b"-0.0e-0",
        b"[[],{}]",
    ):
        yield case(sized(with_x(good)), 200, after="kept")
    keys = b"{" + b",".join(b'"%d":0' % number for number in range(600_000)) + b"}"
    bad = (
        *(
            b"[" * 100_000 + b"]" * 100_000,
            b"[" * 65 + b"]" * 65,
            b"[" * 100_000,
            b'{"a":' * 65 + b"1" + b"}" * 65,
        ),
        *(keys, b"[" + b"0," * 200_000 + b"0]", b"9" * MIB, b"0." + b"9" * MIB, b"-" + b"1" * 1001),
        *(b"NaN", b"Infinity", b"-Infinity", b"01", b"1.", b".5", b"+1", b"0x10", b"1e", b"--1", b"1_000"),
        *(
            b'"\\ud800"',
            b'"\\udc00\\ud800"',
            b'"\xed\xa0\x80"',
            b'"\xff"',
            b'"\xc0\xaf"',
            b'"a\nb"',
            b'"\x00"',
        ),
        *(
            b'"\\x41"',
            b'"\\u12"',
            b"'a'",
            b'"a',
            b"[1,]",
            b'{"a":1,}',
            b"{a:1}",
            b"[1 2]",
            b"/**/1",
            b"undefined",
        ),
        *(b'{"a":1,"a":1}', b'{"a":1,"\\u0061":2}', b'[{"a":{"b":1,"b":2}}]'),
    )
    for value in bad:
        yield case(sized(with_x(value)), 400, after="either")
    for body in (
        b"",
        b" ",
        b"null",
        b"[]",
        b'"x"',
        b"1",
        b"true",
        b"{",
        b"}",
        b"\x00",
        BODY[:-1],
        BODY + b"}",
    ):
        yield case(sized(body), 400, after="either")
    for body in (
        BODY + BODY,
        b"\xef\xbb\xbf" + BODY,
        BODY.decode().encode("utf-16"),
        BODY + b"\x00",
        BODY * 2,
    ):
        yield case(sized(body), 400, after="either")
    for member in (b'"model": "demo-model"', b'"messages": []', b'"mod\\u0065l": "other"'):
        yield case(sized(BODY[:-1] + b", " + member + b"}"), 400, after="either")
    million = b"{" + b",".join(b'"%d":0' % number for number in range(1_000_000)) + b"}"
    yield case(sized(with_x(million)), 400, 413, after="either")
    yield case(sized(b" " * (8 * MIB) + BODY), 413, after="either")


def media() -> Iterator[Case]:
    """RFC 9110, 8.3, 8.4 and 15.5.16: JSON, as it is; a compressed request is refused, not unpacked."""
    start, length = (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n",
        b"Content-Length: " + SIZE + b"\r\n",
    )

    def typed(value: bytes, *statuses: int, after: After = "either") -> Case:
        return case(start + length + b"Content-Type: " + value + b"\r\n\r\n" + BODY, *statuses, after=after)

    for good in (
        b"application/json",
        b"APPLICATION/JSON",
        b"application/json; charset=utf-8",
        b"application/json;",
    ):
        yield typed(good, 200, after="kept")
    others = (
        b"text/plain",
        b"text/json",
        b"application/jsonp",
        b"application/x-www-form-urlencoded",
        b"json",
        b"*/*",
    )
    for bad in (
        *others,
        b"multipart/form-data; boundary=x",
        b"application/vnd.api+json",
        b"text/plain, application/json",
    ):
        yield typed(bad, 415)
    yield typed(b"", 200, 415)
    yield case(start + length + b"\r\n" + BODY, 200, 415, after="either")
    yield case(sized(BODY, b"Content-Encoding: identity"), 200, after="kept")
    bomb = gzip.compress(bytes(20 * MIB))
    for coding in (
        b"gzip",
        b"x-gzip",
        b"deflate",
        b"br",
        b"zstd",
        b"gzip, identity",
        b"gzip, gzip",
        b"cow",
        b"GZIP",
    ):
        yield case(sized(bomb, b"Content-Encoding: " + coding), 415, after="either")
    for packed in (gzip.compress(BODY), zlib.compress(BODY)):
        yield case(sized(packed), 400, after="either")
        yield case(sized(packed, b"Content-Encoding: gzip"), 415, after="either")
