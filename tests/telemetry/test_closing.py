"""The closing line: the same facts in both forms, in the schema's order, with times that add up."""

import json
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from callboard.domain.meter import Meter
from callboard.domain.observation import RequestClosed, TimeSplit
from callboard.domain.usage import Usage
from callboard.telemetry.closing import closing_json, closing_level, closing_logfmt
from callboard.telemetry.event import HEAD
from callboard.telemetry.schema import REQUEST_CLOSED
from tests.telemetry.logfmt import parse

TIME = "2025-01-01T02:21:00Z"
FULL = RequestClosed(
    request_id="req_1",
    response_id="resp_1",
    assistant="default",
    provider="openai",
    model="gpt 5",
    route="/v1/chat/completions",
    key_id="0123456789",
    status=502,
    stream=True,
    time=TimeSplit(queue_us=12, own_us=1_300, upstream_ttfb_us=250_000, upstream_us=1_000_001, tool_us=40),
    usage=Usage(
        input_tokens=10, output_tokens=7, cache_read_tokens=5, cache_write_tokens=1, reasoning_tokens=3
    ),
    cost_picousd=123_400_000,
    attempts=2,
    error_type="upstream_error",
)
BARE = RequestClosed(
    request_id="r", route="ask", time=TimeSplit(queue_us=0, own_us=1, upstream_ttfb_us=0, upstream_us=0)
)

micros = st.integers(0, 10**12)
names = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
closings = st.builds(
    RequestClosed,
    request_id=st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    route=st.just("ask"),
    time=st.builds(TimeSplit, queue_us=micros, own_us=micros, upstream_ttfb_us=micros, upstream_us=micros),
    status=st.none() | st.integers(100, 599),
    stream=st.booleans(),
    model=names,
    key_id=names,
    assistant=names,
    usage=st.builds(Usage, input_tokens=st.integers(0, 10**9), output_tokens=st.integers(0, 10**9)),
    cost_picousd=st.integers(0, 10**18),
    error_type=st.none() | st.just("overloaded"),
)


def test_the_line_in_full() -> None:
    assert closing_logfmt(TIME, FULL) == (
        'time=2025-01-01T02:21:00Z level=WARN msg="request closed" request_id=req_1 response_id=resp_1'
        ' assistant=default provider=openai model="gpt 5" route=/v1/chat/completions key_id=0123456789'
        " status=502 stream=true"
        " wall_ms=1251.313 queue_ms=0.012 own_ms=1.300 upstream_ttfb_ms=250.000 upstream_ms=1000.001"
        " tool_ms=0.040"
        " tokens_in=16 tokens_out=7 tokens_cached=5 tokens_reasoning=3 cost_usd=0.0001234 attempts=2"
        " error_type=upstream_error\n"
    )


def test_the_keys_are_those_of_the_schema_in_its_order() -> None:
    assert [*parse(closing_logfmt(TIME, FULL)[:-1])] == [*HEAD, *REQUEST_CLOSED.names]
    absent = {"key_id", "response_id", "assistant", "provider", "model", "status", "error_type"}
    kept = [name for name in REQUEST_CLOSED.names if name not in absent]
    assert [*parse(closing_logfmt(TIME, BARE)[:-1])] == [*HEAD, *kept]
    assert closing_level(BARE) == "info"


@given(closings)
def test_both_forms_say_the_same_and_times_add_up(line: RequestClosed) -> None:
    logfmt = parse(closing_logfmt(TIME, line)[:-1])
    as_json = json.loads(closing_json(TIME, line), parse_float=Decimal)
    assert [*logfmt] == [*as_json]
    for key, value in as_json.items():
        match value:
            case bool():
                assert logfmt[key] == str(value).lower()
            case int() | Decimal():
                assert Decimal(logfmt[key]) == value
            case _:
                assert logfmt[key] == value
    parts = ("queue_ms", "own_ms", "upstream_ttfb_ms", "upstream_ms")
    assert sum(Decimal(logfmt[key]) for key in parts) == Decimal(logfmt["wall_ms"])


@given(
    st.lists(st.tuples(st.sampled_from(["queue", "own", "ttfb", "upstream", "tool"]), st.integers(0, 10**10)))
)
def test_the_times_of_a_metered_request_add_up_to_its_wall_time(steps: list[tuple[str, int]]) -> None:
    now = [0]
    meter = Meter("r", "ask", lambda: now[0])
    for phase, spent_ns in steps:
        meter.enter(phase)  # type: ignore[arg-type]  # sampled from the literal's own values
        now[0] += spent_ns
    line = parse(closing_logfmt(TIME, meter.close())[:-1])
    parts = ("queue_ms", "own_ms", "upstream_ttfb_ms", "upstream_ms")
    wall = Decimal(sum(spent for _, spent in steps) // 1000) / 1000
    assert sum(Decimal(line[key]) for key in parts) == Decimal(line["wall_ms"]) == wall
