"""A bar chart as SVG: one horizontal bar for each gateway, on a logarithmic scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

from msgspec import Struct

WIDTH, LABEL, ROW, TOP, MARGIN = 900, 230, 34, 64, 110
OURS, THEIRS, GRID, INK = "#c2410c", "#64748b", "#e2e8f0", "#1e293b"


class Bar(Struct, frozen=True, kw_only=True):
    """One bar."""

    label: str
    value: float
    ours: bool = False


def chart(title: str, axis: str, bars: Sequence[Bar]) -> str:
    """The document. Bars come in the order given; those without a positive value are left out.

    A logarithmic scale has no zero: bars begin at the power of ten below the smallest value.
    """
    shown = [bar for bar in bars if bar.value > 0]
    if not shown:
        raise ValueError("there is nothing to draw")
    low, high = scale([bar.value for bar in shown])
    height = TOP + ROW * len(shown) + 40
    span = WIDTH - LABEL - MARGIN

    def at(value: float) -> float:
        return LABEL + span * (math.log10(value) - low) / (high - low)

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"'
        f' font-family="system-ui, sans-serif" font-size="14" fill="{INK}">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="20" y="30" font-size="18" font-weight="600">{escape(title)}</text>',
    ]
    bottom = TOP + ROW * len(shown)
    for power in range(low, high + 1):
        x = at(10.0**power)
        lines.append(f'<line x1="{x:.1f}" y1="{TOP - 8}" x2="{x:.1f}" y2="{bottom}" stroke="{GRID}"/>')
        lines.append(
            f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle" font-size="12">{10**power:,}</text>'
        )
    middle = LABEL + span / 2
    lines.append(
        f'<text x="{middle:.1f}" y="{bottom + 35}" text-anchor="middle" font-size="12">{escape(axis)}</text>'
    )
    for row, bar in enumerate(shown):
        y = TOP + ROW * row
        end = at(bar.value)
        weight = ' font-weight="600"' if bar.ours else ""
        lines += [
            f'<text x="{LABEL - 10}" y="{y + 18}" text-anchor="end"{weight}>{escape(bar.label)}</text>',
            f'<rect x="{LABEL}" y="{y}" width="{end - LABEL:.1f}" height="{ROW - 10}" rx="2"'
            f' fill="{OURS if bar.ours else THEIRS}"/>',
            f'<text x="{end + 8:.1f}" y="{y + 18}"{weight}>{bar.value:,.0f}</text>',
        ]
    return "\n".join((*lines, "</svg>", ""))


def scale(values: Sequence[float]) -> tuple[int, int]:
    """The powers of ten between which the positive ``values`` lie, at least one apart."""
    low = math.floor(math.log10(min(values)))
    if min(values) == 10.0**low:
        low -= 1  # a bar of no length would look like no value
    return low, max(math.ceil(math.log10(max(values))), low + 1)
