"""Answers that are owed: given later by whoever holds the promise, and broken with the incarnation."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import assert_never

import anyio
import pytest

from callboard.errors import ActorFailed, Refusal
from callboard.kernel import Actor, ActorRef, Child, Context, Promise, Request, Supervisor, open_system

pytestmark = pytest.mark.anyio


class NotToday(Refusal):
    """The shop's own refusal."""


class Order(Request["Shop", str], frozen=True, kw_only=True):
    """Be served when the shop opens; what is not on offer is refused."""

    what: str


class Open(Request["Shop", int], frozen=True, kw_only=True):
    """Serve all who wait; answers with how many heard of it."""


class Burn(Request["Shop", int], frozen=True, kw_only=True):
    """Crash."""


class Shop(Actor[Order | Open | Burn]):
    """Takes orders and owes their answers."""

    def __init__(self) -> None:
        self.orders: list[tuple[str, Promise[str]]] = []

    async def receive(self, message: Order | Open | Burn, context: Context[Shop]) -> None:
        match message:
            case Order():
                self.orders.append((message.what, context.promise(message)))
            case Open():
                context.reply(message, self.serve())
            case Burn():
                raise OSError("fire")
            case _:
                assert_never(message)

    def serve(self) -> int:
        heard = 0
        for what, promise in self.orders:
            heard += promise.refuse(NotToday(what)) if what == "fish" else promise.keep(f"a {what}")
            assert not promise.keep("another")  # what comes after it was settled changes nothing
        self.orders.clear()
        return heard


class Closing(Shop):
    """Serves those who still wait when it closes."""

    @asynccontextmanager
    async def running(self, context: Context[Closing]) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.serve_in_the_end)
            yield
            tasks.cancel_scope.cancel()

    async def serve_in_the_end(self) -> None:
        while True:
            await anyio.wait_all_tasks_blocked()
            self.serve()


@asynccontextmanager
async def shop(kind: type[Shop] = Shop) -> AsyncIterator[ActorRef[Shop]]:
    child: Child[Shop] = Child(name="shop", start=kind)
    with anyio.fail_after(5):
        async with open_system(Supervisor(name="root", children=(child,))) as system:
            yield system.ref(child)


async def test_promises_are_kept_each_with_its_own_answer_and_hold_up_nobody() -> None:
    answers: list[str] = []

    async def order(ref: ActorRef[Shop], what: str) -> None:
        answers.append(await ref.ask(Order(what=what)))

    async with shop() as ref, anyio.create_task_group() as tasks:
        for what in ("roll", "pie"):
            tasks.start_soon(order, ref, what)
        await anyio.wait_all_tasks_blocked()
        assert answers == []
        assert await ref.ask(Open()) == 2
    assert sorted(answers) == ["a pie", "a roll"]


async def test_a_promise_may_end_in_a_refusal() -> None:
    async with shop() as ref, anyio.create_task_group() as tasks:

        async def order() -> None:
            with pytest.raises(NotToday, match="fish"):
                await ref.ask(Order(what="fish"))

        tasks.start_soon(order)
        await anyio.wait_all_tasks_blocked()
        assert await ref.ask(Open()) == 1


async def test_to_whom_has_left_nothing_is_owed() -> None:
    async with shop() as ref:
        with anyio.move_on_after(math.inf) as patience:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ref.ask, Order(what="roll"))
                await anyio.wait_all_tasks_blocked()
                patience.cancel()
        assert await ref.ask(Open()) == 0
    # and the system ended without waiting for it


async def test_a_crash_breaks_what_was_promised_and_says_why() -> None:
    failures: list[ActorFailed] = []

    async def order(ref: ActorRef[Shop]) -> None:
        with pytest.raises(ActorFailed) as failed:
            await ref.ask(Order(what="roll"))
        failures.append(failed.value)

    async with shop() as ref, anyio.create_task_group() as tasks:
        tasks.start_soon(order, ref)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(ActorFailed):
            await ref.ask(Burn())
    assert isinstance(failures[0].__cause__, OSError)


async def test_an_orderly_end_waits_for_what_is_promised() -> None:
    answers: list[str] = []

    async def order(ref: ActorRef[Shop], sent: anyio.Event) -> None:
        sent.set()
        answers.append(await ref.ask(Order(what="roll")))

    async with anyio.create_task_group() as tasks, shop(Closing) as ref:
        sent = anyio.Event()
        tasks.start_soon(order, ref, sent)
        await sent.wait()
    assert answers == ["a roll"]
