"""Mixed traffic seen from inside: tasks, the upstream's connections and the ledger's open reservations."""

from __future__ import annotations

import asyncio

import anyio
import pytest

import callboard
from callboard.providers.handler import ProviderHandler
from callboard.providers.openai import OpenAIHandler
from callboard.providers.registry import Registry
from callboard.providers.script import Script
from callboard.providers.settings import ProviderSettings
from callboard.serving.http1 import ListenLimits
from callboard.tools.function import FunctionTool
from callboard.transport import DialGuard, PooledClient
from tests.fakes.company import Stage
from tests.fakes.relayed import settled
from tests.fakes.served import Served, served
from tests.fakes.upstream import FakeUpstream, serve_upstream
from tests.soak.mix import MAX_BODY_BYTES, TIMEOUT_S, Mix

pytestmark = pytest.mark.anyio
REQUESTS, WARM_UP, CLIENTS = 300, 40, 16


@callboard.tool
async def add(a: float, b: float) -> float:
    """Add two numbers."""
    return a + b


PATHS: dict[str, list[FunctionTool[..., object]]] = {"relay": [], "actors": [add]}


@pytest.fixture
def anyio_backend() -> object:
    return "asyncio"


class SharedClient(Stage):
    """OpenAI providers that send through a client which the test can look into."""

    def __init__(self, client: PooledClient) -> None:
        super().__init__(unused=Script())
        self._client = client

    def registry(self) -> Registry:
        registry = super().registry()
        registry.register("openai", self._openai, override=True)
        return registry

    def _openai(self, settings: ProviderSettings) -> ProviderHandler:
        return OpenAIHandler(settings, client=self._client)


def config_for(upstream: FakeUpstream) -> dict[str, object]:
    limits = {"first_byte_s": TIMEOUT_S, "answer_s": TIMEOUT_S, "idle_s": TIMEOUT_S}
    return {
        "server": {"max_body_bytes": MAX_BODY_BYTES},
        "providers": {"up": {"kind": "openai", "base_url": upstream.base_url, "timeouts": limits}},
        "models": {"demo-model": {"provider": "up", "upstream_name": "fake-1", "input": 1, "output": 2}},
        "assistants": {"default": {"model": "demo-model"}},
    }


async def at_rest(server: Served, upstream: FakeUpstream, client: PooledClient, tasks: int = 0) -> int:
    """Waits until nothing is in work; returns the tasks there are, without those of kept connections."""
    accounts = await settled(server)
    assert accounts.tokens.open == 0
    assert accounts.tokens.reserved == accounts.tokens.settled + accounts.tokens.released
    with anyio.fail_after(5):
        while True:
            await anyio.lowlevel.checkpoint()
            connections = client.statistics()
            alive = len(asyncio.all_tasks()) - upstream.open_connections
            quiet = not connections.in_use and connections.idle == upstream.open_connections
            if quiet and (not tasks or alive <= tasks):
                break
    assert connections.waiting == 0
    assert server.admission.in_work == 0
    return alive


@pytest.mark.parametrize("path", list(PATHS))
async def test_three_hundred_mixed_ends_leave_no_task_connection_or_reservation(path: str) -> None:
    limits = ListenLimits(header_s=0.5, body_idle_s=0.5)
    async with (
        serve_upstream() as upstream,
        PooledClient(guard=DialGuard(frozenset({"127.0.0.1"}))) as client,
        served(SharedClient(client), tools=PATHS[path], config=config_for(upstream), limits=limits) as server,
    ):
        mix = Mix(server.port, upstream, seed=7, tools=path == "actors")
        tasks = await at_rest(server, upstream, client)
        with anyio.fail_after(60):
            await mix.run(WARM_UP, CLIENTS)
            await at_rest(server, upstream, client, tasks)
            await mix.run(REQUESTS, CLIENTS)
        assert mix.unfair == []
        assert len({kind for kind, _ in mix.ends}) >= 12
        await at_rest(server, upstream, client, tasks)
