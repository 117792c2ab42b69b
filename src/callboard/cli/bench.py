"""``callboard bench``."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import anyio

from callboard.bench import (
    Bench,
    ClosedLoop,
    Document,
    OpenLoop,
    Payload,
    Plan,
    Progress,
    Window,
    built_in,
    draw,
    encode,
    from_file,
    rates_of,
    render,
    targets_of,
    these_versions,
    this_machine,
)
from callboard.cli.terminal import printable
from callboard.config.expansion import expand
from callboard.errors import ConfigurationError
from callboard.secret import Secret

_DURATION_S = 10.0
_WARMUP_S = 1.0
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Targets, load, window, request, verdict and output, in this order."""
    parser.epilog = (
        "Durations are seconds, or carry a unit: 500ms, 30s, 2m. Exit status: 0 done; 1 interrupted, or more"
        " than --max-failures failed (in a sweep: a target did not sustain the first rate); 2 wrong usage."
    )
    add = parser.add_argument
    add(
        "--url",
        action="append",
        required=True,
        metavar="[NAME=]URL",
        help="base URL as OpenAI's clients take it; several are compared with the first, round by round",
    )
    add("-m", "--model", help="whom to ask; needed unless the payload says it")
    add("--api", choices=("chat", "responses"), default="chat", help="which API to speak (default: chat)")
    add(
        "--stream",
        action=argparse.BooleanOptionalAction,
        help="ask for streamed answers (default: what the payload says, else not)",
    )
    _add_load(parser)
    _add_request(parser)
    add(
        "--max-failures",
        type=_share,
        default=0.01,
        metavar="SHARE",
        help="exit with 1 when a greater share of the requests failed (default: 0.01)",
    )
    add("--json", action="store_true", help="print one JSON document instead of the table")
    add("--chart", type=Path, metavar="FILE.svg", help="draw latency percentiles, and a sweep's rates")


def _add_load(parser: argparse.ArgumentParser) -> None:
    load = parser.add_argument_group("load").add_mutually_exclusive_group()
    load.add_argument(
        "-c",
        "--concurrency",
        type=_whole,
        default=1,
        metavar="N",
        help="closed loop: N callers, each asks again when it was answered (default: 1)",
    )
    load.add_argument(
        "-r",
        "--rate",
        type=_positive,
        metavar="R",
        help="open loop: R requests per second, latency counted from when each was due",
    )
    load.add_argument(
        "--sweep",
        metavar="FROM:TO:STEP",
        help="open loop, one rate after the other until saturated; or R,R,...",
    )
    add = parser.add_argument
    add("--arrivals", choices=("constant", "poisson"), default="constant", help="of an open loop")
    add("--seed", type=int, default=0, metavar="N", help="of Poisson arrivals (default: 0)")
    add(
        "--max-in-flight",
        type=_whole,
        default=1000,
        metavar="N",
        help="open loop: what is due beyond so many at once fails as not_sent (default: 1000)",
    )
    window = parser.add_mutually_exclusive_group()
    window.add_argument(
        "-d", "--duration", type=_seconds, metavar="S", help="time to measure, each round (default: 10s)"
    )
    window.add_argument("-n", "--count", type=_whole, metavar="N", help="requests to measure, each round")
    add(
        "--warmup",
        type=_seconds_or_none,
        metavar="S",
        help="load before the measurement, each round (default: 1s, or 0 with --count)",
    )
    add("--rounds", type=_whole, default=1, metavar="K", help="turns of each target (default: 1)")


def _add_request(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--payload", type=Path, metavar="FILE", help="request body as JSON, or one a line, sent in turn")
    add("--prompt-bytes", type=_whole, default=0, metavar="N", help="pad the built-in prompt to this length")
    add("--max-tokens", type=_whole, metavar="N", help="output limit of the built-in request")
    add(
        "-H",
        "--header",
        action="append",
        default=[],
        metavar="'NAME: VALUE'",
        help="sent to every target; ${ENV} is expanded",
    )
    add("--api-key", metavar="'${ENV}'", help="sent to every target as a bearer token; ${ENV} is expanded")
    add("-t", "--timeout", type=_seconds, default=600.0, metavar="S", help="of one request (default: 600s)")


def run(arguments: argparse.Namespace) -> int:
    """Measure, and say what came out."""
    chart: Path | None = arguments.chart
    if chart is not None and not chart.absolute().parent.is_dir():
        raise ConfigurationError(f"--chart {chart}: there is no such folder")
    plan = _plan(arguments)
    terminal = sys.stderr.isatty()
    bench = Bench(
        plan,
        _payloads(arguments),
        headers=_headers(arguments),
        progress=Progress(sys.stderr, terminal=terminal),
        warmed=gc.freeze,
    )
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    interrupted = False
    try:
        anyio.run(bench.run, backend_options={"use_uvloop": sys.platform != "win32"})
    except KeyboardInterrupt:
        interrupted = True
    document = Document(
        started_at=started_at,
        interrupted=interrupted,
        plan=plan,
        machine=this_machine(),
        versions=these_versions(),
        targets=bench.reports(),
    )
    if chart is not None:
        _write_chart(chart, document)
    sys.stdout.write(f"{encode(document).decode()}\n" if arguments.json else printable(render(document)))
    return 1 if interrupted or not _passed(document) else 0


def _passed(document: Document) -> bool:
    """Whether every target was measured and did not fail too often; in a sweep, at its first rate."""
    plan = document.plan
    firsts = [report.steps[0] for report in document.targets]
    if len(firsts) < len(plan.targets):
        return False
    if plan.sweep:
        return all(step.sustained for step in firsts)
    return all(step.merged.failed_share <= plan.max_failures for step in firsts)


def _plan(arguments: argparse.Namespace) -> Plan:
    def open_loop(rate: float) -> OpenLoop:
        return OpenLoop(
            rate=rate,
            arrivals=arguments.arrivals,
            seed=arguments.seed,
            max_in_flight=arguments.max_in_flight,
        )

    steps: tuple[ClosedLoop | OpenLoop, ...] = (ClosedLoop(concurrency=arguments.concurrency),)
    if arguments.sweep is not None:
        steps = tuple(open_loop(rate) for rate in rates_of(arguments.sweep))
    elif arguments.rate is not None:
        steps = (open_loop(arguments.rate),)
    count, warmup_s = arguments.count, arguments.warmup
    if warmup_s is None:
        warmup_s = 0.0 if count is not None else _WARMUP_S
    duration_s = arguments.duration or (None if count is not None else _DURATION_S)
    stream = arguments.stream
    return Plan(
        targets=targets_of(arguments.url, arguments.api),
        api=arguments.api,
        model=arguments.model,
        stream=bool(stream) if arguments.payload is None else stream,
        steps=steps,
        sweep=arguments.sweep is not None,
        window=Window(warmup_s=warmup_s, duration_s=duration_s, count=count),
        rounds=arguments.rounds,
        timeout_s=arguments.timeout,
        max_failures=arguments.max_failures,
    )


def _payloads(arguments: argparse.Namespace) -> tuple[Payload, ...]:
    if arguments.payload is not None:
        if arguments.prompt_bytes or arguments.max_tokens is not None:
            raise ConfigurationError(
                "--prompt-bytes and --max-tokens are for the built-in request, not --payload"
            )
        try:
            data = arguments.payload.read_bytes()
        except OSError as error:
            reason = error.strerror or "unreadable"
            raise ConfigurationError(f"--payload {arguments.payload}: cannot be read: {reason}") from error
        return from_file(data, model=arguments.model, stream=arguments.stream)
    if arguments.model is None:
        raise ConfigurationError("name a model: --model MODEL, or a --payload that does")
    return (
        built_in(
            arguments.api,
            model=arguments.model,
            stream=bool(arguments.stream),
            prompt_bytes=arguments.prompt_bytes,
            max_tokens=arguments.max_tokens,
        ),
    )


def _headers(arguments: argparse.Namespace) -> list[tuple[str, Secret]]:
    headers = []
    for text in arguments.header:
        name, colon, value = text.partition(":")
        if not colon:
            raise ConfigurationError("--header: expected 'NAME: VALUE'")
        headers.append((name.strip(), Secret(_expanded("--header", value.strip()))))
    if arguments.api_key is not None:
        headers.append(("authorization", Secret(f"Bearer {_expanded('--api-key', arguments.api_key)}")))
    return headers


def _expanded(option: str, text: str) -> str:
    try:
        return expand(text, os.environ)
    except LookupError as error:
        raise ConfigurationError(f"{option}: {error.args[0]}") from error


def _write_chart(chart: Path, document: Document) -> None:
    try:
        chart.write_text(draw(document), encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"--chart {chart}: cannot be written: {error.strerror}") from error


def _seconds(text: str) -> float:
    seconds = _seconds_or_none(text)
    if not seconds:
        raise argparse.ArgumentTypeError("must be more than 0")
    return seconds


def _seconds_or_none(text: str) -> float:
    number = text.rstrip("hms")
    try:
        seconds = float(number) * _UNITS[text[len(number) :] or "s"]
    except (ValueError, KeyError):
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration like 30, 30s, 500ms or 2m") from None
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError("must not be negative, nor endless")
    return seconds


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError("must be more than 0")
    return number


def _whole(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _share(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError("must be between 0 and 1")
    return number
