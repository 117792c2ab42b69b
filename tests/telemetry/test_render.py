"""Rendering: one event, one line, for any input, and it reads back."""

import json
import random
import unicodedata
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.telemetry.render import (
    MAX_VALUE_CHARS,
    Timestamps,
    familiar_text,
    go_duration,
    json_line,
    logfmt_line,
    logfmt_text,
    usd,
)
from tests.telemetry.logfmt import parse

HOSTILE = [
    *map(chr, range(0xA1)),
    *"\u00a0\u00ad\u061c\u1680\u180e\u200b\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e",
    *"\u2066\u2067\u2068\u2069\u3000\ufeff\ufffe\U000e0001\U000e007f\ud800\udfff\U0001f600é中µ",
    "\r\n",
    "\x1b[31m",
    "\x1b]0;x\x07",
    '" level=ERROR msg="',
    "\ntime=2025-01-01T00:00:00Z level=INFO msg=forged",
    '\\"',
    "\\u000a",
    "a=b",
    '"',
    "\\",
]


def hostile_strings(count: int) -> list[str]:
    chance = random.Random(20250101)
    return ["".join(chance.choices(HOSTILE, k=chance.randrange(12))) for _ in range(count)]


def without_surrogates(text: str) -> str:
    return "".join("\ufffd" if unicodedata.category(char) == "Cs" else char for char in text)


def is_safe(line: str) -> bool:
    return all(unicodedata.category(char)[0] not in "CZ" or char == " " for char in line)


def test_ten_thousand_hostile_strings_are_as_many_lines_and_read_back_equal() -> None:
    texts = hostile_strings(10_000)
    expected = [{"n": str(n), "text": without_surrogates(text), "end": "1"} for n, text in enumerate(texts)]
    lines = "".join(logfmt_line((("n", n), ("text", text), ("end", 1))) for n, text in enumerate(texts))
    assert all(map(is_safe, lines.split("\n")))
    assert lines.splitlines() == lines.split("\n")[:-1]
    assert [parse(line) for line in lines.splitlines()] == expected


def test_the_same_strings_as_json_are_as_many_lines_and_read_back_equal() -> None:
    texts = hostile_strings(10_000)
    lines = "".join(json_line((("text", text),)) for text in texts)
    assert all(map(is_safe, lines.split("\n")))
    assert [json.loads(line) for line in lines.splitlines()] == [
        {"text": without_surrogates(t)} for t in texts
    ]


@given(st.text(st.characters(), max_size=40))
def test_any_string_reads_back(text: str) -> None:
    line = logfmt_line((("a", text), ("b", True)))
    assert line.endswith(" b=true\n")
    assert is_safe(line[:-1])
    assert parse(line[:-1]) == {"a": without_surrogates(text), "b": "true"}
    assert familiar_text(text) == logfmt_text(text)


@pytest.mark.parametrize(
    "text,written",
    [
        ("default", "default"),
        ("", '""'),
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        ('say "x"', '"say \\"x\\""'),
        ("back\\slash", "back\\slash"),
        ("back\\slash here", '"back\\\\slash here"'),
        ("grün", "grün"),
        ("line\nbreak", '"line\\nbreak"'),
        ("\x1b[31m", '"\\u001b[31m"'),
        ("\x7f", '"\\u007f"'),
        ("a\u2028b", '"a\\u2028b"'),
        ("\u202eabc", '"\\u202eabc"'),
        ("\U000e0041", '"\\udb40\\udc41"'),
    ],
)
def test_quoting_is_that_of_slog(text: str, written: str) -> None:
    assert logfmt_text(text) == written


def test_a_long_value_is_cut_and_marked() -> None:
    longest = "x" * MAX_VALUE_CHARS
    assert logfmt_text(longest) == longest
    cut = logfmt_text(longest + "y")
    assert cut == "x" * (MAX_VALUE_CHARS - 1) + "…"
    assert json.loads(json_line((("a", longest + "y"),))) == {"a": cut}


@pytest.mark.parametrize(
    "value,logfmt,as_json",
    [
        (True, "true", True),
        (False, "false", False),
        (12, "12", 12),
        (-1.5, "-1.5", -1.5),
        (Decimal("0.00000012"), "0.00000012", 0.00000012),
    ],
)
def test_numbers_are_bare_in_both_forms(value: float | Decimal, logfmt: str, as_json: object) -> None:
    assert logfmt_line((("a", value),)) == f"a={logfmt}\n"
    assert json.loads(json_line((("a", value),))) == {"a": as_json}


@pytest.mark.parametrize(
    "microseconds,text",
    [
        (0, "0s"),
        (1, "1µs"),
        (999, "999µs"),
        (1_000, "1ms"),
        (1_500, "1.5ms"),
        (150_000, "150ms"),
        (1_500_000, "1.5s"),
        (2_000_000, "2s"),
        (59_999_999, "59.999999s"),
        (60_000_000, "1m0s"),
        (90_000_000, "1m30s"),
        (3_600_000_000, "1h0m0s"),
        (3_661_001_000, "1h1m1.001s"),
        (-1_500, "-1.5ms"),
    ],
)
def test_durations_are_written_as_go_does(microseconds: int, text: str) -> None:
    assert go_duration(microseconds) == text


@given(st.integers(-(10**18), 10**18))
def test_amounts_are_exact(picousd: int) -> None:
    assert Decimal(usd(picousd)) == Decimal(picousd) / 10**12
    assert "E" not in usd(picousd).upper()


@pytest.mark.parametrize(
    "nanoseconds,text",
    [
        (1735698060_000_000_000, "2025-01-01T02:21:00Z"),
        (1735698060_000_999_999, "2025-01-01T02:21:00Z"),
        (1735698060_042_000_000, "2025-01-01T02:21:00.042Z"),
        (1735698061_100_000_000, "2025-01-01T02:21:01.100Z"),
    ],
)
def test_times_are_utc_to_the_second_or_else_to_the_millisecond(nanoseconds: int, text: str) -> None:
    assert Timestamps(lambda: nanoseconds).now() == text


def test_time_goes_on_from_second_to_second() -> None:
    ticks = iter(range(1735698060_900_000_000, 1735698062_000_000_000, 200_000_000))
    stamps = Timestamps(lambda: next(ticks))
    assert [stamps.now()[17:] for _ in range(4)] == ["00.900Z", "01.100Z", "01.300Z", "01.500Z"]
