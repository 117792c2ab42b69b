"""The bars of stored responses: what is said of them, and that they can be measured."""

from __future__ import annotations

import pytest

from benchmarks.gateways.native import compiler
from benchmarks.stored import Row, measured, report


def test_the_table_says_what_was_met_and_what_was_not() -> None:
    rows = (
        Row(what="one", measured="2", bar="≤ 3", met=True),
        Row(what="two", measured="4", bar="≤ 3", met=False),
        Row(what="three", measured="5"),
    )
    assert report(rows).splitlines()[2:] == [
        "| one | 2 | ≤ 3 | yes |",
        "| two | 4 | ≤ 3 | no |",
        "| three | 5 | – | – |",
    ]


@pytest.mark.soak
@pytest.mark.skipif(compiler() is None, reason="there is no C compiler")
def test_everything_is_measured_on_a_real_server() -> None:
    rows = list(measured(rounds=1, seconds=0.2, streams=20))
    assert [row.met is None for row in rows] == [False, False, False, True, False, False]
    assert all(row.measured.partition(" ")[0].replace(",", "").lstrip("-").isdigit() for row in rows)
