"""Sessions over pipes: what goes through, what does not, and that nothing is left behind."""

from __future__ import annotations

import gc
import json
import os
import signal

import anyio
import pytest
from msgspec.structs import replace

from callboard.domain.block import TextBlock
from callboard.domain.tools import ToolOutcome
from callboard.tools.context import CallOrigin
from callboard.tools.mcp import StdioServer
from callboard.tools.mcp.session import LiveSession, open_session
from callboard.tools.source import SourceUnavailable
from tests.fakes.mcp_servers import Heard, children, is_alive, raw, until

pytestmark = pytest.mark.anyio

ORIGIN = CallOrigin(request_id="req_1")


def text(outcome: ToolOutcome) -> str:
    (block,) = outcome.content
    assert isinstance(block, TextBlock)
    return block.text


async def call(session: LiveSession, tool: str, **arguments: object) -> str:
    return text(await session.call(tool, arguments, ORIGIN))


@pytest.mark.parametrize("mood, wire", [("honest", "2025-06-18"), ("newer", "2025-11-25")])
async def test_a_session_lists_and_calls_and_ends_without_a_trace(mood: str, wire: str) -> None:
    before = children()
    with anyio.fail_after(10):
        async with open_session(raw(mood), Heard().desk()) as session:
            assert session.protocol == wire
            tools = await session.tools()
            assert [each.name for each in tools][:2] == ["echo", "pid"]
            assert json.loads(await call(session, "echo", a=[1, "ü"])) == {"a": [1, "ü"]}
            pid = int(await call(session, "pid"))
    assert not is_alive(pid)
    assert children() <= before
    gc.collect()


async def test_calls_run_side_by_side_and_find_their_answers() -> None:
    with anyio.fail_after(10):
        async with open_session(raw(), Heard().desk()) as session, anyio.create_task_group() as tasks:
            got: dict[int, str] = {}

            async def ask(number: int) -> None:
                got[number] = await call(session, "echo", n=number)

            for each in range(50):
                tasks.start_soon(ask, each)
            await until(lambda: len(got) == 50)
    assert all(json.loads(value) == {"n": key} for key, value in got.items())


async def test_a_server_knows_its_own_variables_and_none_of_ours() -> None:
    os.environ["CALLBOARD_TEST_CANARY"] = "canary"
    try:
        with anyio.fail_after(10):
            async with open_session(raw(env={"NAMED": "yes"}), Heard().desk()) as session:
                seen = json.loads(await call(session, "environment"))
    finally:
        del os.environ["CALLBOARD_TEST_CANARY"]
    assert seen["NAMED"] == "yes"
    assert set(seen) <= {"NAMED", "HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER", "LC_CTYPE"}


@pytest.mark.parametrize("how", ["die", "kill"])
async def test_calls_fail_at_once_when_the_server_dies(how: str) -> None:
    with anyio.fail_after(10):
        async with open_session(raw(), Heard().desk()) as session:
            pid = int(await call(session, "pid"))
            failures: list[SourceUnavailable] = []

            async def hang() -> None:
                try:
                    await call(session, "hang")
                except SourceUnavailable as error:
                    failures.append(error)

            with anyio.fail_after(1):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(hang)
                    tasks.start_soon(hang)
                    await anyio.lowlevel.checkpoint()
                    if how == "kill":
                        os.kill(pid, signal.SIGKILL)
                    else:
                        with pytest.raises(SourceUnavailable):
                            await call(session, "die")
            assert [each.sent for each in failures] == [True, True]
            with pytest.raises(SourceUnavailable, match=r"closed its (out|in)put"):
                await session.news(5)
            with pytest.raises(SourceUnavailable):
                await call(session, "echo")
    assert not is_alive(pid)


async def test_a_cancelled_call_is_cancelled_there_and_the_session_goes_on() -> None:
    with anyio.fail_after(10):
        async with open_session(raw(), Heard().desk()) as session:
            for _ in range(20):
                with anyio.move_on_after(0.01):
                    await call(session, "hang")
            cancelled = json.loads(await call(session, "cancelled"))
            assert len(cancelled) == 20
            assert json.loads(await call(session, "echo", still="here")) == {"still": "here"}


async def test_what_a_server_leaves_behind_goes_with_it() -> None:
    with anyio.fail_after(10):
        async with open_session(raw(), Heard().desk()) as session:
            left = int(await call(session, "grandchild"))
            assert is_alive(left)
        assert not is_alive(left)
        async with open_session(raw(), Heard().desk()) as session:
            left = int(await call(session, "grandchild"))
            with pytest.raises(SourceUnavailable):
                await call(session, "die")
        assert not is_alive(left)


async def test_a_server_that_ignores_every_request_to_end_is_ended() -> None:
    with anyio.fail_after(10):
        async with open_session(raw("immortal"), Heard().desk()) as session:
            pid = int(await call(session, "pid"))
        assert not is_alive(pid)


async def test_an_endless_line_ends_the_session_and_fails_the_call() -> None:
    with anyio.fail_after(10):
        async with open_session(raw(), Heard().desk()) as session:
            with pytest.raises(SourceUnavailable, match="more than 8 MiB"):
                await call(session, "flood", what="line")


async def test_a_flood_on_standard_error_stops_nothing_and_is_told_in_part() -> None:
    heard = Heard()
    with anyio.fail_after(20):
        async with open_session(raw(), heard.desk()) as session:
            assert await call(session, "flood", what="stderr") == "flooded"
            assert await call(session, "flood", what="long") == "flooded"
            assert await call(session, "flood", what="junk") == "flooded"
    assert 100 <= len(heard.said) <= 1500
    assert all(len(each.text) <= 2000 and "\n" not in each.text for each in heard.said)


async def test_what_is_no_protocol_is_remarked_on_and_skipped() -> None:
    heard = Heard()
    with anyio.fail_after(10):
        async with open_session(raw(), heard.desk()) as session:
            assert await call(session, "flood", what="junk") == "flooded"
    assert next(each.text for each in heard.said if each.severity == "stdout") == "hello, I am no JSON"


@pytest.mark.parametrize("mood, count", [("pages", 5), ("endless", 100)])
async def test_every_page_of_a_list_is_read_but_not_for_ever(mood: str, count: int) -> None:
    with anyio.fail_after(10):
        async with open_session(raw(mood), Heard().desk()) as session:
            assert len(await session.tools()) == count


async def test_of_too_many_tools_a_thousand_are_taken() -> None:
    with anyio.fail_after(20):
        async with open_session(raw("many", "20000"), Heard().desk()) as session:
            assert len(await session.tools()) == 1000


async def test_a_server_that_ends_while_it_starts_is_said_to() -> None:
    with anyio.fail_after(10), pytest.raises(SourceUnavailable, match="status 7"):
        async with open_session(raw("quits"), Heard().desk()):
            raise AssertionError("it has no session")


async def test_a_server_that_hangs_while_it_starts_is_given_up_without_a_trace() -> None:
    before = children()
    with anyio.fail_after(10):
        with anyio.move_on_after(0.5) as scope:
            async with open_session(raw("hung"), Heard().desk()):
                raise AssertionError("it has no session")
    assert scope.cancelled_caught
    assert children() <= before


async def test_a_command_that_does_not_exist_is_said_to() -> None:
    server = replace(raw(), way=StdioServer(command="no-such-command-here"))
    with anyio.fail_after(5), pytest.raises(SourceUnavailable, match="not to be found"):
        async with open_session(server, Heard().desk()):
            raise AssertionError("it has no session")
