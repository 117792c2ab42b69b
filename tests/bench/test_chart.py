"""The chart is well-formed, says what it shows, and keeps within its frame."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from callboard.bench.chart import draw
from callboard.bench.document import Document
from callboard.bench.plan import OpenLoop, Target
from tests.bench.results import A, B, document_of

SVG = "{http://www.w3.org/2000/svg}"
SWEEP = (OpenLoop(rate=100.0), OpenLoop(rate=200.0))


def drawn(document: Document) -> ET.Element:
    return ET.fromstring(draw(document))


def texts(root: ET.Element) -> list[str]:
    return [each.text or "" for each in root.iter(f"{SVG}text")]


def test_each_target_has_a_curve_and_a_name_in_the_legend() -> None:
    root = drawn(document_of())
    curves = root.findall(f".//{SVG}polyline")
    assert len(curves) == 2
    assert len({curve.get("stroke") for curve in curves}) == 2
    assert {"ours", "<theirs> & co"} <= set(texts(root))


def test_the_axes_are_labelled() -> None:
    found = texts(drawn(document_of()))
    assert {"percentile", "latency, ms", "50 %", "90 %", "99 %"} <= set(found)
    assert "99.9 %" not in found  # a hundred requests do not know


def test_a_sweep_shows_the_rates_as_well() -> None:
    root = drawn(document_of(*SWEEP, errors=7))
    assert len(root.findall(f".//{SVG}polyline")) == 4 + 2
    assert len(root.findall(f".//{SVG}circle")) == 8
    dashed = [curve for curve in root.iter(f"{SVG}polyline") if curve.get("stroke-dasharray")]
    assert len(dashed) == 2  # the p99 of each
    found = texts(root)
    assert {"requests per second asked for", "ours", "<theirs> & co", "ours at 100/s"} <= set(found)


@pytest.mark.parametrize("document", [document_of(), document_of(*SWEEP)], ids=["one load", "sweep"])
def test_everything_lies_within_the_frame(document: Document) -> None:
    root = drawn(document)
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    tops = [0.0]
    for group in root.findall(f"{SVG}g"):
        match = re.fullmatch(r"translate\(0 (\d+)\)", group.get("transform", ""))
        assert match is not None
        tops.append(float(match[1]))
        for curve in group.iter(f"{SVG}polyline"):
            for point in curve.get("points", "").split():
                x, y = (float(part) for part in point.split(","))
                assert 0 <= x <= width
                assert 0 <= tops[-1] + y <= height


def test_a_stall_is_higher_than_what_is_not() -> None:
    (curve,) = drawn(document_of(targets=(A,))).findall(f".//{SVG}polyline")
    heights = [float(point.split(",")[1]) for point in curve.get("points", "").split()]
    assert heights[-1] < heights[0]  # SVG counts downwards


def test_a_long_legend_goes_on_in_the_next_row() -> None:
    targets = tuple(Target(name=f"a target with a long name, {number}", url=A.url) for number in range(8))
    few, many = drawn(document_of(targets=(A, B))), drawn(document_of(targets=targets))
    assert float(many.get("height", 0)) > float(few.get("height", 0))
    labels = [each for each in many.iter(f"{SVG}text") if (each.text or "").startswith("a target")]
    assert len(labels) == 8
    for label in labels:
        assert float(label.get("x", 0)) + 7 * len(label.text or "") <= float(many.get("width", 0))


def test_nothing_measured_is_still_a_picture() -> None:
    assert drawn(document_of(interrupted=True)).findall(f".//{SVG}polyline") == []
