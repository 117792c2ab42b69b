"""RequestParser: heads, bodies and ends, however they are cut; and why it stops."""

from __future__ import annotations

import pytest

from callboard.errors import UnreadableRequest
from callboard.serving.http1.limits import ListenLimits
from callboard.serving.http1.request import Head, RequestParser

POST = (
    b"POST /v1/%63hat?x=1 HTTP/1.1\r\nHost: a\r\nX-Name: one\r\nx-name: two\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\nTrailer: t\r\n\r\n"
)
GET = b"GET / HTTP/1.0\r\n\r\n"


class Heard:
    """A sink that writes down what it is told, and may have enough."""

    def __init__(self, enough_after: int = 99) -> None:
        self.heads: list[Head] = []
        self.bodies: list[bytes] = []
        self.ends = 0
        self._enough_after = enough_after

    def on_head(self, head: Head) -> None:
        if len(self.heads) >= self._enough_after:
            raise UnreadableRequest("enough", 431)
        self.heads.append(head)
        self.bodies.append(b"")

    def on_piece(self, piece: bytes) -> None:
        self.bodies[-1] += piece

    def on_end(self) -> None:
        self.ends += 1


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_requests_are_the_same_in_any_cut(size: int) -> None:
    heard = Heard()
    parser = RequestParser(heard, ListenLimits())
    raw = POST + POST + GET
    for at in range(0, len(raw), size):
        assert parser.feed(raw[at : at + size])
    assert [(head.method, head.path) for head in heard.heads] == [
        ("POST", "/v1/chat"),
        ("POST", "/v1/chat"),
        ("GET", "/"),
    ]
    assert heard.bodies == [b"abcde", b"abcde", b""]
    assert heard.ends == 3
    assert heard.heads[0].headers[b"x-name"] == b"one"
    assert b"trailer" not in heard.heads[1].headers
    assert [head.keep_alive for head in heard.heads] == [True, True, False]
    assert not parser.in_head


def test_a_head_that_has_begun_is_known_to_have() -> None:
    parser = RequestParser(Heard(), ListenLimits())
    assert not parser.in_head
    parser.feed(GET[:5])
    assert parser.in_head


@pytest.mark.parametrize("size", [1, 1000])
def test_what_the_sink_refuses_is_refused_in_its_own_words(size: int) -> None:
    parser = RequestParser(Heard(enough_after=1), ListenLimits())
    raw = POST + POST
    with pytest.raises(UnreadableRequest, match="enough") as caught:
        for at in range(0, len(raw), size):
            parser.feed(raw[at : at + size])
    assert caught.value.status == 431


@pytest.mark.parametrize(
    "raw, status",
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"x" * 300 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 9 + b"\r\n", 431),
        (GET.replace(b"1.0", b"1.1"), 400),
        (GET.replace(b"1.0", b"2.0"), 505),
        (POST.replace(b"chunked\r\n", b"gzip, chunked\r\n"), 501),
        (POST.replace(b"Host: a", b"Host: a\r\nExpect: more"), 417),
        (b"nonsense\r\n\r\n", 400),
    ],
)
def test_each_refusal_has_its_status(raw: bytes, status: int) -> None:
    parser = RequestParser(Heard(), ListenLimits(header_bytes=256, header_count=8))
    with pytest.raises(UnreadableRequest) as caught:
        parser.feed(raw)
    assert caught.value.status == status


def test_framing_that_outweighs_the_body_is_refused() -> None:
    parser = RequestParser(Heard(), ListenLimits(header_bytes=256))
    head = POST[: POST.index(b"\r\n\r\n") + 4]
    with pytest.raises(UnreadableRequest) as caught:
        parser.feed(head + b"3;" + b"x" * 1000 + b"\r\nabc\r\n")
    assert caught.value.status == 431


def test_another_protocol_ends_the_parsing_behind_its_request() -> None:
    heard = Heard()
    parser = RequestParser(heard, ListenLimits())
    raw = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\nbytes of another protocol"
    assert not parser.feed(raw)
    assert heard.ends == 1
