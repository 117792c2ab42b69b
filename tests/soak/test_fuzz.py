"""Parsers under random input, each against a reference: they never crash, and never agree to nonsense.

Inputs are seeds, mutated and recombined. ``CALLBOARD_FUZZ_S`` says for how many seconds each runs,
``CALLBOARD_FUZZ_SEED`` from which seed; failures print the input.
"""

from __future__ import annotations

import ipaddress
import json
import math
import socket
import unicodedata
from collections.abc import Iterator

import msgspec
import pytest
from msgspec import Raw, Struct

from callboard.errors import InvalidArguments, LocalWireError, UpstreamUnreachable
from callboard.telemetry.render import MAX_VALUE_CHARS, json_line, logfmt_line
from callboard.tools import arguments
from callboard.transport.guard import DialGuard, may_dial
from callboard.transport.outgoing import parse_url
from callboard.wire.json import JsonLimits, check
from callboard.wire.sse import SseDecoder
from tests.soak import sse_reference
from tests.soak.fuzz import Fuzz
from tests.telemetry.logfmt import parse

pytestmark = pytest.mark.soak


@pytest.fixture
def fuzz() -> Fuzz:
    return Fuzz()


STREAMS = [
    b'data: {"a":1}\n\ndata: {"b":2}\n\ndata: [DONE]\n\n',
    b"\xef\xbb\xbfevent: x\r\nid: 7\r\ndata: a\r\ndata: b\r\n\r\n: note\r\nretry: 100\r\n\r\n",
    b"data\rdata:\rdata: \r\rid\revent:\rdata:x\r\r",
    "data: \u2028\u0085é\U0001f600\n\n".encode(),
    b"id: a\0b\ndata: 1\n\nretry: 12345678901\n\n\n\n",
]
STREAM_WORDS = [
    b"data: ",
    b"data:",
    b"data",
    b"event: ",
    b"id: ",
    b"retry: 5",
    b":",
    b"\n",
    b"\r",
    b"\r\n",
    b"\n\n",
    b"\r\r",
    b"\0",
    b"\xef\xbb\xbf",
    b" ",
]


def test_event_streams_are_read_as_the_standard_says(fuzz: Fuzz, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in fuzz.rounds():
        stream = fuzz.mutated(STREAMS, STREAM_WORDS)
        decoder = SseDecoder()
        pieces = list(fuzz.split(stream))
        found = [(each.data, each.event, each.id) for piece in pieces for each in decoder.feed(piece)]
        decoder.end()
        expected, retry = sse_reference.read(stream)
        assert found == expected, (stream, pieces)
        assert decoder.retry_ms == retry, (stream, pieces)
        fuzz.met[f"{min(len(found), 4)} events"] += 1
    fuzz.report("SSE", capsys)


DOCUMENTS = [
    b'{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true,"n":1}',
    b'{"a":[1,-2.5e3,0.1,1e-7,true,false,null,"\\u00e9\\ud83d\\ude00\\n"],"b":{}}',
    b"[[[[[[[[[[[[1]]]]]]]]]]]]",
    '{"é":"\u2028","a b":[ ],"c" : { "d":[{}] }}'.encode(),
    b'{"a":12345678901234567890,"b":0.000000000001,"c":-0}',
    b'"\\"\\\\\\/"',
]
JSON_WORDS = [
    b"[",
    b"]",
    b"{",
    b"}",
    b",",
    b":",
    b'"',
    b"\\",
    b"\\u003a",
    b"\\ud800",
    b"\\u0000",
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"1",
    b"0",
    b"-",
    b"null",
    b"true",
    b'"a":1,',
    b'"a"',
    b" ",
    b"\n",
    b"\xff",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"99999999999999",
]
LIMITS = JsonLimits(max_bytes=400, max_depth=12, max_nodes=40, max_digits=15)


class _Refused(ValueError):
    """The strict reader found something."""


def strictly(body: bytes) -> object:
    """``body`` by the standard library, made as strict as ours: the value, or `ValueError`."""

    def number(text: str) -> float:
        if len(text) > LIMITS.max_digits:
            raise _Refused("digits")
        value = float(text) if any(each in text for each in ".eE") else int(text)
        if isinstance(value, float) and not math.isfinite(value):
            raise _Refused("range")
        return value

    def constant(text: str) -> object:
        raise _Refused(text)

    def pairs(each: list[tuple[str, object]]) -> dict[str, object]:
        if len(dict(each)) != len(each):
            raise _Refused("duplicate")
        return dict(each)

    value: object = json.loads(
        body.decode(), parse_int=number, parse_float=number, parse_constant=constant, object_pairs_hook=pairs
    )
    nodes, depth = measured(value)
    if nodes > LIMITS.max_nodes or depth > LIMITS.max_depth:
        raise _Refused("size")
    return value


def measured(value: object) -> tuple[int, int]:
    """Values and levels; a lone surrogate is refused."""
    if isinstance(value, str):
        value.encode()
    if isinstance(value, dict):
        for key in value:
            key.encode()
        inner = [measured(each) for each in value.values()]
    elif isinstance(value, list):
        inner = [measured(each) for each in value]
    else:
        return 1, 0
    return 1 + sum(nodes for nodes, _ in inner), 1 + max((depth for _, depth in inner), default=0)


def code_of(body: bytes) -> str | None:
    """Why ours refuses it; None where it does not."""
    try:
        check(body, limits=LIMITS)
    except LocalWireError as error:
        return error.code or "refused"
    return None


def is_good(body: bytes) -> bool:
    """Whether the strict reader takes it."""
    try:
        strictly(body)
    except (ValueError, RecursionError):
        return False
    return True


def test_json_is_taken_exactly_where_a_strict_reader_takes_it(
    fuzz: Fuzz, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in fuzz.rounds():
        body = fuzz.mutated(DOCUMENTS, JSON_WORDS)
        if len(body) > LIMITS.max_bytes:
            continue
        code = code_of(body)
        fuzz.met[code or "taken"] += 1
        assert is_good(body) == (code is None), (body, code)
        if code is None:
            assert same(msgspec.json.decode(body), strictly(body)), body
    fuzz.report("JSON", capsys)


def same(one: object, other: object) -> bool:
    """Whether two readers read the same; numbers by value, as one may read ``1e2`` as a whole one."""
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other and isinstance(one, bool) == isinstance(other, bool)


HOSTS = [
    b"http://127.0.0.1/", b"https://api.example.com:443/v1?x=1", b"http://[::ffff:169.254.169.254]:80/", b"http://2130706433/",
    b"http://0x7f.1/", b"http://0177.0.0.1/", b"http://127.1/", b"http://[64:ff9b::a9fe:a9fe]/", b"http://[2002:7f00:1::]/",
    b"http://[fe80::1%25eth0]/", b"http://169.254.169.254.nip.io/", b"http://1.1.1.1@127.0.0.1/", b"http://8.8.8.8#@10.0.0.1/",
]  # fmt: skip
HOST_WORDS = [
    b"0",
    b"127",
    b".",
    b"..",
    b":",
    b"::",
    b"[",
    b"]",
    b"%",
    b"@",
    b"#",
    b"\\",
    b"/",
    b"0x",
    b"ffff:",
    b"10.0.0.1",
    b"169.254.169.254",
    b"localhost",
    b"\t",
    b"\xe3\x80\x82",
    b"1",
    b"a9fe",
]


async def numeric_only(host: str, port: int) -> tuple[str, ...]:
    """What the C library takes for an address, in every form it knows; asks nobody."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    return tuple(str(address[0]) for *_, address in found)


def inner_addresses(text: str) -> Iterator[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """An address and what it may carry, by another way than the guard's own."""
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address):
        packed = address.packed
        for prefix, place in (
            (b"\0" * 10 + b"\xff\xff", 12),
            (b"\0\x64\xff\x9b" + b"\0" * 8, 12),
            (b"\x20\x02", 2),
        ):
            if packed.startswith(prefix):
                yield ipaddress.IPv4Address(packed[place : place + 4])
                return
    yield address


def test_no_form_of_an_address_leads_where_we_must_not_dial(
    fuzz: Fuzz, capsys: pytest.CaptureFixture[str]
) -> None:
    guard = DialGuard(resolve=numeric_only)
    for _ in fuzz.rounds():
        url = fuzz.mutated(HOSTS, HOST_WORDS).decode("utf-8", "surrogateescape")
        try:
            origin, _target, _authority = parse_url(url)
        except LocalWireError:
            fuzz.met["no URL"] += 1
            continue
        may_dial(origin.host, private=True)
        try:
            addresses = _run(guard.addresses(origin.host, origin.port))
        except UpstreamUnreachable:
            fuzz.met["closed"] += 1
            continue
        fuzz.met["open"] += 1
        for address in addresses:
            assert all(each.is_global and not each.is_multicast for each in inner_addresses(address)), url
    fuzz.report("URLs", capsys)


def _run(work: object) -> tuple[str, ...]:
    """A coroutine that never waits, run without a loop."""
    try:
        work.send(None)  # type: ignore[attr-defined]  # a coroutine
    except StopIteration as end:
        found: tuple[str, ...] = end.value
        return found
    raise AssertionError("it waited")


HOSTILE = [
    *map(chr, range(0x100)),
    *"\u061c\u200b\u200e\u2028\u2029\u202e\u2066\ufeff\ufffe\U000e0001\ud800\udfff\U0001f600é中",
    '" level=ERROR msg="',
    "\ntime=2025-01-01T00:00:00Z",
    "\\u000a",
    "a=b",
    "x" * 400,
]


def test_log_lines_read_back_whatever_is_in_them(fuzz: Fuzz, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in fuzz.rounds():
        chance = fuzz.chance
        text = "".join(chance.choices(HOSTILE, k=chance.randrange(12)))
        text += "".join(chr(chance.randrange(0x110000)) for _ in range(chance.randrange(4)))
        shown = text if len(text) <= MAX_VALUE_CHARS else text[: MAX_VALUE_CHARS - 1] + "…"
        expected = "".join("\ufffd" if unicodedata.category(each) == "Cs" else each for each in shown)
        line = logfmt_line((("n", 1), ("text", text), ("end", True)))
        document = json_line((("n", 1), ("text", text), ("end", True)))
        assert parse(line[:-1]) == {"n": "1", "text": expected, "end": "true"}, text
        assert json.loads(document) == {"n": 1, "text": expected, "end": True}, text
        for each in (line, document):
            assert each.endswith("\n"), text
            assert all(unicodedata.category(char)[0] not in "CZ" or char == " " for char in each[:-1]), text
        fuzz.met["quoted" if '"' in line else "bare"] += 1
    fuzz.report("log lines", capsys)


class Trip(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of a tool, of every common type."""

    city: str
    days: int = 1
    exact: bool = False
    places: tuple[float, ...] = ()
    more: dict[str, int] | None = None


ARGUMENTS = [
    b'{"city":"Paris","days":"3","exact":"true","places":[1,2.5],"more":{"a":1}}',
    b'{"city":"x","days":3.0}',
    b"  ",
    b'{"city":{"a":[]},"nobody":1}',
]
SCHEMAS = [
    b'{"type":"object","properties":{"city":{"type":"string"},"days":{"type":["integer","null"]}},"required":["city"],"additionalProperties":false}',
    b'{"properties":{"city":{"type":7},"days":true},"required":"city"}',
    b'{"type":"object","properties":{"more":{"$ref":"#/x"}},"required":[1]}',
    b"[]",
]


def refusal(way: str, text: Raw, schema: Raw) -> str | None:
    """What the model is told; None where the arguments are taken."""
    try:
        if way == "decode":
            taken = arguments.decode("trip", text, Trip, schema)
            assert (type(taken.city), type(taken.days)) == (str, int), text
        else:
            arguments.check("trip", text, schema)
    except InvalidArguments as error:
        return str(error)
    return None


def test_arguments_are_taken_or_refused_in_words(fuzz: Fuzz, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in fuzz.rounds():
        text = Raw(fuzz.mutated(ARGUMENTS, JSON_WORDS))
        schema = Raw(fuzz.mutated(SCHEMAS, JSON_WORDS))
        for way in ("decode", "check"):
            told = refusal(way, text, schema)
            fuzz.met[f"{way} {'takes' if told is None else 'refuses'}"] += 1
            if told is not None:
                told.encode()  # it goes to the model
                assert told.startswith("Invalid arguments for tool 'trip'"), (text, schema)
    fuzz.report("arguments", capsys)
