"""A request id is the client's to choose, so that choosing badly must hurt nobody."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from tests.fakes.load import connect, post
from tests.fakes.relayed import chat_body
from tests.fakes.upstream import serve_upstream
from tests.soak.process import relay_config, running

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> object:
    return "asyncio"


async def test_requests_of_the_same_name_at_the_same_time_are_all_answered(tmp_path: Path) -> None:
    statuses: list[int] = []
    async with serve_upstream() as upstream, running(tmp_path, relay_config(upstream.base_url)) as server:

        async def ask() -> None:
            wire = await connect(server.port)
            wire.send(post(chat_body(), request_id="the-same"))
            statuses.append((await wire.answer()).status)
            wire.leave()

        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                for _ in range(20):
                    tasks.start_soon(ask)
        assert statuses == [200] * 20
        await server.stop()
