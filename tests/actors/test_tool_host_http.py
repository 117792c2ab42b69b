"""A host of a server behind a URL: gone, and found again."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest
from msgspec.structs import replace

from callboard.domain.observation import ToolSourceDown, ToolSourceUp
from callboard.tools.mcp.session import open_session
from tests.actors.test_tool_host import hosting
from tests.fakes.consenting import Person
from tests.fakes.mcp_guard import guarded
from tests.fakes.mcp_servers import Heard, at, listening, raw, until

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """One is enough: the host is the same as for other servers, and the HTTP client is the SDK's."""
    return request.param


async def test_a_server_behind_a_url_is_found_again_after_it_was_gone() -> None:
    with anyio.fail_after(25), listening() as (url, _):
        port = int(url.split(":")[2].split("/")[0])
        async with hosting(at(url), raw(name="near")) as seen:
            await seen.up("far", "near")
            assert await seen.text("add", a=1, b=2) == "3.0"
            with anyio.fail_after(1):
                assert "failed with error" in await seen.text("far__die")
            with anyio.fail_after(1):
                assert "is not available" in await seen.text("add", a=1, b=2)
            assert json.loads(await seen.text("echo", a=1)) == {"a": 1}
            with listening(port=port):
                await until(lambda: sum(isinstance(each, ToolSourceUp) for each in seen.told) == 3)
                assert await seen.text("add", a=1, b=2) == "3.0"
            assert seen.broken == []


async def test_a_server_that_wants_a_login_is_found_when_somebody_has_logged_in(tmp_path: Path) -> None:
    with anyio.fail_after(20), guarded() as server:
        settings = server.settings(tmp_path / "far.json")
        async with hosting(settings, longest_retry_s=0.3) as seen:
            await until(lambda: any(isinstance(each, ToolSourceDown) for each in seen.told))
            assert (await seen.states())["far"].reason.startswith("it wants a login: log in with `callboard")
            async with open_session(settings, replace(Heard().desk(), consent=Person())):
                pass
            await seen.up("far")
            assert await seen.text("far__header") == "s3cret"
            assert seen.broken == []
