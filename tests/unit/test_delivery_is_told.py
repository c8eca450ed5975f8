"""What keeps a decided step from being in force stands where people look: in the message of status."""

from tests.pilot import Pilot, guarded

OBSTACLE = "ConfigMap/pilot-flags in the namespace shop may not be written: enrol the namespace"


def test_a_step_that_is_not_in_force_says_what_is_in_the_way() -> None:
    pilot = Pilot(guarded())
    pilot.in_force, pilot.obstacle = False, OBSTACLE
    pilot.decide().decide(after=5)
    assert pilot.rollout.status.message == f"step few is not in force: {OBSTACLE}"
    pilot.in_force = True
    pilot.decide(after=5)
    assert "not in force" not in pilot.rollout.status.message


def test_a_step_that_nobody_has_looked_at_yet_says_what_it_waits_for() -> None:
    pilot = Pilot(guarded())
    pilot.in_force = False
    pilot.decide().decide(after=1)
    assert "its clock starts when its users are seen to have the feature" in pilot.rollout.status.message
