"""Memory after much work, and how long imports take."""

from __future__ import annotations

import subprocess
import time

from benchmarks.gateways.gateway import Gateway
from benchmarks.gateways.measure import Bench, Target, put_load, running
from benchmarks.gateways.native import CannotMeasureError
from benchmarks.gateways.peers.callboard import PACKAGE, interpreter
from benchmarks.gateways.processes import Process
from benchmarks.gateways.results import Import, Memory
from benchmarks.gateways.scenarios import SCENARIO

REQUESTS, STREAMS = 10_000, 400
WARM = 10
"""The part of them that counts as warming up."""
SETTLE_S = 1.0
IMPORTED = ("callboard", "callboard.cli.serve")
"""What a program imports at first, and all that the server does before it starts."""
INTERPRETERS = 5
TIMED = """\
import time
begin = time.perf_counter()
import {module}
print(time.perf_counter() - begin)
"""


def memory(bench: Bench, gateway: Gateway, number: int) -> Memory:
    """Resident memory when ready, after the first requests and streams, and after all.

    Raises:
        CannotMeasureError: An answer failed.
    """
    with running(bench, gateway) as target:
        idle = _rss(target)
        _work(bench, target, WARM)
        warm = _rss(target)
        _work(bench, target, 1)
        later = _rss(target)
    bench.say(f"  {gateway.name:22} RSS {idle / 1e6:.1f} → {warm / 1e6:.1f} → {later / 1e6:.1f} MB")
    return Memory(gateway=gateway.name, round=number, idle=idle, warm=warm, later=later)


def imports(bench: Bench, number: int) -> list[Import]:
    """Each module in interpreters of its own, after one that compiles it."""
    found = []
    for module in IMPORTED:
        seconds = [_import_s(bench, module) for _ in range(INTERPRETERS + 1)][1:]
        found += [Import(module=module, round=number, seconds=each) for each in seconds]
        bench.say(f"  import {module:28} {min(seconds):.3f} to {max(seconds):.3f} s")
    return found


def _import_s(bench: Bench, module: str) -> float:
    process = Process(
        (interpreter(bench.peers), "-c", TIMED.format(module=module)),
        cores=(bench.machine.gateway_core,),
        env={"PYTHONPATH": str(PACKAGE.parent)},
        output=subprocess.PIPE,
    )
    try:
        return float(process.stdout.read())
    except ValueError as error:
        raise CannotMeasureError(f"{module} cannot be imported") from error
    finally:
        process.stop()


def _work(bench: Bench, target: Target, part: int) -> None:
    for name, count in (("unary-c16", REQUESTS), ("stream-100-s16", STREAMS)):
        limit = ("--seconds", "120", "--warm-up", "0", "--requests", str(count // part))
        load = put_load(bench, target, SCENARIO[name], limit)
        if load.total_requests != count // part:
            raise CannotMeasureError(f"{load.total_requests} of {count // part} answers were right")


def _rss(target: Target) -> int:
    assert target.process is not None
    time.sleep(SETTLE_S)
    return target.process.rss_bytes()
