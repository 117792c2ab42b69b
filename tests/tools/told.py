"""A source of external tools under test."""

from __future__ import annotations

import os
from pathlib import Path

import anyio
from msgspec import Raw

from callboard.domain.message import text_of
from callboard.domain.observation import Observation, ToolUnavailable
from callboard.domain.tool_process import ToolProcess
from callboard.domain.tools import ToolOutcome
from callboard.tools.process import ProcessTools
from tests.tools.programs import configured, program

ENVIRON = {"PATH": os.environ["PATH"], "OPENAI_API_KEY": "secret-canary", "CITY": "Oslo"}
NAME = Raw(b'{"name": "Ada"}')


class Told:
    """A source of external tools, and what it told."""

    def __init__(self, *tools: ToolProcess, probe_s: float = 20) -> None:
        self.heard: list[Observation] = []
        self.source = ProcessTools(tools, environ=ENVIRON, observe=self.heard.append, probe_s=probe_s)

    async def call(self, name: str = "greet", arguments: Raw = NAME) -> ToolOutcome:
        """What a call comes to."""
        with anyio.fail_after(20):
            return await self.source.call(name, arguments)

    async def text(self) -> str:
        """What a model would read of a call."""
        return text_of((await self.call()).content)

    async def why(self) -> tuple[str, str]:
        """Why the only tool is unavailable, and what its program said."""
        with anyio.fail_after(20):
            assert await self.source.definitions() == ()
        (report,) = await self.source.reports()
        assert report.state == "unavailable"
        (told,) = self.heard
        assert told == ToolUnavailable(name=report.name, reason=report.reason, detail=report.detail)
        return report.reason, report.detail


def failing(folder: Path, body: str) -> Told:
    """The tool ``greet``, which does this when it is called."""
    return Told(configured(program(folder, body)))
