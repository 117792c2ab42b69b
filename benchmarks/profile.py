"""Where a request's processor time goes, by package: Callboard under load, watched from outside.

    python -m benchmarks.profile [--seconds 10]

The server, upstream and load are those of the gateway benchmarks. `py-spy`, which has to be on the path and
to be allowed to look at other processes, samples the server's stacks. The time of a sample is that of the
innermost Python frame, so what a call into C or the kernel takes is its caller's; the time of the frame that
runs the loop is the loop's and the kernel's. A thread that waits for a lock takes no time, whatever the
sampler thinks of it.

Source: https://github.com/benfred/py-spy
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.gateways.__main__ import PEERS
from benchmarks.gateways.cells import table
from benchmarks.gateways.gateway import Gateway
from benchmarks.gateways.measure import bench_of, put_load, running
from benchmarks.gateways.native import CannotMeasureError
from benchmarks.gateways.peers.callboard import with_actors, with_models
from benchmarks.gateways.scenarios import Scenario

SAMPLER = "py-spy"
SAMPLES_A_SECOND = 400
LEAST_SHARE = 0.005
"""What takes less is shown together."""
LOOP, OTHERS = "event loop and kernel", "all others"

SCENARIO = Scenario(name="c16", title="c16", connections=16)
_WAITS = re.compile(r"(^|\.)wait \((.*/)?threading\.py")
_FILE = re.compile(r"\(([^()]+)\.py[:)]")
_OURS = re.compile(r"callboard/((?:[a-z0-9_]+/)*[a-z0-9_]+)$")
_RUNNER = "asyncio/runners"


def main(words: Sequence[str]) -> int:
    """Print a table for each path."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile")
    parser.add_argument("--seconds", type=float, default=10.0, help="of load, for each path")
    options = parser.parse_args(words)
    try:
        for gateway in (with_models(0), with_actors(())):
            print(profiled(gateway, options.seconds))
    except CannotMeasureError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def profiled(gateway: Gateway, seconds: float) -> str:
    """The table of one path."""
    if shutil.which(SAMPLER) is None:
        raise CannotMeasureError(f"{SAMPLER} is not on the path; it can be had from PyPI")
    with (
        bench_of(seconds, PEERS) as bench,
        running(bench, gateway) as target,
        tempfile.TemporaryDirectory() as folder,
    ):
        process = target.process
        assert process is not None
        before = process.cpu_s()
        load = put_load(bench, target, SCENARIO)
        request_us = (process.cpu_s() - before) / max(1, load.total_requests) * 1e6
        stacks = Path(folder) / "stacks"
        watching = threading.Thread(target=_watch, args=(process.pid, stacks, 0.8 * seconds))
        watching.start()
        put_load(bench, target, SCENARIO)
        watching.join()
        found = places(stacks.read_text())
    return table(
        [f"{gateway.about}: {request_us:.0f} us of CPU a request", "share", "us"],
        [[place, f"{share:.1%}", f"{share * request_us:.1f}"] for place, share in ordered(found)],
    )


def places(stacks: str) -> Counter[str]:
    """How many samples each package of ours has, from stacks as py-spy's ``raw`` format has them."""
    found: Counter[str] = Counter()
    for line in stacks.splitlines():
        stack, _, count = line.rpartition(" ")
        innermost = stack.rpartition(";")[2]
        if _WAITS.search(innermost):
            continue
        found[_place(innermost)] += int(count)
    return found


def ordered(found: Counter[str]) -> Iterator[tuple[str, float]]:
    """Places and their shares, the largest first."""
    total, rest = max(1, found.total()), 0.0
    for place, count in found.most_common():
        share = count / total
        if share >= LEAST_SHARE:
            yield place, share
        else:
            rest += share
    if rest:
        yield OTHERS, rest


def _place(frame: str) -> str:
    """``serving/http1`` for a module in there, ``actors/upstream`` for one below a layer, or a library."""
    file = _FILE.search(frame)
    if file is None or file[1].endswith(_RUNNER):
        return LOOP
    ours = _OURS.search(file[1])
    return file[1].split("/")[0] if ours is None else "/".join(ours[1].split("/")[:2])


def _watch(pid: int, stacks: Path, seconds: float) -> None:
    words = [SAMPLER, "record", "--pid", str(pid), "--duration", str(max(1, round(seconds)))]
    words += ["--rate", str(SAMPLES_A_SECOND), "--format", "raw", "--output", str(stacks)]
    subprocess.run(words, check=True, capture_output=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
