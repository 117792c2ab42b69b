"""Whether anybody is still waiting for the answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine

import anyio

from callboard.serving.exchange import ClientGone, Exchange


async def until_gone(
    exchange: Exchange,
    work: Callable[[], Awaitable[None]],
    beside: Callable[[], Coroutine[object, object, None]] | None = None,
) -> None:
    """Run ``work``, and cancel it as soon as the client has gone. The body must have been read.

    Args:
        exchange: The client's.
        work: What is done for it.
        beside: Runs next to it, and ends with it.

    Raises:
        ClientGone: It went before the work was done.
    """
    gone = False

    async def watch() -> None:
        nonlocal gone
        await exchange.left()
        # Servers report the end of a complete answer as the client's leaving too.
        gone = not exchange.complete
        if gone:
            tasks.cancel_scope.cancel()

    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        if beside is not None:
            tasks.start_soon(beside)
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - carried out of the group unwrapped, and raised below
            failure = error
        tasks.cancel_scope.cancel()
    if gone:
        raise ClientGone
    if failure is not None:
        raise failure
