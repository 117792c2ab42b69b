"""One coordinate system with lines in it, as SVG.

Nothing but lines, polylines and text in mid-tone colours on no background at all: it reads the same on a
white page and on a dark one, and in every renderer.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from msgspec import Struct

from callboard.bench.scale import Scale

COLOURS = ("#2f7fd0", "#dd7a1f", "#2c9c6a", "#c4528f", "#8468d6", "#98892b", "#3a9db0", "#c4564e")
"""Told apart by people who are colour-blind in the first three, and on black as well as on white."""

INK = "#7b828c"
_FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
WIDTH = 860
_LEFT, _RIGHT, _BELOW = 76, 28, 56
_PLOT_HEIGHT = 280
_TITLE_HEIGHT, _LEGEND_ROW = 40, 20
_CHARACTER = 7.2  # an average one's width, generously


class Line(Struct, frozen=True, kw_only=True):
    """One curve.

    Attributes:
        label: For the legend; None keeps it out of there.
        dashed: Dashed rather than drawn through.
        dots: Whether its points are measurements worth showing one by one.
        points: x and y, in the order of x.
    """

    label: str | None
    colour: str
    dashed: bool = False
    dots: bool = False
    points: tuple[tuple[float, float], ...]


class Axis(Struct, frozen=True, kw_only=True):
    """A scale with its name, and the ticks that are labelled: (value, text)."""

    title: str
    scale: Scale
    ticks: tuple[tuple[float, str], ...]


class Panel(Struct, frozen=True, kw_only=True):
    """A titled coordinate system."""

    title: str
    x: Axis
    y: Axis
    lines: tuple[Line, ...]


class _Legend(Struct, frozen=True, kw_only=True):
    """Where each label goes: (left, row, line)."""

    entries: tuple[tuple[float, int, Line], ...]

    @property
    def plot_top(self) -> int:
        """Where the plot begins, below title and legend."""
        rows = self.entries[-1][1] + 1 if self.entries else 1
        return _TITLE_HEIGHT + rows * _LEGEND_ROW + 8


def figure(panels: Sequence[Panel], caption: str) -> str:
    """An SVG document of panels, one below the other, with a caption under them."""
    height = 0
    groups = []
    for panel in panels:
        legend = _legend(panel.lines)
        groups.append(f'<g transform="translate(0 {height})">\n{_panel(panel, legend)}\n</g>')
        height += legend.plot_top + _PLOT_HEIGHT + _BELOW
    height += 30
    body = "\n".join((*groups, _text(_LEFT, height - 14, caption, size=11)))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" font-family="{_FONT}" font-size="12" fill="{INK}">\n'
        f"<title>{escape(caption)}</title>\n{body}\n</svg>\n"
    )


def _legend(lines: Sequence[Line]) -> _Legend:
    """The labels in rows, as many as fit into each."""
    entries = []
    left, row = float(_LEFT), 0
    for line in lines:
        if line.label is None:
            continue
        width = 52 + _CHARACTER * len(line.label)
        if left > _LEFT and left + width > WIDTH:
            left, row = float(_LEFT), row + 1
        entries.append((left, row, line))
        left += width
    return _Legend(entries=tuple(entries))


def _panel(panel: Panel, legend: _Legend) -> str:
    parts = [_text(_LEFT, 26, panel.title, size=16, weight=600)]
    for left, row, line in legend.entries:
        at = _TITLE_HEIGHT + row * _LEGEND_ROW + 6
        parts.append(_stroke((left, at), (left + 22, at), line.colour, 2.5))
        parts.append(_text(left + 28, at + 4, line.label or ""))
    place = _Place(x=panel.x.scale, y=panel.y.scale, top=legend.plot_top)
    parts += _grid(panel.x, panel.y, place)
    parts += [_curve(line, place) for line in panel.lines]
    return "\n".join(parts)


class _Place(Struct, frozen=True, kw_only=True):
    """From values to places within the panel."""

    x: Scale
    y: Scale
    top: int

    def across(self, value: float) -> float:
        """From the panel's left."""
        return _LEFT + self.x.at(value) * (WIDTH - _LEFT - _RIGHT)

    def down(self, value: float) -> float:
        """From the panel's top."""
        return self.top + (1 - self.y.at(value)) * _PLOT_HEIGHT


def _grid(x: Axis, y: Axis, place: _Place) -> list[str]:
    parts = []
    bottom, right = place.top + _PLOT_HEIGHT, WIDTH - _RIGHT
    for value, label in y.ticks:
        at = place.down(value)
        parts.append(_stroke((_LEFT, at), (right, at), INK, 1, opacity=0.22))
        parts.append(_text(_LEFT - 10, at + 4, label, anchor="end"))
    for value, label in x.ticks:
        at = place.across(value)
        parts.append(_stroke((at, place.top), (at, bottom), INK, 1, opacity=0.12))
        parts.append(_stroke((at, bottom), (at, bottom + 5), INK, 1))
        parts.append(_text(at, bottom + 20, label, anchor="middle"))
    parts.append(_stroke((_LEFT, bottom), (right, bottom), INK, 1))
    parts.append(_text((_LEFT + right) / 2, bottom + 42, x.title, anchor="middle"))
    middle = place.top + _PLOT_HEIGHT / 2
    parts.append(
        f'<text x="20" y="{middle:.1f}" text-anchor="middle" transform="rotate(-90 20 {middle:.1f})">'
        f"{escape(y.title)}</text>"
    )
    return parts


def _curve(line: Line, place: _Place) -> str:
    places = [(place.across(x), place.down(y)) for x, y in line.points]
    points = " ".join(f"{across:.1f},{down:.1f}" for across, down in places)
    dashes = ' stroke-dasharray="6 4"' if line.dashed else ""
    drawn = (
        f'<polyline points="{points}" fill="none" stroke="{line.colour}" stroke-width="2.2" '
        f'stroke-linejoin="round" stroke-linecap="round"{dashes}/>'
    )
    if line.dots:
        drawn += "".join(
            f'<circle cx="{across:.1f}" cy="{down:.1f}" r="3" fill="{line.colour}"/>'
            for across, down in places
        )
    return drawn


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12, weight: int = 400) -> str:
    more = f' font-size="{size}"' if size != 12 else ""
    more += f' font-weight="{weight}"' if weight != 400 else ""
    more += f' text-anchor="{anchor}"' if anchor != "start" else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{more}>{escape(text)}</text>'


def _stroke(
    begin: tuple[float, float], end: tuple[float, float], colour: str, width: float, *, opacity: float = 1
) -> str:
    more = f' stroke-opacity="{opacity}"' if opacity != 1 else ""
    return (
        f'<line x1="{begin[0]:.1f}" y1="{begin[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}" '
        f'stroke="{colour}" stroke-width="{width}"{more}/>'
    )
