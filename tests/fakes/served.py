"""A runtime behind its real HTTP server, on a port of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Literal, TypeAlias

import anyio
import httpx2
import uvicorn
from msgspec import Struct

from callboard.runtime import Runtime
from callboard.serving.admission import Admission
from callboard.serving.app import App
from callboard.serving.assembly import admission_of, build_app
from callboard.serving.http1 import ListenLimits
from callboard.serving.server import Listen, bind, serve
from callboard.serving.socket import SocketLimits
from callboard.tools.function import FunctionTool
from tests.fakes.company import Stage, company

Carrier: TypeAlias = Literal["own", "uvicorn"]
"""Our own server, or the application in somebody else's."""


class Served(Struct, frozen=True, kw_only=True, eq=False):
    """A running server.

    Attributes:
        url: Its address, without a slash at the end.
        client: Talks to it.
    """

    url: str
    port: int
    runtime: Runtime
    admission: Admission
    client: httpx2.AsyncClient


@asynccontextmanager
async def served(
    stage: Stage,
    *,
    tools: Sequence[FunctionTool[..., object]] = (),
    config: Mapping[str, object] | None = None,
    limits: ListenLimits | None = None,
    sockets: SocketLimits | None = None,
    carrier: Carrier = "own",
) -> AsyncIterator[Served]:
    """Serve a company on loopback for the length of the block. Needs asyncio, as the servers do."""
    async with company(stage, tools=tools, config=config) as runtime, anyio.create_task_group() as tasks:
        admission = admission_of(runtime.config)
        listen = Listen(host="127.0.0.1", port=0, drain_s=5, limits=limits or ListenLimits())
        started = anyio.Event()
        address: list[str] = []

        def on_start(url: str) -> None:
            address.append(url.rstrip("/"))
            started.set()

        app = build_app(runtime, admission, sockets)
        if carrier == "uvicorn":
            tasks.start_soon(carried_by_uvicorn, app, on_start)
        else:
            tasks.start_soon(partial(serve, app, admission, listen, started=on_start))
        await started.wait()
        url = address[0]
        async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=10) as client:
            yield Served(
                url=url,
                port=int(url.rpartition(":")[2]),
                runtime=runtime,
                admission=admission,
                client=client,
            )
        tasks.cancel_scope.cancel()


async def carried_by_uvicorn(app: App, started: Callable[[str], None]) -> None:
    """Serve ``app`` as an ASGI application until cancelled."""
    config = uvicorn.Config(app, lifespan="off", log_config=None, ws="wsproto", loop="none")
    with bind("127.0.0.1", 0) as bound:
        server = _Uvicorn(config)
        started(f"http://127.0.0.1:{bound.getsockname()[1]}/")
        try:
            await server.serve(sockets=[bound])
        finally:
            # uvicorn leaves its sockets open where it is cancelled instead of told to stop.
            for each in server.servers:
                each.close()


class _Uvicorn(uvicorn.Server):
    """Without its signal handlers: the test's process is not the server's."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
