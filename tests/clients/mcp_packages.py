"""The programs of the MCP project that our client is tried with, unmodified, installed once per machine."""

from __future__ import annotations

import shutil
import sys
import tarfile
from pathlib import Path

from tests.clients.installing import found, installed, run

HERE = Path(__file__).parent / "mcp_node"
LOCKS = (HERE / "package.json", HERE / "package-lock.json")
TEST_LOCK = Path(__file__).parents[2] / "requirements" / "test.txt"


def node_packages() -> Path:
    """A folder with the conformance suite, the reference server, and Node itself."""

    def install(folder: Path) -> None:
        for lock in LOCKS:
            shutil.copy(lock, folder)
        run(found("npm"), "ci", "--no-audit", "--no-fund", cwd=folder)

    return installed("node-mcp", install, *LOCKS)


def sdk_examples() -> Path:
    """The examples of the Python SDK, of the very release that is locked; its hash is the lock's."""
    lines = TEST_LOCK.read_text().splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith("mcp=="))
    pinned = [lines[start]]
    while pinned[-1].endswith("\\"):
        pinned.append(lines[start + len(pinned)])

    def install(folder: Path) -> None:
        (folder / "sdk.txt").write_text("\n".join(pinned) + "\n")
        run(sys.executable, "-m", "venv", str(folder / "venv"), cwd=folder)
        pip = (str(folder / "venv" / "bin" / "python"), "-m", "pip", "download", "--quiet")
        run(*pip, "--no-deps", "--no-binary", "mcp", "--require-hashes", "-r", "sdk.txt", cwd=folder)
        shutil.rmtree(folder / "venv")
        (packed,) = folder.glob("mcp-*.tar.gz")
        with tarfile.open(packed) as archive:
            archive.extractall(folder, filter="data")
        packed.unlink()
        (folder / packed.name.removesuffix(".tar.gz")).rename(folder / "sdk")

    return installed("python-mcp", install, TEST_LOCK) / "sdk" / "examples"
