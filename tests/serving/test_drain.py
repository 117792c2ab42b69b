"""`callboard serve` as a process: it says where it listens, answers, and stops the way it promises."""

from __future__ import annotations

import json
import os
import signal
import socket
from contextlib import suppress
from pathlib import Path

import anyio
import httpx2
import pytest

from tests.fakes.openai_traffic import Answer, Gate, chat, chat_stream
from tests.fakes.relayed import Caller, RawAnswer, chat_body, chat_request, raw_answers, relayed
from tests.fakes.server_process import SCRIPTED, WAIT_S, client_of, command, config_file, refused, running
from tests.fakes.upstream import Exchange, FakeUpstream, serve_upstream

pytestmark = pytest.mark.anyio
RELAYED = """
[providers.up]
kind = "openai"
base_url = "{base_url}"
[models.demo-model]
provider = "up"
[log]
level = "debug"
file = "{log}"
"""
SERVER = """
[server]
drain_seconds = {drain_s}
max_concurrency = {places}
"""
STREAMS = 100
GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def anyio_backend() -> object:
    """The loop under test is the process's own; the test's does not matter."""
    return "asyncio"


def relayed_config(
    folder: Path, upstream: FakeUpstream, *, drain_s: float = 30, places: int = 2 * STREAMS
) -> str:
    """Requests are passed on to ``upstream``; every line goes to the file ``log``."""
    log = folder / "log"
    server = SERVER.format(drain_s=drain_s, places=places)
    return RELAYED.format(base_url=upstream.base_url, log=log) + server


def port_of(url: str) -> int:
    """The port in the address that the process printed."""
    return int(url.rstrip("/").rpartition(":")[2])


async def test_it_answers_where_it_says_and_ends_well_when_told_to_stop(tmp_path: Path) -> None:
    async with running(config_file(tmp_path, SCRIPTED)) as (process, url):
        async with client_of(url) as client:
            answer = await client.post("v1/chat/completions", json=chat_body())
        assert answer.json()["choices"][0]["message"]["content"] == "Hello from the script."
        process.send_signal(signal.SIGTERM)
        with anyio.fail_after(WAIT_S):
            assert await process.wait() == 0
    assert "Traceback" not in (tmp_path / "stderr").read_text()


async def test_a_stream_that_is_open_when_it_is_told_to_stop_comes_to_its_end(tmp_path: Path) -> None:
    gate = Gate()
    async with serve_upstream() as upstream:
        upstream.queue(chat_stream("first", gate, " last"))
        config = config_file(tmp_path, relayed_config(tmp_path, upstream))
        async with running(config) as (process, url), client_of(url) as client:
            seen = ""
            body = chat_body(stream=True)
            with anyio.fail_after(WAIT_S):
                async with client.stream("POST", "v1/chat/completions", json=body) as answer:
                    async for piece in answer.aiter_text():
                        seen += piece
                        if "first" in seen and not gate.opened.is_set():
                            process.send_signal(signal.SIGTERM)
                            await refused(port_of(url))
                            assert process.returncode is None
                            gate.opened.set()
                assert " last" in seen
                assert seen.endswith("data: [DONE]\n\n")
                assert await process.wait() == 0
    assert "Traceback" not in (tmp_path / "stderr").read_text()


async def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    config = config_file(tmp_path, SCRIPTED + "[server]\ndrain_seconds = 600\n")
    async with running(config) as (process, url), client_of(url) as client:
        seen = ""
        with anyio.fail_after(WAIT_S):
            await client.post("v1/chat/completions", json=chat_body())
            # The second reply never ends by itself.
            try:
                async with client.stream(
                    "POST", "v1/chat/completions", json=chat_body(stream=True)
                ) as answer:
                    async for piece in answer.aiter_text():
                        seen += piece
                        if "first" in seen and "error" not in seen:
                            process.send_signal(signal.SIGTERM)
                            await refused(port_of(url))
                            assert process.returncode is None
                            process.send_signal(signal.SIGTERM)
            except httpx2.RemoteProtocolError:
                pass
            await process.wait()
    assert "first" in seen
    assert "[DONE]" not in seen
    assert "Traceback" not in (tmp_path / "stderr").read_text()


async def test_a_port_in_use_is_one_line_and_exit_status_2(tmp_path: Path) -> None:
    config = config_file(tmp_path, SCRIPTED)
    with socket.create_server(("127.0.0.1", 0)) as taken, anyio.fail_after(WAIT_S):
        port = taken.getsockname()[1]
        ended = await anyio.run_process(command(config, port), check=False, env=dict(os.environ))
    assert ended.returncode == 2
    said = ended.stderr.decode().splitlines()
    assert len(said) == 1, said
    assert str(port) in said[0]
    assert "in use" in said[0]


def held(exchange: Exchange, gate: Gate) -> Answer:
    """An answer in the form that is asked for; a stream is held after ``first``, a document at once."""
    if exchange.json().get("stream"):
        return chat_stream("first", gate, " last")
    whole = chat("first last")
    return Answer(headers=whole.headers, parts=(gate, *whole.parts), chunked=False)


def name_of(exchange: Exchange) -> str:
    """The text of the request, which is its id too."""
    messages = exchange.json()["messages"]
    assert isinstance(messages, list)
    name = messages[0]["content"]
    assert isinstance(name, str)
    return name


def ask(port: int, name: str, *, stream: bool) -> Caller:
    """A client that has asked."""
    caller = Caller(port)
    caller.ask(chat_body(name, stream=stream), request_id=name)
    return caller


async def one_in_line(port: int) -> Caller:
    """A client whose request, named ``in-line``, has come in although there is no place for it."""
    caller = Caller(port)
    caller.send(GET)
    await caller.see(b"running")
    caller.ask(chat_body("in-line", stream=True), request_id="in-line")
    # What another client asks after it is answered after it was read.
    with Caller(port) as later:
        later.send(GET)
        await later.see(b"running")
    return caller


async def told(caller: Caller) -> RawAnswer:
    """The one answer that came before the server closed, which must be whole."""
    with caller:
        [answer] = raw_answers(await caller.see_all())
    return answer


def check_last_event(answer: RawAnswer) -> None:
    """A stream that was broken off says so in its last event, and does not look complete."""
    assert answer.status == 200
    assert b"first" in answer.body
    assert b"[DONE]" not in answer.body
    last = answer.body.removesuffix(b"\n\n").rpartition(b"\n\n")[2]
    error = json.loads(last.removeprefix(b"data: "))["error"]
    assert error["type"] == "server_error"
    assert "shutting down" in error["message"]


def lines_of(folder: Path, message: str) -> dict[str, list[str]]:
    """Log lines of this message by request id."""
    found: dict[str, list[str]] = {}
    for line in (folder / "log").read_text().splitlines():
        if f'msg="{message}"' in line:
            name = line.partition(" request_id=")[2].partition(" ")[0]
            found.setdefault(name, []).append(line)
    return found


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_what_is_open_when_the_time_is_up_is_told_and_the_process_ends_well(
    tmp_path: Path, how: signal.Signals
) -> None:
    gate = Gate()
    async with serve_upstream() as upstream:
        upstream.fallback = lambda exchange: held(exchange, gate)
        config = config_file(tmp_path, relayed_config(tmp_path, upstream, drain_s=0.1, places=2))
        async with running(config) as (process, url):
            with anyio.fail_after(WAIT_S):
                stream = ask(port_of(url), "stream", stream=True)
                unary = ask(port_of(url), "unary", stream=False)
                await stream.see(b"first")
                await upstream.exchange(1)
                in_line = await one_in_line(port_of(url))
                process.send_signal(how)
                check_last_event(await told(stream))
                with in_line:
                    _, refused_in_line = raw_answers(await in_line.see_all())
                for refused_one in (await told(unary), refused_in_line):
                    assert refused_one.status == 503
                    assert int(refused_one.field("retry-after") or "") >= 1
                    assert json.loads(refused_one.body)["error"]["type"] == "server_error"
                assert await process.wait() == 0
                await upstream.until(lambda: upstream.open_connections == 0)
        assert {name_of(exchange) for exchange in upstream.exchanges} == {"stream", "unary"}
    closed = lines_of(tmp_path, "request closed")
    assert [len(closed[name]) for name in ("stream", "unary", "in-line")] == [1, 1, 1]
    settled = lines_of(tmp_path, "attempt settled")
    assert {name: len(lines) for name, lines in settled.items()} == {"stream": 1, "unary": 1}
    assert "Traceback" not in (tmp_path / "stderr").read_text()


@pytest.mark.parametrize("finishing, drain_s", [(STREAMS, 30), (STREAMS // 2, 1.5), (0, 0.1)])
async def test_of_a_hundred_open_streams_none_is_cut_without_a_word(
    tmp_path: Path, finishing: int, drain_s: float
) -> None:
    ending, hanging = Gate(), Gate()
    names = [f"s-{number}" for number in range(STREAMS)]
    gates = {name: ending if number < finishing else hanging for number, name in enumerate(names)}
    async with serve_upstream() as upstream:
        upstream.fallback = lambda exchange: held(exchange, gates[name_of(exchange)])
        config = config_file(tmp_path, relayed_config(tmp_path, upstream, drain_s=drain_s))
        async with running(config) as (process, url):
            with anyio.fail_after(3 * WAIT_S):
                callers = {name: ask(port_of(url), name, stream=True) for name in names}
                for caller in callers.values():
                    await caller.see(b"first")
                process.send_signal(signal.SIGTERM)
                await refused(port_of(url))
                ending.opened.set()
                answers = {name: await told(caller) for name, caller in callers.items()}
                assert await process.wait() == 0
    for name, answer in answers.items():
        if gates[name] is ending:
            assert answer.body.endswith(b"data: [DONE]\n\n")
        else:
            check_last_event(answer)
    outcomes = {name: "completed" if gate is ending else "cancelled" for name, gate in gates.items()}
    settled = lines_of(tmp_path, "attempt settled")
    assert {
        name: [each.partition(" outcome=")[2].split()[0] for each in settled[name]] for name in names
    } == {name: [outcome] for name, outcome in outcomes.items()}
    closed = lines_of(tmp_path, "request closed")
    assert {name: len(lines) for name, lines in closed.items()} == dict.fromkeys(names, 1)
    assert "Traceback" not in (tmp_path / "stderr").read_text()


def check_turned_away(answers: list[RawAnswer]) -> None:
    """Nothing, because the connection was closed; or one refusal that says when to come back."""
    if answers:
        [answer] = answers
        assert answer.status == 503
        assert int(answer.field("retry-after") or "") >= 1
        assert answer.field("connection") == "close"


async def test_a_kept_connection_gets_nothing_more_done_once_the_process_is_stopping(tmp_path: Path) -> None:
    gate = Gate()
    async with serve_upstream() as upstream:
        upstream.fallback = lambda exchange: held(exchange, gate)
        config = config_file(tmp_path, relayed_config(tmp_path, upstream))
        async with running(config) as (process, url):
            with anyio.fail_after(WAIT_S), Caller(port_of(url)) as idle:
                idle.send(GET)
                await idle.see(b"running")
                with ask(port_of(url), "open", stream=True) as streaming:
                    await streaming.see(b"first")
                    process.send_signal(signal.SIGTERM)
                    await refused(port_of(url))
                    with suppress(ConnectionError):
                        idle.send(chat_request(chat_body("late")))
                    streaming.send(chat_request(chat_body("behind")))
                    check_turned_away(raw_answers(await idle.see_all())[1:])
                    gate.opened.set()
                    whole, *behind = raw_answers(await streaming.see_all())
                assert whole.body.endswith(b"data: [DONE]\n\n")
                check_turned_away(behind)
                assert await process.wait() == 0
        assert [name_of(exchange) for exchange in upstream.exchanges] == ["open"]


async def test_while_draining_work_is_refused_and_small_questions_are_answered() -> None:
    async with relayed() as over:
        over.server.admission.close()
        client = over.server.client
        refusal = await client.post("/v1/chat/completions", json=chat_body())
        assert (refusal.status_code, refusal.headers["retry-after"]) == (503, "1")
        assert refusal.json()["error"]["type"] == "server_error"
        assert (await client.get("/health")).status_code == 200
        unready = await client.get("/ready")
        assert (unready.status_code, unready.headers["retry-after"]) == (503, "1")
        assert over.upstream.exchanges == []
