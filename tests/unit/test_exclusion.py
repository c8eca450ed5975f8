"""An edit of audience.exclude takes effect at once and by force; growth never goes along with it."""

import pytest

from pilotage.delivery.target import DeliveryConflictError
from pilotage.rollout.decide import exposure_of
from pilotage.rollout.exposure import Exposure
from tests.pilot import Pilot, guarded
from tests.unit.controller_world import two_steps


def excluding(*keys: str) -> dict[str, object]:
    return {"directory": {"configMap": "users"}, "exclude": list(keys)}


def first_of(pilot: Pilot) -> str:
    """The first who was let in."""
    assert pilot.rollout.status.cohort
    return pilot.rollout.status.cohort.enrolled[0]


def wanted(pilot: Pilot) -> Exposure:
    want = exposure_of(pilot.rollout, pilot.rollout.status)
    assert want is not None
    return want


def direction(pilot: Pilot) -> str:
    assert pilot.rollout.status.delivery
    return pilot.rollout.status.delivery.direction


@pytest.fixture
def at_some() -> Pilot:
    """In the second step, its users verified."""
    pilot = Pilot(guarded())
    pilot.settle().settle(after=61)
    return pilot


@pytest.fixture
def growing() -> Pilot:
    """The second step is decided, but another writer keeps it from coming into force."""
    pilot = Pilot(guarded())
    pilot.settle().decide(after=61).undo("also written by argo").decide(after=1)
    assert (pilot.step, pilot.admitted, direction(pilot)) == ("some", 20, "forward")
    return pilot


def test_growth_that_waits_for_another_writer_is_not_forced_along_with_an_exclusion(growing: Pilot) -> None:
    someone = first_of(growing)
    growing.edit(audience=excluding(someone)).decide(after=1)
    assert (direction(growing), wanted(growing).deny) == ("back", (someone,))
    assert (growing.step, growing.admitted) == ("some", 10), "by force only what was in force before"


def test_after_the_exclusion_growth_goes_on_without_force(growing: Pilot) -> None:
    growing.edit(audience=excluding(first_of(growing))).decide(after=1).decide(after=1)
    assert growing.admitted == 10, "the exclusion is not in force yet"
    growing.mend().decide(after=1)
    assert (direction(growing), growing.admitted) == ("forward", 20)
    assert growing.rollout.status.step
    assert growing.rollout.status.step.verified_time is None, "the users of the step had not come in"
    growing.decide(after=1).settle(after=61)
    assert growing.step == "all"


def test_what_is_shown_for_the_exclusion_does_not_start_the_steps_clock(growing: Pilot) -> None:
    growing.edit(audience=excluding(first_of(growing))).decide(after=1).mend()
    growing.edit(audience=excluding(first_of(growing)), paused=True).decide(after=1).decide(after=1)
    assert growing.rollout.status.step
    assert (growing.phase, growing.rollout.status.step.verified_time) == ("Paused", None)


def test_an_exclusion_that_comes_when_a_step_is_over_is_decided_before_the_step(at_some: Pilot) -> None:
    at_some.edit(audience=excluding(first_of(at_some))).decide(after=61)
    assert (direction(at_some), at_some.step, at_some.admitted) == ("back", "some", 20)
    assert at_some.decision.wake_at == at_some.now
    at_some.decide(after=1)
    assert (direction(at_some), at_some.step) == ("forward", "all")


def test_a_second_exclusion_while_the_first_is_not_in_force_takes_nobody_else_back(at_some: Pilot) -> None:
    first = at_some.rollout.status.cohort.enrolled[:2] if at_some.rollout.status.cohort else ()
    at_some.undo().edit(audience=excluding(first[0])).decide(after=1)
    at_some.edit(audience=excluding(*first)).decide(after=1)
    assert (wanted(at_some).deny, at_some.admitted, direction(at_some)) == (first, 20, "back")


def test_in_the_first_step_an_exclusion_forces_nobody_in() -> None:
    pilot = Pilot(guarded())
    pilot.decide().undo("also written by argo").decide(after=1)
    pilot.edit(audience=excluding(first_of(pilot))).decide(after=1)
    assert (direction(pilot), pilot.admitted) == ("back", 0)
    pilot.mend().decide(after=1)
    assert (direction(pilot), pilot.admitted) == ("forward", 10)


def test_users_are_taken_back_from_what_the_exclusion_shows(growing: Pilot) -> None:
    growing.edit(audience=excluding(first_of(growing))).decide(after=1).mend()
    growing.decide(after=1, rollback="breach")
    assert (growing.phase, growing.admitted) == ("RollingBack", 0)


async def test_the_exclusion_is_written_by_force_and_the_growth_is_not() -> None:
    world = two_steps()
    await world.run(2)
    await world.clock.advance(3601)
    world.target.write_failures = [DeliveryConflictError("argo also writes this flag")]
    await world.run()
    assert world.rollout.status.step
    assert world.rollout.status.step.name == "all"
    world.edit(audience={"exclude": ["anna"]})
    await world.run()
    how, want = world.target.writes[-1]
    assert (how, want.kind, want.deny) == ("kill", "percent", ("anna",))
    await world.run(2)
    how, want = world.target.writes[-1]
    assert (how, want.kind, want.deny) == ("apply", "full", ("anna",))
