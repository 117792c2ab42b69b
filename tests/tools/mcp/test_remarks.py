"""What servers write for their operator, in time that the test tells."""

from __future__ import annotations

from callboard.domain.observation import ToolSourceSaid
from callboard.tools.mcp.remarks import Remarks


def test_a_hundred_lines_a_second_are_passed_on_and_the_rest_counted() -> None:
    now, said = [10.0], list[ToolSourceSaid]()
    remarks = Remarks("s", said.append, lambda: now[0])
    for n in range(150):
        remarks.add("stderr", f"{n}".encode())
    assert remarks.full(30)
    assert [each.text for each in said] == [str(n) for n in range(100)]
    now[0] = 11.2
    assert not remarks.full(30)
    remarks.add("info", "again")
    assert [each.text for each in said[100:]] == ["[80 lines were dropped]", "again"]


def test_a_line_is_cut_and_an_empty_one_is_none() -> None:
    said = list[ToolSourceSaid]()
    remarks = Remarks("s", said.append, lambda: 0.0)
    remarks.add("stderr", b"\xff" + b"x" * 1_000_000)
    remarks.add("stderr", b"   ")
    (only,) = said
    assert only.text == "\ufffd" + "x" * 1999
