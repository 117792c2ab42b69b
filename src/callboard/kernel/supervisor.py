"""Carries out what `policy` decides: starts children in order, stops them in reverse, never thinks.

A running supervisor is one loop that waits for children to end. Starting takes time (a back-off, an actor's
own ``running``), so every start happens in a *bring-up*, a task beside the loop: while one child is being
restarted the others are still looked after. Within one bring-up each child is up before the next is started.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import anyio
from anyio.abc import TaskGroup

from callboard.errors import ActorFailed
from callboard.kernel.child import ChildNode
from callboard.kernel.context import Surroundings
from callboard.kernel.environment import Environment
from callboard.kernel.lifecycle import Escalated, Restarted
from callboard.kernel.node import Ending, Node
from callboard.kernel.policy import Escalate, History, LeaveStopped, RestartChildren, decide
from callboard.kernel.ref import ActorRef
from callboard.kernel.slot import Slot
from callboard.kernel.tree import Child, Supervisor


class Entry:
    """One child in its supervisor's hands.

    Attributes:
        node: The child.
        closed: Whether it has ended for good.
        running: Whether a task runs it, starting and ending included.
        up: Whether its present incarnation has started.
        stopping: Whether its end is expected and nobody's concern.
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        self.closed = self.running = self.up = self.stopping = False
        self.scope: anyio.CancelScope
        self.settled: anyio.Event  # up, or ended before
        self.ended: anyio.Event
        self.judged = anyio.Event()  # ended, and the supervisor has decided what follows

    def begin(self) -> None:
        """Prepare for a new incarnation."""
        self.running, self.up, self.stopping = True, False, False
        self.scope = anyio.CancelScope()
        self.settled, self.ended, self.judged = anyio.Event(), anyio.Event(), anyio.Event()

    def mark_up(self) -> None:
        """Note that the incarnation has started."""
        self.up = True
        self.settled.set()

    def mark_ended(self) -> None:
        """Note that the incarnation has ended."""
        self.running = False
        self.ended.set()
        self.settled.set()

    def close(self) -> None:
        """End for good."""
        self.closed = True
        self.node.close()


class BringUp:
    """Children that wait to be started, in order, and the scope of the task that does it."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.waiting = deque(entries)
        self.scope = anyio.CancelScope()

    def leave_out(self, entries: Collection[Entry]) -> None:
        """Start all but ``entries``: a later decision governs those."""
        self.waiting = deque(entry for entry in self.waiting if entry not in entries)

    def cancel(self) -> None:
        """Start nobody any more."""
        self.waiting.clear()  # its task may be about to take the next one, without a checkpoint in between
        self.scope.cancel()


class SupervisorNode:
    """Runs the children of ``spec``; itself a node, so that trees nest.

    Attributes:
        path: Names from the root to this supervisor, joined by ``/``.
    """

    def __init__(
        self,
        spec: Supervisor,
        path: str,
        environment: Environment,
        find: Callable[[Child[Any]], ActorRef[Any]],
        *,
        ends_with_children: bool = False,
    ) -> None:
        self.path = path
        self._spec = spec
        self._environment = environment
        self._find = find
        self._ends_with_children = ends_with_children
        self._entries = tuple(Entry(self._make(child)) for child in spec.children)
        self._incarnation = 0
        self._restarts = 0
        self._history: History = ()
        self._exits: deque[tuple[Entry, Exception | None]] = deque()
        self._wake = anyio.Event()
        self._tasks: TaskGroup
        self._bring_ups: list[BringUp] = []
        self._ending: Ending | None = None
        self._until: float | None = None
        self._watch: anyio.CancelScope | None = None
        self._leaving: tuple[Entry, anyio.CancelScope] | None = None

    @property
    def name(self) -> str:
        """See `Node.name`."""
        return self._spec.name

    def refs(self) -> Iterator[tuple[Child[Any], ActorRef[Any]]]:
        """Yield every child actor of this tree, in start order, with its reference."""
        for child, entry in zip(self._spec.children, self._entries, strict=True):
            if isinstance(entry.node, SupervisorNode):
                yield from entry.node.refs()
            elif isinstance(entry.node, ChildNode) and isinstance(child, Child):
                yield child, entry.node.ref

    async def run(self, started: Callable[[], None]) -> None:
        """See `Node.run`: raises what kept a child from its first start, or ActorFailed on escalation."""
        failure: Exception | None = None
        self._exits.clear()
        self._history = ()
        self._incarnation += 1
        try:
            async with anyio.create_task_group() as self._tasks:
                with anyio.CancelScope() as self._watch:
                    if self._ending is None:
                        failure = await self._supervise(started)
                await self._stop_all()
        finally:
            self._watch = self._ending = self._until = None
        if failure is not None:
            raise failure

    def finish(self, ending: Ending, until: float | None) -> None:
        """See `Node.finish`. A second call may shorten the time, and stops are hurried that are under way."""
        self._ending = self._ending or ending
        if until is not None:
            self._until = until if self._until is None else min(self._until, until)
        if self._watch is not None:
            self._watch.cancel()
        if self._leaving is not None:
            entry, patience = self._leaving
            entry.node.finish(ending, self._until)
            patience.deadline = min(patience.deadline, entry.node.patience(self._until))

    def patience(self, until: float | None) -> float:
        """See `Node.patience`: a supervisor ends once its children have, and they are bound to."""
        return float("inf")

    def close(self) -> None:
        """See `Node.close`."""
        for entry in reversed(self._entries):
            entry.close()

    def snapshot(self) -> Mapping[str, object]:
        """See `Node.snapshot`."""
        return {
            "name": self.name,
            "path": self.path,
            "strategy": self._spec.strategy.value,
            "restarts": self._restarts,
            "children": tuple(entry.node.snapshot() for entry in self._entries),
        }

    def _make(self, child: Child[Any] | Supervisor) -> Node:
        path = f"{self.path}/{child.name}"
        if isinstance(child, Supervisor):
            return SupervisorNode(child, path, self._environment, self._find)
        slot = Slot(path, self._environment)
        surroundings = Surroundings(
            environment=self._environment, ref=self._find, new_session=self._session_maker(path)
        )
        return ChildNode(child, slot, surroundings)

    def _session_maker(self, path: str) -> Callable[[Child[Any]], tuple[Node, ActorRef[Any]]]:
        def new_session(child: Child[Any]) -> tuple[Node, ActorRef[Any]]:
            alone = Supervisor(name=child.name, children=(child,))
            node = SupervisorNode(alone, path, self._environment, self._find, ends_with_children=True)
            return node, next(node.refs())[1]

        return new_session

    async def _supervise(self, started: Callable[[], None]) -> Exception | None:
        starting = True
        self._bring_up(self._entries, 0.0)
        while True:
            self._wake = anyio.Event()
            while self._exits:
                entry, error = self._exits.popleft()
                if starting and not entry.up:
                    return error
                failure = await self._carry_out(entry, error)
                if failure is not None:
                    return failure
            if starting and all(entry.up or entry.closed for entry in self._entries):
                starting = False
                started()
            if self._ends_with_children and all(entry.closed for entry in self._entries):
                return None
            await self._wake.wait()

    async def _carry_out(self, entry: Entry, error: Exception | None) -> Exception | None:
        now = self._environment.clock()
        decision, self._history = decide(
            self._spec,
            entry.node.name,
            abnormal=error is not None,
            history=self._history,
            now=now,
            chance=self._environment.chance(),
        )
        match decision:
            case LeaveStopped():
                entry.close()
                entry.judged.set()
            case RestartChildren():
                await self._restart(decision, now)
            case Escalate():
                failure = ActorFailed(f"{self.path} gave up on {entry.node.name}")
                failure.__cause__ = error
                child = entry.node.name
                self._environment.observe(
                    Escalated(
                        at=now, path=self.path, incarnation=self._incarnation, child=child, error=failure
                    )
                )
                return failure
        return None

    async def _restart(self, decision: RestartChildren, now: float) -> None:
        self._restarts += 1
        affected = [entry for entry in self._entries if entry.node.name in decision.stop and not entry.closed]
        again = tuple(entry for entry in affected if entry.node.name in decision.start)
        names = tuple(entry.node.name for entry in again)
        self._environment.observe(
            Restarted(
                at=now,
                path=self.path,
                incarnation=self._incarnation,
                children=names,
                delay_s=decision.delay_s,
            )
        )
        for bring_up in self._bring_ups:
            bring_up.leave_out(affected)
        for entry in reversed(affected):
            await self._stop(entry, Ending.HALT, None)
            if entry not in again:
                entry.close()
        # The stops may have taken as long as a grace; an exit noted meanwhile must not restart anyone twice.
        self._exits = deque(noted for noted in self._exits if noted[0] not in affected)
        self._bring_up(again, decision.delay_s)
        for entry in affected:
            entry.judged.set()

    def _bring_up(self, entries: Iterable[Entry], delay_s: float) -> None:
        bring_up = BringUp(entries)
        self._bring_ups.append(bring_up)
        self._tasks.start_soon(self._start_in_order, bring_up, delay_s)

    async def _start_in_order(self, bring_up: BringUp, delay_s: float) -> None:
        try:
            with bring_up.scope:
                await anyio.sleep(delay_s)
                while bring_up.waiting:
                    entry = bring_up.waiting.popleft()
                    entry.begin()
                    judged = entry.judged
                    self._tasks.start_soon(self._run_child, entry)
                    await entry.settled.wait()
                    if not entry.up:
                        await judged.wait()
        finally:
            self._bring_ups.remove(bring_up)

    async def _run_child(self, entry: Entry) -> None:
        error: Exception | None = None
        try:
            with entry.scope:
                await entry.node.run(partial(self._note_up, entry))
        except Exception as raised:  # noqa: BLE001 - the actor's edge: policy decides what follows
            error = raised
        finally:
            entry.mark_ended()
            if not entry.stopping and self._ending is Ending.FINISH:
                entry.close()  # nobody restarts it any more, so nobody may wait for it
            elif not entry.stopping:
                self._exits.append((entry, error))
                self._wake.set()

    def _note_up(self, entry: Entry) -> None:
        entry.mark_up()
        self._wake.set()

    async def _stop_all(self) -> None:
        for bring_up in self._bring_ups:
            bring_up.cancel()
        for entry in reversed(self._entries):
            await self._stop(entry, self._ending or Ending.HALT, self._until)
            if self._ending is Ending.FINISH:
                entry.close()

    async def _stop(self, entry: Entry, ending: Ending, until: float | None) -> None:
        if not entry.running:
            return
        entry.stopping = True
        entry.node.finish(ending, until)
        with anyio.CancelScope(deadline=entry.node.patience(until)) as patience:
            self._leaving = entry, patience
            try:
                await entry.ended.wait()
            finally:
                self._leaving = None
        if entry.running:
            entry.scope.cancel()
            await entry.ended.wait()
