"""The simulated actor: it does whatever its messages tell it to, and keeps books about it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import ClassVar, assert_never

import anyio
import msgspec
from anyio.streams.memory import MemoryObjectSendStream

from callboard.errors import ActorFailed, Refusal
from callboard.kernel import (
    Actor,
    Child,
    Context,
    MailboxSpec,
    Notice,
    Request,
    Restart,
    StreamRequest,
    Supervisor,
)
from tests.simulation.record import Record
from tests.simulation.scenario import Deed, Operation, PlayerSpec, TroupeSpec


class Declined(Refusal):
    """A player's own refusal."""


class Forgot(Exception):
    """A player's crash."""


class Play(Request["Player", int], frozen=True, kw_only=True):
    """Do the deed and answer with the operation's number."""

    operation: Operation


class Hear(Notice["Player"], frozen=True, kw_only=True):
    """Do the deed."""

    operation: Operation


class Watch(StreamRequest["Player", int], frozen=True, kw_only=True):
    """Do the deed and send the operation's items."""

    operation: Operation


class Tick(Notice["Player"], frozen=True, kw_only=True):
    """Told by a player to itself."""


class Stage:
    """What all players of a simulation share."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.children: dict[int, Child[Player]] = {}

    def tree(self, troupe: TroupeSpec) -> Supervisor:
        """Make the supervision tree."""
        members = tuple(
            self.tree(member) if isinstance(member, TroupeSpec) else self.child(member)
            for member in troupe.members
        )
        return Supervisor(
            name=troupe.name,
            children=members,
            strategy=troupe.strategy,
            intensity=troupe.intensity,
            backoff=troupe.backoff,
        )

    def child(self, spec: PlayerSpec) -> Child[Player]:
        """Make one child."""
        entrances = iter(range(1, 1_000_000))

        class Cast(Player):
            mailbox: ClassVar[MailboxSpec] = spec.mailbox

        def start() -> Player:
            return Cast(spec, self, next(entrances))

        child: Child[Player] = Child(
            name=f"player{spec.number}", start=start, restart=spec.restart, grace=spec.grace
        )
        self.children[spec.number] = child
        return child


class Player(Actor["Play | Hear | Watch | Tick"]):
    """Obeys."""

    def __init__(self, spec: PlayerSpec, stage: Stage, incarnation: int) -> None:
        self.spec = spec
        self.stage = stage
        self.incarnation = incarnation
        self.receiving = False
        self.at_work = 0

    @asynccontextmanager
    async def running(self, context: Context[Player]) -> AsyncIterator[None]:
        await anyio.sleep(self.spec.enters_in)
        if self.incarnation in self.spec.fails_to_enter:
            raise Forgot(f"player {self.spec.number} at entrance {self.incarnation}")
        self.stage.record.alive += 1
        try:
            yield
        finally:
            self.stage.record.alive -= 1
            if self.at_work:
                self.stage.record.violations.append(f"player {self.spec.number} left before its work did")

    async def receive(self, message: Play | Hear | Watch | Tick, context: Context[Player]) -> None:
        assert not self.receiving, "two receives at once"
        self.receiving = True
        try:
            match message:
                case Play():
                    await self._play(message, message.operation, context)
                case Hear():
                    self.stage.record.heard[f"player{self.spec.number}"] += 1
                    await self._do(message.operation, context)
                case Watch():
                    await self._show(message, message.operation, context)
                case Tick():
                    pass
                case _:
                    assert_never(message)
        finally:
            self.receiving = False

    async def _do(self, operation: Operation, context: Context[Player]) -> None:
        record = self.stage.record
        record.handled[operation.number] += 1
        record.write(f"player{self.spec.number} does {operation.number} {operation.deed.value}")
        match operation.deed:
            case Deed.REFUSE:
                raise Declined("no")
            case Deed.CRASH:
                raise Forgot(f"operation {operation.number}")
            case Deed.LINGER:
                await anyio.sleep(min(operation.lasts, 0.1))
            case Deed.TICK:
                context.tell_later(Tick(), after=operation.lasts)
            case Deed.STEP_DOWN:
                record.stepped_down.add(f"player{self.spec.number}")
                context.stop()
            case _:
                pass

    async def _play(self, message: Play, operation: Operation, context: Context[Player]) -> None:
        await self._do(operation, context)
        match operation.deed:
            case Deed.FORGET:
                pass
            case Deed.WORK | Deed.WORK_AND_FAIL | Deed.WORK_AND_REFUSE | Deed.ASK_ON | Deed.SPAWN:
                context.reply_from(message, lambda: self._work(operation, context))
            case _:
                context.reply(message, operation.number)

    async def _show(self, message: Watch, operation: Operation, context: Context[Player]) -> None:
        await self._do(operation, context)

        async def produce(items: MemoryObjectSendStream[int]) -> None:
            for item in range(operation.items):
                await items.send(item)
                await anyio.sleep(operation.lasts / 10)
            await self._work(operation, context)

        if operation.deed is not Deed.FORGET:
            context.stream_from(message, produce)

    async def _work(self, operation: Operation, context: Context[Player]) -> int:
        with self._working(operation):
            match operation.deed:
                case Deed.WORK_AND_FAIL:
                    raise Forgot(f"work on {operation.number}")
                case Deed.WORK_AND_REFUSE:
                    raise Declined("not after all")
                case Deed.ASK_ON:
                    below = context.ref(self.stage.children[operation.passed_to])
                    await self._pass_on(below.ask(Play(operation=_harmless(operation))))
                case Deed.SPAWN:
                    session = await context.spawn(self._walk_on(operation))
                    await self._pass_on(session.ask(Play(operation=_harmless(operation))))
                case _:
                    await anyio.sleep(operation.lasts)
        return operation.number

    @contextmanager
    def _working(self, operation: Operation) -> Iterator[None]:
        self.at_work += 1
        self.stage.record.working += 1
        try:
            yield
        finally:
            self.at_work -= 1
            self.stage.record.working -= 1
            self.stage.record.worked_until[operation.number] = anyio.current_time()

    async def _pass_on(self, ask: Coroutine[object, object, int]) -> None:
        try:
            await ask
        except (Refusal, ActorFailed) as error:
            raise Declined("the one I asked did not help") from error

    def _walk_on(self, operation: Operation) -> Child[Player]:
        spec = msgspec.structs.replace(self.spec, restart=Restart.TEMPORARY, fails_to_enter=())
        return Child(
            name=f"walk-on{operation.number}",
            start=lambda: Player(spec, self.stage, 1),
            restart=Restart.TEMPORARY,
            grace=0.5,
        )


def _harmless(operation: Operation) -> Operation:
    return msgspec.structs.replace(operation, number=-1 - operation.number, deed=Deed.ANSWER)
