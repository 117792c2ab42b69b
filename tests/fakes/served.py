"""A runtime behind its real HTTP server, on a port of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial

import anyio
import httpx2
from msgspec import Struct

from callboard.runtime import Runtime
from callboard.serving.admission import Admission
from callboard.serving.assembly import admission_of, build_app
from callboard.serving.listener import ListenLimits
from callboard.serving.server import Listen, serve
from callboard.tools.function import FunctionTool
from tests.fakes.company import Stage, company


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
) -> AsyncIterator[Served]:
    """Serve a company on loopback for the length of the block. Needs asyncio, as the server does."""
    async with company(stage, tools=tools, config=config) as runtime, anyio.create_task_group() as tasks:
        admission = admission_of(runtime.config)
        listen = Listen(host="127.0.0.1", port=0, keep_alive_s=5, drain_s=5, limits=limits or ListenLimits())
        started = anyio.Event()
        address: list[str] = []

        def on_start(url: str) -> None:
            address.append(url.rstrip("/"))
            started.set()

        app = build_app(runtime, admission)
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
