"""A running tree, from the first child's start to the last one's end."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any, TypeVar

import anyio

from callboard.kernel.admission import Admission, Visit
from callboard.kernel.environment import Environment
from callboard.kernel.lifecycle import Drained, LifecycleEvent, Observer
from callboard.kernel.node import Ending
from callboard.kernel.ref import ActorRef
from callboard.kernel.signal import choose_clock, choose_signals
from callboard.kernel.supervisor import SupervisorNode
from callboard.kernel.tree import Child, Supervisor

T = TypeVar("T")


class System:
    """The handle on a running tree; made by `open_system`.

    Attributes:
        failure: What the tree failed with, None while it has not.
    """

    def __init__(self, tree: Supervisor, environment: Environment) -> None:
        self.failure: Exception | None = None
        self._environment = environment
        self._root = SupervisorNode(tree, tree.name, environment, self.ref)
        self._refs: dict[Child[Any], ActorRef[Any]] = {}
        for child, ref in self._root.refs():
            if child in self._refs:
                raise ValueError(f"the tree holds the child {child.name} twice")
            self._refs[child] = ref
        self._settled = anyio.Event()
        self._ended = anyio.Event()

    def ref(self, child: Child[T]) -> ActorRef[T]:
        """Return the reference of a child of the tree.

        Raises:
            KeyError: The tree has no such child.
        """
        return self._refs[child]

    def admit(self) -> AbstractContextManager[None]:
        """Return a block of work from outside, e.g. one client request, that a drain waits for.

        Inside it, and in tasks started inside it, asks stay possible while the system drains.

        Raises:
            Draining: On entering, if a drain has begun.
        """
        return Visit(self._environment.admission)

    async def drain(self, *, grace: float = 30.0) -> None:
        """Stop in order: admit nothing new, let admitted work and then each actor finish, last started first.

        An actor has finished when its queue is empty and its spawned work done. The stop goes on even when
        the caller is cancelled; leaving `open_system` waits for it.

        Args:
            grace: Seconds for all of it, in place of the children's own; what runs then is cancelled, in
                order.
        """
        until = anyio.current_time() + grace
        self._environment.admission.close()
        with anyio.CancelScope(deadline=until):
            await self._environment.admission.wait_empty()
        self._root.finish(Ending.FINISH, until)
        await self._ended.wait()
        in_time = anyio.current_time() < until
        clock = self._environment.clock
        self._environment.observe(Drained(at=clock(), path=self._root.path, in_time=in_time))

    def snapshot(self) -> Mapping[str, object]:
        """Return the live tree as plain values: each actor's state, queue and counts."""
        return self._root.snapshot()

    async def run(self, failed: Callable[[], None]) -> None:
        """Run the tree to its end; for `open_system`. No cancellation reaches it: it is ended by `finish`."""
        try:
            with anyio.CancelScope(shield=True):
                await self._root.run(self._settled.set)
        except Exception as error:  # noqa: BLE001 - the outermost edge; `open_system` raises it
            self.failure = error
            failed()
        finally:
            self._environment.admission.close()
            self._root.close()
            self._settled.set()
            self._ended.set()

    async def wait_up(self) -> None:
        """Suspend until every child has started, or the start has failed."""
        await self._settled.wait()

    async def finish(self, *, at_once: bool) -> None:
        """End the tree: every child within its own grace, or with none at all. Returns once it has ended."""
        self._environment.admission.close()
        self._root.finish(Ending.FINISH, anyio.current_time() if at_once else None)
        with anyio.CancelScope(shield=True):
            await self._ended.wait()


def ignore(event: LifecycleEvent) -> None:
    """Observe nothing."""


@asynccontextmanager
async def open_system(
    tree: Supervisor,
    *,
    observe: Observer = ignore,
    clock: Callable[[], float] = anyio.current_time,
    chance: Callable[[], float] = random.random,
) -> AsyncIterator[System]:
    """Run a supervision tree for the length of a block.

    The block begins once every child is up. Leaving it stops the children in reverse order, each within its
    grace: its queue is emptied and its work awaited, then it is cancelled. If the block is cancelled they are
    cancelled at once, still in reverse order.

    Args:
        tree: What to run.
        observe: Told of every lifecycle event; must neither block nor raise.
        clock: Monotonic seconds for restart intensity and events; the event loop's own by default.
        chance: Random numbers in [0, 1), for the jitter of back-off.

    Raises:
        ActorFailed: The root gave up on a child. The block has been cancelled and everything stopped.
        Exception: Whatever kept a child from its first start; those before it have been stopped again.
    """
    environment = Environment(
        observe=observe,
        clock=clock,
        chance=chance,
        admission=Admission(),
        signals=choose_signals(),
        now=choose_clock(),
        # anyio.current_effective_deadline looks the back end up at every call; every ask needs it.
        deadline=anyio.lowlevel.current_token().backend_class.current_effective_deadline,
    )
    system = System(tree, environment)
    left_by: BaseException | None = None
    async with anyio.create_task_group() as host:
        block = anyio.CancelScope()
        host.start_soon(system.run, block.cancel)
        try:
            with block:
                await system.wait_up()
                await anyio.lowlevel.checkpoint()
                yield system
        except BaseException as error:  # noqa: BLE001 - raised again below, outside the task group
            left_by = error
        await system.finish(at_once=left_by is not None and not isinstance(left_by, Exception))
    if system.failure is not None:
        raise system.failure from system.failure.__cause__
    if left_by is not None:
        raise left_by
