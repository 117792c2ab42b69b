"""Running other programs: what they get, what they may use, and that they end."""

from __future__ import annotations

import functools
import os
import resource
import signal

import anyio
import msgspec
import pytest
from anyio import EndOfStream

from callboard.domain.tool_process import ProcessLimits
from callboard.tools.child import Child, Command, Ending, open_child
from tests.tools.programs import command, exists, gone, open_files, own_children

pytestmark = pytest.mark.anyio


async def all_of(child: Child) -> bytes:
    read = b""
    try:
        while True:
            read += await child.stdout.receive()
    except EndOfStream:
        return read


async def printed(run: Command) -> tuple[bytes, Ending]:
    """What a program prints, and how it ends."""
    with anyio.fail_after(10):
        async with open_child(run) as child:
            return await all_of(child), await child.wait()


async def test_a_program_reads_writes_and_ends() -> None:
    code = "import sys; sys.stdout.write(sys.stdin.read()[::-1]); sys.stderr.write('so'); sys.exit(3)"
    with anyio.fail_after(10):
        async with open_child(command(code)) as child:
            await child.stdin.send(b"abc")
            await child.stdin.aclose()
            assert await all_of(child) == b"cba"
            assert await child.stderr.receive() == b"so"
            assert await child.wait() == Ending(3)
            assert await child.wait() == Ending(3)  # as often as anybody asks


async def test_a_program_sees_its_environment_and_nothing_else() -> None:
    given = {"LC_CTYPE": "C.UTF-8", "TOKEN": "a b", "PYTHONPATH": "/nowhere"}
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    output, _ = await printed(command(code, environment=given))
    assert msgspec.json.decode(output) == given


async def test_a_program_has_three_files_and_a_group_of_its_own() -> None:
    code = (
        "import os; os.dup(0); print(*sorted(int(each) for each in os.listdir('/proc/self/fd')));"
        "print(os.getpgid(0) == os.getpid(), os.getsid(0) != os.getpgid(0))"
    )
    output, _ = await printed(command(code))
    files, group = output.decode().splitlines()
    assert files == "0 1 2 3 4"  # the duplicate, and the folder being listed
    assert group == "True True"


async def test_a_program_starts_with_the_usual_signals() -> None:
    code = (
        "import _signal as s; print(s.getsignal(s.SIGTERM) == s.SIG_DFL, s.getsignal(s.SIGHUP) == s.SIG_DFL)"
    )
    output, _ = await printed(command(code))
    assert output == b"True True\n"
    # Python ignores SIGPIPE for itself, so here a shell has to say.
    shell = Command(argv=("/bin/sh", "-c", "kill -PIPE $$; echo alive"), environment={}, folder="/")
    assert await printed(shell) == (b"", Ending(-signal.SIGPIPE))


@pytest.mark.parametrize(
    "argv, words",
    [
        (("/nowhere/at/all",), "could not be run: No such file or directory"),
        (("/etc/passwd",), "could not be run: Permission denied"),
    ],
)
async def test_a_program_that_cannot_be_run_is_told(argv: tuple[str, ...], words: str) -> None:
    _, ending = await printed(Command(argv=argv, environment={}, folder="/"))
    assert str(ending) == words


async def test_a_folder_that_is_not_there_is_an_error_and_leaves_nothing_open() -> None:
    before = open_files()
    with pytest.raises(FileNotFoundError):
        async with open_child(Command(argv=("/bin/true",), environment={}, folder="/nowhere")):
            pass
    assert open_files() == before


async def test_limits_are_what_the_program_has() -> None:
    limits = ProcessLimits(memory_mb=256, cpu_seconds=7, files=32, processes=5)
    code = (
        "import json, resource as r;"
        "print(json.dumps([r.getrlimit(each) for each in"
        " (r.RLIMIT_AS, r.RLIMIT_CPU, r.RLIMIT_NOFILE, r.RLIMIT_NPROC, r.RLIMIT_CORE)]))"
    )
    output, _ = await printed(command(code, limits=limits))
    memory, processor, files, (processes, _), core = msgspec.json.decode(output)
    assert (memory, processor, files, core) == ([256 * 2**20] * 2, [7, 8], [32, 32], [0, 0])
    assert 5 <= processes < 2**20


async def test_a_limit_that_is_lower_already_stays() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    code = "import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE)[1])"
    output, _ = await printed(command(code, limits=ProcessLimits(files=most * 2)))
    assert int(output) == most


async def test_memory_and_files_beyond_the_limit_are_refused() -> None:
    limits = ProcessLimits(memory_mb=128, files=16)
    code = (
        "try: bytearray(300 * 2**20)\n"
        "except MemoryError: print('no memory')\n"
        "try: files = [open('/dev/null') for _ in range(20)]\n"
        "except OSError as error: print(error.strerror)\n"
    )
    output, _ = await printed(command(code, limits=limits))
    assert output.decode().splitlines() == ["no memory", "Too many open files"]


def test_a_program_that_uses_up_its_processor_time_is_ended() -> None:
    endless = command("while True: pass", limits=ProcessLimits(cpu_seconds=1))
    _, ending = anyio.run(functools.partial(printed, endless))
    assert str(ending) == "was ended by SIGXCPU"


STUBBORN = """
import os, signal, sys, time
for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(each, signal.SIG_IGN)
if os.fork() == 0:
    if os.fork() == 0:      # a grandchild that has left the group, and lost its parent
        os.setsid()
        if os.fork():
            os._exit(0)
    time.sleep(0.01)
os.write(1, b'%d\\n' % os.getpid())
if len(sys.argv) < 2:
    time.sleep(600)
"""


async def pids(child: Child, count: int) -> list[int]:
    read = b""
    while read.count(b"\n") < count:
        read += await child.stdout.receive()
    return [int(each) for each in read.split()]


async def test_leaving_the_block_ends_the_whole_family() -> None:
    with anyio.fail_after(10):
        async with open_child(command(STUBBORN)) as child:
            family = await pids(child, 3)
            assert all(map(exists, family))
    assert not any(map(exists, family))


async def test_cancelling_ends_the_whole_family() -> None:
    family: list[int] = []
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:

            async def hold() -> None:
                async with open_child(command(STUBBORN)) as child:
                    family.extend(await pids(child, 3))
                    tasks.cancel_scope.cancel()
                    await anyio.sleep_forever()

            tasks.start_soon(hold)
    assert len(family) == 3
    assert not any(map(exists, family))


async def test_what_a_program_leaves_behind_ends_with_it() -> None:
    code = "import os, time\nif os.fork() == 0: os.setsid(); time.sleep(600)\nelse: print(os.getpid())"
    output, ending = await printed(command(code))  # which ends only when nobody holds its output any more
    assert ending == Ending(0)
    assert not exists(int(output))


async def test_a_program_can_be_asked_to_end() -> None:
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
        "print('ready', flush=True); time.sleep(600)"
    )
    with anyio.fail_after(10):
        async with open_child(command(code)) as child:
            assert await child.stdout.receive() == b"ready\n"
            child.ask_to_end()
            assert await child.wait() == Ending(7)


async def test_a_program_can_be_ended_at_once() -> None:
    with anyio.fail_after(10):
        async with open_child(command("import time; time.sleep(600)")) as child:
            child.end()
            assert str(await child.wait()) == "was ended by SIGKILL"


async def test_a_program_dies_with_its_launcher() -> None:
    code = "import os, time; print(os.getpid(), os.getppid(), flush=True); time.sleep(600)"
    with anyio.fail_after(10):
        async with open_child(command(code)) as child:
            program, launcher = map(int, (await child.stdout.receive()).split())
            os.kill(launcher, signal.SIGKILL)
            assert await child.wait() == Ending(-signal.SIGKILL)
            await gone(program)


async def test_a_launcher_that_does_not_move_is_ended_with_its_program() -> None:
    code = (
        "import os, signal, time; os.kill(os.getppid(), signal.SIGSTOP); print(os.getpid()); time.sleep(600)"
    )
    with anyio.fail_after(10):
        async with open_child(command(code.replace("()); time", "(), flush=True); time"))) as child:
            program = int(await child.stdout.receive())
        await gone(program)


async def test_many_runs_leave_no_process_and_no_file() -> None:
    await printed(command("pass"))
    files, children = open_files(), own_children()
    for _ in range(5):
        await printed(command("import sys; sys.exit(1)"))
    assert open_files() == files
    assert own_children() == children


async def test_a_stream_ends_when_its_program_closes_it() -> None:
    with anyio.fail_after(10):
        async with open_child(command("import os, time; os.close(1); time.sleep(600)")) as child:
            assert await all_of(child) == b""
