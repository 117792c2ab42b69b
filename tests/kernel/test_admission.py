"""callboard.kernel.admission: who may still ask while the system drains."""

import anyio
import pytest

from callboard.errors import Draining
from callboard.kernel.admission import Admission, step_inside

pytestmark = pytest.mark.anyio


async def test_an_open_door_lets_everybody_in() -> None:
    Admission().check()


async def test_a_closed_door_stops_only_those_outside() -> None:
    admission = Admission()
    admission.close()

    async def insider() -> None:
        step_inside()
        admission.check()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(insider)
    with pytest.raises(Draining):
        admission.check()


async def test_it_is_empty_once_the_last_block_is_left() -> None:
    admission = Admission()
    with admission.admit(), admission.admit():
        admission.close()
        with anyio.move_on_after(0.01) as patience:
            await admission.wait_empty()
        assert patience.cancelled_caught
    with anyio.fail_after(5):
        await admission.wait_empty()
    with pytest.raises(Draining):
        admission.check()
