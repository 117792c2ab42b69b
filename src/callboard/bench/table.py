"""The result as plain text: aligned columns that survive a pipe, a log and a chat window."""

from __future__ import annotations

from collections.abc import Sequence

from callboard.bench.document import Document
from callboard.bench.figures import count, load_text, ms, rate, ratio, share, size
from callboard.bench.plan import OpenLoop, Plan
from callboard.bench.report import Distribution, Measured, StepReport, TargetReport

_DURATIONS = (
    ("latency", "latency, ms"),
    ("ttft", "first token, ms"),
    ("gap", "between tokens, ms"),
    ("start_lag", "loader late by, ms"),
)
_LAG_SHARE = 0.2


def render(document: Document) -> str:
    """The table, with a newline at its end."""
    parts = [_heading(document.plan)]
    if document.interrupted:
        parts.append("Interrupted: this is what was measured so far.")
    if not document.targets:
        parts.append("Nothing was measured.")
    elif document.plan.sweep:
        parts += [_sweep(report) for report in document.targets]
        parts.append("\n".join(_verdict(report) for report in document.targets))
    else:
        steps = [(report.target.name, report.steps[0]) for report in document.targets]
        parts += _side_by_side(steps)
    parts += _remarks(document)
    return "\n\n".join(parts) + "\n"


def _heading(plan: Plan) -> str:
    streamed = {True: ", streamed", False: "", None: ""}[plan.stream]
    window = plan.window
    extent = f"{window.count} requests" if window.duration_s is None else f"{window.duration_s:g} s"
    words = [
        f"{plan.api}{streamed}",
        f"model {plan.model}" if plan.model is not None else "model as in the payloads",
        "rates swept" if plan.sweep else load_text(plan.steps[0]),
        extent + (f" after {window.warmup_s:g} s warm-up" if window.warmup_s else ""),
    ]
    if plan.rounds > 1:
        words.append(f"{plan.rounds} rounds")
    return " · ".join(words)


def _side_by_side(steps: Sequence[tuple[str, StepReport]]) -> list[str]:
    rows = [_throughput(name, step.merged) for name, step in steps]
    parts = [_aligned([("", "requests/s", "chunks/s", "tokens/s", "answered", "failed", "received"), *rows])]
    for attribute, title in _DURATIONS:
        measured = [(name, _duration(step, attribute)) for name, step in steps]
        lines = [_spread(name, found) for name, found in measured if found is not None]
        if lines:
            parts.append(_aligned([(title, "p50", "p90", "p95", "p99", "p99.9", "max", "mean"), *lines]))
    compared = [_comparison(name, step) for name, step in steps if step.against_first is not None]
    if compared:
        head = (
            f"against {steps[0][0]}",
            "requests/s",
            "tokens/s",
            "p50",
            "p99",
            "first token p50",
            "gap p50",
        )
        parts.append(_aligned([head, *compared]))
    return parts


def _duration(step: StepReport, attribute: str) -> Distribution | None:
    if attribute == "start_lag" and not isinstance(step.load, OpenLoop):
        return None
    found: Distribution | None = getattr(step.merged, attribute)
    return found


def _throughput(name: str, measured: Measured) -> tuple[str, ...]:
    chunks = rate(measured.chunks_per_s) if measured.chunks_per_s else "–"
    tokens = "–" if measured.output_tokens == "unknown" else rate(measured.output_tokens_per_s)
    if measured.output_tokens in {"counted", "mixed"}:
        tokens += "*"
    failed = f"{count(measured.failed)} ({share(measured.failed_share)})" if measured.failed else "0"
    answered = count(measured.succeeded)
    return (
        name,
        rate(measured.requests_per_s),
        chunks,
        tokens,
        answered,
        failed,
        size(measured.received_bytes),
    )


def _spread(name: str, found: Distribution) -> tuple[str, ...]:
    values = (
        found.p50_ms,
        found.p90_ms,
        found.p95_ms,
        found.p99_ms,
        found.p99_9_ms,
        found.max_ms,
        found.mean_ms,
    )
    return (name, *map(ms, values))


def _comparison(name: str, step: StepReport) -> tuple[str, ...]:
    found = step.against_first
    assert found is not None  # noqa: S101 - the caller has looked
    return (
        name,
        ratio(found.requests_per_s),
        ratio(found.output_tokens_per_s),
        ratio(found.latency_p50),
        ratio(found.latency_p99),
        ratio(found.ttft_p50),
        ratio(found.gap_p50),
    )


def _sweep(report: TargetReport) -> str:
    rows = [(report.target.name, "answered/s", "failed", "p50 ms", "p99 ms", "max ms", "first token p50", "")]
    for step in report.steps:
        merged, asked = step.merged, step.load
        latency, ttft = merged.latency, merged.ttft
        rows.append(
            (
                f"{asked.rate:g}/s" if isinstance(asked, OpenLoop) else load_text(asked),
                rate(merged.requests_per_s),
                share(merged.failed_share),
                ms(latency.p50_ms) if latency is not None else "–",
                ms(latency.p99_ms) if latency is not None else "–",
                ms(latency.max_ms) if latency is not None else "–",
                ms(ttft.p50_ms) if ttft is not None else "–",
                "" if step.sustained else "saturated",
            )
        )
    return _aligned(rows)


def _verdict(report: TargetReport) -> str:
    if report.sustained_rate is None:
        return f"{report.target.name} sustained none of these rates."
    end = "" if not report.steps[-1].sustained else ", the highest that was tried"
    return f"{report.target.name} sustained {report.sustained_rate:g} requests/s{end}."


def _remarks(document: Document) -> list[str]:
    """What a reader must know to read the figures rightly."""
    remarks = []
    steps = [(report.target.name, step) for report in document.targets for step in report.steps]
    for name, step in steps:
        if step.merged.errors:
            kinds = ", ".join(f"{kind} {count(number)}" for kind, number in step.merged.errors.items())
            at = f", {load_text(step.load)}" if document.plan.sweep else ""
            remarks.append(f"errors of {name}{at}: {kinds}")
    if any(step.merged.output_tokens in {"counted", "mixed"} for _, step in steps):
        remarks.append("* chunks were counted where no usage was reported: a chunk may hold several tokens")
    late = [name for name, step in steps if _loader_was_late(step)]
    if late:
        names = ", ".join(dict.fromkeys(late))
        remarks.append(
            f"The loader itself was late ({names}): part of this latency is its own."
            " Give it a core to itself, or a lower rate."
        )
    return ["\n".join(remarks)] if remarks else []


def _loader_was_late(step: StepReport) -> bool:
    """Whether the loader's own delay is a fifth of the latency, at the median or at the 99th percentile."""
    lag, latency = _duration(step, "start_lag"), step.merged.latency
    if lag is None or latency is None:
        return False
    return lag.p50_ms > _LAG_SHARE * latency.p50_ms or lag.p99_ms > _LAG_SHARE * latency.p99_ms


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns: the first to the left, figures to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("   ".join(cells).rstrip())
    return "\n".join(lines)
