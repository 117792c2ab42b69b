"""Lives of a server over one store: each ends by a kill, and its clients come back to the next one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import anyio
import httpx2
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from tests.oracles.responses_lifecycle import events_in, violations
from tests.soak.kill_upstream import Model
from tests.soak.process import ROOT, START_S
from tests.wire.openai_responses.official import check_response

DONE = b"data: [DONE]\n\n"
OF_THE_DEAD = (
    "an incomplete item is not the last",
    "an item is incomplete and the response is not",
    "response.incomplete: there is no usage",
)
CONFIG = """
[server]
port = 0
drain_seconds = 0
[log]
file = "{folder}/log"
[providers.up]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
[models.demo-model]
provider = "up"
"""


@dataclass(eq=False)
class Known:
    """A response that a client knows of, and what it has seen of its stream, in whole events."""

    id: str
    key: str
    seen: bytes = b""

    @property
    def over(self) -> bool:
        return self.seen.endswith(DONE)

    @property
    def last(self) -> int:
        """The number of the last event that was seen; -1 before the first."""
        numbers = [event.data["sequence_number"] for event in events_in(self.seen) if event.data]
        return max(numbers, default=-1)


class Session:
    """See the module's docstring.

    Attributes:
        known: Background responses that were acknowledged.
        foreground: Streams that a client read, with as much of each as came.
    """

    def __init__(self, folder: Path, model: Model, port: int) -> None:
        self.known: list[Known] = []
        self.foreground: list[Known] = []
        self._folder = folder
        self._model = model
        self._keys = 0
        self._file = folder / "callboard.toml"
        self._file.write_text(CONFIG.format(folder=folder, port=port))

    @asynccontextmanager
    async def life(self, *, die: str = "") -> AsyncIterator[tuple[Process, httpx2.AsyncClient]]:
        """The server, from its start until the block ends and kills it."""
        command = (
            *(sys.executable, "-m", "tests.soak.kill_serve", "--ledger", str(self._folder / "ledger")),
            *("--die", die, str(self._file)),
        )
        with (self._folder / "stderr").open("ab") as errors:
            process = await anyio.open_process(command, stdout=subprocess.PIPE, stderr=errors, cwd=ROOT)
        async with process:
            try:
                assert process.stdout is not None
                line = b""
                with anyio.fail_after(START_S), suppress(anyio.IncompleteRead):
                    line = await BufferedByteReceiveStream(process.stdout).receive_until(b"/ ", 500)
                url = f"http://127.0.0.1:{line.decode().rpartition(':')[2] or 1}"
                async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=30) as client:
                    yield process, client
            finally:
                if process.returncode is None:
                    process.kill()

    async def ask(self, client: httpx2.AsyncClient, *, count: int = 1, foreground: int = 0) -> None:
        """Order responses and follow all that have not ended, until they have or the server is dead."""
        async with anyio.create_task_group() as tasks:
            for known in self.known:
                tasks.start_soon(self.follow, client, known)
            for _ in range(count):
                tasks.start_soon(self._order, client)
            for _ in range(foreground):
                tasks.start_soon(self._read, client)

    async def follow(self, client: httpx2.AsyncClient, known: Known) -> None:
        """Read on where this client lost the stream."""
        if not known.over:
            after = f"&starting_after={known.last}" if known.seen else ""
            await read_into(known, client, "GET", f"/v1/responses/{known.id}?stream=true{after}")

    async def _order(self, client: httpx2.AsyncClient) -> None:
        key = self._next_key()
        if self._keys % 3 == 0:
            known = Known("", key)
            body = {**self._body(key), "background": True, "stream": True}
            await read_into(known, client, "POST", "/v1/responses", body)
            if known.id:
                self.known.append(known)
            return
        with suppress(httpx2.TransportError):
            answer = await client.post("/v1/responses", json={**self._body(key), "background": True})
            if is_leaving(answer):
                return
            assert answer.status_code == 200, answer.text
            known = Known(answer.json()["id"], key)
            self.known.append(known)
            await self.follow(client, known)

    async def _read(self, client: httpx2.AsyncClient) -> None:
        known = Known("", self._next_key())
        await read_into(known, client, "POST", "/v1/responses", {**self._body(known.key), "stream": True})
        if known.id:
            self.foreground.append(known)

    def _next_key(self) -> str:
        self._keys += 1
        return f"key{self._keys}"

    def _body(self, key: str) -> dict[str, object]:
        return {"model": "demo-model", "input": key}

    async def settle(self, client: httpx2.AsyncClient) -> None:
        """Follow everything to its end, and hold it against what was promised."""
        await self.ask(client, count=0)
        for known in self.known:
            assert known.over, known.id
            response = (await client.get(f"/v1/responses/{known.id}")).json()
            check_response(response)
            assert response["status"] == "completed", response
        for known in self.foreground:
            response = (await client.get(f"/v1/responses/{known.id}")).json()
            assert response["status"] in ({"completed"} if known.over else {"completed", "incomplete"})
        for known in (*self.known, *self.foreground):
            again = await client.get(f"/v1/responses/{known.id}?stream=true")
            assert faults_in(again.content) == [], faults_in(again.content)
            if known.over:
                assert known.seen == again.content
            await self._next_turn(client, known)
        self._check_effects()

    async def _next_turn(self, client: httpx2.AsyncClient, known: Known) -> None:
        body = {**self._body("and on"), "previous_response_id": known.id}
        answer = await client.post("/v1/responses", json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["status"] == "completed"

    def _check_effects(self) -> None:
        assert self._model.faults == []
        effects = Counter((self._folder / "ledger").read_text().split("\n")[:-1])
        told = self._model.told
        for known in self.known:
            assert effects[f"look {known.key}"] >= 2
            assert effects[f"wait {known.key}"] >= 1
            assert effects[f"pay {known.key}"] == 1 or "unknown" in told[known.key, "pay"]
            assert told[known.key, "look"] == f"seen {known.key}"
            assert told[known.key, "wait"] == f"waited {known.key}"
        assert [line for line, times in effects.items() if line.startswith("pay") and times > 1] == []


def faults_in(stream: bytes) -> list[str]:
    """What is wrong with a stream, but for what stands of a generation that died with its process."""
    return [each for each in violations(events_in(stream)) if not each.endswith(OF_THE_DEAD)]


async def read_into(
    known: Known, client: httpx2.AsyncClient, method: str, path: str, body: object = None
) -> None:
    """Read a stream until it ends or the server is dead; half an event at the end was not seen."""
    seen = b""
    with suppress(httpx2.TransportError):
        async with client.stream(method, path, json=body) as answer:
            if answer.status_code != 200:
                await answer.aread()
                assert is_leaving(answer), answer.text
                return
            async for piece in answer.aiter_raw():
                seen += piece
    known.seen += seen[: seen.rfind(b"\n\n") + 2] if b"\n\n" in seen else b""
    if not known.id and known.seen:
        known.id = json.loads(known.seen.split(b"data: ")[1].split(b"\n")[0])["response"]["id"]


def is_leaving(answer: httpx2.Response) -> bool:
    """Whether a server that was told to stop says that it takes nothing more."""
    return answer.status_code == 503 and "shutting down" in answer.text
