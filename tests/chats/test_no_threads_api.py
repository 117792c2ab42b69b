"""Nothing of ours speaks to the API that the Responses API has replaced."""

from __future__ import annotations

import re
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "callboard"
GONE = re.compile(
    r"beta\.threads|beta\.assistants|/v1/threads|/threads/|runs\.(?:create|stream|retrieve)|create_and_poll"
    r"|AssistantEventHandler|assistants=v2|thread_run",
    re.IGNORECASE,
)


def test_no_source_of_ours_names_threads_runs_or_their_handlers() -> None:
    sources = sorted(SOURCE.rglob("*.py"))
    assert len(sources) > 100
    found = [f"{path.name}: {match[0]}" for path in sources for match in GONE.finditer(path.read_text())]
    assert found == []


def test_the_words_would_be_found() -> None:
    assert GONE.search("client.beta.threads.messages.list(thread_id)")
    assert GONE.search("class StreamingEventHandler(AssistantEventHandler):")
