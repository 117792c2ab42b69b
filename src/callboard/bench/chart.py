"""The result as a picture: latency by percentile, and for a sweep latency by rate as well."""

from __future__ import annotations

import math
from collections.abc import Sequence

from callboard.bench.document import Document
from callboard.bench.figures import load_text
from callboard.bench.panel import COLOURS, Axis, Line, Panel, figure
from callboard.bench.plan import OpenLoop
from callboard.bench.report import StepReport, TargetReport
from callboard.bench.scale import Scale, fitting


def draw(document: Document) -> str:
    """An SVG document.

    Percentiles are spread by ``1 / (1 - share)``, so that 99 %, 99.9 % and 99.99 % are as far from each
    other: the tail is what such charts are read for.
    """
    reports = [report for report in document.targets if any(step.latency_curve for step in report.steps)]
    panels = []
    if document.plan.sweep:
        panels.append(_by_rate(reports))
        title = "Latency by percentile at each target's last sustained rate"
    else:
        title = f"Latency by percentile · {load_text(document.plan.steps[0])}"
    panels.append(_by_percentile(title, reports, named=document.plan.sweep))
    machine = document.machine
    cores = "1 core" if machine.cores == 1 else f"{machine.cores} cores"
    where = f"{machine.processor or machine.architecture}, {cores}, {machine.system}"
    model = document.plan.model or "as in the payloads"
    return figure(panels, f"callboard bench · {document.started_at} · model {model} · loader on {where}")


def _by_percentile(title: str, reports: Sequence[TargetReport], *, named: bool) -> Panel:
    lines = []
    for number, report in enumerate(reports):
        step = _shown_step(report)
        rate = f" at {step.load.rate:g}/s" if named and isinstance(step.load, OpenLoop) else ""
        lines.append(
            Line(
                label=f"{report.target.name}{rate}",
                colour=COLOURS[number % len(COLOURS)],
                points=tuple((1 / (1 - share), value) for share, value in step.latency_curve),
            )
        )
    end = max((line.points[-1][0] for line in lines), default=10.0)
    scale = Scale(low=1.0, high=max(10.0, end), log=True)
    decades = range(1, math.floor(math.log10(scale.high) + 1e-9) + 1)
    ticks = ((1.0, "0 %"), (2.0, "50 %"), *((10.0**decade, _percentile(decade)) for decade in decades))
    return Panel(
        title=title,
        x=Axis(title="percentile", scale=scale, ticks=ticks),
        y=_latency(lines),
        lines=tuple(lines),
    )


def _shown_step(report: TargetReport) -> StepReport:
    """The last step that was sustained, else the first that has anything to show."""
    shown = [step for step in report.steps if step.latency_curve]
    return next((step for step in reversed(shown) if step.sustained), shown[0])


def _percentile(decade: int) -> str:
    """``90 %`` for one nine, ``99 %`` for two, and so on."""
    return (
        "9" * min(decade, 2)
        + ("0" if decade == 1 else "")
        + ("." + "9" * (decade - 2) if decade > 2 else "")
        + " %"
    )


def _by_rate(reports: Sequence[TargetReport]) -> Panel:
    lines = []
    for number, report in enumerate(reports):
        points = [
            (step.load.rate, step.merged.latency.p50_ms, step.merged.latency.p99_ms)
            for step in report.steps
            if isinstance(step.load, OpenLoop) and step.merged.latency is not None
        ]
        for label, column in ((report.target.name, 1), (None, 2)):
            lines.append(
                Line(
                    label=label,
                    colour=COLOURS[number % len(COLOURS)],
                    dashed=label is None,
                    dots=True,
                    points=tuple((point[0], point[column]) for point in points),
                )
            )
    scale = fitting(across for line in lines for across, _ in line.points)
    x = Axis(title="requests per second asked for", scale=scale, ticks=_labelled(scale))
    return Panel(
        title="Latency by rate: p50 drawn through, p99 dashed", x=x, y=_latency(lines), lines=tuple(lines)
    )


def _latency(lines: Sequence[Line]) -> Axis:
    scale = fitting(value for line in lines for _, value in line.points)
    return Axis(title="latency, ms", scale=scale, ticks=_labelled(scale))


def _labelled(scale: Scale) -> tuple[tuple[float, str], ...]:
    return tuple((tick, f"{tick:,.10g}") for tick in scale.ticks())
