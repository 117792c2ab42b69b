"""What the runtime tells becomes lines: every class has its row, and every row fits class and schema."""

from pathlib import Path
from typing import get_args

import msgspec
import pytest

from callboard.config import LogConfig
from callboard.domain import observation as domain
from callboard.kernel import lifecycle
from callboard.limits.ledger import LedgerLine
from callboard.telemetry.logging import Log
from callboard.telemetry.observer import ROWS, observe_bug, observe_domain, observe_kernel, observe_ledger
from callboard.telemetry.sink import open_file
from callboard.telemetry.turn_lines import TurnLine
from tests.telemetry.logfmt import parse

NEW_YEAR_NS = 1735698060_000_000_000
LINE = LedgerLine(
    attempt_id="att_1",
    request_id="req_1",
    response_id="resp_1",
    key="k",
    provider="p",
    model="m",
    started_ns=0,
    ended_ns=1_500_000,
    outcome="completed",
    input_tokens=1,
    cache_read_tokens=2,
    cache_write_tokens=3,
    prompt_basis="reported",
    output_tokens=4,
    reasoning_tokens=0,
    output_basis="estimated",
    cost_picousd=1_000_000,
    cost_basis="estimated",
)


def written(path: Path) -> list[str]:
    return [line.removeprefix("time=2025-01-01T02:21:00Z ") for line in path.read_text().splitlines()]


def log_to(path: Path, level: str = "debug") -> Log:
    settings = msgspec.convert({"level": level}, LogConfig)
    return Log(open_file(str(path)), settings, now_ns=lambda: NEW_YEAR_NS)


def test_the_lines_of_a_command(tmp_path: Path) -> None:
    log = log_to(tmp_path / "log", "info")
    request, who = "req_1", "default"
    for observation in (
        domain.CommandStarted(request_id=request, assistant=who),
        domain.ProviderAnswered(
            request_id=request, assistant=who, provider="local", model="smollm2", tokens=150
        ),
        domain.ToolExecuting(request_id=request, assistant=who, name="summarize"),
        domain.ToolExecuted(request_id=request, assistant=who, name="summarize", duration_us=5),
        domain.CommandCompleted(request_id=request, assistant=who, duration_us=2_000_000),
    ):
        observe_domain(log, observation)
    assert written(tmp_path / "log") == [
        'level=INFO msg="processing command" request_id=req_1 assistant=default',
        'level=INFO msg="provider response" request_id=req_1 assistant=default'
        " provider=local model=smollm2 tokens=150",
        'level=INFO msg="executing tool" request_id=req_1 assistant=default name=summarize',
        'level=INFO msg="command completed" request_id=req_1 assistant=default duration=2s',
    ]


def test_an_attempt_that_failed_and_the_end_of_a_request(tmp_path: Path) -> None:
    log = log_to(tmp_path / "log")
    failed = domain.AttemptFailed(
        request_id="r", provider="p", model="m", error_type="overloaded", upstream_status=503
    )
    split = domain.TimeSplit(queue_us=0, own_us=0, upstream_ttfb_us=0, upstream_us=0)
    observe_domain(log, failed)
    observe_domain(log, domain.RequestClosed(request_id="r", route="ask", time=split))
    first, second = written(tmp_path / "log")
    attempt = (
        'level=WARN msg="attempt failed" request_id=r provider=p model=m status=503 error_type=overloaded'
    )
    assert first == attempt
    assert second.startswith(
        'level=INFO msg="request closed" request_id=r route=ask stream=false wall_ms=0.000 '
    )


def test_every_observation_has_its_row() -> None:
    events = {
        each
        for each in vars(lifecycle).values()
        if isinstance(each, type) and issubclass(each, msgspec.Struct)
    }
    observations = set(get_args(domain.Observation)) - {domain.RequestClosed, *get_args(TurnLine)}
    assert set(ROWS) == observations | (events - {lifecycle.LifecycleEvent, msgspec.Struct})


@pytest.mark.parametrize("kind", ROWS, ids=lambda kind: kind.__name__)
def test_every_row_fits_its_class_and_its_event(kind: type[msgspec.Struct]) -> None:
    row = ROWS[kind]
    assert set(row.attributes) <= set(row.event.names)
    assert set(row.attributes.values()) <= set(kind.__struct_fields__)
    unused = set(kind.__struct_fields__) - set(row.attributes.values())
    assert unused <= {"at"}  # the kernel's own clock; the line has the time of day


def test_actors_are_told_of_without_what_their_errors_say(tmp_path: Path) -> None:
    log = log_to(tmp_path / "log")
    try:
        dict[str, int]()["what a user wrote"]
    except KeyError as caught:
        error = caught
    observe_kernel(log, lifecycle.Started(at=1.0, path="root/a", incarnation=2))
    observe_kernel(log, lifecycle.Crashed(at=1.0, path="root/a", incarnation=2, error=error))
    observe_kernel(log, lifecycle.Restarted(at=1.0, path="root", children=("a", "b"), delay_s=0.5))
    reason = lifecycle.DeadLetterReason.STOPPED
    observe_kernel(log, lifecycle.DeadLetter(at=1.0, path="root/a", request="Ask", reason=reason))
    started, crashed, restarted, dead = written(tmp_path / "log")
    assert started == 'level=DEBUG msg="actor started" path=root/a incarnation=2'
    assert restarted == 'level=WARN msg="actors restarted" path=root incarnation=1 children=a,b delay_s=0.5'
    assert dead == 'level=WARN msg="dead letter" path=root/a request=Ask reason=stopped'
    line = parse(crashed)
    assert (line["level"], line["error"]) == ("ERROR", "KeyError")
    assert line["at"].startswith("test_observer.py:")
    assert "user" not in crashed


def test_a_ledger_line_is_told_at_debug_only(tmp_path: Path) -> None:
    observe_ledger(log_to(tmp_path / "info", "info"), LINE)
    observe_ledger(log_to(tmp_path / "debug"), LINE)
    assert written(tmp_path / "info") == []
    assert written(tmp_path / "debug") == [
        'level=DEBUG msg="attempt settled" request_id=req_1 response_id=resp_1 provider=p model=m'
        " attempt_id=att_1 outcome=completed duration=1.5ms tokens_in=6 tokens_out=4 cost_usd=0.000001"
        " basis=estimated"
    ]


def test_a_bug_is_told_with_its_way_and_its_cause(tmp_path: Path) -> None:
    def inner() -> None:
        raise ValueError("secret")

    try:
        try:
            inner()
        except ValueError as error:
            raise RuntimeError("secret too") from error
    except RuntimeError as error:
        observe_bug(log_to(tmp_path / "log"), "req_1", error)
    (text,) = written(tmp_path / "log")
    line = parse(text)
    assert (line["error"], line["request_id"]) == ("RuntimeError from ValueError", "req_1")
    assert "secret" not in text


def test_what_no_row_knows_is_nobodys_line(tmp_path: Path) -> None:
    observe_domain(log_to(tmp_path / "log"), object())
    assert written(tmp_path / "log") == []
