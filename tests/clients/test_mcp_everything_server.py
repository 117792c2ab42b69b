"""The everything server of the Python SDK, unmodified, over HTTP on both wires: every tool and question."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from callboard.domain.block import DocumentBlock, ImageBlock, OpaqueBlock, TextBlock
from callboard.providers.script import Script
from tests.clients.mcp_packages import sdk_examples
from tests.clients.mcp_turns import ASKS, ROOT, SAMPLING, Ask, offered
from tests.fakes.company import Stage
from tests.fakes.diligent import DONE, Diligent, results_in, texts_in
from tests.fakes.served import served

pytestmark = pytest.mark.anyio

LAUNCHER = Path(__file__).parents[1] / "fakes" / "mcp_everything.py"
ALL = 28
"""So many tools it has."""

NOT_SUPPORTED = "Elicitation not supported or error: "
ASK_THE_USER = ("test_elicitation", "test_elicitation_sep1034_defaults", "test_elicitation_sep1330_enums")
INPUT = "test_input_required_result_"
ANSWERED = (f"{INPUT}list_roots", f"{INPUT}sampling")
"""Tools that are made for 2026-07-28, and ask for what we provide."""

REFUSED = tuple(
    f"{INPUT}{each}"
    for each in ("elicitation", "multi_round", "multiple_inputs", "request_state", "tampered_state")
)
"""Tools that are made for 2026-07-28, and ask the user."""


@pytest.fixture(params=[pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """It is the server that is looked at."""
    return request.param


@pytest.fixture(scope="module", params=["2026-07-28", "2025-11-25"])
def wire(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def url(wire: str) -> Iterator[str]:
    """Where the server is that speaks the wire."""
    folder = sdk_examples() / "servers" / "everything-server"
    command = [sys.executable, str(LAUNCHER), str(folder), wire]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        with process.stdout:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}/mcp"
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("ask", ASKS)
async def test_every_tool_is_called_in_a_streamed_turn_and_what_it_asks_for_answered_or_refused(
    url: str, wire: str, ask: Ask
) -> None:
    stage = Stage(demo=Diligent(), wise=Script())
    every = {"url": url, "approve": "never", "roots": [ROOT], "sampling": SAMPLING}
    config = {"mcp": {"servers": {"every": every}}}
    with anyio.fail_after(40):
        async with served(stage, config=config) as running:
            names = await offered(running.runtime, until=frozenset(ANSWERED))
            (state,) = await running.runtime.tool_servers()
            assert await ask(running) == DONE
    assert state.protocol == wire
    assert set(results_in(stage)) == names
    assert len(names) == ALL
    check_contents(stage)
    check_questions(stage, wire)
    refused = [line for line in stage.lines() if 'msg="tool source refused"' in line]
    assert refused
    assert all("source=every request=elicitation/create" in line for line in refused)


def check_contents(stage: Stage) -> None:
    """What tools return reaches the model as what it is."""
    results, texts = results_in(stage), texts_in(stage)
    kinds = {name: [type(block) for block in result.content] for name, result in results.items()}
    assert texts["test_simple_text"] == "This is a simple text response for testing."
    assert texts["test_x_mcp_header"] == "region=word"
    assert texts["test_reconnection"] == "Reconnection test completed"
    assert kinds["test_image_content"] == [ImageBlock]
    assert kinds["test_embedded_resource"] == [DocumentBlock]
    assert kinds["test_multiple_content_types"] == [TextBlock, ImageBlock, DocumentBlock]
    (audio,) = results["test_audio_content"].content
    assert isinstance(audio, OpaqueBlock)
    assert audio.type == "input_audio"
    assert results["test_error_handling"].is_error
    assert "intentionally returns an error" in texts["test_error_handling"]


def check_questions(stage: Stage, wire: str) -> None:
    """Sampling and roots are answered as the wire has it, elicitation never."""
    results, texts = results_in(stage), texts_in(stage)
    assert all(texts[name].startswith(NOT_SUPPORTED) for name in ASK_THE_USER)
    assert results["test_streaming_elicitation"].is_error
    assert texts["test_missing_capability"] == "Client declared sampling capability; proceeding."
    if wire == "2025-11-25":
        assert texts["test_sampling"] == "LLM response: echo: word"
        assert all(results[f"{INPUT}{each}"].is_error for each in ("list_roots", "sampling"))
        return
    assert texts[f"{INPUT}sampling"] == "Model said: echo: What is the capital of France?"
    assert texts[f"{INPUT}list_roots"] == "Client exposed 1 root(s)."
    assert all("Elicitation not supported" in texts[name] for name in REFUSED)
    assert results[f"{INPUT}capabilities"].is_error  # it asks on and on, whatever it is told
