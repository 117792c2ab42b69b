"""callboard.kernel.reply: an answer comes once, from whoever is first."""

import anyio
import pytest

from callboard.kernel import Channel
from callboard.kernel.reply import Reply, StreamReply
from callboard.kernel.signal import choose_signals

pytestmark = pytest.mark.anyio


def new_reply() -> Reply[int]:
    return Reply(choose_signals())


async def test_the_first_answer_counts() -> None:
    reply = new_reply()

    assert (reply.succeed(1), reply.succeed(2), reply.fail(ValueError())) == (True, False, False)
    with anyio.fail_after(5):
        assert await reply.wait() == 1


async def test_an_error_is_raised_in_the_asker() -> None:
    reply = new_reply()
    reply.fail(ValueError("why"))

    with pytest.raises(ValueError, match="why"), anyio.fail_after(5):
        await reply.wait()


async def test_an_answer_to_one_who_left_reports_that() -> None:
    reply = new_reply()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await reply.wait()

    assert (reply.gone, reply.succeed(1)) == (True, False)


async def test_leaving_cancels_the_work() -> None:
    reply, calls = new_reply(), []
    reply.cancel_work = lambda: calls.append("cancelled")
    reply.abandon()
    reply.abandon()

    assert calls == ["cancelled"]


async def test_a_value_that_comes_with_the_cancellation_is_delivered_or_reported_lost() -> None:
    reply, seen = new_reply(), []

    async def ask() -> None:
        seen.append(await reply.wait())

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
            delivered = reply.succeed(7)

    assert seen == ([7] if delivered else [])


async def test_an_error_that_comes_with_the_cancellation_gives_way_to_it() -> None:
    reply = new_reply()

    async def ask() -> None:
        await reply.wait()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
            reply.fail(ValueError("too late"))


@pytest.mark.parametrize("end", ["succeed", "fail", "abandon"])
async def test_every_end_of_a_stream_closes_the_producers_side(end: str) -> None:
    signals = choose_signals()
    channel: Channel[int] = Channel(signals, 1)
    reply: StreamReply[int] = StreamReply(signals, channel)
    match end:
        case "succeed":
            reply.succeed(None)
        case "fail":
            reply.fail(ValueError())
        case _:
            reply.abandon()

    with pytest.raises(anyio.BrokenResourceError):
        channel.send_nowait(1)
    assert not await channel.wait()
