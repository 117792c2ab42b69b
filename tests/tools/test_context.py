"""What a tool may know of its call."""

from __future__ import annotations

import pytest

from callboard.domain.observation import Observation, ToolProgressed
from callboard.tools.context import NOWHERE, CallOrigin, ToolContext

pytestmark = pytest.mark.anyio


async def test_progress_is_told_to_whoever_watches() -> None:
    seen: list[Observation] = []
    context = ToolContext(name="dig", origin=CallOrigin(request_id="req_1"), observe=seen.append)
    await context.progress(0.25)
    assert seen == [ToolProgressed(request_id="req_1", name="dig", fraction=0.25)]


async def test_a_call_from_nowhere_may_tell_its_progress_too() -> None:
    await NOWHERE.progress(message="still here")
    assert (NOWHERE.call_id, NOWHERE.tenant, NOWHERE.response_id) == ("", "", "")
