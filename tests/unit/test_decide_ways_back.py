"""Ways back in unusual places: from what was shed, after the end, twice; and what a step's own criteria guard."""

import pytest

from tests.builders import make_rollout
from tests.pilot import Pilot, guarded


@pytest.fixture
def stepping_back() -> Pilot:
    """In the second step, its users verified; a breach leads to the step before."""
    pilot = Pilot(guarded().with_spec(onRollback={"to": "previous"}))
    pilot.settle().settle(after=61)
    assert pilot.step == "some"
    return pilot


def test_from_what_was_shed_the_way_back_leads_to_the_step_before_the_shown_one(stepping_back: Pilot) -> None:
    stepping_back.settle(after=5, throttle="breach")
    assert stepping_back.admitted == 10
    stepping_back.decide(after=5, rollback="breach")
    assert (stepping_back.phase, stepping_back.admitted) == ("RollingBack", 0)


def test_evidence_is_new_when_window_and_for_lie_after_the_way_back(stepping_back: Pilot) -> None:
    """The window is 60 s, and `for` 30 s."""
    stepping_back.settle(after=5, rollback="breach").decide(after=89)
    assert (stepping_back.phase, stepping_back.admitted) == ("RolledBack", 10)
    stepping_back.decide(after=2)
    assert (stepping_back.phase, stepping_back.admitted) == ("RollingBack", 0)


def test_who_is_still_in_after_a_way_back_is_still_watched(stepping_back: Pilot) -> None:
    stepping_back.settle(after=5, rollback="breach")
    for _ in range(2):
        assert stepping_back.phase == "RolledBack"
        assert stepping_back.decision.wake_at is not None
        stepping_back.decide(after=1, rollback="pass")


def test_users_who_come_back_start_the_steps_clock_anew(stepping_back: Pilot) -> None:
    stepping_back.settle(after=5, throttle="breach")
    stepping_back.since = stepping_back.now
    stepping_back.decide(after=25, throttle="pass")
    assert (stepping_back.actions[-1], stepping_back.admitted) == ("Restore", 20)
    assert stepping_back.rollout.status.step
    assert stepping_back.rollout.status.step.verified_time is None


def test_load_is_shed_also_while_a_part_of_the_spec_is_invalid(stepping_back: Pilot) -> None:
    stepping_back.edit(rollback=["errors > 3s"]).settle(after=5, throttle="breach")
    assert stepping_back.admitted == 10


def test_users_are_taken_back_by_hand_also_while_a_part_of_the_spec_is_invalid(stepping_back: Pilot) -> None:
    stepping_back.edit(rollback=["errors > 3s"]).decide(after=1)
    assert stepping_back.admitted == 20
    stepping_back.edit(rollback=["errors > 3s"], feature={"flag": "search", "revision": 2}, paused=True).decide(after=1)
    assert (stepping_back.actions[-1], stepping_back.admitted) == ("Restart", 0)


def test_deletion_comes_before_a_way_back_it_takes_everybody_back_itself(stepping_back: Pilot) -> None:
    stepping_back.deleting = True
    stepping_back.decide(after=5, rollback="breach")
    assert (stepping_back.actions[-1], stepping_back.admitted) == ("Release", 0)


def test_what_was_frozen_at_the_start_stays_when_the_spec_is_edited() -> None:
    pilot = Pilot(guarded())
    pilot.settle().edit(audience={"directory": {"configMap": "users"}, "bucketBy": "email"}).settle(after=61)
    assert pilot.step == "some"
    assert pilot.rollout.status.cohort
    assert pilot.rollout.status.cohort.bucket_by == "targetingKey"


def test_what_is_completed_is_not_taken_back() -> None:
    pilot = Pilot(guarded())
    pilot.settle().settle(after=60).settle(after=60).settle(after=60)
    pilot.decide(after=5, rollback="breach")
    assert (pilot.phase, pilot.admitted) == ("Completed", 200)


def test_a_new_revision_is_not_shed_any_more(stepping_back: Pilot) -> None:
    stepping_back.settle(after=5, throttle="breach")
    assert stepping_back.rollout.status.throttled
    stepping_back.edit(feature={"flag": "search", "revision": 2}).decide(after=1, throttle="pass")
    assert not stepping_back.rollout.status.throttled


def test_a_steps_own_criteria_guard_the_way_out_of_that_step_only() -> None:
    rollout = make_rollout().indicator("errors").with_spec(audience={"directory": {"configMap": "users"}})
    rollout.step("few", users=10, hold="1m").step("some", users=20, hold="1m", go=["errors < 1%"])
    pilot = Pilot(rollout.step("all", percent=100, hold="1m"))
    pilot.settle(go="breach").settle(after=61)
    assert (pilot.phase, pilot.step) == ("Progressing", "some")
    pilot.decide(after=61)
    assert (pilot.phase, pilot.step) == ("Holding", "some")


def test_who_is_excluded_is_not_counted_as_population() -> None:
    pilot = Pilot(guarded().with_spec(audience={"directory": {"configMap": "users"}, "exclude": ["user-0"]}))
    pilot.decide()
    assert pilot.rollout.status.population == 199
