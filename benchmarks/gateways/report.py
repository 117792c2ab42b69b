"""RESULTS.md and its chart, from what a run has measured. All functions but `write_report` are pure."""

from __future__ import annotations

from pathlib import Path

from benchmarks.gateways.bars import bars_table
from benchmarks.gateways.cells import NOTHING, micro, rounded, table, times
from benchmarks.gateways.chart import Bar, chart
from benchmarks.gateways.growth_report import growth_table, imports_table, memory_table
from benchmarks.gateways.results import Figures, Run, added, figures, measures, ratio, start_figures
from benchmarks.gateways.scenarios import Scenario
from benchmarks.gateways.table import ANCHORS, DIRECT, FLOORS, OURS, label

CHART_SCENARIO = "unary-c16"
BUSY_ENOUGH = 0.9
DISTURBED = 0.1
KEPT_UP = 0.98
HEADROOM = 5

HEADROOM_IS = f"""\
Directly, load generator and mock share a core; the mock alone is what its CPU time comes to. It should be
{HEADROOM} times the fastest gateway. What only passes bytes on is shown besides.

"""
GROWTH_IS = """\
Processor time while there is more of something: it should stay the same. All open streams together bring
4,000 chunks a second, however many they are; requests come at 16 connections besides, at 64 for models and
workers.
"""

HOW = """\
One gateway runs at a time, pinned to core {gateway_core}; the mock upstream and the load generator, both in
C, share core {load_core}. Rounds: {rounds}, interleaved over gateways, {seconds:g} s for each scenario;
figures are medians. Compare within this table only, read differences under 10 % as none and p99 as an
indication. CPU is that of all the gateway's processes, from /proc, for each request or chunk. Every answer is
checked: status, content, number of chunks, end of stream. Peers do more than pass requests on; these are
ratios of hot paths.
"""


def write_report(run: Run, folder: Path) -> list[Path]:
    """Write RESULTS.md and its chart into ``folder``; returns what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {"RESULTS.md": report(run)}
    drawing = drawn(run)
    if drawing is not None:
        files["results.svg"] = drawing
    for name, text in files.items():
        (folder / name).write_text(text)
    return [folder / name for name in files]


def report(run: Run) -> str:
    """The whole of RESULTS.md."""
    machine = run.machine
    sections = [
        "# Gateways compared",
        f"Measured {run.date} on {machine.processor}, {machine.cores} cores, {machine.memory_gib:g} GiB,"
        f" {machine.kernel}, {machine.python}, with\n\n    {run.command}",
        HOW.format(
            gateway_core=machine.gateway_core,
            load_core=machine.load_core,
            rounds=run.rounds,
            seconds=run.seconds,
        ).strip(),
    ]
    if drawn(run) is not None:
        sections.append("![Requests per second at 16 connections](results.svg)")
    sections += [
        "## The bars\n\nRatios are ours to theirs.\n\n" + bars_table(run),
        "## Throughput\n\nRequests or chunks a second (CPU microseconds for each).\n\n"
        + throughput_table(run),
        "## Latency, start and memory\n\n" + latency_table(run),
        *(f"{head}\n\n{text}" for head, text in _growth(run) if text),
        "## Ratios\n\n" + ratio_table(run),
        "## Headroom\n\n" + headroom(run),
        *(["## Micro-benchmarks\n\n```text\n" + run.micro.strip() + "\n```"] if run.micro else []),
        "## What was measured\n\n" + versions(run),
    ]
    remarks = remarks_of(run)
    if remarks:
        sections.append("## Remarks\n\n" + "\n".join(f"- {each}" for each in remarks))
    return "\n\n".join(sections) + "\n"


def throughput_table(run: Run) -> str:
    """One row for each gateway, one column for each scenario that is about throughput."""
    columns = [each for each in run.scenarios if each.rate is None and not each.paced]
    units = [f"{each.title}, {each.unit}" for each in columns]
    rows = [
        [title, *(throughput_cell(figures(run, name, each)) for each in columns)]
        for name, title in _names(run)
    ]
    return table(["gateway", *units], rows)


def throughput_cell(found: Figures | None) -> str:
    """Such as ``18,600 (45)``."""
    if found is None:
        return NOTHING
    cpu = f" ({micro(found.cpu_us)})" if found.cpu_us else ""
    return f"{rounded(found.rate)}{cpu}"


def latency_table(run: Run) -> str:
    """Added latency at one connection and at a fixed rate, paced streams, start and memory."""
    by_name = {each.name: each for each in run.scenarios}
    one, fixed, paced = (by_name.get(name) for name in ("unary-c1", "rate-1000", "paced-200"))
    head = [
        "gateway",
        "added p50/p95/p99 us, c1",
        "the same at 1,000 req/s",
        "200 paced streams: us/chunk, latency p50/p95/p99 us",
        "start s",
        "RSS MB, idle → after",
    ]
    rows = []
    for name, title in _names(run):
        start = start_figures(run, name)
        rows.append(
            [
                title,
                _added(run, name, one),
                _added(run, name, fixed),
                _paced(run, name, paced),
                f"{start.ready_s:.2f}" if start else NOTHING,
                f"{start.rss_idle / 1e6:.0f} → {start.rss_after / 1e6:.0f}" if start else NOTHING,
            ]
        )
    return table(head, rows)


def ratio_table(run: Run) -> str:
    """Ours divided by each other gateway's, for what each scenario is about."""
    ours = [name for name in OURS if name in run.versions]
    others = [name for name in (*ANCHORS, *_rest(run)) if name in run.versions]
    if not ours or not others:
        return "Nothing to compare with."
    rows = [
        [f"{label(name)}: {scenario.title}, {what}", *map(times, found)]
        for name in ours
        for scenario in run.scenarios
        for what, measure in measures(scenario).items()
        if set(found := [ratio(run, name, each, measure) for each in others]) != {None}
    ]
    note = "\n\nMedians over rounds of ours divided by theirs. More is better for rates, less for all else."
    return table(["", *(label(name) for name in others)], rows) + note


def headroom(run: Run) -> str:
    """How much more load generator and mock can do than the fastest gateway needed."""
    lines = []
    for scenario in run.scenarios:
        found = figures(run, DIRECT, scenario)
        if found is None or not scenario.saturates:
            continue
        rates = {name: each.rate for name in run.versions if (each := figures(run, name, scenario))}
        gateways = [name for name in rates if name not in FLOORS]
        fastest = sorted(gateways, key=lambda name: -rates[name])[:1]
        mock = mock_capacity(run, scenario)
        line = f"- {scenario.title}: directly {rounded(found.rate)} {scenario.unit}"
        line += f", the mock alone {rounded(mock)}" if mock else ""
        for name in (*fastest, *(each for each in FLOORS if each in rates)):
            if rates[name]:
                line += f"; {mock / rates[name]:.1f} times {label(name)}"
        if fastest and rates[fastest[0]]:
            line += f" ({'enough' if mock >= HEADROOM * rates[fastest[0]] else 'too little'})"
        lines.append(line)
    return HEADROOM_IS + "\n".join(lines) if lines else "Not measured."


def _growth(run: Run) -> list[tuple[str, str]]:
    return [
        ("## Growth\n\n" + GROWTH_IS.strip(), growth_table(run)),
        ("## Memory\n\nBefore and after 10,000 requests and 400 streams of 100.", memory_table(run)),
        ("## Imports", imports_table(run)),
    ]


def mock_capacity(run: Run, scenario: Scenario) -> float:
    """What the mock could do with a core for itself, by its CPU time in the direct runs; 0 where unknown."""
    samples = [each for each in run.samples if (each.gateway, each.scenario) == (DIRECT, scenario.name)]
    cpu = sum(each.upstream_cpu_s for each in samples)
    chunked = scenario.unit == "chunks/s"
    done = sum(each.load.total_chunks if chunked else each.load.total_requests for each in samples)
    return done / cpu if cpu else 0.0


def versions(run: Run) -> str:
    """Versions, and what is missing."""
    lines = [f"- {label(name)}: {version}" for name, version in run.versions.items()]
    lines += [f"- {label(name)}: not measured ({reason})" for name, reason in run.left_out.items()]
    return "\n".join(lines)


def remarks_of(run: Run) -> list[str]:
    """What a reader has to know of single figures: failures, repeated requests, whose pace it was."""
    remarks = []
    for name in run.versions:
        found = [(each, figures(run, name, each)) for each in run.scenarios]
        disturbed = [each.disturbed for _, each in found if each is not None and each.disturbed > DISTURBED]
        if disturbed:
            remarks.append(
                f"{label(name)}: others used up to {max(disturbed):.0%} of its core, in {len(disturbed)} of"
                f" {len(found)} scenarios."
            )
        for scenario, each in found:
            if each is not None:
                remarks += [f"{label(name)}, {scenario.title}: {text}" for text in _doubts(scenario, each)]
    return remarks


def _doubts(scenario: Scenario, found: Figures) -> list[str]:
    doubts = []
    if found.errors:
        kinds = ", ".join(f"{count} {kind}" for kind, count in found.errors.items())
        doubts.append(f"answers failed ({kinds}).")
    if found.repeated:
        doubts.append(f"the upstream was asked {found.repeated:+d} times beyond what was answered.")
    if scenario.saturates and found.busy + found.disturbed < BUSY_ENOUGH:
        doubts.append(f"its core was busy {found.busy:.0%} only; the load generator set the pace.")
    if not _carried(scenario, found):
        doubts.append(f"it carried {rounded(found.rate)} of {scenario.due:,.0f} {scenario.unit}.")
    return doubts


def _carried(scenario: Scenario, found: Figures) -> bool:
    return scenario.due is None or found.rate >= KEPT_UP * scenario.due


def drawn(run: Run) -> str | None:
    """The chart of requests a second at 16 connections; None where that was not measured."""
    scenario = next((each for each in run.scenarios if each.name == CHART_SCENARIO), None)
    if scenario is None:
        return None
    measured = {name: each.rate for name in run.versions if (each := figures(run, name, scenario))}
    bars = [
        Bar(label=label(name), value=rate, ours=name in OURS)
        for name, rate in sorted(measured.items(), key=lambda pair: -pair[1])
        if rate > 0
    ]
    title = "One process on one core, chat completions at 16 connections"
    return chart(title, "requests per second (logarithmic)", bars) if bars else None


def _added(run: Run, name: str, scenario: Scenario | None) -> str:
    through = figures(run, name, scenario) if scenario else None
    direct = figures(run, DIRECT, scenario) if scenario else None
    if through is None or direct is None or not through.latency.count:
        return NOTHING
    if scenario is not None and not _carried(scenario, through):
        return "cannot carry it"
    return "/".join(micro(each) for each in added(through.latency, direct.latency))


def _paced(run: Run, name: str, scenario: Scenario | None) -> str:
    found = figures(run, name, scenario) if scenario else None
    if found is None:
        return NOTHING
    latency = "/".join(micro(each) for each in (found.latency.p50, found.latency.p95, found.latency.p99))
    return f"{micro(found.cpu_us)}, {latency}"


def _names(run: Run) -> list[tuple[str, str]]:
    return [(name, label(name)) for name in run.versions]


def _rest(run: Run) -> list[str]:
    return [name for name in run.versions if name not in (*ANCHORS, *OURS)]
