"""The report's tables of growth, memory and imports."""

from __future__ import annotations

from benchmarks.gateways.cells import NOTHING, micro, table
from benchmarks.gateways.results import Run, cost_figures, import_s, memory_figures
from benchmarks.gateways.table import label


def growth_table(run: Run) -> str:
    """One row for each gateway and each thing that grows; empty where nothing was measured."""
    rows = []
    for gateway, grows in dict.fromkeys((each.gateway, each.grows) for each in run.costs):
        sizes = sorted({each.size for each in run.costs if (each.gateway, each.grows) == (gateway, grows)})
        found = [each for size in sizes if (each := cost_figures(run, gateway, grows, size)) is not None]
        rows.append(
            [
                f"{label(gateway)}: {grows}",
                " → ".join(f"{each.size:,}" for each in found),
                " → ".join(micro(each.request_us) for each in found),
                " → ".join(micro(each.chunk_us) for each in found),
            ]
        )
    return table(["what grows", "from → to", "us/request", "us/chunk"], rows) if rows else ""


def memory_table(run: Run) -> str:
    """One row for each gateway; empty where nothing was measured."""
    gateways = dict.fromkeys(each.gateway for each in run.memory)
    found = [each for name in gateways if (each := memory_figures(run, name)) is not None]
    rows = [
        [
            label(each.gateway),
            *(f"{size / 1e6:.1f}" for size in (each.idle, each.warm, each.later)),
            f"{(each.later - each.idle) / 1e6:+.1f}",
            f"{(each.later - each.warm) / 1e6:+.1f}",
        ]
        for each in found
    ]
    head = ["RSS MB", "ready", "a tenth of it later", "later", "since ready", "since the tenth"]
    return table(head, rows) if rows else ""


def imports_table(run: Run) -> str:
    """One row for each module; empty where nothing was measured."""
    modules = dict.fromkeys(each.module for each in run.imports)
    rows = [[f"`{module}`", _seconds(import_s(run, module))] for module in modules]
    return table(["import, in a fresh interpreter", "s"], rows) if rows else ""


def _seconds(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3f}"
