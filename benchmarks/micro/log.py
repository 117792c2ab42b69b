"""What a log line costs, in microseconds: ``python benchmarks/micro/log.py``.

Lines go to /dev/null, so that the figures hold our own work and one system call; ``render only`` has none.
"""

from __future__ import annotations

import time
import timeit
from collections.abc import Callable

from callboard.config import LogConfig
from callboard.domain.observation import RequestClosed, TimeSplit
from callboard.domain.usage import Usage
from callboard.telemetry import schema
from callboard.telemetry.closing import closing_json, closing_logfmt
from callboard.telemetry.logging import Log
from callboard.telemetry.sink import open_file

ROUNDS = 1_000
REPEATS = 60

CLOSED = RequestClosed(
    request_id="req_0123456789abcdef0123456789abcdef",
    response_id="resp_0123456789abcdef0123456789abcdef",
    assistant="default",
    provider="openai",
    model="gpt-5-mini",
    route="/v1/chat/completions",
    status=200,
    stream=True,
    time=TimeSplit(queue_us=12, own_us=431, upstream_ttfb_us=251_007, upstream_us=1_204_777),
    usage=Usage(input_tokens=812, output_tokens=207, cache_read_tokens=512),
    cost_picousd=617_000_000,
    attempts=1,
)


def microseconds(work: Callable[[], object]) -> float:
    """The best of many short runs, in time of this process: what else the machine does counts little."""
    return min(timeit.repeat(work, timer=time.process_time, number=ROUNDS, repeat=REPEATS)) / ROUNDS * 1e6


def main() -> None:
    logs = {
        form: Log(open_file("/dev/null"), LogConfig(format="json" if form == "json" else "logfmt"))
        for form in ("logfmt", "json")
    }
    logfmt, json = logs["logfmt"], logs["json"]
    stamp = "2025-01-01T02:21:00.042Z"
    rows: dict[str, Callable[[], object]] = {
        "closing line, logfmt, render only": lambda: closing_logfmt(stamp, CLOSED),
        "closing line, json, render only": lambda: closing_json(stamp, CLOSED),
        "closing line, logfmt": lambda: logfmt.closing(CLOSED),
        "closing line, json": lambda: json.closing(CLOSED),
        "event through structlog, logfmt": lambda: logfmt.event(
            schema.PROVIDER_RESPONSE, request_id="req_0123456789abcdef", assistant="default", tokens=150
        ),
        "event through structlog, json": lambda: json.event(
            schema.PROVIDER_RESPONSE, request_id="req_0123456789abcdef", assistant="default", tokens=150
        ),
        "event below the level": lambda: logfmt.event(schema.ACTOR_STARTED, path="root/a", incarnation=1),
        "asking for the level": lambda: logfmt.enabled("debug"),
    }
    for name, work in rows.items():
        print(f"{name:36}{microseconds(work):8.2f} us")


if __name__ == "__main__":
    main()
