"""`callboard serve` told to stop while a hundred responses stream: each has its last event, and its row."""

from __future__ import annotations

import signal
from pathlib import Path

import anyio
import apsw
import pytest

from tests.fakes.openai_traffic import Answer, Gate, chat_stream
from tests.fakes.relayed import Caller, RawAnswer, chat_request, raw_answers
from tests.fakes.server_process import WAIT_S, config_file, refused, running
from tests.fakes.upstream import Exchange, serve_upstream
from tests.oracles.responses_lifecycle import events_in, violations

pytestmark = pytest.mark.anyio

CONFIG = """
[server]
drain_seconds = {drain_s}
[store]
url = "sqlite:///state.db"
[providers.up]
kind = "openai"
base_url = "{base_url}"
[models.demo-model]
provider = "up"
[log]
file = "{log}"
level = "debug"
"""
STREAMS = 100
PATH = "/v1/responses"


@pytest.fixture
def anyio_backend() -> object:
    """The loop under test is the process's own; the test's does not matter."""
    return "asyncio"


def ask(port: int, name: str) -> Caller:
    """A client that has asked."""
    caller = Caller(port)
    body = {"model": "demo-model", "input": name, "stream": True}
    caller.send(chat_request(body, request_id=name, target=PATH))
    return caller


async def told(caller: Caller) -> RawAnswer:
    """The one answer that came before the server closed, which must be whole."""
    with caller:
        [answer] = raw_answers(await caller.see_all())
    return answer


def last_of(answer: RawAnswer) -> tuple[str, str, str]:
    """Type of the last event, and what it says of the response: its id and status."""
    assert answer.status == 200
    events = events_in(answer.body)
    assert violations(events) == []
    last = [event.data for event in events if event.data is not None][-1]
    return last["type"], last["response"]["id"], last["response"]["status"]


def rows_of(folder: Path) -> dict[str, str]:
    """What the store holds: the status of each response."""
    connection = apsw.Connection(str(folder / "state.db"))
    try:
        rows = connection.execute("SELECT id, status FROM responses").fetchall()
        return {str(response_id): str(status) for response_id, status in rows}
    finally:
        connection.close()


def settled(folder: Path) -> dict[str, list[str]]:
    """Outcomes of attempts, by request."""
    found: dict[str, list[str]] = {}
    for line in (folder / "log").read_text().splitlines():
        if 'msg="attempt settled"' in line:
            name = line.partition(" request_id=")[2].partition(" ")[0]
            found.setdefault(name, []).append(line.partition(" outcome=")[2].partition(" ")[0])
    return found


@pytest.mark.parametrize(
    "finishing, drain_s, signals", [(STREAMS, 30, 1), (STREAMS // 2, 1.5, 1), (0, 0.1, 1), (0, 600, 2)]
)
async def test_of_a_hundred_responses_none_is_cut_without_a_word_or_lost(
    tmp_path: Path, finishing: int, drain_s: float, signals: int
) -> None:
    ending, hanging = Gate(), Gate()
    names = [f"s-{number}" for number in range(STREAMS)]
    gates = {name: ending if number < finishing else hanging for number, name in enumerate(names)}

    def answer(exchange: Exchange) -> Answer:
        messages = exchange.json()["messages"]
        assert isinstance(messages, list)
        return chat_stream("first", gates[messages[0]["content"]], " last")

    async with serve_upstream() as upstream:
        upstream.fallback = answer
        text = CONFIG.format(drain_s=drain_s, base_url=upstream.base_url, log=tmp_path / "log")
        async with running(config_file(tmp_path, text)) as (process, url):
            port = int(url.rstrip("/").rpartition(":")[2])
            with anyio.fail_after(3 * WAIT_S):
                callers = {name: ask(port, name) for name in names}
                for caller in callers.values():
                    await caller.see(b"first")
                process.send_signal(signal.SIGTERM)
                ending.opened.set()
                if signals == 2:
                    await refused(port)  # two signals that wait together are one
                    process.send_signal(signal.SIGTERM)
                answers = {name: await told(caller) for name, caller in callers.items()}
                assert await process.wait() == 0
    rows = rows_of(tmp_path)
    assert len(rows) == STREAMS
    outcomes = settled(tmp_path)
    for name, answer_of in answers.items():
        kind, response_id, status = last_of(answer_of)
        if gates[name] is ending:
            assert (kind, status, rows[response_id]) == ("response.completed", "completed", "completed")
            assert outcomes[name] == ["completed"]
        else:
            assert (kind, status) == ("response.failed", "failed")
            assert rows[response_id] in {"cancelled", "failed", "incomplete"}
            assert outcomes[name] == ["cancelled"]
    assert "Traceback" not in (tmp_path / "stderr").read_text()
