"""Who stands aside while users are taken back, and for how long."""

import pytest

from pilotage.controller.rush import PATIENCE_SECONDS, QUIET_SECONDS, Rush
from tests.unit.controller_world import ImpatientClock, break_it, judged


async def test_nobody_stands_aside_without_a_rush() -> None:
    clock = ImpatientClock()
    rush, began_at = Rush(clock), clock.monotonic()
    await rush.stand_aside(rush.patience())
    assert clock.monotonic() == began_at


async def test_who_tells_stands_aside_until_nobody_was_taken_back_for_a_moment() -> None:
    clock = ImpatientClock()
    rush, began_at = Rush(clock), clock.monotonic()
    rush.goes_on()
    await clock.sleep(QUIET_SECONDS / 2)
    rush.goes_on()
    await rush.stand_aside(rush.patience())
    assert clock.monotonic() - began_at == pytest.approx(QUIET_SECONDS * 1.5)


async def test_nobody_stands_aside_for_ever() -> None:
    class Endless(ImpatientClock):
        async def sleep(self, seconds: float) -> None:
            await super().sleep(seconds)
            rush.goes_on()

    clock = Endless()
    rush = Rush(clock)
    began_at = clock.monotonic()
    rush.goes_on()
    await rush.stand_aside(rush.patience())
    assert abs(clock.monotonic() - began_at - PATIENCE_SECONDS) < QUIET_SECONDS


async def test_the_record_of_a_rollback_is_written_in_the_same_run_after_it() -> None:
    world = judged()
    await break_it(world)
    began_at = world.clock.monotonic()
    await world.run()
    assert world.phase == "RolledBack"
    assert QUIET_SECONDS <= world.clock.monotonic() - began_at < 1.0
