"""The JSON document."""

from __future__ import annotations

import json

import msgspec

from callboard.bench.document import SCHEMA, Document, encode, these_versions, this_machine
from callboard.bench.plan import OpenLoop
from tests.bench.results import document_of


def test_a_document_can_be_read_back() -> None:
    document = document_of(OpenLoop(rate=100.0), OpenLoop(rate=200.0))
    assert msgspec.json.decode(encode(document), type=Document) == document


def test_a_document_names_its_schema_and_its_loads() -> None:
    document = json.loads(encode(document_of()))
    assert document["schema"] == SCHEMA
    assert document["plan"]["steps"] == [{"type": "closed_loop", "concurrency": 1}]
    assert document["targets"][0]["steps"][0]["merged"]["latency"]["p99_ms"] == 100.0


def test_the_machine_and_the_versions_are_known() -> None:
    machine = this_machine()
    assert machine.cores >= 1
    assert machine.system
    assert machine.architecture
    assert {"python", "anyio", "msgspec", "httptools"} <= set(these_versions())
