"""Five hundred evenings of crashes and cancellations, each repeatable from its seed."""

import pytest

from tests.simulation.oracles import check
from tests.simulation.run import simulate
from tests.simulation.scenario import make_scenario

SEEDS = 500
BATCH = 25
OPERATIONS = 200


@pytest.mark.parametrize("first", range(0, SEEDS, BATCH))
def test_every_invariant_holds_in_seeded_scenarios(first: int) -> None:
    for seed in range(first, first + BATCH):
        scenario = make_scenario(seed, operations=OPERATIONS)
        try:
            check(scenario, simulate(scenario))
            if seed % 10 == 0:
                check(scenario, simulate(scenario, on_asyncio=True))
        except BaseException as error:
            error.add_note(f"seed {seed}")
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
