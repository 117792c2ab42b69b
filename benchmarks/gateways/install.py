"""Install peers, each in an environment of its own.

    python -m benchmarks.gateways.install [--peers-dir DIR] [NAME …]

Without names, all that can be installed are; nginx comes from the system's package manager instead.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gateways.__main__ import PEERS
from benchmarks.gateways.measure import failure_of
from benchmarks.gateways.native import CannotMeasureError
from benchmarks.gateways.table import GATEWAYS


def main(words: Sequence[str]) -> int:
    """Install what is missing; 1 where something could not be."""
    installable = {each.name: each.install for each in GATEWAYS if each.install is not None}
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateways.install", description=__doc__)
    parser.add_argument("--peers-dir", type=Path, default=PEERS)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(installable))
    options = parser.parse_args(words)
    status = 0
    for gateway in GATEWAYS:
        home = options.peers_dir.absolute() / gateway.name
        if gateway.install is None or gateway.name not in (options.names or installable):
            continue
        if gateway.version(home) is None or not home.exists():
            print(f"installing {gateway.name}", flush=True)
            try:
                gateway.install(home)
            except (CannotMeasureError, subprocess.CalledProcessError, OSError) as error:
                print(f"{gateway.name} could not be installed: {failure_of(error)}", file=sys.stderr)
                status = 1
                continue
        print(f"{gateway.name} {gateway.version(home)}")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
