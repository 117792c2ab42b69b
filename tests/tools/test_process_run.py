"""One run of a program."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from callboard.tools.child import Command, Ending
from callboard.tools.process_run import TAIL_BYTES, Run, run
from tests.tools.programs import Signs, command, exists

pytestmark = pytest.mark.anyio


async def ran(what: Command, text: bytes = b"", *, most: int = 1 << 20) -> Run:
    with anyio.fail_after(10):
        return await run(what, text, most=most)


async def test_more_text_than_any_pipe_holds_goes_in_and_out() -> None:
    text = b"x" * 500_000
    done = await ran(command("import shutil, sys; shutil.copyfileobj(sys.stdin, sys.stdout)"), text)
    assert done.succeeded
    assert done.output == text


async def test_a_program_need_not_read_its_input() -> None:
    done = await ran(command("print('no')"), b"x" * 500_000)
    assert (done.ending, done.output) == (Ending(0), b"no\n")


async def test_a_flood_is_cut_off_and_its_source_ended() -> None:
    flood = "import os\nos.write(2, b'%d' % os.getpid())\nwhile True: os.write(1, b'x' * 65536)"
    done = await ran(command(flood), most=300_000)
    assert done.ending is None
    assert not done.succeeded
    assert done.output == b""
    assert not exists(int(done.complaints))


async def test_as_much_as_is_allowed_is_no_flood() -> None:
    assert (await ran(command("print('x' * 9, end='')"), most=9)).output == b"x" * 9
    assert (await ran(command("print('x' * 10, end='')"), most=9)).ending is None


async def test_of_complaints_the_end_and_the_size_are_kept() -> None:
    code = "import sys; sys.stderr.write('a' * 1_000_000 + 'the end'); sys.exit(1)"
    done = await ran(command(code))
    assert not done.succeeded
    assert done.complaint_bytes == 1_000_007
    assert done.complaints.endswith("aaathe end")
    assert len(done.complaints) == TAIL_BYTES


async def test_cancelling_ends_a_program_that_waits_for_nothing(tmp_path: Path) -> None:
    signs = Signs(tmp_path)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ran, command(f"{signs.give}\nimport time; time.sleep(600)"), b"x" * 500_000)
            pid = await signs.pid()
            tasks.cancel_scope.cancel()
    assert not exists(pid)
