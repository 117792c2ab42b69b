"""Run every micro-benchmark, one after the other: ``python -m benchmarks [NAME …]``.

Figures of one run may be compared with each other; figures of different runs or machines may not. What a run
of all has printed is kept for the report of `benchmarks.gateways`.
"""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

MICRO = (
    "ask",
    "messages",
    "grant",
    "wire",
    "http_client",
    "limiter",
    "log",
    "store",
    "store_growth",
    "mcp_tools",
)
KEPT = Path(__file__).parents[1] / ".bench" / "micro.txt"
"""What the last run of all has printed."""


def main(names: list[str], kept: Path = KEPT) -> int:
    """Run those named, by default all; returns the first status that is not 0.

    A ratio over its bar is such a status too: the others are run all the same.
    """
    unknown = set(names) - set(MICRO)
    if unknown:
        print(f"there is no benchmark {', '.join(sorted(unknown))}; there are: {', '.join(MICRO)}")
        return 2
    lines = [f"{datetime.now(UTC):%Y-%m-%d}, python -m benchmarks; ledger and limits are in limiter\n"]
    failed = 0
    for name in names or MICRO:
        lines += [_said(f"\n== {name}\n")]
        status = _run(name, lines)
        failed = failed or status
    if not names:
        kept.parent.mkdir(exist_ok=True)
        kept.write_text("".join(lines))
    return failed


def _run(name: str, lines: list[str]) -> int:
    command = (sys.executable, "-m", f"benchmarks.micro.{name}")
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        lines += [_said(line) for line in process.stdout]
    return process.returncode


def _said(line: str) -> str:
    print(line, end="", flush=True)
    return line


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
