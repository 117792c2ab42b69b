"""``callboard tools login`` and ``logout``, with the SDK's MCP server and authorization server."""

from __future__ import annotations

import http.client
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from tests.cli.command import COMMAND, SCRIPTED, callboard, complaint, environment
from tests.fakes.mcp_guard import Guarded, guarded

LOG_IN = "it wants a login: log in with `callboard tools login far`"


@pytest.fixture(scope="module")
def running() -> Iterator[Guarded]:
    with guarded() as server:
        yield server


@pytest.fixture
def server(running: Guarded) -> Guarded:
    running.tell("/_begin")
    return running


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port: int = bound.getsockname()[1]
        return port


def config(server: Guarded, port: int) -> str:
    return f"""{SCRIPTED}
[store]
url = "sqlite:///state/state.db"
[mcp.servers.far]
url = "{server.url}"
headers = {{ X-Secret = "s3cret" }}
[mcp.servers.far.oauth]
issuers = ["{server.issuer}"]
redirect_port = {port}
[mcp.servers.near]
command = "x"
"""


def visit(url: str) -> tuple[int, str, str]:
    """Status, text, and where it leads to."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}")
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer.getheader("location") or ""
    finally:
        connection.close()


@contextmanager
def logging_in(folder: Path, *words: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The page that a person is sent to, and the command that waits for that person."""
    process = subprocess.Popen(
        [*COMMAND, "tools", "login", "far", *words],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        with process.stdout:
            said = (line.strip() for line in iter(process.stdout.readline, ""))
            yield next(line for line in said if line.startswith("http")), process
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """How it ended, and what it said."""
    assert process.stdout is not None
    assert process.stderr is not None
    out, error = process.stdout.read(), process.stderr.read()
    return process.wait(10), out.strip(), error


def test_a_person_logs_in_once_and_logs_out(tmp_path: Path, server: Guarded) -> None:
    (tmp_path / "callboard.toml").write_text(config(server, free_port()))
    listed = callboard(tmp_path, "doctor")
    assert f"FAIL MCP server far: {LOG_IN}" in listed.stdout
    with logging_in(tmp_path) as (url, process):
        back = visit(url)[2]
        assert visit(back.replace("state=", "state=x"))[0] == 400
        assert visit(back.replace("/callback", "/other"))[0] == 404
        status, page, _ = visit(back)
        assert (status, "Thank you." in page) == (200, True)
        assert ended(process) == (0, "logged in to far, which has 4 tools", "")
    kept = tmp_path / "state" / "mcp" / "far.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    called = callboard(tmp_path, "tools", "call", "far__header")
    assert (called.returncode, called.stdout, called.stderr) == (0, "s3cret\n", "")
    assert callboard(tmp_path, "tools", "logout", "far").stdout == "logged out of far\n"
    assert not kept.exists()
    assert callboard(tmp_path, "tools", "logout", "far").stdout == "there was no login to far\n"


def test_a_scope_may_be_asked_for(tmp_path: Path, server: Guarded) -> None:
    (tmp_path / "callboard.toml").write_text(config(server, free_port()))
    with logging_in(tmp_path, "--scope", "read write") as (url, process):
        assert dict(parse_qsl(urlsplit(url).query))["scope"] == "read write"
        visit(visit(url)[2])
        assert ended(process)[0] == 0
    called = callboard(tmp_path, "tools", "call", "far__write")
    assert (called.returncode, called.stdout) == (0, "written\n")


def test_what_the_authorization_server_says_is_shown(tmp_path: Path, server: Guarded) -> None:
    (tmp_path / "callboard.toml").write_text(config(server, free_port()))
    server.tell("/_mood?denying")
    with logging_in(tmp_path) as (url, process):
        status, page, _ = visit(visit(url)[2])
        assert (status, "access_denied - &lt;b&gt;not you&lt;/b&gt;" in page) == (200, True)
        why = "callboard: the authorization server refuses: access_denied - <b>not you</b>\n"
        assert ended(process) == (1, "", why)
    assert not (tmp_path / "state").exists()


def test_what_comes_without_a_login_is_not_believed(tmp_path: Path, server: Guarded) -> None:
    port = free_port()
    (tmp_path / "callboard.toml").write_text(config(server, port))
    with logging_in(tmp_path) as (_, process):
        for came in ({"code": "x"}, {"error": "x"}, {"state": "x", "code": "x"}, {}):
            assert visit(f"http://127.0.0.1:{port}/callback?{urlencode(came)}")[0] in {400, 404}
        assert process.poll() is None


@pytest.mark.parametrize(
    "words, says",
    [
        (("login", "nobody"), 'no MCP server "nobody" is configured'),
        (("login", "near"), "[mcp.servers.near] has no oauth, so there is nothing to log in to"),
        (("login", "far", "--scope", "a'b"), "--scope: expected names with single spaces between them"),
        (("logout", "../state"), 'no MCP server can be called "../state"'),
    ],
)
def test_wrong_usage_is_one_line(tmp_path: Path, server: Guarded, words: tuple[str, ...], says: str) -> None:
    done = callboard(tmp_path, "tools", *words, config=config(server, free_port()))
    assert (done.returncode, complaint(done)) == (2, says)


def test_a_port_that_is_taken_is_said_to_be(tmp_path: Path, server: Guarded) -> None:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port = bound.getsockname()[1]
        done = callboard(tmp_path, "tools", "login", "far", config=config(server, port))
    assert done.returncode == 2
    assert complaint(done).startswith(f"nothing can listen on 127.0.0.1:{port} (")
