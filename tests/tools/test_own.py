"""Sources of this process in the tool space: the quick at once, the slow when they are ready."""

from __future__ import annotations

import anyio
import pytest
from msgspec import Raw

from callboard.domain.observation import ToolUnavailable
from callboard.domain.tools import ToolDefinition, ToolOutcome
from callboard.errors import ConfigurationError
from callboard.tools.context import ToolContext
from callboard.tools.own import OwnTools
from callboard.tools.source import ToolTraits
from callboard.tools.space import ToolSpace

pytestmark = pytest.mark.anyio


class Source:
    """Has one tool; says so when it is let."""

    def __init__(self, name: str, *, ready: bool = True) -> None:
        self.name = name
        self.ready = anyio.Event()
        if ready:
            self.ready.set()

    async def definitions(self) -> tuple[ToolDefinition, ...]:
        await self.ready.wait()
        if self.name == "":
            raise ConfigurationError("a tool needs a name")
        return (ToolDefinition(name=self.name),)

    def traits(self, name: str) -> ToolTraits:
        return ToolTraits(idempotent=name == "b")

    async def call(self, name: str, arguments: Raw, context: ToolContext) -> ToolOutcome:
        raise AssertionError("nobody calls")


def names(space: ToolSpace) -> list[str]:
    return [each.name for each in space.offered()]


async def test_a_slow_source_keeps_nobody_waiting_and_comes_into_its_place() -> None:
    slow, quick = Source("a", ready=False), Source("b")
    space = ToolSpace()
    own = OwnTools([slow, quick], space, lambda _: None, start_s=0.01)
    with anyio.fail_after(5):
        await own.list_quick()
        assert names(space) == ["b"]
        assert own.source_of("a") is None
        assert own.source_of("b") is quick
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(own.list_slow)
            await anyio.wait_all_tasks_blocked()
            slow.ready.set()
            await own.complete()
    assert names(space) == ["a", "b"]
    assert own.source_of("a") is slow
    place = space.find("b")
    assert place is not None
    assert place.traits.idempotent


async def test_two_quick_sources_with_one_name_are_refused() -> None:
    own = OwnTools([Source("a"), Source("a")], ToolSpace(), lambda _: None)
    with anyio.fail_after(5), pytest.raises(ConfigurationError, match="two tools are named 'a'"):
        await own.list_quick()


async def test_what_a_source_says_of_the_configuration_is_not_wrapped() -> None:
    own = OwnTools([Source("")], ToolSpace(), lambda _: None)
    with anyio.fail_after(5), pytest.raises(ConfigurationError, match="a tool needs a name"):
        await own.list_quick()


async def test_a_slow_source_that_takes_anothers_name_is_left_out_and_told() -> None:
    told: list[ToolUnavailable] = []
    first, late, space = Source("a"), Source("a", ready=False), ToolSpace()
    own = OwnTools([late, first], space, told.append, start_s=0.01)
    with anyio.fail_after(5):
        await own.list_quick()
        late.ready.set()
        await own.list_slow()
    assert names(space) == ["a"]
    assert own.source_of("a") is first
    assert [(each.name, each.reason) for each in told] == [("a", "two tools are named 'a'; rename one")]
