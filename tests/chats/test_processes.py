"""Processes that share a store, and such as are killed: nothing is lost, and no file is half written."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from callboard.chats import ConversationManager
from callboard.store.sqlite import open_sqlite
from tests.chats.appending_process import USER

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def anyio_backend() -> str:
    """The loops under test are the processes' own."""
    return "asyncio"


def process(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.chats.appending_process", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
    )


async def begun(path: Path) -> str:
    async with open_sqlite(path) as store:
        return await ConversationManager(store).create_conversation(USER, "x")


async def said(path: Path, conversation_id: str) -> list[str]:
    async with open_sqlite(path) as store:
        messages = await ConversationManager(store).get_message_list(USER, conversation_id)
        return [each["text"] for each in messages]


async def test_eight_threads_of_two_processes_append_two_hundred_each_and_lose_nothing(
    tmp_path: Path,
) -> None:
    path = tmp_path / "store.db"
    conversation_id = await begun(path)
    with anyio.fail_after(120):
        workers = [process("append", str(path), conversation_id, name, "4", "200") for name in "ab"]
        try:
            for worker in workers:
                await to_thread.run_sync(worker.communicate)
                assert worker.returncode == 0
        finally:
            for worker in workers:
                worker.kill()
    there = await said(path, conversation_id)
    assert len(there) == 8 * 200
    for name in ("a0", "a1", "a2", "a3", "b0", "b1", "b2", "b3"):
        mine = [text for text in there if text.startswith(f"{name}.")]
        assert mine == [f"{name}.{number}" for number in range(200)]


@pytest.mark.parametrize("after", [1, 12, 40])
async def test_a_process_killed_while_it_saves_leaves_a_whole_file_and_every_message(
    after: int, tmp_path: Path
) -> None:
    path, file = tmp_path / "store.db", tmp_path / "ada.json"
    conversation_id = await begun(path)

    def run() -> list[str]:
        with process("save", str(path), conversation_id, str(file)) as saving:
            assert saving.stdout is not None
            lines = [saving.stdout.readline() for _ in range(after)]
            saving.kill()
            return [line.strip() for line in (*lines, *saving.stdout.readlines()) if line.endswith("\n")]

    with anyio.fail_after(60):
        durable = await to_thread.run_sync(run)
    there = [text.split()[0] for text in await said(path, conversation_id)]
    assert there[: len(durable)] == durable
    assert len(there) <= len(durable) + 1
    if after > 1:
        saved = json.loads(file.read_bytes())[conversation_id]["messages"]
        assert [each["text"].split()[0] for each in saved] == there[: len(saved)]
        assert len(saved) >= len(durable) - 1
