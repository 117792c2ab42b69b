"""Five hundred evenings of crashes and cancellations, each repeatable from its seed."""

import pytest

from tests.simulation.oracles import check
from tests.simulation.run import simulate
from tests.simulation.scenario import make_scenario

SEEDS = 500
BATCH = 25
OPERATIONS = 200
# Seeds beyond the batches that once found a fault. 688 and 793: a bring-up started a child after the stop had
# passed.
ONCE_FAULTY = (688, 793)


@pytest.mark.parametrize("first", range(0, SEEDS, BATCH))
def test_every_invariant_holds_in_seeded_scenarios(first: int) -> None:
    for seed in range(first, first + BATCH):
        play(seed, on_asyncio=False)
        if seed % 10 == 0:
            play(seed, on_asyncio=True)


@pytest.mark.parametrize("seed", ONCE_FAULTY)
@pytest.mark.parametrize("on_asyncio", [False, True], ids=["trio", "asyncio"])
def test_every_invariant_holds_where_one_once_did_not(seed: int, on_asyncio: bool) -> None:
    play(seed, on_asyncio=on_asyncio, quick=False)
    play(seed, on_asyncio=on_asyncio)


def play(seed: int, *, on_asyncio: bool, quick: bool = True) -> None:
    scenario = make_scenario(seed, operations=OPERATIONS, quick=quick)
    try:
        check(scenario, simulate(scenario, on_asyncio=on_asyncio))
    except BaseException as error:
        error.add_note(f"seed {seed}, {'asyncio' if on_asyncio else 'trio'}")
        raise


@pytest.mark.parametrize("seed", range(0, SEEDS, BATCH))
@pytest.mark.parametrize("on_asyncio", [False, True], ids=["trio", "asyncio"])
def test_one_seed_gives_one_trace(seed: int, on_asyncio: bool) -> None:
    scenario = make_scenario(seed, operations=OPERATIONS)

    first, second = (simulate(scenario, on_asyncio=on_asyncio) for _ in range(2))

    assert len(first.lines) > 1
    assert first.hash() == second.hash()


def test_another_seed_gives_another_trace() -> None:
    records = [simulate(make_scenario(seed, operations=OPERATIONS)) for seed in (1, 2)]

    assert records[0].hash() != records[1].hash()


@pytest.mark.parametrize("on_asyncio", [False, True], ids=["trio", "asyncio"])
def test_many_messages_are_decided_in_place_and_many_are_not(on_asyncio: bool) -> None:
    records = [
        simulate(make_scenario(seed, operations=OPERATIONS), on_asyncio=on_asyncio) for seed in range(10)
    ]

    in_place = sum(record.in_place for record in records)
    assert in_place > 100
    assert sum(record.handled.total() for record in records) > 2 * in_place
