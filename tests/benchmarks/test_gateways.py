"""Each gateway is told what it needs to know; ours takes the path that its name says."""

import sys
import tomllib
from pathlib import Path

import pytest

from benchmarks.gateways.gateway import REQUIREMENTS, Launch, Site
from benchmarks.gateways.machine import processor_of
from benchmarks.gateways.measure import path_of, text_chunks
from benchmarks.gateways.native import CannotMeasureError
from benchmarks.gateways.peers import callboard
from benchmarks.gateways.scenarios import (
    GROWTH_MODELS,
    MODELS,
    OPEN_STREAMS,
    OPEN_STREAMS_CHUNKS_PER_S,
    SCENARIO,
    SCENARIOS,
    open_stream,
)
from benchmarks.gateways.table import ANCHORS, FLOORS, GATEWAYS, GROWN, OURS
from callboard.config.load import load
from callboard.store import InMemoryStore
from callboard.wiring import wire


def site(folder: Path) -> Site:
    return Site(port=18080, upstream=19090, home=folder / "home", work=folder)


def test_names_are_unique_and_those_we_lean_on_are_there() -> None:
    names = [each.name for each in GATEWAYS]
    assert len(set(names)) == len(names)
    assert {*ANCHORS, *FLOORS, *GROWN, *OURS} <= set(names)
    assert len({each.name for each in SCENARIOS}) == len(SCENARIOS)


@pytest.mark.parametrize("name", [each.name for each in GATEWAYS])
def test_a_gateway_is_told_its_port_and_where_upstream_is(name: str, tmp_path: Path) -> None:
    gateway = next(each for each in GATEWAYS if each.name == name)
    launch = gateway.launch(site(tmp_path))
    written = [path.read_text() for path in tmp_path.iterdir() if path.is_file()]
    told = " ".join((*launch.argv, *launch.env.values(), *(value for _, value in launch.headers), *written))
    assert "18080" in told
    assert "127.0.0.1:19090" in told


def test_ours_runs_with_what_it_needs_alone_where_that_was_installed(tmp_path: Path) -> None:
    assert callboard.relay(site(tmp_path)).argv[0] == sys.executable
    installed = tmp_path / callboard.RELAY / "bin" / "python"
    installed.parent.mkdir(parents=True)
    installed.touch()
    for launch in (callboard.relay, callboard.actors):
        assert launch(site(tmp_path)).argv[0] == str(installed)


@pytest.mark.parametrize("model", MODELS)
def test_ours_relays_or_runs_a_turn_as_its_name_says(model: str, tmp_path: Path) -> None:
    for launch, relays in ((callboard.relay, True), (callboard.actors, False)):
        file = Path(launch(site(tmp_path)).argv[-1])
        config = load(file, environ={}, cwd=tmp_path)
        wiring = wire(
            config, sources=(), store=InMemoryStore(), observe=lambda _: None, on_line=lambda _: None
        )
        assert wiring.relays(model) is relays
        assert config.limits.requests_per_minute is not None
        assert tomllib.loads(file.read_text())["log"]["file"].startswith(str(tmp_path))


def test_every_peer_is_pinned_to_exact_versions() -> None:
    for file in REQUIREMENTS.glob("*.txt"):
        lines = file.read_text().split()
        assert lines == sorted(lines)
        assert all("==" in line for line in lines), file.name


def test_a_long_prompt_is_as_long_as_it_should_be() -> None:
    scenario = next(each for each in SCENARIOS if each.name == "prompt-20k-c16")
    assert 20_000 <= len(scenario.body("mock")) < 20_200
    assert b'"model": "up/mock"' in scenario.body("up/mock")


def test_paced_scenarios_ask_for_the_pace_they_name_and_know_what_is_due() -> None:
    assert [each.due for each in SCENARIOS if each.due is not None] == [4_000, 1_000]
    for each in SCENARIOS:
        assert (f"paced-{1000 * each.pace_s:g}ms-{each.chunks}" in each.model) == each.paced


def test_open_streams_bring_as_many_chunks_however_many_they_are() -> None:
    for count in OPEN_STREAMS:
        stream = open_stream(count)
        assert count / stream.pace_s == OPEN_STREAMS_CHUNKS_PER_S
        assert stream.chunks * stream.pace_s >= 80
        assert stream.model in GROWTH_MODELS


def test_a_client_of_the_other_dialect_asks_in_its_words() -> None:
    scenario = next(each for each in SCENARIOS if each.dialect == "responses")
    assert b'"stream": true, "input": "The quick' in scenario.body("mock")


def test_only_who_speaks_a_dialect_is_asked_in_it() -> None:
    chat, responses = SCENARIO["stream-100-s16"], SCENARIO["responses-100-s16"]
    deaf = Launch(argv=())
    assert (path_of(deaf, chat), path_of(deaf, responses)) == ("/v1/chat/completions", "")
    assert path_of(Launch(argv=(), responses="/r"), responses) == "/r"


def test_more_models_and_workers_are_what_ours_is_told(tmp_path: Path) -> None:
    many = Path(callboard.with_models(1_000).launch(site(tmp_path)).argv[-1])
    assert len(load(many, environ={}, cwd=tmp_path).models) == 1_000 + len((*MODELS, *GROWTH_MODELS))
    assert " --workers 2 " in " ".join(callboard.with_workers(2).launch(site(tmp_path)).argv)


def test_a_rehearsal_counts_chunks_with_text() -> None:
    stream = (
        b'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n'
        b'data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: {"choices":[{"delta":{"content":"b"}}]}\n\n'
        b'data: {"choices":[{"delta":{}}]}\n\ndata: {"choices":[]}\n\ndata: [DONE]\n\n'
    )
    assert text_chunks(stream) == 2


def test_a_rehearsal_counts_deltas_of_the_other_dialect() -> None:
    stream = (
        b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"a"}\n\n'
        b'event: response.output_text.done\ndata: {"type":"response.output_text.done","text":"a"}\n\n'
        b"data: [DONE]\n\n"
    )
    assert text_chunks(stream, "responses") == 1


@pytest.mark.parametrize("stream", [b"data: {\n\n", b"data: {}\n\n", b'data: {"choices":[{}]}\n\n'])
def test_a_rehearsal_notices_what_is_no_stream_of_chunks(stream: bytes) -> None:
    with pytest.raises(CannotMeasureError, match="broken"):
        text_chunks(stream)


def test_the_processor_is_named_where_it_has_a_name() -> None:
    assert processor_of("processor : 0\nmodel name\t: Abacus 3000\nflags : x\n") == "Abacus 3000"
    assert processor_of("processor : 0\n") != ""
