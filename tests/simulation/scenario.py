"""A simulated evening as values: a tree, its players' habits, and what is asked of them when."""

import random
from enum import Enum

import msgspec

from callboard.kernel import Backoff, Intensity, MailboxSpec, Overflow, Restart, Strategy


class Deed(Enum):
    """What a message makes its receiver do."""

    ANSWER = "answer"
    REFUSE = "refuse"
    CRASH = "crash"
    FORGET = "forget"
    LINGER = "linger"  # receive itself suspends
    WORK = "work"  # spawned work
    WORK_AND_FAIL = "work and fail"
    WORK_AND_REFUSE = "work and refuse"
    ASK_ON = "ask on"  # spawned work that asks an actor started earlier
    SPAWN = "spawn"  # a session child that answers
    TICK = "tick"  # tell oneself later
    STEP_DOWN = "step down"
    ASK_NOW = "ask now"  # an actor started earlier, within the same step if it can
    TELL_NOW = "tell now"  # itself, from within


class Kind(Enum):
    """How a message is sent."""

    ASK = "ask"
    TELL = "tell"
    STREAM = "stream"


class PlayerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One actor."""

    number: int  # in start order over the whole tree
    quick: bool  # a Decider
    restart: Restart
    grace: float
    mailbox: MailboxSpec
    enters_in: float  # seconds that `running` takes
    fails_to_enter: tuple[int, ...]  # incarnations whose `running` raises


class TroupeSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One supervisor."""

    name: str
    strategy: Strategy
    intensity: Intensity
    backoff: Backoff
    members: tuple["PlayerSpec | TroupeSpec", ...]


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One message from outside."""

    number: int
    at: float
    to: int
    kind: Kind
    deed: Deed
    lasts: float
    items: int
    passed_to: int  # for ASK_ON: an actor started earlier
    deadline: float | None
    cancelled_after: float | None
    leaves_after: int | None  # for a stream: how many events the consumer takes
    shielded: bool  # for an ask: its answer is waited for, whatever cancels its sender


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """A whole evening."""

    seed: int
    tree: TroupeSpec
    players: int
    operations: tuple[Operation, ...]
    drain_at: float | None
    drain_grace: float


def make_scenario(seed: int, *, operations: int, quick: bool = True) -> Scenario:
    """Draw a scenario; the same seed draws the same one. Some players are Deciders if ``quick``."""
    rng = random.Random(seed)
    maker = _Maker(rng, random.Random(-1 - seed) if quick else None)
    tree = maker.troupe("root", depth=0, budget=rng.randint(1, 30))
    hostile = rng.random() < 0.7
    drawn = [maker.operation(number, hostile=hostile) for number in range(operations)]
    return Scenario(
        seed=seed,
        tree=tree,
        players=maker.players,
        operations=tuple(sorted(drawn, key=lambda operation: operation.at)),
        drain_at=rng.choice((None, rng.uniform(0, 20), 5.0, 20.0)),
        drain_grace=rng.choice((0.0, 1.0, 30.0)),
    )


class _Maker:
    def __init__(self, rng: random.Random, quick: random.Random | None) -> None:
        self.rng = rng
        self.quick = quick  # draws by itself, so that with or without it a seed draws the same evening
        self.players = 0

    def troupe(self, name: str, *, depth: int, budget: int) -> TroupeSpec:
        rng = self.rng
        members: list[PlayerSpec | TroupeSpec] = []
        while budget > 0:
            if depth < 3 and rng.random() < 0.25:
                share = rng.randint(1, budget)
                members.append(self.troupe(f"troupe{len(members)}", depth=depth + 1, budget=share))
                budget -= share
            else:
                members.append(self.player())
                budget -= 1
        return TroupeSpec(
            name=name,
            strategy=rng.choice(tuple(Strategy)),
            intensity=Intensity(max_restarts=rng.randint(0, 12), within=rng.choice((1.0, 5.0, 20.0))),
            backoff=rng.choice((Backoff(), Backoff(initial=1.0), Backoff(initial=0.0))),
            members=tuple(members),
        )

    def player(self) -> PlayerSpec:
        rng = self.rng
        number = self.players
        self.players += 1
        late_failure = (rng.randint(2, 4),) if rng.random() < 0.1 else ()
        return PlayerSpec(
            number=number,
            quick=self.quick is not None and self.quick.random() < 0.6,
            restart=rng.choices(tuple(Restart), weights=(6, 2, 1))[0],
            grace=rng.choice((0.0, 0.5, 5.0)),
            mailbox=MailboxSpec(capacity=rng.choice((1, 2, 4, 64)), overflow=rng.choice(tuple(Overflow))),
            enters_in=rng.choice((0.0, 0.0, 0.3)),
            fails_to_enter=(1,) if rng.random() < 0.003 else late_failure,
        )

    def operation(self, number: int, *, hostile: bool) -> Operation:
        rng = self.rng
        to = min(rng.randrange(self.players), rng.randrange(self.players))  # some are asked more than others
        crashes = 1.5 if hostile else 0.05
        weights = (9, 3, crashes, 1, 2, 6, 3, 2, 6 if to else 0, 1, 2, crashes / 2)
        return Operation(
            number=number,
            at=rng.choice((rng.uniform(0, 15), float(rng.randint(0, 5)))),  # half of them come in bursts
            to=to,
            kind=rng.choices(tuple(Kind), weights=(6, 2, 2))[0],
            deed=self.hurried(rng.choices(tuple(Deed)[: len(weights)], weights=weights)[0]),
            lasts=rng.choice((0.0, 0.1, 1.0, 4.0)),
            items=rng.randint(0, 5),
            passed_to=rng.randrange(to) if to else 0,
            deadline=rng.choice((None, None, 0.05, 0.5, 3.0)),
            cancelled_after=rng.choice((None, None, None, 0.0, 0.1, 1.0)),
            leaves_after=rng.choice((None, None, 0, 2)),
            shielded=self.quick is not None and self.quick.random() < 0.25,
        )

    def hurried(self, deed: Deed) -> Deed:
        """Do within one step some of what takes several."""
        if self.quick is None or self.quick.random() < 0.5:
            return deed
        match deed:
            case Deed.ASK_ON:
                return Deed.ASK_NOW
            case Deed.TICK:
                return Deed.TELL_NOW
            case _:
                return deed
