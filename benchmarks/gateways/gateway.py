"""What the driver has to know of a gateway; each file of `benchmarks.gateways.peers` describes one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

REQUIREMENTS = Path(__file__).parent / "peers"


class Site(Struct, frozen=True, kw_only=True):
    """Where a gateway is to run.

    Attributes:
        port: What it has to listen on, on 127.0.0.1.
        upstream: The mock's port.
        home: Its environment, made by `Gateway.install`.
        work: An empty folder for configuration and logs, in memory where the machine can.
    """

    port: int
    upstream: int
    home: Path
    work: Path

    @property
    def upstream_url(self) -> str:
        """The mock, without a path."""
        return f"http://127.0.0.1:{self.upstream}"

    def write(self, name: str, text: str) -> str:
        """A file in the working folder; returns its path."""
        path = self.work / name
        path.write_text(text)
        return str(path)


class Launch(Struct, frozen=True, kw_only=True):
    """How to start a gateway, and how to talk to it.

    Attributes:
        headers: What clients have to send besides a key.
        prefix: What goes before a model's name.
        responses: Path of the Responses API; empty where it has none.
        stream_end: What the last bytes of a stream hold; the dialect's end, but for gateways that send none.
    """

    argv: Sequence[str]
    env: Mapping[str, str] = {}
    headers: Sequence[tuple[str, str]] = ()
    path: str = "/v1/chat/completions"
    responses: str = ""
    prefix: str = ""
    stream_end: str = "[DONE]"


class Gateway(Struct, frozen=True, kw_only=True):
    """A program between client and upstream.

    Attributes:
        about: What it is, in a few words.
        version: What is installed; None where nothing is. Given its environment's folder.
        install: Puts it into that folder; None where that is the system's business.
        start_s: How long its start may take.
    """

    name: str
    about: str
    version: Callable[[Path], str | None]
    launch: Callable[[Site], Launch]
    install: Callable[[Path], None] | None = None
    start_s: float = 20.0


def install_from_pypi(name: str, python: str = sys.executable) -> Callable[[Path], None]:
    """Makes a virtual environment that holds what ``peers/NAME.txt`` lists, compiled to bytecode."""
    return install_listed(REQUIREMENTS / f"{name}.txt", python)


def install_listed(requirements: Path, python: str = sys.executable) -> Callable[[Path], None]:
    """The same with what any file lists."""

    def install(home: Path) -> None:
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        pip = (str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--compile")
        for command in ((python, "-m", "venv", str(home)), (*pip, "-r", str(requirements))):
            subprocess.run(command, check=True, env=environment)

    return install


def version_in(distribution: str) -> Callable[[Path], str | None]:
    """Looks up the version of a distribution in a virtual environment."""

    def version(home: Path) -> str | None:
        python = home / "bin" / "python"
        if not python.exists():
            return None
        ask = f"import importlib.metadata as m; print(m.version({distribution!r}))"
        done = subprocess.run((str(python), "-c", ask), capture_output=True, text=True, check=False)
        return done.stdout.strip() or None

    return version
