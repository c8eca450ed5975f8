"""Editing in flight: later steps change freely, the current one where it is safe, and done steps stay done."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage.resources.status import Verdict
from pilotage.rollout.decide import exposure_of
from tests.builders import make_rollout
from tests.pilot import USERS, Pilot, guarded
from tests.unit.test_decide_properties import people

FEW = {"name": "few", "users": 10, "hold": "1m"}
SOME = {"name": "some", "users": 20, "hold": "1m"}
ALL = {"name": "all", "percent": 100, "hold": "1m"}


@pytest.fixture
def at_some() -> Pilot:
    """In the second step, its users verified."""
    pilot = Pilot(guarded()).settle().settle(after=61)
    assert pilot.step == "some"
    return pilot


def test_later_steps_change_without_a_restart(at_some: Pilot) -> None:
    entered = at_some.rollout.status.step
    at_some.edit(steps=[FEW, SOME, {"name": "more", "users": 40, "hold": "1m"}, ALL]).decide(after=5)
    assert (at_some.rollout.status.step, at_some.admitted) == (entered, 20)
    at_some.settle(after=60)
    assert (at_some.step, at_some.admitted, at_some.actions) == ("more", 40, ["Start", "Advance", "Advance"])
    at_some.edit(steps=[FEW, SOME, {"name": "more", "users": 40, "hold": "1m"}]).decide(after=61)
    assert at_some.phase == "Completed"


def test_a_shorter_or_longer_hold_is_taken_at_once(at_some: Pilot) -> None:
    at_some.edit(steps=[FEW, {**SOME, "hold": "1h"}, ALL]).decide(after=120)
    assert (at_some.phase, at_some.step) == ("Progressing", "some")
    assert at_some.waits_for == "hold 1h"
    at_some.edit(steps=[FEW, {**SOME, "hold": "3m"}, ALL]).decide(after=61)
    assert at_some.step == "all"


def test_criteria_of_the_current_step_and_of_the_rollout_are_taken_at_once(at_some: Pilot) -> None:
    at_some.edit(steps=[FEW, {**SOME, "go": ["errors < 0.5%"]}, ALL]).decide(after=61, go="breach")
    assert (at_some.phase, at_some.step, at_some.waits_for) == ("Holding", "some", "go: errors < 1%")
    at_some.edit(steps=[FEW, SOME, ALL], go=[]).decide(after=1)
    assert at_some.step == "all"


def test_more_users_in_the_current_step_come_at_once_and_its_time_begins_anew(at_some: Pilot) -> None:
    before = people(at_some)
    at_some.edit(steps=[FEW, {**SOME, "users": 50}, ALL]).decide(after=50)
    assert (at_some.phase, at_some.step, at_some.admitted, at_some.actions[-1]) == ("Progressing", "some", 50, "Widen")
    assert before < people(at_some)
    at_some.in_force = False
    at_some.decide(after=100)
    assert at_some.waits_for == "delivery"
    at_some.in_force = True
    at_some.decide(after=1).decide(after=58)
    assert at_some.step == "some", "who has just come in has proven nothing"
    at_some.decide(after=2)
    assert at_some.step == "all"


def test_a_widened_step_is_taken_back_like_any_other(at_some: Pilot) -> None:
    few = frozenset(at_some.rollout.status.cohort.enrolled[:10])  # type: ignore[union-attr]
    at_some.edit(steps=[FEW, {**SOME, "users": 50}, ALL], onRollback={"to": "previous"}).settle(after=5)
    at_some.settle(after=5, rollback="breach")
    assert (at_some.phase, at_some.step, people(at_some)) == ("RolledBack", "few", few)


@pytest.mark.parametrize("verdict", ["breach", "pending", "unavailable"])
def test_a_step_does_not_widen_while_something_speaks_against_it(at_some: Pilot, verdict: Any) -> None:
    at_some.edit(steps=[FEW, {**SOME, "users": 50}, ALL]).decide(after=5, noGo=verdict)
    assert (at_some.phase, at_some.admitted) == ("Holding", 20)
    at_some.decide(after=5, noGo="pass")
    assert at_some.admitted == 50


def test_a_step_does_not_widen_while_paused_throttled_or_frozen(at_some: Pilot) -> None:
    wider = [FEW, {**SOME, "users": 50}, ALL]
    at_some.edit(steps=wider, paused=True).decide(after=5)
    assert at_some.admitted == 20
    at_some.edit(paused=False).settle(after=1, throttle="breach")
    assert at_some.admitted == 10
    at_some.since = at_some.now
    at_some.decide(after=30, throttle="pass")
    assert at_some.admitted == 20, "first they come back, then more come"
    freeze = {"name": "now", "from": "2026-03-01", "until": "2027-01-01"}
    at_some.edit(schedule={"freezes": [freeze]}).decide(after=1)
    assert (at_some.phase, at_some.admitted) == ("Holding", 20)
    at_some.edit(schedule={}).decide(after=1)
    assert at_some.admitted == 50


BUYERS = [
    {"name": "buyers", "criteria": "orders > 10"},
    {"name": "fans", "criteria": "orders > 15"},
]
UNSAFE: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "fewer users": (
        SOME,
        {"users": 15},
        "spec.steps[1]: the change of step some is not taken: it asks for 15 users, less than the 20 users let in;",
    ),
    "a smaller percent": (
        {"name": "some", "percent": 50},
        {"percent": 40},
        "spec.steps[1]: the change of step some is not taken: it asks for 40%, less than the 50% let in;",
    ),
    "a percent that means fewer": (
        SOME,
        {"users": None, "percent": 7},
        "spec.steps[1]: the change of step some is not taken: step some means 14 users, fewer than the 20 who are in:",
    ),
    "more users than there are": (
        SOME,
        {"users": 500},
        "spec.steps[1]: the change of step some is not taken: step some wants 500 users, but only 200 may come in:",
    ),
    "another cohort": (
        {**SOME, "cohorts": ["buyers"]},
        {"cohorts": ["fans"]},
        "spec.steps[1]: the change of step some is not taken: it leaves out cohort buyers, whose users are in;",
    ),
    "a cohort where everybody could come": (
        SOME,
        {"users": 30, "cohorts": ["buyers"]},
        "spec.steps[1]: the change of step some is not taken: it leaves out users of no cohort, whose users are in;",
    ),
    "more than people approved": (
        {**SOME, "gates": ["security"]},
        {"users": 150},
        "spec.steps[1]: the change of step some is not taken: people approved it for 20 users: put more users into",
    ),
}


@pytest.mark.parametrize(("some", "change", "message"), UNSAFE.values(), ids=UNSAFE)
def test_what_is_not_safe_is_not_taken_and_says_why(some: dict[str, Any], change: dict[str, Any], message: str) -> None:
    audience = {"directory": {"configMap": "users"}, "cohorts": BUYERS}
    first = {**FEW, **({"cohorts": some["cohorts"]} if "cohorts" in some else {})}
    spec = {"audience": audience, "gates": [{"name": "security", "approvers": 1}]}
    pilot = Pilot(guarded().with_spec(**spec, steps=[first, {"hold": "1m", **some}, ALL])).settle().decide(after=61)
    if "gates" in some:
        pilot.say("proceed", gate="security").heed()
    pilot.settle(after=1)
    assert pilot.step == "some"
    before, shown = pilot.admitted, people(pilot)
    after = {name: value for name, value in {"hold": "1m", **some, **change}.items() if value is not None}
    pilot.edit(steps=[first, after, ALL]).decide(after=3600)
    assert (pilot.phase, pilot.step, pilot.admitted, people(pilot)) == ("Holding", "some", before, shown)
    assert pilot.rollout.status.message.startswith(message)
    assert pilot.condition("Stalled")[:2] == ("True", "EditNotTaken")
    pilot.decide(after=10)
    assert pilot.actions.count("Stall") == 1
    pilot.edit(steps=[first, {"hold": "1m", **some}, ALL]).decide(after=1)
    assert (pilot.step, pilot.condition("Stalled")[0]) == ("all", "False")


def test_users_are_guarded_while_a_change_is_not_taken(at_some: Pilot) -> None:
    at_some.edit(steps=[FEW, {**SOME, "users": 15}, ALL]).decide(after=5)
    assert at_some.rollout.status.message.startswith("spec.steps[1]: the change")
    at_some.decide(after=5, rollback="breach")
    assert (at_some.phase, at_some.admitted) == ("RollingBack", 0)


def test_done_steps_stay_done(at_some: Pilot) -> None:
    few = frozenset(at_some.rollout.status.cohort.enrolled[:10])  # type: ignore[union-attr]
    at_some.edit(steps=[{"name": "few", "users": 15, "hold": "30d", "go": ["errors < 0.1%"]}, SOME, ALL])
    at_some.edit(onRollback={"to": "previous"}).decide(after=5)
    assert (at_some.phase, at_some.step, at_some.admitted) == ("Progressing", "some", 20)
    at_some.settle(after=5, rollback="breach")
    assert people(at_some) == few, "the way back leads to the people of then"


@pytest.mark.parametrize(
    "steps", [[SOME, FEW, ALL], [SOME, ALL], [FEW, {**SOME, "name": "others"}, ALL], [FEW, {**FEW, "name": "x"}, SOME]]
)
def test_where_the_current_step_is_not_found_any_more_the_rollout_holds(
    at_some: Pilot, steps: list[dict[str, Any]]
) -> None:
    at_some.edit(steps=steps).decide(after=3600)
    assert (at_some.phase, at_some.admitted, at_some.condition("Stalled")[1]) == ("Holding", 20, "StepVanished")
    at_some.edit(steps=[FEW, SOME, ALL]).decide(after=1)
    assert at_some.step == "all"


def test_only_a_new_revision_starts_over(at_some: Pilot) -> None:
    at_some.edit(
        steps=[FEW, {**SOME, "hold": "2m"}, {"name": "most", "percent": 90}, ALL], rollback=["errors > 4%"], go=[]
    ).decide(after=5)
    assert "Restart" not in at_some.actions
    at_some.edit(feature={"flag": "search", "revision": 2}, steps=[SOME, FEW | {"users": 30}]).decide(after=5)
    assert (at_some.actions[-1], at_some.step, at_some.admitted) == ("Restart", "-", 0)
    at_some.settle(after=1)
    assert (at_some.step, at_some.admitted) == ("some", 20)


def test_a_completed_rollout_does_not_widen_and_says_so() -> None:
    pilot = Pilot(make_rollout().step("some", percent=20)).settle().decide(after=1)
    assert pilot.phase == "Completed"
    pilot.edit(steps=[{"name": "some", "percent": 30}]).decide(after=5)
    assert (pilot.phase, pilot.actions[-1]) == ("Completed", "Complete")
    assert pilot.rollout.status.message == (
        "all 1 steps are done; step some stays in force as it was: its change in spec.steps[0] is not taken; add a step"
    )


def test_while_nobody_knows_who_exists_a_change_waits(at_some: Pilot) -> None:
    at_some.edit(steps=[FEW, {**SOME, "users": 50}, ALL])
    at_some.unread = "the directory can't be read"
    at_some.decide(after=5).decide(after=5)
    assert (at_some.phase, at_some.waits_for, at_some.admitted) == ("Holding", "step some: DirectoryUnread", 20)
    assert (at_some.condition("Stalled")[0], at_some.actions.count("Hold")) == ("False", 1)
    at_some.unread = ""
    at_some.decide(after=5)
    assert at_some.admitted == 50


@settings(max_examples=20)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([{"users": n} for n in (5, 20, 21, 60, 199, 300)] + [{"percent": n} for n in (5, 40, 80)]),
            st.sampled_from([0, 5, 70]),
            st.sampled_from(["pass", "pass", "pass", "pending", "unavailable"]),
        ),
        max_size=8,
    )
)
def test_no_edit_of_the_running_step_takes_the_feature_from_anybody(
    edits: list[tuple[dict[str, int], int, Verdict]],
) -> None:
    steps = [FEW, {**SOME, "hold": "30d"}, ALL]
    pilot = Pilot(guarded().with_spec(steps=steps)).settle().settle(after=61)
    for change, seconds, verdict in edits:
        before = people(pilot)
        pilot.edit(steps=[FEW, {"name": "some", "hold": "30d", **change}, ALL]).decide(after=seconds, noGo=verdict)
        now = people(pilot)
        assert before <= now
        if now != before:
            assert pilot.actions[-1] == "Widen"
            assert pilot.rollout.status.step
            assert pilot.rollout.status.step.verified_time is None, "its time begins anew"
            assert len(now) == (change["users"] if "users" in change else change["percent"] * len(USERS) // 100)
    assert {"Restart", "RollBack", "Advance"}.isdisjoint(pilot.actions[2:])
    assert pilot.step == "some"


def test_a_percent_of_the_directory_widens_too() -> None:
    pilot = Pilot(make_rollout().step("few", percent=1, hold="1h").step("all", percent=100)).settle()
    pilot.edit(steps=[{"name": "few", "percent": "2.5", "hold": "1h"}, ALL]).settle(after=5)
    shown = exposure_of(pilot.rollout, pilot.rollout.status)
    assert shown
    assert (pilot.admitted, shown.kept, pilot.step) == (5, (), "few")
    assert pilot.rollout.status.next_check_time == pilot.now + timedelta(hours=1)
