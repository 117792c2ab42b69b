"""OpenAI's own client for Node, unmodified, against our server."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import anyio
import pytest

from callboard.providers.script import AnyStep, Fail, Reply, Script, Text, Tool
from tests.fakes.company import Stage, replies
from tests.fakes.served import served

pytestmark = pytest.mark.anyio

HERE = Path(__file__).parent
CALL: list[AnyStep] = [Tool(name="add", id="c1", arguments={"a": 17, "b": 25})]
RESULT: list[AnyStep] = [Text(text="It is 42.")]


@pytest.fixture(params=[pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """Our server needs asyncio."""
    return request.param


@pytest.fixture(scope="session")
def node_folder() -> Path:
    """A folder with the client and its Node, installed by npm once per machine."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    folder = Path(tempfile.gettempdir()) / "callboard-node-client"
    folder.mkdir(exist_ok=True)
    wanted = (HERE / "package.json").read_text()
    installed = folder / "package.json"
    if not installed.exists() or installed.read_text() != wanted:
        _install(npm, wanted, folder)
    # Beside the packages, where Node looks for what it imports.
    shutil.copy(HERE / "openai_node.mjs", folder)
    return folder


def _install(npm: str, wanted: str, folder: Path) -> None:
    """Install what ``wanted`` names; the folder holds it as package.json only once that has been done."""
    with tempfile.TemporaryDirectory() as name:
        new = Path(name)
        (new / "package.json").write_text(wanted)
        command = [npm, "install", "--no-audit", "--no-fund", "--no-package-lock"]
        done = subprocess.run(command, cwd=new, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode != 0:
            pytest.skip(f"npm could not install the client: {done.stderr.strip().splitlines()[-1:]}")
        shutil.rmtree(folder / "node_modules", ignore_errors=True)
        shutil.copytree(new / "node_modules", folder / "node_modules", symlinks=True)
        shutil.copy(new / "package.json", folder)


def stage() -> Stage:
    return Stage(
        plain=Script(replies=(Reply(steps=(Text(text="It is Paris."),)),), then="repeat"),
        tools=replies(CALL, RESULT),
        streamed_tools=replies(CALL, RESULT),
        limited=replies([Fail(error="upstream_rate_limited", status=429, retry_after_s=100)]),
    )


CONFIG = {
    "models": {
        "plain-model": {"provider": "plain"},
        "tools-model": {"provider": "tools"},
        "streamed-tools-model": {"provider": "streamed_tools"},
        "limited-model": {"provider": "limited"},
    }
}


async def test_the_client_for_node_understands_everything_we_say(node_folder: Path) -> None:
    node = node_folder / "node_modules" / ".bin" / "node"
    async with served(stage(), config=CONFIG) as server:
        with anyio.fail_after(30):
            done = await anyio.run_process(
                [str(node), "openai_node.mjs", f"{server.url}/v1"], cwd=node_folder, check=False
            )
    assert done.stderr == b"", done.stderr.decode()
    outcome = json.loads(done.stdout)
    usage = outcome["create"]["usage"]
    assert outcome["create"]["content"] == "It is Paris."
    assert usage["completion_tokens"] == 3
    assert usage["total_tokens"] == usage["prompt_tokens"] + 3
    assert outcome["createStreamed"] == {"deltas": ["It ", "is ", "Paris."], "usage": usage}
    assert outcome["streamHelper"] == {"seen": "It is Paris.", "content": "It is Paris.", "finish": "stop"}
    ran = {"calls": [[17, 25]], "content": "It is 42.", "results": [["c1", "42"]]}
    assert outcome["runTools"] == ran
    assert outcome["runToolsStreamed"] == ran
    assert outcome["unknownModel"]["kind"] == "NotFoundError"
    assert outcome["unknownModel"]["code"] == "model_not_found"
    assert outcome["rateLimited"]["kind"] == "RateLimitError"
    assert outcome["rateLimited"]["retryAfter"] == "100"
    assert outcome["invalid"]["kind"] == "BadRequestError"
    assert outcome["models"] == list(CONFIG["models"])
