"""The chart is a valid drawing whose bars are as long as they should be."""

from xml.etree import ElementTree as ET

import pytest

from benchmarks.gateways.chart import LABEL, OURS, Bar, chart, scale

SVG = "{http://www.w3.org/2000/svg}"


def bars_of(text: str) -> list[ET.Element]:
    return [each for each in ET.fromstring(text).iter(f"{SVG}rect") if each.get("rx")]


def test_a_bar_grows_by_the_same_length_with_each_power_of_ten() -> None:
    text = chart("t", "a", [Bar(label=str(value), value=value) for value in (20, 200, 2_000)])
    one, two, three = (float(each.get("width", "0")) for each in bars_of(text))
    assert two - one == pytest.approx(three - two, abs=0.2)
    assert all(each.get("x") == str(LABEL) for each in bars_of(text))


def test_ours_stands_out() -> None:
    text = chart("t", "a", [Bar(label="theirs", value=1), Bar(label="ours", value=2, ours=True)])
    assert [each.get("fill") == OURS for each in bars_of(text)] == [False, True]


def test_labels_are_escaped() -> None:
    text = chart("a < b & c", "x", [Bar(label='<script>"', value=10)])
    texts = [each.text for each in ET.fromstring(text).iter(f"{SVG}text")]
    assert {"a < b & c", '<script>"'} <= set(texts)


def test_a_value_of_zero_has_no_bar_and_nothing_at_all_is_no_chart() -> None:
    assert len(bars_of(chart("t", "a", [Bar(label="x", value=0), Bar(label="y", value=3)]))) == 1
    with pytest.raises(ValueError, match="nothing to draw"):
        chart("t", "a", [Bar(label="x", value=0)])


@pytest.mark.parametrize(
    "values, powers", [([3], (0, 1)), ([100, 5_000], (1, 4)), ([150, 90_000], (2, 5)), ([10], (0, 1))]
)
def test_the_scale_holds_every_value_and_leaves_the_least_a_bar(
    values: list[float], powers: tuple[int, int]
) -> None:
    assert scale(values) == powers
