"""callboard.kernel.reply: an answer comes once, from whoever is first."""

import asyncio

import anyio
import pytest

from callboard.kernel import Channel
from callboard.kernel.reply import LastingReply, Reply, StreamReply
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


class Outcome:
    """What an asker who does not leave has seen: the answer, and whether it was cancelled all the same."""

    def __init__(self) -> None:
        self.reply: LastingReply[int] = LastingReply(choose_signals())
        self.seen: list[object] = []

    async def ask(self) -> None:
        try:
            self.seen.append(await self.reply.wait())
        except ValueError as error:
            self.seen.append(str(error))
        await anyio.lowlevel.checkpoint()
        self.seen.append("never cancelled")


@pytest.mark.parametrize("error", [None, ValueError("why")], ids=["value", "error"])
@pytest.mark.parametrize("answered", ["later", "at once"])
async def test_one_who_does_not_leave_sees_the_answer_and_is_cancelled_then(
    answered: str, error: Exception | None
) -> None:
    outcome = Outcome()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(outcome.ask)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
            if answered == "later":
                with anyio.CancelScope(shield=True):
                    await anyio.wait_all_tasks_blocked()
                assert outcome.seen == []
            assert outcome.reply.succeed(7) if error is None else outcome.reply.fail(error)

    assert outcome.seen == [7 if error is None else "why"]
    assert not outcome.reply.gone


async def test_one_who_does_not_leave_is_answered_once() -> None:
    reply: LastingReply[int] = LastingReply(choose_signals())

    assert (reply.succeed(1), reply.succeed(2), reply.fail(ValueError())) == (True, False, False)
    with anyio.fail_after(5):
        assert await reply.wait() == 1


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_what_cancels_without_a_scope_is_not_waited_out(anyio_backend: str) -> None:
    outcome = Outcome()
    task = asyncio.create_task(outcome.ask())
    await anyio.wait_all_tasks_blocked()
    task.cancel()

    with pytest.raises(asyncio.CancelledError), anyio.fail_after(5):
        await task
    assert (outcome.seen, outcome.reply.gone) == ([], True)


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
