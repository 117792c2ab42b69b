"""The kernel's example runs as it is printed."""

import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "kernel_only.py"


def test_the_example_counts_crashes_and_comes_back() -> None:
    lines = EXAMPLE.read_text().splitlines()
    run = subprocess.run(
        [sys.executable, str(EXAMPLE)], capture_output=True, text=True, timeout=30, check=True
    )
    printed = [line for line in run.stdout.splitlines() if "path=" not in line]

    assert len(lines) <= 40
    assert printed == ["60.0", "20.0", "crashed: float division by zero", "30.0"]
