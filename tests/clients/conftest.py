"""Clients that live outside this project's environment, installed from their own locks."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.clients.installing import found, installed, run

HERE = Path(__file__).parent
PACKAGES = (HERE / "package.json", HERE / "package-lock.json")
PYTHON_LOCK = HERE.parent.parent / "requirements" / "clients.txt"


@pytest.fixture(scope="session")
def node_folder() -> Path:
    """A folder with the clients for Node, and Node itself."""

    def install(folder: Path) -> None:
        for lock in PACKAGES:
            shutil.copy(lock, folder)
        run(found("npm"), "ci", "--no-audit", "--no-fund", cwd=folder)

    return installed("node-clients", install, *PACKAGES)


@pytest.fixture(scope="session")
def python_of_clients() -> Path:
    """A Python with clients whose packages are not ours to have: they bring plugins for pytest along."""

    def install(folder: Path) -> None:
        locked = ("--no-deps", "--require-hashes", "-r", str(PYTHON_LOCK))
        run(sys.executable, "-m", "venv", str(folder / "venv"), cwd=folder)
        python = str(folder / "venv" / "bin" / "python")
        uv = shutil.which("uv")
        if uv is not None:
            run(uv, "pip", "install", "--quiet", "--python", python, *locked, cwd=folder)
        else:
            # What is compiled is what is imported, which is little of it.
            run(python, "-m", "pip", "install", "--quiet", "--no-compile", *locked, cwd=folder)

    return installed("python-clients", install, PYTHON_LOCK) / "venv" / "bin" / "python"


@pytest.fixture
def run_in_node(node_folder: Path) -> Callable[..., Awaitable[Any]]:
    """Runs a script of this folder with arguments; what it prints is JSON."""

    async def run_script(name: str, *arguments: str) -> Any:
        # Beside the packages, where Node looks for what it imports.
        script = shutil.copy(HERE / name, node_folder)
        node = node_folder / "node_modules" / ".bin" / "node"
        with anyio.fail_after(40):
            done = await anyio.run_process([str(node), str(script), *arguments], cwd=node_folder, check=False)
        assert done.stderr == b"", done.stderr.decode()
        assert done.returncode == 0
        return json.loads(done.stdout)

    return run_script
