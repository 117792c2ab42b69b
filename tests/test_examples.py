"""Every example runs as it is printed, and so does every block of the README that is marked as tested."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
TESTED = re.compile(r"^<!-- tested -->\n+```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = TESTED.findall((ROOT / "README.md").read_text())
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT / "src"), os.environ.get("PYTHONPATH")))),
}


def run(*words: str) -> str:
    """What Python prints for ``words``; fails if it fails."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["embed.py", "tool.py", "tool_process.py", "mount.py", "kernel_only.py"])
def test_an_example_fits_on_a_screen(name: str) -> None:
    assert len((EXAMPLES / name).read_text().splitlines()) <= 40


def test_embed_asks_twice_in_one_conversation() -> None:
    first, second = run("examples/embed.py").splitlines()
    assert "Paris" in first
    assert "Madrid" in second


def test_tool_prints_an_answer() -> None:
    # Whether a model of this size calls the function is its own affair.
    said = run("examples/tool.py")
    assert "ran add" in said
    assert "42" in said


def test_a_tool_in_a_program_of_its_own_is_well_and_counts(tmp_path: Path) -> None:
    program = str(EXAMPLES / "tool_process.py")
    (tmp_path / "callboard.toml").write_text(
        f"[tools.count_words]\ncommand = [{json.dumps(sys.executable)}, {json.dumps(program)}]\n"
        'env = { STOP_WORDS = "the a" }\n'
    )
    config = ("--config", str(tmp_path / "callboard.toml"))
    checked = run("-m", "callboard.cli.main", "tools", "check", *config)
    assert checked.startswith("ok   count_words")
    text = json.dumps({"text": "the cat and the hat"})
    called = run("-m", "callboard.cli.main", "tools", "call", "count_words", text, *config)
    assert json.loads(called) == {"words": 3}


def test_a_provider_of_your_own_shouts() -> None:
    assert run("examples/custom_provider.py") == "HELLO\n"


def test_mount_serves_both_applications() -> None:
    with subprocess.Popen(
        [sys.executable, "examples/mount.py", "0"],
        cwd=ROOT,
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        try:
            address = next(
                found[0] for line in process.stderr if (found := re.search(r"http://[\d.:]+", line))
            )
            with httpx2.Client(base_url=address, trust_env=False, timeout=10) as client:
                host = client.get("/")
                models = client.get("/assistant/v1/models")
        finally:
            process.send_signal(signal.SIGINT)
            _, complaints = process.communicate(timeout=30)
    assert host.text == "hello"
    assert [model["id"] for model in models.json()["data"]] == ["smollm2"]
    assert "Traceback" not in complaints
    assert process.returncode == 0


@pytest.mark.parametrize("block", BLOCKS, ids=[f"block {number}" for number in range(1, len(BLOCKS) + 1)])
def test_the_readme_does_what_it_says(block: str) -> None:
    run("-c", block)
