"""``callboard configure``: what it writes loads, and what was there stays."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from functools import partial
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from callboard.config import load
from callboard.config.schema import OpenAIProvider
from tests.cli.command import COMMAND, callboard, complaint, environment
from tests.fakes.server_process import client_of, running
from tests.fakes.upstream import serve_upstream

FILE = "callboard.toml"
KEPT = """\
# Ours. Do not touch.
[server]
port = 8080  # known to the firewall
queue = 7

[providers.far]
kind = "openai"
base_url = "http://127.0.0.1:1/v1"
api_key = "${FAR_KEY}"   # from the vault

[models.big]
provider = "far"
input = 2.5
"""


@pytest.fixture
def anyio_backend() -> object:
    return "asyncio"


def test_what_it_writes_is_what_was_said(tmp_path: Path) -> None:
    words = (
        "--base-url",
        "http://127.0.0.1:1/v1/",
        "--key-env",
        "MY_KEY",
        "--model",
        "gpt-4.1",
        "--port",
        "9000",
    )
    done = callboard(tmp_path, "configure", *words, "--host", "::1", "--no-store")
    assert (done.returncode, done.stderr) == (0, "")
    config = load(tmp_path / FILE, environ={"MY_KEY": "sk-secret"}, cwd=tmp_path)
    assert (config.server.host, config.server.port, config.store.url) == ("::1", 9000, "memory:")
    (provider,) = config.providers
    assert isinstance(provider, OpenAIProvider)
    assert (provider.name, provider.base_url) == ("upstream", "http://127.0.0.1:1/v1")
    assert provider.api_key is not None
    assert provider.api_key.reveal() == "sk-secret"
    assert [(model.name, model.provider) for model in config.models] == [("gpt-4.1", "upstream")]
    assert config.assistants[0].model == "gpt-4.1"
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == [FILE]


def test_it_says_what_it_wrote_and_what_comes_next(tmp_path: Path) -> None:
    done = callboard(tmp_path, "configure", "--model", "m", "--key-env", "MY_KEY")
    written = [line.strip() for line in done.stdout.splitlines() if line.startswith("    [")]
    assert done.stdout.startswith(f"Wrote {tmp_path / FILE}:\n")
    assert '[providers.upstream] api_key = "${MY_KEY}"' in written
    assert done.stdout.endswith("    export MY_KEY=…\n    callboard doctor\n    callboard serve\n")
    again = callboard(tmp_path, "configure", "--key-env", "MY_KEY", MY_KEY="sk-secret")
    assert "export" not in again.stdout
    assert "sk-secret" not in again.stdout + (tmp_path / FILE).read_text()


def test_of_a_file_that_exists_only_what_was_given_is_changed(tmp_path: Path) -> None:
    done = callboard(
        tmp_path, "configure", "--port", "9000", "--base-url", "http://127.0.0.1:2/v1", config=KEPT
    )
    assert done.returncode == 0
    changed = KEPT.replace("8080", "9000").replace("127.0.0.1:1", "127.0.0.1:2")
    assert (tmp_path / FILE).read_text() == changed + '\n[assistants.default]\nmodel = "big"\n'


def test_another_model_of_the_same_upstream_stands_beside_the_first(tmp_path: Path) -> None:
    assert callboard(tmp_path, "configure", "--model", "small", config=KEPT).returncode == 0
    config = load(tmp_path / FILE, environ={"FAR_KEY": "k"}, cwd=tmp_path)
    assert [(model.name, model.provider) for model in config.models] == [("big", "far"), ("small", "far")]
    assert config.assistants[0].model == "small"


def test_a_model_that_is_not_behind_a_url_keeps_its_provider(tmp_path: Path) -> None:
    config = '[providers.demo]\nkind = "scripted"\n[models.echo]\nprovider = "demo"\n'
    assert callboard(tmp_path, "configure", "--model", "m", config=config).returncode == 0
    loaded = load(tmp_path / FILE, environ={}, cwd=tmp_path)
    assert [(model.name, model.provider) for model in loaded.models] == [("echo", "demo"), ("m", "upstream")]


@pytest.mark.parametrize("flag, url", [("--store", "sqlite:///kept.db"), ("--no-store", "memory:")])
def test_a_store_that_is_named_stays_where_it_is(tmp_path: Path, flag: str, url: str) -> None:
    callboard(tmp_path, "configure", flag, config='[store]\nurl = "sqlite:///kept.db"\n')
    assert load(tmp_path / FILE, environ={}, cwd=tmp_path).store.url == url


def test_what_was_in_memory_comes_to_disk(tmp_path: Path) -> None:
    callboard(tmp_path, "configure", "--store", config='[store]\nurl = "memory:"\n')
    assert load(tmp_path / FILE, environ={}, cwd=tmp_path).store.url == "sqlite:///.callboard/state.db"


def test_the_file_of_a_folder_above_is_the_one_and_a_link_stays_one(tmp_path: Path) -> None:
    real, below = tmp_path / "real.toml", tmp_path / "below"
    real.write_text(KEPT)
    below.mkdir()
    (tmp_path / FILE).symlink_to(real)
    assert callboard(below, "configure", "--port", "9000").returncode == 0
    assert (tmp_path / FILE).is_symlink()
    assert real.read_text() == KEPT.replace("8080", "9000")


@pytest.mark.parametrize(
    "words, says",
    [
        (("--port", "70000"), "argument --port: '70000' is no port: expected a number from 0 to 65535"),
        (("--port", "http"), "argument --port: 'http' is no port"),
        (("--port", "-1"), "argument --port"),
        (("--key-env", "sk-proj-abc"), "argument --key-env: expected the name of an environment variable"),
        (("--model", " "), "argument --model"),
    ],
)
def test_what_cannot_be_is_a_usage_error(tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    done = callboard(tmp_path, "configure", *words)
    assert done.returncode == 2
    assert says in done.stderr
    assert "sk-proj" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words, config, says",
    [
        ((), "", "nothing to configure"),
        (("--base-url", "http://127.0.0.1:1/v1"), "", "--model is missing"),
        (("--model", "m", "--base-url", "ftp://x"), "", "nothing was written, because it would not load: "),
        (("--port", "1"), "[server\n", "not TOML"),
        (("--port", "1"), "server = { port = 2 }\n", "change it by hand"),
        (("--port", "1"), "[server]\nprot = 1\n", 'did you mean "port"?'),
    ],
)
def test_what_would_not_load_is_not_written(
    tmp_path: Path, words: tuple[str, ...], config: str, says: str
) -> None:
    done = callboard(tmp_path, "configure", *words, config=config)
    assert done.returncode == 2
    assert says in complaint(done)
    assert (tmp_path / FILE).read_text() == config


def at_a_terminal(folder: Path, answers: str, *words: str) -> tuple[int, str]:
    """Exit status and what was seen, of a command on a terminal where ``answers`` are typed."""
    ours, theirs = os.openpty()
    try:
        with subprocess.Popen(
            [*COMMAND, "configure", *words],
            cwd=folder,
            env=environment(),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        ) as process:
            os.write(ours, answers.encode())
            status = process.wait(timeout=30)
        return status, os.read(ours, 65536).decode()
    finally:
        os.close(ours)
        os.close(theirs)


on_a_terminal = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")


@on_a_terminal
def test_a_terminal_is_asked_for_the_rest_and_again_for_what_cannot_be(tmp_path: Path) -> None:
    answers = "m\nhttp://127.0.0.1:1/v1\nsk-oh-no\nMY_KEY\n\nlots\n9001\nperhaps\nno\n"
    status, seen = at_a_terminal(tmp_path, answers)
    assert status == 0, seen
    assert "Port [8080]: " in seen
    assert "'lots' is no port" in seen
    assert "expected yes or no" in seen
    config = load(tmp_path / FILE, environ={"MY_KEY": "k"}, cwd=tmp_path)
    assert (config.server.host, config.server.port, config.store.url) == ("127.0.0.1", 9001, "memory:")
    assert "sk-oh-no" not in (tmp_path / FILE).read_text()


@on_a_terminal
def test_what_was_given_is_not_asked_and_what_stands_is_offered(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(KEPT)
    status, seen = at_a_terminal(tmp_path, "\n\n\n\n\n", "--port", "9000")
    assert status == 0, seen
    assert "Port" not in seen
    for offered in ("[http://127.0.0.1:1/v1]", "[FAR_KEY]", "[big]", "[yes]"):
        assert offered in seen
    assert "port = 9000  # known to the firewall\n" in (tmp_path / FILE).read_text()


@on_a_terminal
def test_without_a_model_there_is_no_upstream(tmp_path: Path) -> None:
    status, seen = at_a_terminal(tmp_path, "\n\n\n\n")
    assert status == 0, seen
    assert set(tomllib.loads((tmp_path / FILE).read_text())) == {"server", "store"}


@on_a_terminal
def test_who_leaves_the_questions_has_written_nothing(tmp_path: Path) -> None:
    status, seen = at_a_terminal(tmp_path, "m\n\x04")
    assert status == 2
    assert "nothing was written" in seen
    assert not list(tmp_path.iterdir())


@pytest.mark.anyio
async def test_doctor_and_serve_take_what_was_written(tmp_path: Path) -> None:
    async with serve_upstream() as upstream:
        call = partial(callboard, tmp_path, UP_KEY="k")
        words = ("--base-url", upstream.base_url, "--key-env", "UP_KEY", "--model", "fake-1")
        with anyio.fail_after(60):
            assert (await to_thread.run_sync(call, "configure", *words)).returncode == 0
            looked = await to_thread.run_sync(call, "doctor")
            assert looked.returncode == 0, looked.stdout
            assert "ok   model fake-1 (provider upstream)" in looked.stdout
            assert upstream.exchanges[-1].header("authorization") == "Bearer k"
            await to_thread.run_sync(call, "configure", "--no-store", "--base-url", upstream.base_url)
            file = tmp_path / FILE
            file.write_text(file.read_text().replace("${UP_KEY}", "k"))
            async with running(file) as (_, url), client_of(url) as client:
                answer = await client.post("v1/responses", json={"model": "fake-1", "input": "hello"})
    assert answer.json()["output"][0]["content"][0]["text"] == "echo: hello"
