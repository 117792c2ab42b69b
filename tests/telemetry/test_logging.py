"""The log as a whole: levels, formats, content, files, and what embedding applications notice of it."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from callboard.config import LogConfig
from callboard.domain.observation import RequestClosed, TimeSplit
from callboard.secret import Secret
from callboard.telemetry import schema, tool_events
from callboard.telemetry.event import HEAD, Level
from callboard.telemetry.logging import PUT_OFF, REMEMBERED, Log, open_log
from callboard.telemetry.sink import open_file
from tests.telemetry.logfmt import parse

NEW_YEAR_NS = 1735698060_000_000_000
CLOSED = RequestClosed(
    request_id="req_1", route="ask", time=TimeSplit(queue_us=1, own_us=2, upstream_ttfb_us=3, upstream_us=4)
)


def log_to(path: Path, settings: LogConfig | None = None) -> Log:
    return Log(open_file(str(path)), settings or LogConfig(), now_ns=lambda: NEW_YEAR_NS)


def test_an_event_is_one_line_of_logfmt(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = log_to(path)
    log.event(schema.PROCESSING_COMMAND, assistant="default")
    log.event(schema.COMMAND_COMPLETED, duration=2_000_000, request_id="req_1")
    assert path.read_text() == (
        'time=2025-01-01T02:21:00Z level=INFO msg="processing command" assistant=default\n'
        'time=2025-01-01T02:21:00Z level=INFO msg="command completed" request_id=req_1 duration=2s\n'
    )


def test_an_event_is_one_json_object_where_asked(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log_to(path, LogConfig(format="json", level="debug")).event(
        schema.ATTEMPT_SETTLED, tokens_in=3, cost_usd=150_000, provider="p"
    )
    assert path.read_text() == (
        '{"time":"2025-01-01T02:21:00Z","level":"DEBUG","msg":"attempt settled",'
        '"provider":"p","tokens_in":3,"cost_usd":0.00000015}\n'
    )


def test_keys_come_in_the_order_of_the_schema(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for event in schema.EVENTS:
        values = dict.fromkeys(reversed(event.names), 1)
        log_to(path, LogConfig(level="debug")).event(event, **values)
    lines = [list(parse(line)) for line in path.read_text().splitlines()]
    assert lines == [[*HEAD, *event.names] for event in schema.EVENTS]


@pytest.mark.parametrize("level,count", [("debug", 4), ("info", 3), ("warn", 2), ("error", 1)])
def test_lines_below_the_level_are_not_written(tmp_path: Path, level: Level, count: int) -> None:
    path = tmp_path / "log"
    log = log_to(path, LogConfig(level=level))
    events = (schema.ACTOR_STARTED, schema.COMMAND_COMPLETED, schema.DEAD_LETTER, schema.ACTOR_CRASHED)
    for event in events:
        log.event(event)
    assert len(path.read_text().splitlines()) == count
    assert [log.enabled(event.level) for event in events] == [False] * (4 - count) + [True] * count


@pytest.mark.parametrize("level,written", [("info", [200, 499, 502]), ("warn", [502]), ("error", [])])
def test_the_closing_line_has_its_level(tmp_path: Path, level: Level, written: list[int]) -> None:
    path = tmp_path / "log"
    log = log_to(path, LogConfig(level=level))
    for status in (200, 499, 502):
        closed = RequestClosed(request_id="r", route="x", time=CLOSED.time, status=status)
        log.closing(closed)
    assert [int(parse(line)["status"]) for line in path.read_text().splitlines()] == written


@pytest.mark.parametrize("level", ["debug", "error"])
def test_a_field_that_the_schema_does_not_have_is_a_bug_at_every_level(tmp_path: Path, level: Level) -> None:
    log = log_to(tmp_path / "log", LogConfig(level=level))
    with pytest.raises(TypeError, match="tolkens"):
        log.event(schema.PROVIDER_RESPONSE, tolkens=1)


def test_content_is_written_only_where_it_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for content in (False, True):
        log_to(path, LogConfig(content=content)).event(
            tool_events.EXECUTING_TOOL, name="add", arguments='{"a":1}'
        )
    hidden, shown = (parse(line)["arguments"] for line in path.read_text().splitlines())
    assert hidden == "[7 bytes, sha256 015abd7f5cc57a2d]"
    assert shown == '{"a":1}'


def test_secrets_stay_out_even_with_content(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = log_to(path, LogConfig(content=True))
    log.event(
        tool_events.EXECUTING_TOOL, name=Secret("sk-1"), arguments="https://u:pw@h/?key=1 Bearer abcdefgh"
    )
    assert path.read_text().endswith(' name=*** arguments="https://h/ Bearer ***"\n')


@given(st.lists(st.text(st.characters(), max_size=30), max_size=5), st.booleans())
def test_lines_are_as_many_as_events_for_any_text(texts: list[str], as_json: bool) -> None:
    read, write = os.pipe()
    try:
        sink_path = f"/dev/fd/{write}"
        log = Log(open_file(sink_path), LogConfig(format="json" if as_json else "logfmt", content=True))
        for text in texts:
            log.event(tool_events.EXECUTING_TOOL, name=text, arguments=text, assistant=text)
        log.close()
        os.write(write, b".")
        data = os.read(read, 1 << 20).decode()[:-1]
    finally:
        os.close(read)
        os.close(write)
    assert len(data.splitlines()) == len(texts)
    names = [(json.loads(line) if as_json else parse(line))["msg"] for line in data.splitlines()]
    assert names == ["executing tool"] * len(texts)


def test_the_file_and_its_folder_are_made_for_us_alone(tmp_path: Path) -> None:
    path = tmp_path / "log" / "api_adapter.log"
    log = open_log(LogConfig(file=str(path)))
    log.closing(CLOSED)
    log.close()
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    again = open_log(LogConfig(file=str(path)))
    again.closing(CLOSED)
    again.close()
    assert len(path.read_text().splitlines()) == 2


def test_a_file_that_cannot_be_opened_gives_way_to_standard_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    log = open_log(LogConfig(file=str(tmp_path / "file" / "log")))
    log.event(schema.COMMAND_COMPLETED)
    log.close()
    first, second = map(parse, capfd.readouterr().err.splitlines())
    assert (first["level"], first["msg"], first["error"]) == ("WARN", "log file unusable", "FileExistsError")
    assert second["msg"] == "command completed"


def test_without_a_file_lines_go_to_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    open_log(LogConfig()).closing(CLOSED)
    captured = capfd.readouterr()
    assert (captured.out, parse(captured.err.rstrip("\n"))["msg"]) == ("", "request closed")


def test_a_log_that_is_closed_neither_writes_nor_raises(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = log_to(path)
    log.close()
    log.close()
    log.closing(CLOSED)
    assert path.read_text() == ""


def test_an_embedding_application_keeps_its_structlog_and_we_keep_ours(tmp_path: Path) -> None:
    log = log_to(tmp_path / "log")
    log.event(schema.COMMAND_COMPLETED)
    assert not structlog.is_configured()
    structlog.configure(processors=[], wrapper_class=structlog.BoundLogger)
    try:
        log.event(schema.COMMAND_COMPLETED)
    finally:
        structlog.reset_defaults()
    first, second = (tmp_path / "log").read_text().splitlines()
    assert first == second


def test_what_was_hidden_once_is_hidden_again_and_what_was_shown_is_shown_again(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = log_to(path)
    texts = ["calling with Bearer abcdef123456", "an ordinary word"]
    for _ in range(3):
        for text in texts:
            log.event(schema.CONFIGURATION_NOTICE, text=text)
    # More texts than are remembered, and then the first ones again.
    for number in range(REMEMBERED + 10):
        log.event(schema.CONFIGURATION_NOTICE, text=f"text {number}")
    for text in texts:
        log.event(schema.CONFIGURATION_NOTICE, text=text)
    lines = path.read_text().splitlines()
    assert "abcdef123456" not in path.read_text()
    assert len([line for line in lines if 'text="calling with Bearer ***"' in line]) == 4
    assert len([line for line in lines if 'text="an ordinary word"' in line]) == 4


def test_lines_wait_together_and_keep_their_order(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = log_to(path)
    put_off: list[Callable[[], None]] = []
    with log.put_off(put_off.append):
        log.closing(replace(CLOSED, request_id="req_1"))
        log.closing(replace(CLOSED, request_id="req_2"))
        assert path.read_text() == ""
        assert len(put_off) == 1
        put_off.pop()()
        assert named(path) == ["req_1", "req_2"]
        log.closing(replace(CLOSED, request_id="req_3"))
        log.event(schema.PROCESSING_COMMAND, request_id="req_4")
        assert named(path) == ["req_1", "req_2"]
        log.closing(replace(CLOSED, request_id="req_5"))
    assert named(path)[2:] == ["req_3", "req_4", "req_5"]
    log.closing(replace(CLOSED, request_id="req_6"))
    assert named(path)[5:] == ["req_6"]


def test_an_urgent_line_does_not_wait(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = log_to(path)
    with log.put_off(lambda _: None):
        log.closing(CLOSED)
        log.event(schema.UNEXPECTED_ERROR, request_id="req_2")
        assert named(path) == ["req_1", "req_2"]
        log.closing(replace(CLOSED, request_id="req_3", status=502))
        assert named(path)[2:] == ["req_3"]


def test_so_many_lines_wait_and_closing_the_log_loses_none(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = log_to(path)
    with log.put_off(lambda _: None):
        for _ in range(PUT_OFF - 1):
            log.closing(CLOSED)
        assert path.read_text() == ""
        log.closing(CLOSED)
        assert len(named(path)) == PUT_OFF
        log.closing(CLOSED)
        log.close()
    assert len(named(path)) == PUT_OFF + 1


def named(path: Path) -> list[object]:
    """The requests that the lines tell of."""
    return [parse(line)["request_id"] for line in path.read_text().splitlines()]
