"""The simulated actor: it does whatever its messages tell it to, and keeps books about it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, ClassVar, TypeAlias, assert_never

import anyio
import msgspec

from callboard.errors import ActorFailed, MailboxFull, Refusal
from callboard.kernel import (
    Actor,
    Channel,
    Child,
    Context,
    Decider,
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


Message: TypeAlias = Play | Hear | Watch | Tick


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

        class Slow(SlowPlayer):
            mailbox: ClassVar[MailboxSpec] = spec.mailbox

        class Quick(QuickPlayer):
            mailbox: ClassVar[MailboxSpec] = spec.mailbox

        def start() -> Player:
            return (Quick if spec.quick else Slow)(spec, self, next(entrances))

        child: Child[Player] = Child(
            name=f"player{spec.number}", start=start, restart=spec.restart, grace=spec.grace
        )
        self.children[spec.number] = child
        return child


class Player:
    """Obeys, whichever kind of actor it is."""

    def __init__(self, spec: PlayerSpec, stage: Stage, incarnation: int) -> None:
        self.spec = spec
        self.stage = stage
        self.incarnation = incarnation
        self.receiving = False
        self.at_work = 0

    @asynccontextmanager
    async def running(self, context: Context[Any]) -> AsyncIterator[None]:
        self.task = anyio.get_current_task().id
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

    @contextmanager
    def _receiving(self, message: Message) -> Iterator[None]:
        assert not self.receiving, "two receives at once"
        self.receiving = True
        if isinstance(message, Hear):
            self.stage.record.heard[f"player{self.spec.number}"] += 1
        try:
            yield
        finally:
            self.receiving = False

    def _act(self, message: Message, context: Context[Player]) -> None:
        match message:
            case Play():
                self._play(message, message.operation, context)
            case Hear():
                self._do(message.operation, context)
            case Watch():
                self._show(message, message.operation, context)
            case Tick():
                pass
            case _:
                assert_never(message)

    def _do(self, operation: Operation, context: Context[Player]) -> None:
        record = self.stage.record
        record.handled[operation.number] += 1
        record.write(f"player{self.spec.number} does {operation.number} {operation.deed.value}")
        match operation.deed:
            case Deed.REFUSE:
                raise Declined("no")
            case Deed.CRASH:
                raise Forgot(f"operation {operation.number}")
            case Deed.TICK:
                context.tell_later(Tick(), after=operation.lasts)
            case Deed.TELL_NOW:
                with suppress(anyio.WouldBlock, MailboxFull):
                    context.self_ref.tell_now(Tick())
            case Deed.STEP_DOWN:
                record.stepped_down.add(f"player{self.spec.number}")
                context.stop()
            case _:
                pass

    def _play(self, message: Play, operation: Operation, context: Context[Player]) -> None:
        self._do(operation, context)
        match operation.deed:
            case Deed.FORGET:
                pass
            case Deed.ASK_NOW:
                below = context.ref(self.stage.children[operation.passed_to])
                try:
                    below.ask_now(Play(operation=_harmless(operation)))
                except anyio.WouldBlock:
                    context.reply_from(message, lambda: self._work(operation, context))
                except (Refusal, ActorFailed) as error:
                    raise Declined("the one I asked did not help") from error
                else:
                    context.reply(message, operation.number)
            case Deed.WORK | Deed.WORK_AND_FAIL | Deed.WORK_AND_REFUSE | Deed.ASK_ON | Deed.SPAWN:
                context.reply_from(message, lambda: self._work(operation, context))
            case _:
                context.reply(message, operation.number)

    def _show(self, message: Watch, operation: Operation, context: Context[Player]) -> None:
        self._do(operation, context)

        async def produce(items: Channel[int]) -> None:
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
                case Deed.ASK_ON | Deed.ASK_NOW:
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
            start=lambda: (QuickPlayer if spec.quick else SlowPlayer)(spec, self.stage, 1),
            restart=Restart.TEMPORARY,
            grace=0.5,
        )


class SlowPlayer(Player, Actor[Message]):
    """A player that may take its time in ``receive``."""

    async def receive(self, message: Message, context: Context[Any]) -> None:
        with self._receiving(message):
            if not isinstance(message, Tick) and message.operation.deed is Deed.LINGER:
                await anyio.sleep(min(message.operation.lasts, 0.1))
            self._act(message, context)


class QuickPlayer(Player, Decider[Message]):
    """A player that decides at once."""

    def decide(self, message: Message, context: Context[Any]) -> None:
        with self._receiving(message):
            self.stage.record.in_place += anyio.get_current_task().id != self.task
            self._act(message, context)


def _harmless(operation: Operation) -> Operation:
    return msgspec.structs.replace(operation, number=-1 - operation.number, deed=Deed.ANSWER)
