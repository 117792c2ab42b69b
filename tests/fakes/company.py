"""A whole runtime over scripted providers: everything real but the model."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from callboard.config import LogConfig
from callboard.providers.handler import ProviderHandler
from callboard.providers.registry import Registry, default_registry
from callboard.providers.script import AnyStep, Reply, Script
from callboard.providers.scripted import ScriptedHandler
from callboard.providers.settings import ProviderSettings
from callboard.runtime import Runtime, open_runtime
from callboard.telemetry.logging import Log
from callboard.telemetry.sink import open_file
from callboard.tools.function import FunctionTool


class Stage:
    """Scripted providers by name, and what the runtime logged."""

    def __init__(self, **scripts: Script) -> None:
        self.handlers = {
            name: ScriptedHandler(ProviderSettings(name=name, kind="scripted"), script=script)
            for name, script in scripts.items()
        }
        self.log: Path | None = None
        self._logged = ""

    def registry(self) -> Registry:
        """A registry whose scripted providers are these."""
        registry = default_registry()
        registry.register("scripted", self._handler, override=True)
        return registry

    def _handler(self, settings: ProviderSettings) -> ProviderHandler:
        return self.handlers[settings.name]

    def lines(self) -> list[str]:
        """The log so far."""
        if self.log is not None:
            self._logged = self.log.read_text()
        return self._logged.splitlines()


def replies(*each: Sequence[AnyStep]) -> Script:
    """A script of replies, each made of steps; later calls are echoed."""
    return Script(replies=tuple(Reply(steps=tuple(steps)) for steps in each))


@asynccontextmanager
async def company(
    stage: Stage,
    *,
    tools: Sequence[FunctionTool[..., object]] = (),
    config: Mapping[str, object] | None = None,
) -> AsyncIterator[Runtime]:
    """A runtime with a model ``NAME-model`` for each scripted provider, and the assistant ``default``."""
    names = list(stage.handlers)
    chosen: dict[str, object] = {
        "providers": {name: {"kind": "scripted"} for name in names},
        "models": {f"{name}-model": {"provider": name} for name in names},
        "assistants": {"default": {"model": f"{names[0]}-model"}},
        "store": {"url": "memory:"},
        **(config or {}),
    }
    with tempfile.TemporaryDirectory() as folder:
        stage.log = Path(folder) / "log"
        log = Log(open_file(str(stage.log)), LogConfig())
        try:
            async with open_runtime(chosen, tools=tools, registry=stage.registry(), log=log) as runtime:
                yield runtime
        finally:
            log.close()
            stage.lines()
            stage.log = None
