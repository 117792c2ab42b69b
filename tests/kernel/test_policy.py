"""callboard.kernel.policy: what follows from the end of a child, as properties of a pure function."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.kernel import Backoff, Child, Intensity, Restart, Strategy, Supervisor
from callboard.kernel.policy import Escalate, History, LeaveStopped, RestartChildren, decide

NAMES = ("a", "b", "c", "d")
USUAL = Intensity()
GENTLE = Backoff()


def supervisor(
    strategy: Strategy = Strategy.ONE_FOR_ONE,
    *,
    restarts: tuple[Restart, ...] = (Restart.PERMANENT,) * 4,
    intensity: Intensity = USUAL,
    backoff: Backoff = GENTLE,
) -> Supervisor:
    children = tuple(
        Child(name=name, start=object, restart=restart) for name, restart in zip(NAMES, restarts, strict=True)
    )
    return Supervisor(name="root", children=children, strategy=strategy, intensity=intensity, backoff=backoff)


@given(
    gaps=st.lists(st.sampled_from((0.0, 0.1, 0.5, 1.0, 2.5, 5.0)), max_size=60),
    max_restarts=st.integers(0, 5),
    within=st.sampled_from((0.5, 1.0, 5.0)),
    failed=st.sampled_from(NAMES),
)
def test_no_window_holds_more_restarts_than_the_intensity_allows(
    gaps: list[float], max_restarts: int, within: float, failed: str
) -> None:
    spec = supervisor(intensity=Intensity(max_restarts=max_restarts, within=within))
    history: History = ()
    now = 0.0
    restarts: list[float] = []
    for gap in gaps:
        now += gap
        decision, history = decide(spec, failed, abnormal=True, history=history, now=now)
        in_window = [then for then in restarts if now - then <= within]
        # Escalation comes when, and only when, one more restart would be one too many.
        assert isinstance(decision, Escalate) is (len(in_window) == max_restarts)
        if isinstance(decision, RestartChildren):
            restarts.append(now)
        assert len(history) <= max_restarts


@pytest.mark.parametrize(
    "strategy,stop",
    [
        (Strategy.ONE_FOR_ONE, ("b",)),
        (Strategy.ONE_FOR_ALL, NAMES),
        (Strategy.REST_FOR_ONE, ("b", "c", "d")),
    ],
)
def test_each_strategy_takes_exactly_its_siblings(strategy: Strategy, stop: tuple[str, ...]) -> None:
    decision, _ = decide(supervisor(strategy), "b", abnormal=True, history=(), now=0.0)

    assert decision == RestartChildren(stop=stop, start=stop, delay_s=0.0)


def test_a_temporary_sibling_is_stopped_and_not_started_again() -> None:
    restarts = (Restart.PERMANENT, Restart.TEMPORARY, Restart.TRANSIENT, Restart.PERMANENT)
    spec = supervisor(Strategy.ONE_FOR_ALL, restarts=restarts)
    decision, _ = decide(spec, "a", abnormal=True, history=(), now=0.0)

    assert decision == RestartChildren(stop=NAMES, start=("a", "c", "d"), delay_s=0.0)


@pytest.mark.parametrize(
    "restart,abnormal,comes_back",
    [
        (Restart.PERMANENT, True, True),
        (Restart.PERMANENT, False, True),
        (Restart.TRANSIENT, True, True),
        (Restart.TRANSIENT, False, False),
        (Restart.TEMPORARY, True, False),
        (Restart.TEMPORARY, False, False),
    ],
)
def test_a_childs_own_rule_says_whether_it_comes_back(
    restart: Restart, abnormal: bool, comes_back: bool
) -> None:
    spec = supervisor(restarts=(restart,) * 4)
    decision, history = decide(spec, "a", abnormal=abnormal, history=(), now=1.0)

    assert isinstance(decision, RestartChildren if comes_back else LeaveStopped)
    assert history == ((1.0,) if comes_back else ())


def test_a_supervisor_as_a_child_is_permanent() -> None:
    spec = Supervisor(name="root", children=(supervisor(),))
    decision, _ = decide(spec, "root", abnormal=False, history=(), now=0.0)

    assert isinstance(decision, RestartChildren)


@pytest.mark.parametrize("restarts,delay", [(0, 0.0), (1, 0.1), (2, 0.3), (3, 0.9), (4, 2.0), (9, 2.0)])
def test_the_delay_grows_from_nothing_to_its_ceiling(restarts: int, delay: float) -> None:
    backoff = Backoff(initial=0.1, factor=3.0, ceiling=2.0, jitter=0.0)
    spec = supervisor(intensity=Intensity(max_restarts=100), backoff=backoff)
    decision, _ = decide(spec, "a", abnormal=True, history=(0.0,) * restarts, now=0.0, chance=0.99)

    assert isinstance(decision, RestartChildren)
    assert decision.delay_s == pytest.approx(delay)


@given(chance=st.floats(0.0, 1.0, exclude_max=True))
def test_jitter_only_ever_shortens_the_delay_by_its_share(chance: float) -> None:
    spec = supervisor(backoff=Backoff(initial=1.0, jitter=0.2))
    decision, _ = decide(spec, "a", abnormal=True, history=(0.0,), now=0.0, chance=chance)

    assert isinstance(decision, RestartChildren)
    assert 0.8 <= decision.delay_s <= 1.0
