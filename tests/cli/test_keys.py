"""`callboard keys`, and a server that is running meanwhile: processes that share a store."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from tests.cli.command import callboard, complaint
from tests.fakes.keyed import bearer
from tests.fakes.server_process import SCRIPTED, WAIT_S, client_of, config_file, running

TOKEN = re.compile(r"cb_([0-9a-z]{10})_[0-9A-Za-z]{32}\n")


@pytest.fixture
def anyio_backend() -> object:
    """The loop under test is the processes' own."""
    return "asyncio"


def keys(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return callboard(folder, "keys", *words)


def made(folder: Path, *words: str) -> tuple[str, str]:
    """The token and the id of a new key."""
    done = keys(folder, "create", "ada", *words)
    found = TOKEN.fullmatch(done.stdout)
    assert found is not None, done
    assert done.stdout.strip() not in done.stderr
    return done.stdout.strip(), found[1]


def test_a_key_is_made_listed_and_revoked(tmp_path: Path) -> None:
    limits = ["--requests-per-minute", "5", "--tokens-per-minute", "1000", "--parallel", "2"]
    more = ["--cost-per-day-usd", "0.10", "--model", "gpt*", "--model", "x", "--no-tools", "--expires", "2"]
    scopes = ["--tenant", "team", "--scope", "monitor", "--scope", "client"]
    token, key_id = made(tmp_path, *limits, *more, *scopes)
    listed = keys(tmp_path, "list", "--json")
    (key,) = json.loads(listed.stdout)
    assert (key["id"], key["name"], key["tenant"], key["state"]) == (key_id, "ada", "team", "valid")
    assert key["scopes"] == ["client", "monitor"]
    assert (key["models"], key["tools"], key["last_four"]) == (["gpt*", "x"], [], token[-4:])
    assert key["limits"] == {
        "requests_per_minute": 5,
        "tokens_per_minute": 1000,
        "cost_per_day_usd": "0.10",
        "parallel": 2,
    }
    assert key["expires_at"] > key["created_at"]
    table = keys(tmp_path, "list").stdout
    assert key_id in table
    assert token[:-4] not in table + listed.stdout
    revoked = keys(tmp_path, "revoke", key_id)
    assert (revoked.returncode, revoked.stdout, revoked.stderr) == (0, "", "")
    (key,) = json.loads(keys(tmp_path, "list", "--json").stdout)
    assert key["state"] == "revoked"


def test_a_key_comes_as_json_too(tmp_path: Path) -> None:
    done = keys(tmp_path, "create", "ada", "--json")
    key = json.loads(done.stdout)
    assert TOKEN.fullmatch(key["key"] + "\n")
    assert (key["tenant"], key["models"], key["tools"], done.stderr) == (key["id"], None, None, "")


def test_what_cannot_be_is_one_line_and_a_status(tmp_path: Path) -> None:
    unknown = keys(tmp_path, "revoke", "nobody")
    assert (unknown.returncode, complaint(unknown)) == (1, "There is no key 'nobody'.")
    unfit = keys(tmp_path, "create", "a\nb")
    assert unfit.returncode == 2
    assert "128 characters" in complaint(unfit)
    memory = callboard(tmp_path, "keys", "list", config='[store]\nurl = "memory:"\n')
    assert memory.returncode == 2
    assert "sqlite:///PATH" in complaint(memory)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["create"],
        ["create", "a", "--parallel", "0"],
        ["create", "a", "--cost-per-day-usd", "NaN"],
        ["create", "a", "--expires", "-1"],
        ["create", "a", "--requests-per-minute", "1e3"],
        ["create", "a", "--scope", "root"],
    ],
)
def test_wrong_usage_is_status_two(tmp_path: Path, words: list[str]) -> None:
    done = keys(tmp_path, *words)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.anyio
@pytest.mark.parametrize("workers", [[], ["--workers", "2"]])
async def test_a_running_server_notices_what_is_made_and_revoked(tmp_path: Path, workers: list[str]) -> None:
    config = config_file(tmp_path, SCRIPTED)
    async with running(config, *workers) as (_, url), client_of(url) as client:

        async def status(token: str | None = None) -> int:
            headers = {"connection": "close", **({} if token is None else bearer(token))}
            return (await client.get("v1/models", headers=headers)).status_code

        assert await status() == 200
        token, key_id = await to_thread.run_sync(made, tmp_path)
        with anyio.fail_after(WAIT_S):
            assert await status(token) == 200
            for _ in range(5 * (1 + len(workers))):
                while await status() != 401:
                    await anyio.lowlevel.checkpoint()
        await to_thread.run_sync(keys, tmp_path, "revoke", key_id)
        with anyio.fail_after(WAIT_S):
            for _ in range(5 * (1 + len(workers))):
                while await status(token) != 401:
                    await anyio.lowlevel.checkpoint()


@pytest.mark.anyio
async def test_a_server_listens_to_a_network_once_there_is_a_key(tmp_path: Path) -> None:
    config = config_file(tmp_path, SCRIPTED)
    refused = callboard(tmp_path, "serve", "--host", "0.0.0.0", "--port", "0")
    assert refused.returncode == 2
    assert "callboard keys create NAME" in complaint(refused)
    token, _ = made(tmp_path)
    async with (
        running(config, "--host", "0.0.0.0") as (_, url),
        client_of(url.replace("0.0.0.0", "127.0.0.1")) as client,
    ):
        assert (await client.get("v1/models")).status_code == 401
        assert (await client.get("v1/models", headers=bearer(token))).status_code == 200
