"""Requests are checked and completed before anything is sent."""

import pytest

from callboard.errors import LocalWireError
from callboard.transport.http import HttpRequest
from callboard.transport.outgoing import Origin, parse_url, prepare


@pytest.mark.parametrize(
    "url, origin, target, authority",
    [
        ("http://a.test", Origin(secure=False, host="a.test", port=80), "/", "a.test"),
        ("https://A.Test:443/v1?x=%20", Origin(secure=True, host="a.test", port=443), "/v1?x=%20", "a.test"),
        ("https://a.test:80/", Origin(secure=True, host="a.test", port=80), "/", "a.test:80"),
        ("http://a.test?q=1/2", Origin(secure=False, host="a.test", port=80), "/?q=1/2", "a.test"),
        ("http://[::1]:8000/m", Origin(secure=False, host="::1", port=8000), "/m", "[::1]:8000"),
        ("http://127.0.0.1/a:b@c", Origin(secure=False, host="127.0.0.1", port=80), "/a:b@c", "127.0.0.1"),
    ],
)
def test_a_url_is_split(url: str, origin: Origin, target: str, authority: str) -> None:
    assert parse_url(url) == (origin, target, authority)


@pytest.mark.parametrize(
    "url",
    [
        "", "a.test", "//a.test", "ftp://a.test/", "file:///etc/passwd", "http:///x", "http://", "HTTP://a.test/",
        "http://user@a.test/", "http://user:pw@a.test/", "http://a.test#@b.test/", "http://a.test/#x",
        "http://a.test\\@b.test/", "http://a.test/\\", "http://a.test /",
        "http://a.test/a b",
        "http://a.test/\r\nX: y",
        "http://a.test/\x00", "http://a.test:0/", "http://a.test:65536/", "http://a.test:/", "http://a.test:8a/",
        "http://a.test/%zz", "http://a.test/é", "http://ä.test/", "http://[::1/", "http://-a/", "http://a.test\n",
    ],
)  # fmt: skip
def test_a_url_that_two_parsers_could_read_differently_is_refused(url: str) -> None:
    with pytest.raises(LocalWireError):
        parse_url(url)


@pytest.mark.parametrize(
    "name, value",
    [
        ("X", "a\r\nY: b"), ("X", "a\nb"), ("X", "a\x00"), ("X", "\x1b[2J"),
        ("X", "smile \N{WHITE SMILING FACE}"),
        ("", "a"), ("X Y", "a"), ("X:", "a"), ("X\r\nY", "a"), ("É", "a"),
        ("Host", "b.test"),
        ("content-length", "3"), ("Transfer-Encoding", "chunked"), ("Connection", "close"),
        ("Upgrade", "h2c"), ("TE", "trailers"), ("Expect", "100-continue"), ("Keep-Alive", "x"),
    ],
)  # fmt: skip
def test_a_header_that_could_smuggle_is_refused_and_not_quoted(name: str, value: str) -> None:
    with pytest.raises(LocalWireError) as caught:
        prepare(HttpRequest(method="GET", url="http://a.test/", headers=((name, value),)))
    assert len(value) < 3 or value not in str(caught.value)


@pytest.mark.parametrize("method", ["", "get", "CONNECT", "GET /", "GET\r\n", "G" * 21])
def test_a_strange_method_is_refused(method: str) -> None:
    with pytest.raises(LocalWireError):
        prepare(HttpRequest(method=method, url="http://a.test/"))


def test_the_head_is_complete() -> None:
    request = HttpRequest(method="POST", url="http://a.test:8/p?q", headers=(("X-Y", " \tz "),), body=b"four")
    assert prepare(request).head == (
        b"POST /p?q HTTP/1.1\r\nHost: a.test:8\r\nX-Y: z\r\n"
        b"Accept-Encoding: identity\r\nContent-Length: 4\r\n\r\n"
    )


def test_the_caller_may_ask_for_compression() -> None:
    request = HttpRequest(method="GET", url="http://a.test/", headers=(("accept-encoding", "gzip"),))
    assert prepare(request).fields == (("Host", "a.test"), ("accept-encoding", "gzip"))


@pytest.mark.parametrize("method, length", [("GET", None), ("DELETE", None), ("POST", "0"), ("PUT", "0")])
def test_an_empty_body_is_announced_where_one_is_expected(method: str, length: str | None) -> None:
    fields = dict(prepare(HttpRequest(method=method, url="http://a.test/")).fields)
    assert fields.get("Content-Length") == length
