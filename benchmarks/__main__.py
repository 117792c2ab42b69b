"""Run every micro-benchmark, one after the other: ``python -m benchmarks [NAME …]``.

Figures of one run may be compared with each other; figures of different runs or machines may not.
"""

import subprocess
import sys

MICRO = ("ask", "grant", "wire", "http_client", "limiter", "log")


def main(names: list[str]) -> int:
    """Run those named, by default all; returns the first status that is not 0."""
    unknown = set(names) - set(MICRO)
    if unknown:
        print(f"there is no benchmark {', '.join(sorted(unknown))}; there are: {', '.join(MICRO)}")
        return 2
    for name in names or MICRO:
        print(f"== {name}", flush=True)
        status = subprocess.run([sys.executable, "-m", f"benchmarks.micro.{name}"], check=False).returncode
        if status != 0:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
