"""Load for any OpenAI-compatible endpoint, and what it did to it.

`Bench` carries a `Plan` out; `render`, `draw` and `encode` turn its `Document` into a table, a chart and
JSON. Everything but `Bench`, the loops in ``load.py`` and the request in ``attempt.py`` is pure.
"""

from callboard.bench.chart import draw
from callboard.bench.document import Document, encode, these_versions, this_machine
from callboard.bench.histogram import Histogram
from callboard.bench.payload import Payload, built_in, from_file
from callboard.bench.plan import ClosedLoop, OpenLoop, Plan, Target, Window, targets_of
from callboard.bench.progress import Progress
from callboard.bench.rounds import Bench
from callboard.bench.sweep import rates_of
from callboard.bench.table import render

__all__ = [
    "Bench",
    "ClosedLoop",
    "Document",
    "Histogram",
    "OpenLoop",
    "Payload",
    "Plan",
    "Progress",
    "Target",
    "Window",
    "built_in",
    "draw",
    "encode",
    "from_file",
    "rates_of",
    "render",
    "targets_of",
    "these_versions",
    "this_machine",
]
