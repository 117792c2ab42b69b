"""A program is weighed with its descendants, and ends with them."""

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.gateways.processes import Process, core_busy_s, parse_stat
from tests.benchmarks.asking import core, until

LINE = (
    "42 (a (strange) name) S 1 42 40 0 -1 4194560 100 0 0 0 7 5 3 1 20 0 1 0 100 1000000 250 "
    "18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0"
)
PARENT = """
import subprocess, sys
work = "import sys; sum(range(5_000_000)); print(1, flush=True); sys.stdin.read()"
child = subprocess.Popen([sys.executable, "-c", work], stdin=subprocess.PIPE)
print(child.pid, flush=True)
child.wait()
"""


def gone(pid: int) -> bool:
    """Whether it has ended; whoever adopted it may not have taken notice yet."""
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_stat_line_is_read_whatever_the_programs_name() -> None:
    stat = parse_stat(LINE)
    assert (stat.parent, stat.session, stat.cpu_ticks, stat.rss_pages) == (1, 40, 7 + 5 + 3 + 1, 250)


def test_children_are_weighed_and_ended_with_their_parent() -> None:
    process = Process((sys.executable, "-c", PARENT), cores=(core(),), output=subprocess.PIPE)
    try:
        lines = {process.stdout.readline(), process.stdout.readline()}
        child = max(int(line) for line in lines)
        alone = parse_stat(Path(f"/proc/{child}/stat").read_text())
        assert alone.session == process.pid
        assert process.rss_bytes() > alone.rss_pages * 4096
        assert process.cpu_s() > 0
        assert os.sched_getaffinity(child) == {core()}
    finally:
        process.stop()
    assert process.ended is not None
    until(lambda: gone(child))


def test_children_in_sessions_of_their_own_belong_to_it_too() -> None:
    code = PARENT.replace("stdin=subprocess.PIPE", "stdin=subprocess.PIPE, start_new_session=True")
    process = Process((sys.executable, "-c", code), cores=(core(),), output=subprocess.PIPE)
    try:
        lines = {process.stdout.readline(), process.stdout.readline()}
        child = max(int(line) for line in lines)
        alone = parse_stat(Path(f"/proc/{child}/stat").read_text())
        assert alone.session == child
        assert process.rss_bytes() > alone.rss_pages * 4096
    finally:
        process.stop()
    until(lambda: gone(child))


def test_a_program_that_will_not_go_is_made_to() -> None:
    code = "import signal; signal.signal(15, signal.SIG_IGN); print(1, flush=True); signal.pause()"
    process = Process((sys.executable, "-c", code), cores=(core(),), output=subprocess.PIPE, patience_s=0.1)
    process.stdout.readline()
    process.stop()
    assert process.ended == -9


def test_programs_see_little_of_our_environment() -> None:
    code = "import os; print(*sorted(os.environ))"
    process = Process(
        (sys.executable, "-c", code), cores=(core(),), env={"UPSTREAM": "u"}, output=subprocess.PIPE
    )
    names = set(process.stdout.read().decode().split())
    process.stop()
    assert "UPSTREAM" in names
    assert names <= {"PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "SSL_CERT_FILE", "UPSTREAM"}


def test_a_cores_busy_time_only_grows() -> None:
    assert 0 < core_busy_s(core()) <= core_busy_s(core())
