"""A connection to an upstream that is kept for later is not kept for ever."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest

from tests.fakes.load import connect, post
from tests.fakes.relayed import chat_body
from tests.fakes.sampler import until
from tests.fakes.upstream import serve_upstream
from tests.soak.process import relay_config, running

pytestmark = pytest.mark.anyio
AT_ONCE = 10


@pytest.fixture
def anyio_backend() -> object:
    return "asyncio"


async def test_a_kept_connection_that_the_upstream_closes_is_closed_here_too(tmp_path: Path) -> None:
    async with AsyncExitStack() as upstreams:
        upstream = await upstreams.enter_async_context(serve_upstream())
        async with running(tmp_path, relay_config(upstream.base_url)) as server:

            async def ask() -> None:
                wire = await connect(server.port)
                wire.send(post(chat_body()))
                assert (await wire.answer()).status == 200
                wire.leave()

            with anyio.fail_after(10):
                async with anyio.create_task_group() as tasks:
                    for _ in range(AT_ONCE):
                        tasks.start_soon(ask)
            assert server.sample().connected_to(upstream.port) >= 1
            await upstreams.aclose()
            after = await until(
                server.process.pid, lambda now: not now.connected_to(upstream.port), within_s=5
            )
            assert after.sockets_in("CLOSE_WAIT") == 0
            assert after.connected_to(upstream.port) == 0
            await server.stop()
