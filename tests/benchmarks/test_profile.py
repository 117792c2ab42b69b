"""Stacks as a profiler writes them become shares of packages."""

from __future__ import annotations

import pytest

from benchmarks.profile import LOOP, OTHERS, ordered, places

STACKS = """\
main (callboard/cli/main.py:12);run (asyncio/runners.py:9) 50
serve (/x/callboard/serving/app.py:3);feed (/x/callboard/serving/http1/request.py:7) 30
serve (/x/callboard/serving/app.py:3) 17
serve (/x/callboard/serving/app.py:3);redact (/x/callboard/secret.py:3) 2
serve (/x/callboard/serving/app.py:3);take (/x/callboard/limits/gate.py:3) 1
serve (/x/callboard/serving/app.py:3);__enter__ (anyio/_backends/_asyncio.py:428) 4
write (callboard/telemetry/sink.py:4);Condition.wait (threading.py:327) 900
"""


def test_a_sample_is_that_of_the_innermost_frame_unless_that_waits_for_another_thread() -> None:
    assert places(STACKS) == {
        LOOP: 50,
        "serving/http1": 30,
        "serving/app": 17,
        "secret": 2,
        "limits/gate": 1,
        "anyio": 4,
    }


def test_small_shares_are_shown_together_and_all_of_them_are_one() -> None:
    found = places(STACKS.replace(" 50\n", " 5000\n"))
    shares = dict(ordered(found))
    assert set(shares) == {LOOP, "serving/http1", OTHERS}
    assert sum(shares.values()) == pytest.approx(1)
