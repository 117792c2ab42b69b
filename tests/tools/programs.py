"""Programs that tests write, and whether the processes they started are gone."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import anyio
import msgspec

from callboard.domain.tool_process import ProcessLimits, ToolProcess, Variable
from callboard.tools.child import Command

PYTHON = (sys.executable, "-I", "-S")
"""Starts fast, and takes nothing from its environment."""

USAGE = {
    "schema": {
        "name": "greet",
        "description": "Greet somebody.\nBy name.",
        "parameters": {
            "type": "object",
            "properties": {"name": {"type": "string"}},
            "required": ["name"],
            "additionalProperties": False,
        },
    },
    "env": {},
}

TOOL = """
import json, os, sys
if "--usage" in sys.argv:
    {usage}
elif "--health" in sys.argv:
    {health}
else:
    {body}
"""

GREETING = "print(json.dumps({'greeting': 'Hello, ' + json.load(sys.stdin)['name']}))"


def command(
    code: str, *, environment: Mapping[str, str] | None = None, limits: ProcessLimits | None = None
) -> Command:
    """A Python program of this text."""
    return Command(
        argv=(*PYTHON, "-c", code),
        environment={"LC_CTYPE": "C.UTF-8"} if environment is None else environment,
        folder="/",
        limits=limits or ProcessLimits(),
    )


def program(
    folder: Path,
    body: str = GREETING,
    *,
    name: str = "greet",
    usage: object = None,
    usage_code: str | None = None,
    health: str = "print('{\"status\": true}')",
) -> Path:
    """Write a tool of the protocol; ``body`` is what it does when it is called."""
    said = msgspec.json.encode(USAGE if usage is None else usage).decode()
    path = folder / f"{name}.py"
    path.write_text(
        TOOL.format(
            usage=usage_code or f"print({said!r})",
            health=health,
            body=body.replace("\n", "\n    "),
        )
    )
    return path


def configured(
    path: Path,
    *,
    timeout_s: float = 60.0,
    idempotent: bool = False,
    enabled: bool = True,
    variables: tuple[Variable, ...] = (),
    limits: ProcessLimits | None = None,
) -> ToolProcess:
    """The tool whose program is at ``path``, under the name of the file."""
    return ToolProcess(
        name=path.stem,
        command=(*PYTHON, str(path)),
        folder=str(path.parent),
        timeout_s=timeout_s,
        idempotent=idempotent,
        variables=variables,
        limits=limits or ProcessLimits(),
        enabled=enabled,
    )


class Signs:
    """How a program tells a test that it runs: its number, through a named pipe.

    Attributes:
        give: Python code that does it.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / "signs"
        os.mkfifo(path)
        self._path = path
        self.give = f"import os; open({str(path)!r}, 'w').write(str(os.getpid()))"

    async def pid(self) -> int:
        """The program's number, once it runs."""
        reading = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            await anyio.wait_readable(reading)
            return int(os.read(reading, 20))
        finally:
            os.close(reading)


async def gone(pid: int) -> None:
    """Wait until a process has ended, whoever's child it is."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        await anyio.wait_readable(process)
    finally:
        os.close(process)


def exists(pid: int) -> bool:
    """Whether there is such a process; a zombie is one."""
    return Path(f"/proc/{pid}").exists()


def own_children() -> set[int]:
    """Processes whose parent is this one; zombies too."""
    found = set()
    for each in Path("/proc").iterdir():
        if each.name.isdecimal():
            try:
                fields = (each / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == os.getpid():
                found.add(int(each.name))
    return found


def open_files() -> int:
    """How many files this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))
