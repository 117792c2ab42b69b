"""AnswerParser: what is an answer, where it ends, and whether the connection survives it."""

import pytest

from callboard.errors import RemoteWireError, StreamIncomplete, UpstreamUnreachable
from callboard.transport.h1 import AnswerParser
from callboard.transport.http import Limits

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def parse(*pieces: bytes, limits: Limits | None = None, bodiless: bool = False) -> AnswerParser:
    parser = AnswerParser(limits or Limits(), bodiless=bodiless)
    for piece in pieces:
        parser.feed(piece)
    return parser


@pytest.mark.parametrize(
    "answer, body, reusable",
    [
        (OK + b"Content-Length: 2\r\n\r\nhi", b"hi", True),
        (OK + b"Content-Length: 0\r\n\r\n", b"", True),
        (OK + b"Content-Length: 2\r\nConnection: close\r\n\r\nhi", b"hi", False),
        (CHUNKED + b"2\r\nhi\r\n0\r\n\r\n", b"hi", True),
        (CHUNKED + b"2;x=y\r\nhi\r\n0\r\nTrailer: z\r\n\r\n", b"hi", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b"", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", b"hi", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi", b"hi", True),
        (b"HTTP/1.1 100 Continue\r\nA: b\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nhi", b"hi", True),
    ],
)
def test_an_answer_ends_where_its_framing_says_in_any_cut(answer: bytes, body: bytes, reusable: bool) -> None:
    for size in (1, 2, 3, len(answer)):
        parser = parse(*(answer[at : at + size] for at in range(0, len(answer), size)))
        assert (parser.complete, parser.take(), parser.reusable) == (True, body, reusable)
        assert b"a" not in dict(parser.fields)
        assert b"trailer" not in dict(parser.fields)


def test_an_answer_to_head_ends_with_its_head() -> None:
    parser = parse(OK + b"Content-Length: 5\r\n\r\n", bodiless=True)
    assert (parser.complete, parser.reusable) == (True, True)
    parser = parse(OK + b"Content-Length: 5\r\n\r\nhello", bodiless=True)
    assert (parser.complete, parser.reusable, parser.take()) == (True, False, b"")


def test_pieces_parsed_together_are_taken_together() -> None:
    parser = parse(CHUNKED + b"2\r\nab\r\n2\r\ncd\r\n")
    assert parser.take() == b"abcd"
    assert parser.take() == b""
    parser.feed(b"1\r\ne\r\n0\r\n\r\n")
    assert parser.take() == b"e"


@pytest.mark.parametrize(
    "surplus", [b"x", OK + b"Content-Length: 6\r\n\r\nPOISON", b"HTTP/1.1 100 Continue\r\n\r\n"]
)
@pytest.mark.parametrize("together", [True, False])
def test_bytes_after_the_end_are_no_part_of_the_answer(surplus: bytes, together: bool) -> None:
    answer = OK + b"Content-Length: 2\r\n\r\nhi"
    parser = parse(answer + surplus) if together else parse(answer, surplus)
    assert (parser.complete, parser.reusable, parser.take()) == (True, False, b"hi")
    assert parser.fields == [(b"content-length", b"2")]


@pytest.mark.parametrize(
    "answer",
    [
        b"junk",
        b"HTTP/3.0 200 OK\r\n\r\n",
        OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
        OK + b"Content-Length: +2\r\n\r\nhi",
        OK + b"Content-Length: 99999999999999999999999\r\n\r\n",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: xchunked\r\n\r\n",
        OK + b"A: b\r\n folded\r\n\r\n",
        OK + b"A: b\nContent-Length: 0\r\n\r\n",
        OK + b"A : b\r\n\r\n",
        OK + b"A: \x00\r\n\r\n",
        CHUNKED + b"-1\r\n",
        CHUNKED + b"2\r\nhiX",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ],
)
def test_an_ambiguous_or_broken_answer_is_refused(answer: bytes) -> None:
    with pytest.raises(RemoteWireError):
        parse(answer)


@pytest.mark.parametrize(
    "endless",
    [
        [b"HTTP/1.1 200 "] + [b"O" * 1000] * 50,
        [OK + b"A: "] + [b"b" * 1000] * 50,
        [b"HTTP/1.1 100 Continue\r\n\r\n"] * 5000,
        [CHUNKED + b"1;"] + [b"x" * 1000] * 50,
        [CHUNKED + b"0\r\nA: "] + [b"b" * 1000] * 50,
        [CHUNKED + b"0\r\n"] + [b"A: b\r\n"] * 10_000,
    ],
    ids=["status", "header", "interim", "extension", "trailer", "trailers"],
)
def test_framing_without_progress_is_bounded(endless: list[bytes]) -> None:
    with pytest.raises(RemoteWireError):
        parse(*endless)


def test_a_long_body_in_small_chunks_is_not_mistaken_for_a_lack_of_progress() -> None:
    parser = parse(CHUNKED, *[b"1;extension=value\r\nx\r\n"] * 10_000, b"0\r\n\r\n")
    assert (parser.complete, len(parser.take())) == (True, 10_000)


@pytest.mark.parametrize("size, refused", [(1, True), (15, True), (16, False)])
def test_a_large_read_of_crumbs_is_refused(size: int, refused: bool) -> None:
    crumbs = (b"%x\r\n" % size + b"x" * size + b"\r\n") * 12_000
    if refused:
        with pytest.raises(RemoteWireError, match="too small"):
            parse(CHUNKED + crumbs)
    else:
        assert len(parse(CHUNKED + crumbs).take()) == size * 12_000


def test_header_limits_are_exact() -> None:
    answer = OK + b"ab: cd\r\nContent-Length: 0\r\n\r\n"
    assert parse(answer, limits=Limits(header_count=2)).complete
    with pytest.raises(RemoteWireError):
        parse(answer, limits=Limits(header_count=1))
    fields = OK + b"ab: " + b"c" * 181 + b"\r\nContent-Length: 0\r\n\r\n"
    assert parse(*(bytes([byte]) for byte in fields), limits=Limits(header_bytes=250)).complete
    with pytest.raises(RemoteWireError):
        parse(fields, limits=Limits(header_bytes=197))


def test_the_end_of_the_connection_means_what_was_still_missing() -> None:
    with pytest.raises(UpstreamUnreachable):
        parse().feed_eof()
    with pytest.raises(UpstreamUnreachable):
        parse(OK + b"Content-Length: 2\r\n").feed_eof()
    with pytest.raises(StreamIncomplete):
        parse(OK + b"Content-Length: 2\r\n\r\nh").feed_eof()
    with pytest.raises(StreamIncomplete):
        parse(CHUNKED + b"2\r\nhi\r\n").feed_eof()
    parser = parse(OK + b"\r\nuntil")
    assert not parser.complete
    parser.feed_eof()
    assert (parser.complete, parser.reusable, parser.take()) == (True, False, b"until")


def test_touched_tells_silence_from_the_first_byte() -> None:
    assert not parse().touched
    assert parse(b"H").touched


def test_trailers_of_one_answer_are_no_headers_of_the_next() -> None:
    parser = parse(CHUNKED + b"2\r\nhi\r\n0\r\nTrailer: z\r\n\r\n")
    assert parser.take() == b"hi"
    assert parser.renew(bodiless=False)
    parser.feed(OK + b"Content-Length: 2\r\n\r\nho")
    assert (parser.fields, parser.take()) == ([(b"content-length", b"2")], b"ho")
