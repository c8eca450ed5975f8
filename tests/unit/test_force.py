"""A decision that something else undoes, or that can't be brought about: who sees it, and what does not go on."""

from datetime import timedelta

import pytest

from tests.pilot import Pilot, guarded

FOREIGN = "ConfigMap/pilot-flags: the flag search is also written by kubectl-patch: take it out there"


@pytest.fixture
def at_some() -> Pilot:
    """In the second step, its users verified; its minute runs."""
    pilot = Pilot(guarded())
    pilot.settle().settle(after=61)
    assert pilot.step == "some"
    return pilot


def test_an_edit_that_stays_is_a_hold_an_event_and_a_condition(at_some: Pilot) -> None:
    at_some.undo(FOREIGN).decide(after=10).decide(after=10).decide(after=10)
    assert (at_some.phase, at_some.waits_for) == ("Holding", "delivery")
    assert at_some.rollout.status.message == f"step some is not in force: {FOREIGN}"
    assert at_some.condition("Delivered") == ("False", "NotInForce", FOREIGN)
    last = at_some.rollout.status.history[-1]
    assert (last.action, last.reason) == ("NotInForce", "NotInForce")
    assert last.message == f"step some is not in force: {FOREIGN}"
    assert at_some.actions.count("NotInForce") == 1


def test_an_edit_that_is_mended_at_once_is_no_transition(at_some: Pilot) -> None:
    before = at_some.actions
    at_some.undo().decide(after=10)
    assert at_some.condition("Delivered")[:2] == ("False", "Mending")
    at_some.mend().decide(after=1)
    assert (at_some.phase, at_some.actions) == ("Progressing", before)
    assert at_some.condition("Delivered")[:2] == ("True", "InForce")


def test_the_hold_counts_only_the_time_in_which_the_decision_was_in_force(at_some: Pilot) -> None:
    at_some.decide(after=20).undo().decide(after=0).decide(after=3600)
    assert at_some.step == "some"
    assert at_some.rollout.status.next_check_time is None, "nobody knows when it goes on"
    at_some.mend().decide(after=0).decide(after=39)
    assert at_some.step == "some", "20 s and 39 s of the minute are over"
    at_some.decide(after=1)
    assert at_some.step == "all"


def test_when_it_is_in_force_again_that_is_told_and_the_rollout_goes_on(at_some: Pilot) -> None:
    at_some.undo().decide(after=1).decide(after=10).mend().decide(after=50)
    last = at_some.rollout.status.history[-1]
    assert (last.action, last.reason) == ("InForce", "InForce")
    assert last.message == "step some is in force again; its clock stood still for 1m"
    assert at_some.phase == "Progressing"
    assert at_some.condition("Delivered")[:2] == ("True", "InForce")


def test_a_step_that_never_came_into_force_is_told_too() -> None:
    pilot = Pilot(guarded())
    pilot.undo("enrol the namespace").decide().decide(after=1)
    assert pilot.phase == "Progressing"
    assert pilot.condition("Delivered")[:2] == ("Unknown", "AwaitingDelivery")
    pilot.decide(after=10)
    assert (pilot.phase, pilot.actions) == ("Holding", ["Start", "NotInForce"])
    pilot.mend().decide(after=10)
    assert (pilot.phase, pilot.actions) == ("Progressing", ["Start", "NotInForce", "InForce"])
    assert pilot.rollout.status.step
    assert pilot.rollout.status.step.verified_time == pilot.now


def test_users_are_taken_back_and_shed_while_something_else_is_in_force(at_some: Pilot) -> None:
    at_some.undo().decide(after=10).decide(after=10)
    at_some.decide(after=5, throttle="breach")
    assert at_some.admitted == 10
    at_some.decide(after=5, rollback="breach")
    assert (at_some.phase, at_some.admitted) == ("RollingBack", 0)


def test_a_way_back_that_does_not_come_into_force_is_told(at_some: Pilot) -> None:
    at_some.undo("the API server could not be asked").decide(after=5, rollback="breach")
    at_some.decide(after=1).decide(after=10)
    assert (at_some.phase, at_some.actions[-2:]) == ("RollingBack", ["RollBack", "NotInForce"])
    message = "the feature is not off for everybody: the API server could not be asked"
    assert at_some.rollout.status.history[-1].message == message
    at_some.mend().decide(after=1)
    assert at_some.phase == "RolledBack"
    assert at_some.condition("Delivered")[0] == "True"


def test_what_is_completed_is_not_ready_while_something_else_is_in_force(at_some: Pilot) -> None:
    at_some.settle(after=60).settle(after=60)
    assert (at_some.phase, at_some.decision.wake_at) == ("Completed", None)
    done = at_some.rollout.status.message
    at_some.undo(FOREIGN).decide(after=600).decide(after=10)
    assert (at_some.phase, at_some.waits_for, at_some.actions[-1]) == ("Completed", "delivery", "NotInForce")
    assert at_some.rollout.status.message == f"step all is not in force: {FOREIGN}"
    truths = [at_some.condition(kind)[0] for kind in ("Ready", "Reconciling", "Completed", "Delivered")]
    assert truths == ["False", "True", "True", "False"]
    assert at_some.decision.wake_at is not None
    at_some.mend().decide(after=10)
    assert (at_some.rollout.status.message, at_some.actions[-1]) == (done, "InForce")
    assert at_some.condition("Ready")[0] == "True"
    assert at_some.decision.wake_at is None


def test_paused_stays_paused_and_tells_it(at_some: Pilot) -> None:
    at_some.edit(paused=True).decide(after=1).undo().decide(after=1).decide(after=10)
    assert (at_some.phase, at_some.actions[-1]) == ("Paused", "NotInForce")
    assert at_some.condition("Delivered")[0] == "False"


def test_criteria_that_fail_meanwhile_are_not_told_as_over(at_some: Pilot) -> None:
    at_some.undo().decide(after=1).decide(after=10).mend().decide(after=1, noGo="breach")
    assert (at_some.phase, at_some.actions[-1]) == ("Holding", "InForce")
    assert at_some.rollout.status.message.startswith("spec.noGo[0]")


def test_a_hold_that_has_ended_does_not_end_while_nobody_can_tell_what_is_in_force(at_some: Pilot) -> None:
    at_some.in_force, at_some.obstacle = False, "the flag service can't be reached"
    at_some.decide(after=120)
    assert (at_some.phase, at_some.step, at_some.waits_for) == ("Progressing", "some", "delivery")
    assert at_some.condition("Delivered") == ("Unknown", "NotKnown", "the flag service can't be reached")
    at_some.mend().decide(after=1)
    assert at_some.step == "all", "an outage of the flag service undoes nothing: that time counts"


def test_a_restart_does_not_forget_since_when_it_is_undone(at_some: Pilot) -> None:
    at_some.undo().decide(after=1)
    delivery = at_some.rollout.status.delivery
    assert delivery is not None
    assert delivery.lost_time == at_some.now
    at_some.obstacle = "something else again"
    at_some.decide(after=2)
    assert at_some.rollout.status.delivery
    assert at_some.rollout.status.delivery.lost_time == at_some.now - timedelta(seconds=2)
