"""The example talks to a running server as a page does."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from callboard.providers.script import Script
from tests.fakes.company import Stage
from tests.fakes.served import served

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]


@pytest.fixture
def anyio_backend() -> str:
    """The server runs on asyncio."""
    return "asyncio"


async def test_the_example_holds_a_conversation() -> None:
    with anyio.fail_after(30):
        async with served(Stage(demo=Script())) as server:
            run = partial(
                subprocess.run,
                [sys.executable, ROOT / "examples/chat_page.py", f"127.0.0.1:{server.port}", "one", "two"],
                env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
                capture_output=True,
                text=True,
                check=True,
            )
            done = await to_thread.run_sync(run)
    assert done.stdout == "echo: one\necho: two\n"
