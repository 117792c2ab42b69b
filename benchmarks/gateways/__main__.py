"""Measure gateways.

    python -m benchmarks.gateways [--peers a,b] [--rounds 2] [--seconds 3] [--only scenario,…]
                                  [--parts gateways,growth,memory,imports]

Without ``--peers``, every gateway that is installed is measured. Each gateway is started in each round,
measured through every scenario, and ended; so rounds are interleaved over gateways. After them, in the same
round, come growth, memory and imports, where ``--parts`` does not leave them out. Writes RESULTS.md and a
chart to ``--output``, by default beside this package, and all that was measured to ``--raw``: after each
round, so that a run which is cut short is not lost.
"""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from benchmarks.__main__ import KEPT
from benchmarks.gateways.gateway import Gateway
from benchmarks.gateways.loader import running_upstream
from benchmarks.gateways.machine import this_machine
from benchmarks.gateways.measure import Bench, failure_of, rehearse, running
from benchmarks.gateways.native import CACHE, CannotMeasureError, build
from benchmarks.gateways.processes import raise_open_files
from benchmarks.gateways.report import write_report
from benchmarks.gateways.results import Run
from benchmarks.gateways.rounds import FAILURES, PARTS, Round
from benchmarks.gateways.scenarios import SCENARIOS, Scenario
from benchmarks.gateways.table import GATEWAYS

FOLDER = Path(__file__).parents[1]
PEERS = FOLDER.parent / ".bench" / "peers"
RAW = FOLDER.parent / ".bench" / "results.json"


def main(words: Sequence[str]) -> int:
    """Measure, and write the report; 1 where a gateway that was asked for could not be measured."""
    options = _options().parse_args(words)
    # Told to end, we end what we have started first.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    left_out: Mapping[str, str] = {}
    try:
        if options.render is not None:
            _report(msgspec.json.decode(options.render.read_bytes(), type=Run), options.output)
            return 0
        for run in _measure(options):
            options.raw.parent.mkdir(parents=True, exist_ok=True)
            options.raw.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=1))
            _report(run, options.output)
            left_out = run.left_out
    except CannotMeasureError as error:
        print(error, file=sys.stderr)
        return 1
    return 1 if options.peers and left_out else 0


def _report(run: Run, folder: Path) -> None:
    for written in write_report(run, folder):
        print(f"wrote {written.name}", flush=True)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateways", description=__doc__)
    names = [each.name for each in GATEWAYS]
    parser.add_argument("--peers", help=f"gateways to measure, with commas: {', '.join(names)}")
    parser.add_argument(
        "--only", help=f"scenarios, with commas: {', '.join(each.name for each in SCENARIOS)}"
    )
    parser.add_argument("--parts", help=f"what to measure, with commas: {', '.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=3.0, help="measured time of each scenario")
    parser.add_argument("--peers-dir", type=Path, default=PEERS, help="where environments of peers are")
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder for the report")
    parser.add_argument("--raw", type=Path, default=RAW, help="file for all that was measured, as JSON")
    parser.add_argument(
        "--render", type=Path, help="do not measure, report what an earlier run wrote to --raw"
    )
    return parser


def _command(options: argparse.Namespace) -> str:
    """What one types to repeat the run; where folders are is nobody's business."""
    words = ["python", "-m", "benchmarks.gateways", "--rounds", str(options.rounds)]
    words += ["--seconds", f"{options.seconds:g}"]
    for name in ("peers", "only", "parts"):
        if getattr(options, name):
            words += [f"--{name}", getattr(options, name)]
    return shlex.join(words)


def _scenarios(asked: str | None) -> tuple[Scenario, ...]:
    names = asked.split(",") if asked else [each.name for each in SCENARIOS]
    unknown = set(names) - {each.name for each in SCENARIOS}
    if unknown:
        raise CannotMeasureError(f"there is no scenario {', '.join(sorted(unknown))}")
    return tuple(each for each in SCENARIOS if each.name in names)


def _parts(asked: str | None) -> tuple[str, ...]:
    parts = tuple(asked.split(",")) if asked else PARTS
    unknown = set(parts) - set(PARTS)
    if unknown:
        raise CannotMeasureError(f"there is no part {', '.join(sorted(unknown))}")
    return parts


def _measure(options: argparse.Namespace) -> Iterator[Run]:
    """The run after each of its rounds, so that one which is cut short is not lost."""
    parts = _parts(options.parts)
    raise_open_files()
    binaries = build("upstream", CACHE), build("load", CACHE)
    machine = this_machine()
    with running_upstream(binaries[0], machine.load_core) as upstream:
        bench = Bench(
            upstream=upstream,
            load_binary=binaries[1],
            machine=machine,
            scenarios=_scenarios(options.only) if "gateways" in parts else (),
            seconds=options.seconds,
            peers=options.peers_dir,
            say=lambda line: print(line, flush=True),
        )
        versions, left_out = _rehearsed(bench, options.peers)
        run = Run(
            machine=machine,
            date=datetime.now(UTC).strftime("%Y-%m-%d"),
            command=_command(options),
            rounds=0,
            seconds=options.seconds,
            versions=versions,
            left_out=left_out,
            scenarios=bench.scenarios,
            samples=(),
            starts=(),
            micro=KEPT.read_text() if KEPT.exists() else "",
        )
        for number in range(1, options.rounds + 1):
            print(f"round {number} of {options.rounds}", flush=True)
            run = Round(bench, run, number).measured(parts)
            yield run


def _rehearsed(bench: Bench, asked: str | None) -> tuple[dict[str, str], dict[str, str]]:
    """Which gateways are here and work, and why the others are left out.

    This first start, which compiles what a gateway imports, is in no figure.
    """
    wanted = asked.split(",") if asked else [each.name for each in GATEWAYS]
    unknown = set(wanted) - {each.name for each in GATEWAYS}
    if unknown:
        raise CannotMeasureError(f"there is no gateway {', '.join(sorted(unknown))}")
    versions: dict[str, str] = {}
    left_out: dict[str, str] = {}
    for gateway in GATEWAYS:
        if gateway.name not in wanted:
            continue
        version = gateway.version(bench.peers.absolute() / gateway.name)
        if version is None:
            left_out[gateway.name] = "not installed"
            continue
        reason = _rehearse(bench, gateway)
        if reason is None:
            versions[gateway.name] = version
            print(f"{gateway.name} {version} works", flush=True)
        else:
            left_out[gateway.name] = reason
    for name, reason in left_out.items():
        print(f"without {name}: {reason}", flush=True)
    return versions, left_out


def _rehearse(bench: Bench, gateway: Gateway) -> str | None:
    try:
        with running(bench, gateway) as target:
            rehearse(target)
    except FAILURES as error:
        print(f"{gateway.name}: {error}", file=sys.stderr, flush=True)
        return failure_of(error)
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
