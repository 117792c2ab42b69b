"""LangChain's own integration tests for chat models, through its OpenAI client, in both dialects."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import anyio
import pytest

from tests.fakes.company import Stage
from tests.fakes.obliging import Obliging
from tests.fakes.served import served

pytestmark = pytest.mark.anyio

SUITE = Path(__file__).parent / "langchain_suite.py"
OPTIONS = [
    *("-o", "asyncio_mode=auto"),
    *("-o", "asyncio_default_test_loop_scope=session"),
    *("-o", "asyncio_default_fixture_loop_scope=session"),
    *("-p", "no:cacheprovider", "-c", "pytest.ini", "-q", "-rs", "--tb=short"),
]
PASSED = 86
"""In both dialects together; others are skipped, as they would fetch files from the web."""


@pytest.fixture(params=[pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """Our server needs asyncio."""
    return request.param


async def test_the_standard_tests_pass(python_of_clients: Path, tmp_path: Path) -> None:
    shutil.copy(SUITE, tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [str(python_of_clients), "-m", "pytest", *OPTIONS, SUITE.name]
    async with served(Stage(demo=Obliging(), other=Obliging())) as server:
        environment = {"CALLBOARD_URL": f"{server.url}/v1", "PATH": os.environ["PATH"], "HOME": str(tmp_path)}
        with anyio.fail_after(90):
            done = await anyio.run_process(command, cwd=tmp_path, env=environment, check=False)
    told = done.stdout.decode()
    assert done.returncode == 0, told + done.stderr.decode()
    passed = re.search(r"(\d+) passed", told)
    assert passed is not None
    assert int(passed[1]) >= PASSED, told
