"""Targets: what is read in one way only goes on, made anew; everything else does not."""

import random

import pytest

from callboard.serving.proxy.target import read_target
from callboard.transport.outgoing import parse_url

BASE = "https://upstream.test/v1"


@pytest.mark.parametrize(
    "raw,path,query",
    [
        (b"/v1/files", "/v1/files", ""),
        (b"/v1/%66iles/a%20b", "/v1/files/a%20b", ""),
        (b"/v1/files/caf%c3%a9", "/v1/files/caf%C3%A9", ""),
        (b"/v1/files/a:b@c;d=1,e", "/v1/files/a:b@c;d=1,e", ""),
        (b"/v1/files/...", "/v1/files/...", ""),
        (b"/v1/files/.hidden..", "/v1/files/.hidden..", ""),
        (b"/v1/files/a?", "/v1/files/a", "?"),
        (b"/v1/files?limit=1&after=x%2Fy", "/v1/files", "?limit=1&after=x%2Fy"),
        (b"/v1/files?include[]=a&b={|}", "/v1/files", "?include%5B%5D=a&b=%7B%7C%7D"),
        (b"/v1/files?q=100%&p=%zz&r=%4", "/v1/files", "?q=100%25&p=%25zz&r=%254"),
        (b"/v1/files?q=../..//%2e%2e\\#@host", "/v1/files", "?q=../..//%2e%2e%5C%23@host"),
        (b"/v1/files?q=a\r\nX: y\x00\xc3\xa9", "/v1/files", "?q=a%0D%0AX:%20y%00%C3%A9"),
    ],
)
def test_a_plain_target_goes_on_as_one_reading_of_it(raw: bytes, path: str, query: str) -> None:
    target = read_target(raw)
    assert target is not None
    assert (target.path, target.query) == (path, query)


TRICKS = [
    b"",
    b"*",
    b"/",
    b"v1/files",
    b"//evil.test/v1/files",
    b"/v1//files",
    b"/v1/files/",
    b"/v1/files/.",
    b"/v1/files/..",
    b"/v1/files/../models",
    b"/v1/files/%2e%2e/models",
    b"/v1/files/%2E./models",
    b"/v1/files/.%2e",
    b"/v1/files/%2e",
    b"/v1/files/..;/models",
    b"/v1/files/..;a=b/models",
    b"/v1/files/%2e%2e%3b/models",
    b"/v1/files/;x/models",
    b"/v1/files/..%20/models",
    b"/v1/files/%20/models",
    b"/v1/files/a%2fb",
    b"/v1/files/a%2Fb",
    b"/v1/files/..%2f..%2fmodels",
    b"/v1/files/..%5c..%5cmodels",
    b"/v1/files/a%5cb",
    b"/v1/files/a\\b",
    b"/v1/files/..\\models",
    b"/v1/files/%252e%252e/models",
    b"/v1/files/a%252fb",
    b"/v1/files/a%00",
    b"/v1/files/a%0d%0aHost:%20evil",
    b"/v1/files/a%0a",
    b"/v1/files/a%09",
    b"/v1/files/a%7f",
    b"/v1/files/a\r\nX: y",
    b"/v1/files/a b",
    b"/v1/files/a\x00",
    b"/v1/files/a#b",
    b"/v1/files/%",
    b"/v1/files/%2",
    b"/v1/files/%zz",
    b"/v1/files/%u002e%u002e",
    b"/v1/files/%c0%ae%c0%ae/models",
    b"/v1/files/%c0%af",
    b"/v1/files/%ff",
    b"/v1/files/\xc3\xa9",
    b"/v1/files/%ef%bc%8e%ef%bc%8e/models",  # fullwidth full stops
    b"/v1/files/%e2%80%a5/models",  # two dot leader
    b"/v1/files/a%ef%bc%8fb",  # fullwidth solidus
    b"/v1/files/a%ef%bc%bcb",  # fullwidth reverse solidus
    b"/v1/files/a%e2%80%ae",  # right-to-left override
    b"http://evil.test/v1/files",
    b"https://evil.test/v1/files",
    b"HTTP://evil.test/v1/files",
    b"@evil.test/v1/files",
    b"/@evil.test:80//v1",
    b"\\\\evil.test\\v1\\files",
    b"/\\evil.test/v1/files",
    b"evil.test:443",
    b"/v1/files\t",
]


@pytest.mark.parametrize("raw", TRICKS)
def test_a_target_that_can_be_read_in_two_ways_does_not_go_on(raw: bytes) -> None:
    assert read_target(raw) is None
    assert read_target(raw + b"?query=1") is None


PIECES = [
    b"/", b"//", b".", b"..", b"%2e", b"%2E", b"%2f", b"%2F", b"%5c", b"\\", b"%", b"%00", b"%0d%0a", b"%25",
    b"%252e", b"%c0%ae", b"%ef%bc%8f", b"%e2%80%a5", b"a", b"files", b"v1", b";", b"@", b":", b"evil.test",
    b"http:", b" ", b"\t", b"\r\n", b"\x00", b"#", b"?", b"&", b"[", b"~", b"%20", b"*", b"\xff",
]  # fmt: skip


def test_nothing_made_of_tricks_leaves_the_prefix_or_the_host() -> None:
    chance = random.Random(36)
    passed = 0
    for _ in range(20_000):
        raw = b"/v1/files/" + b"".join(chance.choices(PIECES, k=chance.randint(1, 8)))
        target = read_target(raw)
        if target is None:
            continue
        passed += 1
        assert target.segments[:2] == ("v1", "files")
        origin, sent, authority = parse_url(BASE + target.path.removeprefix("/v1") + target.query)
        assert (origin.host, origin.port, authority) == ("upstream.test", 443, "upstream.test")
        path = sent.partition("?")[0]
        assert path.startswith("/v1/files/")
        assert not any(each in {"", ".", ".."} for each in path[1:].split("/"))
        assert not any(each in path.lower() for each in ("%2e", "%2f", "%5c", "%25", "\\", "%00", "%0"))
        assert read_target(sent.encode()) == target, "what is sent reads as what was checked"
    assert passed > 500
