"""Servers of tools: our own tables, where every mistake is one line, and other hosts' JSON file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from callboard.config import ApproveRules, Config, load
from callboard.config.mcp_servers import ToolFilter
from callboard.domain.sampling import SamplingPolicy
from callboard.secret import Secret
from tests.config.files import lines_of, write


def read(folder: Path, text: str, **environ: str) -> Config:
    write(folder, text)
    return load(None, environ=environ, cwd=folder)


def test_a_table_becomes_a_server(tmp_path: Path) -> None:
    text = """
    [mcp.servers.files]
    command = "server"
    args = ["--root", "${ROOT}"]
    env = { TOKEN = "${SECRET}" }
    deny = ["write*"]
    timeout_seconds = 5

    [mcp.servers.far]
    url = "https://example.com/mcp?x=1"
    headers = { Authorization = "Bearer ${SECRET}" }
    sampling = { enabled = true, models = ["smol*"], max_tokens = 7 }

    [mcp.servers.off]
    command = "x"
    enabled = false
    """
    files, far = read(tmp_path, text, ROOT="/data", SECRET="s3cret").mcp.servers
    assert (files.command, files.args, files.env) == (
        "server",
        ("--root", "/data"),
        {"TOKEN": Secret("s3cret")},
    )
    assert (files.deny, files.timeout_seconds, files.approve) == (("write*",), 5.0, "unless_read_only")
    assert far.headers == {"Authorization": Secret("Bearer s3cret")}
    assert far.sampling == SamplingPolicy(enabled=True, models=("smol*",), max_tokens=7)
    assert not files.sampling.enabled
    assert "s3cret" not in repr((files, far))


@pytest.mark.parametrize(
    "text, line",
    [
        ("", "1: [mcp.servers.x]: expected either command or url"),
        ('command = "a"\nurl = "http://h/"', "1: [mcp.servers.x]: expected either command or url"),
        ('comand = "a"', '2: [mcp.servers.x] comand: unknown key; did you mean "command"?'),
        ('command = " "', "2: [mcp.servers.x] command: expected the name or the path of a program"),
        ('command = "a"\nargs = "b"', "3: [mcp.servers.x] args: expected a list, got a string"),
        ('command = "a"\nheaders = { A = "b" }', "3: [mcp.servers.x] headers: has no meaning with command"),
        ('url = "http://h/"\nenv = { A = "b" }', "3: [mcp.servers.x] env: has no meaning with url"),
        ('url = "h"', "2: [mcp.servers.x] url: not a URL"),
        ('url = "ftp://h"', "2: [mcp.servers.x] url: expected a URL that begins with http:// or https://"),
        (
            'url = "http://u:p@h/"',
            "2: [mcp.servers.x] url: a user name or password does not belong into the URL; use headers",
        ),
        (
            'url = "http://h/"\ntransport = "stdio"',
            '3: [mcp.servers.x] transport: "stdio" does not go with url',
        ),
        (
            'command = "a"\ntransport = "sse"',
            '3: [mcp.servers.x] transport: "sse" does not go with command',
        ),
        (
            'command = "a"\ntransport = "tcp"',
            '3: [mcp.servers.x] transport: expected "stdio", "streamable-http" or "sse"',
        ),
        (
            'command = "a"\napprove = "sometimes"',
            '3: [mcp.servers.x] approve: expected a table or "unless_read_only", "always" or "never"',
        ),
        (
            'command = "a"\n[mcp.servers.x.approve]\nallways = { tool_names = ["b"] }',
            '4: [mcp.servers.x] approve.allways: unknown key; did you mean "always"?',
        ),
        (
            'command = "a"\npins = { t = "abc" }',
            "3: [mcp.servers.x] pins.t: expected the SHA-256 of a definition, 64 hexadecimal digits",
        ),
        (
            'url = "http://h/"\nheaders = { "A B" = "c" }',
            "3: [mcp.servers.x] headers.A B: empty, or with a character no header may have",
        ),
        ('command = "a"\nroots = ["/x"]', "3: [mcp.servers.x] roots: expected URIs that begin with file://"),
        ('command = "${NOPE}"', "2: [mcp.servers.x] command: the environment has no variable NOPE"),
        (
            'command = "a"\nsampling = { enabled = true }',
            "3: [mcp.servers.x] sampling.models: missing; name the models",
        ),
        (
            'command = "a"\nsampling = { models = ["gpt"] }',
            '3: [mcp.servers.x] sampling.models: no model "gpt"',
        ),
        ('command = "a"\nsampling = { depth = 2 }', "3: [mcp.servers.x] sampling.depth: unknown key"),
        ('command = "a"\ntimeout_seconds = 0', "3: [mcp.servers.x] timeout_seconds: expected a number > 0"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, text: str, line: str) -> None:
    (found,) = lines_of(tmp_path, f"[mcp.servers.x]\n{text}\n")
    assert found.startswith(f"callboard.toml:{line}")


@pytest.mark.parametrize("name", ["a__b", "a b", "n" * 33, "ü"])
def test_a_name_that_could_not_stand_before_a_tools_is_refused(tmp_path: Path, name: str) -> None:
    (found,) = lines_of(tmp_path, f'[mcp.servers."{name}"]\ncommand = "a"\n')
    assert "a name needs letters, digits" in found


SERVERS = {
    "plain": {"command": "uvx", "args": ["a"], "env": {"K": "${SECRET}"}, "autoApprove": ["x"]},
    "typed": {"type": "stdio", "command": "x", "url": "http://elsewhere/"},
    "old": {"type": "sse", "url": "http://h:1/sse", "headers": {"A": "b"}},
    "new": {"type": "streamable-http", "url": "http://h:1/mcp"},
    "guessed": {"url": "http://h:1/mcp"},
    "off": {"command": "x", "disabled": True},
    "blank": {"command": "  "},
    "nothing": {"type": "sse"},
    "odd": {"type": "carrier-pigeon", "command": "x"},
    "number": 5,
    "not a name": {"command": "x"},
    "unset": {"command": "${NOPE}"},
    "taken": {"command": "x"},
}


def test_a_json_file_is_read_as_it_is_and_what_is_wrong_in_it_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "servers.json").write_text(json.dumps({"mcpServers": SERVERS}))
    text = '[mcp.servers.taken]\ncommand = "ours"\n'
    environ = {"MCP_SERVERS_CONFIG_PATH": "servers.json", "SECRET": "s3cret"}
    config = read(tmp_path, text, **environ)
    assert [(each.name, each.transport) for each in config.mcp.servers] == [
        ("taken", None),
        ("plain", "stdio"),
        ("typed", "stdio"),
        ("old", "sse"),
        ("new", "streamable-http"),
        ("guessed", "streamable-http"),
    ]
    assert config.mcp.servers[1].env == {"K": Secret("s3cret")}
    skipped = [notice.split('"')[1] for notice in config.notices]
    assert skipped == ["blank", "nothing", "odd", "number", "not a name", "unset", "taken"]
    assert config.notices[0] == (
        'servers.json: the MCP server "blank" is skipped: command: expected the name or the path of a program'
    )
    assert config.notices[1].endswith("is skipped: expected either command or url")
    assert config.notices[6].endswith("is skipped: is configured already")


ALLOWING = {
    "silent": {"command": "x"},
    "roo": {"command": "x", "alwaysAllow": ["read", "list"]},
    "cline": {"command": "x", "autoApprove": ["read"]},
    "both": {"command": "x", "autoApprove": ["a"], "alwaysAllow": ["b"]},
    "all": {"command": "x", "alwaysAllow": ["*"]},
    "none": {"command": "x", "autoApprove": []},
    "odd": {"command": "x", "alwaysAllow": True, "autoApprove": [5, "read*", None]},
}


def test_what_another_host_runs_unasked_is_run_unasked_and_nothing_else_is(tmp_path: Path) -> None:
    (tmp_path / "servers.json").write_text(json.dumps({"mcpServers": ALLOWING}))
    config = read(tmp_path, '[mcp]\nservers_config_path = "servers.json"\n')
    found = {each.name: each.approve for each in config.mcp.servers}

    def rules(*names: str) -> ApproveRules:
        return ApproveRules(never=ToolFilter(tool_names=names))

    assert found == {
        "silent": "unless_read_only",
        "roo": rules("read", "list"),
        "cline": rules("read"),
        "both": rules("b", "a"),
        "all": rules("*"),
        "none": "unless_read_only",
        "odd": "unless_read_only",
    }
    assert config.notices == ()


@pytest.mark.parametrize("content", ["", "[]", '{"mcpServers": []}', "{" * 100_000])
def test_a_json_file_that_is_none_costs_a_notice(tmp_path: Path, content: str) -> None:
    (tmp_path / "servers.json").write_text(content)
    config = read(tmp_path, '[mcp]\nservers_config_path = "servers.json"\n')
    assert config.mcp.servers == ()
    assert len(config.notices) == 1
