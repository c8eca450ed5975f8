"""The state machine by tables: what follows from which verdicts."""

from dataclasses import replace
from datetime import timedelta

import pytest

from pilotage.resources.status import Verdict
from pilotage.rollout.decide import decide, exposure_of, needs_judging
from pilotage.rollout.plan import read_plan
from pilotage.rollout.situation import Delivered, Seen
from tests.builders import make_rollout
from tests.pilot import NOW, USERS, Pilot, guarded, said


@pytest.fixture
def pilot() -> Pilot:
    return Pilot(guarded())


@pytest.fixture
def at_some(pilot: Pilot) -> Pilot:
    """In the second step, its users verified."""
    pilot.settle().settle(after=61)
    assert pilot.step == "some"
    return pilot


def test_the_first_step_admits_exactly_its_users(pilot: Pilot) -> None:
    pilot.decide()
    want = exposure_of(pilot.rollout, pilot.rollout.status)
    assert want is not None
    assert (pilot.phase, pilot.step, len(want.enrolled), want.revision) == ("Progressing", "few", 10, 1)


def test_the_steps_clock_starts_only_when_its_users_are_seen_to_have_the_feature(pilot: Pilot) -> None:
    pilot.in_force = False
    pilot.decide().decide(after=3600)
    assert pilot.step == "few"
    assert pilot.rollout.status.summary
    assert pilot.rollout.status.summary.waits_for == "delivery"
    pilot.in_force = True
    pilot.decide(after=1)
    assert pilot.rollout.status.next_check_time == pilot.now + timedelta(minutes=1)


def test_a_hold_that_ends_between_two_judgements_is_ended_on_time(pilot: Pilot) -> None:
    pilot.settle().decide(after=55)
    assert pilot.rollout.status.next_check_time == pilot.now + timedelta(seconds=5)
    assert pilot.decision.wake_at == pilot.now + timedelta(seconds=5)
    pilot.decide(after=1, noGo="pending")
    assert pilot.decision.wake_at == pilot.now + timedelta(seconds=10)


def test_a_healthy_rollout_goes_through_all_steps_and_rests(pilot: Pilot) -> None:
    pilot.settle().settle(after=60).settle(after=60).settle(after=60)
    assert pilot.actions == ["Start", "Advance", "Advance", "Complete"]
    assert pilot.phase == "Completed"
    assert pilot.decision.wake_at is None
    assert not needs_judging(pilot.rollout)


@pytest.mark.parametrize("role", ["rollback", "critical"])
def test_a_broken_rollback_rule_takes_everybody_back(at_some: Pilot, role: str) -> None:
    at_some.decide(after=5, **said(role, "breach"))
    assert (at_some.phase, at_some.admitted) == ("RollingBack", 0)
    at_some.decide(after=1)
    assert at_some.phase == "RolledBack"
    assert at_some.rollout.status.rollback
    assert at_some.rollout.status.rollback.from_step == "some"
    assert at_some.decision.wake_at is None


def test_rolling_back_is_not_done_before_users_are_seen_to_be_back(at_some: Pilot) -> None:
    at_some.in_force = False
    at_some.decide(after=5, rollback="breach").decide(after=60).decide(after=60)
    assert at_some.phase == "RollingBack"
    assert at_some.decision.wake_at is not None


def test_a_rollback_to_the_previous_step_keeps_the_people_of_that_step() -> None:
    pilot = Pilot(guarded().with_spec(onRollback={"to": "previous"}))
    pilot.settle()
    first = exposure_of(pilot.rollout, pilot.rollout.status)
    pilot.settle(after=61).settle(after=5, rollback="breach")
    back = exposure_of(pilot.rollout, pilot.rollout.status)
    assert first is not None
    assert back is not None
    assert replace(back, revision=first.revision) == first
    assert (pilot.phase, pilot.step, pilot.admitted) == ("RolledBack", "few", 10)


def test_after_stepping_back_only_new_evidence_takes_further_back() -> None:
    pilot = Pilot(guarded().with_spec(onRollback={"to": "previous"}))
    pilot.settle().settle(after=61).settle(after=5, rollback="breach")
    pilot.decide(after=20)
    assert pilot.admitted == 10, "the window still holds the fault of the step that was left"
    pilot.settle(after=300)
    assert (pilot.phase, pilot.admitted) == ("RolledBack", 0)


def test_a_rollback_happens_while_paused(at_some: Pilot) -> None:
    at_some.edit(paused=True).decide(after=1)
    assert at_some.phase == "Paused"
    at_some.decide(after=5, rollback="breach")
    assert at_some.phase == "RollingBack"


def test_paused_keeps_users_and_does_not_grow(at_some: Pilot) -> None:
    at_some.edit(paused=True).decide(after=3600).decide(after=3600)
    assert (at_some.phase, at_some.step, at_some.admitted) == ("Paused", "some", 20)
    at_some.edit(paused=False).settle(after=1)
    assert at_some.step == "all"


def test_a_step_that_only_rollback_rules_guard_is_not_told_to_be_unjudged() -> None:
    pilot = Pilot(
        make_rollout().with_spec(rollback=["errors > 3%"]).indicator("errors").step(percent=1).step(percent=2)
    )
    pilot.settle().decide(after=1)
    advanced = next(entry for entry in pilot.rollout.status.history if entry.action == "Advance")
    assert advanced.message == "its time is over, and nothing speaks against it"


@pytest.mark.parametrize("verdict", ["no-data", "unavailable"])
@pytest.mark.parametrize("role", ["objective", "warning", "critical", "go", "noGo", "rollback", "throttle"])
def test_the_unknown_neither_advances_nor_rolls_back(at_some: Pilot, role: str, verdict: Verdict) -> None:
    at_some.decide(after=120, **said(role, verdict))
    assert (at_some.phase, at_some.step, at_some.admitted) == ("Holding", "some", 20)
    at_some.decide(after=1, **said(role, "pass"))
    assert at_some.step == "all"


@pytest.mark.parametrize("role", ["objective", "warning", "go", "noGo"])
@pytest.mark.parametrize("verdict", ["breach", "pending"])
def test_a_failing_criterion_holds_the_advance(at_some: Pilot, role: str, verdict: Verdict) -> None:
    at_some.decide(after=120, **said(role, verdict))
    assert (at_some.phase, at_some.step, at_some.admitted) == ("Holding", "some", 20)


def test_an_objective_with_on_breach_rollback_takes_users_back() -> None:
    pilot = Pilot(
        guarded().with_spec(objectives=[{"indicator": "errors", "objective": "< 1%", "onBreach": "rollback"}])
    )
    pilot.settle().decide(after=5, objective="breach")
    assert pilot.phase == "RollingBack"


def test_nothing_starts_while_a_rule_already_speaks_against_it(pilot: Pilot) -> None:
    pilot.decide(noGo="breach")
    assert (pilot.phase, pilot.step, pilot.admitted) == ("Pending", "-", 0)
    pilot.decide(after=10, noGo="pass")
    assert pilot.step == "few"


def test_nothing_starts_while_prometheus_cannot_be_asked(pilot: Pilot) -> None:
    pilot.decide(go="unavailable")
    assert (pilot.phase, pilot.step) == ("Pending", "-")


def test_no_data_yet_does_not_keep_the_first_users_out(pilot: Pilot) -> None:
    pilot.decide(go="no-data", objective="no-data", rollback="no-data")
    assert pilot.step == "few", "nobody has the feature yet, so nothing can be measured of it"


def test_throttle_sheds_to_the_last_proven_step_and_restores_after_calm(at_some: Pilot) -> None:
    at_some.settle(after=5, throttle="breach")
    assert (at_some.phase, at_some.step, at_some.admitted) == ("Holding", "some", 10)
    at_some.since = at_some.now
    at_some.decide(after=5, throttle="pass")
    assert at_some.admitted == 10, "calm has not lasted as long as the rule asks for"
    at_some.decide(after=20)
    assert at_some.admitted == 20
    assert at_some.actions[-2:] == ["Throttle", "Restore"]


def test_a_throttled_rollout_does_not_advance(at_some: Pilot) -> None:
    at_some.settle(after=5, throttle="breach").decide(after=3600)
    assert (at_some.step, at_some.admitted) == ("some", 10)


def test_shedding_does_not_start_the_clock_of_a_step_whose_users_never_had_the_feature(at_some: Pilot) -> None:
    at_some.decide(after=61)
    at_some.in_force = False
    at_some.decide(after=1, throttle="breach")
    at_some.in_force = True
    at_some.decide(after=1)
    assert (at_some.step, at_some.admitted) == ("all", 20)
    assert at_some.rollout.status.step
    assert at_some.rollout.status.step.verified_time is None


def test_throttle_sheds_while_paused(at_some: Pilot) -> None:
    at_some.edit(paused=True).decide(after=1).settle(after=5, throttle="breach")
    assert (at_some.phase, at_some.admitted) == ("Paused", 10)


def test_a_new_revision_starts_over_with_the_same_people(at_some: Pilot) -> None:
    people = at_some.rollout.status.cohort
    at_some.settle(after=5, rollback="breach")
    at_some.edit(feature={"flag": "search", "revision": 2}).settle(rollback="pass").settle()
    again = exposure_of(at_some.rollout, at_some.rollout.status)
    assert people is not None
    assert again is not None
    assert (at_some.step, again.enrolled) == ("few", people.enrolled[:10])
    assert at_some.rollout.status.rollback is None


def test_a_new_revision_waits_until_users_are_seen_to_be_back(at_some: Pilot) -> None:
    at_some.in_force = False
    at_some.decide(after=5, rollback="breach")
    at_some.edit(feature={"flag": "search", "revision": 2}).decide(after=1, rollback="pass")
    assert (at_some.phase, at_some.rollout.status.revision) == ("RollingBack", 1)


def test_an_invalid_spec_stalls_and_names_the_field(at_some: Pilot) -> None:
    at_some.edit(rollback=["errors > 3s"]).decide(after=1)
    stalled = next(c for c in at_some.rollout.status.conditions if c.type == "Stalled")
    assert stalled.status == "True"
    assert stalled.message.startswith("spec.rollback[0]: ")
    assert at_some.admitted == 20, "nobody is let in or taken out by a typing error"


def test_an_invalid_spec_is_recorded_once(at_some: Pilot) -> None:
    at_some.edit(rollback=["errors > 3s"]).decide(after=1).decide(after=1).decide(after=1)
    assert at_some.actions.count("Stall") == 1


@pytest.mark.parametrize(
    ("exposure", "completed", "left"),
    [("auto", False, "off"), ("auto", True, "full"), ("keep", False, "users"), ("off", True, "off")],
)
def test_deletion_leaves_the_stated_final_state(exposure: str, completed: bool, left: str) -> None:
    pilot = Pilot(guarded().with_spec(onDelete={"exposure": exposure}))
    pilot.settle()
    if completed:
        pilot.settle(after=60).settle(after=60).settle(after=60)
    pilot.deleting = True
    pilot.decide(after=1)
    want = exposure_of(pilot.rollout, pilot.rollout.status)
    assert want is not None
    assert (want.kind, pilot.decision.released) == (left, True)


def test_deletion_leaves_the_final_state_also_of_an_invalid_spec(at_some: Pilot) -> None:
    at_some.edit(rollback=["errors > 3s"]).decide(after=1)
    at_some.deleting = True
    at_some.decide(after=1)
    assert (at_some.decision.released, at_some.admitted, at_some.actions[-1]) == (True, 0, "Release")


def test_deletion_does_not_say_that_it_is_done_before_it_is(at_some: Pilot) -> None:
    at_some.deleting = True
    at_some.decide(after=1)
    assert at_some.rollout.status.message == "being deleted: the feature is taken from everybody"
    assert at_some.waits_for == "delivery"
    at_some.held_back = "the namespace is not enrolled"
    at_some.decide(after=1)
    assert at_some.rollout.status.message == "being deleted, but the namespace is not enrolled"
    assert (at_some.waits_for, at_some.actions.count("Release")) == ("delivery", 1)


def test_a_step_that_left_the_spec_holds(at_some: Pilot) -> None:
    steps = [{"name": "few", "users": 10, "hold": "1m"}, {"name": "all", "percent": 100}]
    at_some.edit(steps=steps).decide(after=120)
    assert (at_some.phase, at_some.admitted) == ("Holding", 20)
    assert "spec.steps[1]" in at_some.rollout.status.message


def test_what_was_not_asked_is_unknown(at_some: Pilot) -> None:
    seen = Seen(users=USERS, delivered=Delivered("ConfigMap/x", 2))
    decision = decide(at_some.plan, at_some.rollout, seen, at_some.now + timedelta(hours=1))
    assert decision.status.phase == "Holding"


def test_nothing_is_written_while_nothing_changes(at_some: Pilot) -> None:
    at_some.decide(after=1)
    before = at_some.rollout.status
    for _ in range(5):
        at_some.decide(after=10)
    assert at_some.rollout.status == before


def test_a_directory_with_too_few_users_holds_and_says_how_many() -> None:
    pilot = Pilot(make_rollout().with_spec(audience={"directory": {"configMap": "u"}}).step("many", users=500))
    pilot.decide()
    assert pilot.phase == "Pending"
    assert "wants 500 users, but only 200 may come in" in pilot.rollout.status.message


def test_history_is_bounded_and_numbered_without_gaps(at_some: Pilot) -> None:
    for _ in range(30):
        at_some.decide(after=1, objective="breach").decide(after=1, objective="pass")
    sequences = [entry.sequence for entry in at_some.rollout.status.history]
    assert len(sequences) == 20
    assert sequences == list(range(sequences[0], sequences[0] + 20))


def test_a_share_of_everybody_after_all_of_a_cohort_keeps_the_cohort_and_the_number() -> None:
    pilot = Pilot(
        make_rollout()
        .with_spec(
            audience={
                "directory": {"configMap": "users"},
                "cohorts": [{"name": "buyers", "criteria": "orders > 10"}],
            }
        )
        .step("buyers", cohorts=["buyers"])
        .step("three-quarters", percent=75, hold="1h")
    )
    pilot.decide()
    assert pilot.admitted == 90
    pilot.settle()
    want = exposure_of(pilot.rollout, pilot.rollout.status)
    assert want is not None
    assert pilot.admitted == 150
    assert [grant.criteria for grant in want.kept] == [("orders > 10",)]


def test_an_edited_exclusion_takes_effect_at_once(at_some: Pilot) -> None:
    someone = at_some.rollout.status.cohort.enrolled[0] if at_some.rollout.status.cohort else ""
    before = exposure_of(at_some.rollout, at_some.rollout.status)
    at_some.edit(audience={"directory": {"configMap": "users"}, "exclude": [someone]}).decide(after=1)
    after = exposure_of(at_some.rollout, at_some.rollout.status)
    assert before is not None
    assert after is not None
    assert (after.deny, after.revision) == ((someone,), before.revision + 1)
    delivery = at_some.rollout.status.delivery
    assert delivery is not None
    assert delivery.direction == "back", "somebody loses the feature: no other writer may keep that from happening"


def test_a_rule_that_cannot_be_read_does_not_blind_the_others(at_some: Pilot) -> None:
    at_some.edit(rollback=["errors > 3s", "errors > 3% for 30s"]).decide(after=10)
    assert at_some.rollout.status.message.startswith("spec.rollback[0]: ")
    assert at_some.decision.wake_at is not None, "users are still judged"
    at_some.decide(after=10, rollback="breach")
    assert (at_some.phase, at_some.admitted) == ("RollingBack", 0)


def test_health_is_unknown_while_a_rule_can_not_be_read(at_some: Pilot) -> None:
    assert at_some.decide(after=1).condition("Healthy")[0] == "True"
    at_some.edit(rollback=["errors > 3s", "errors > 3% for 30s"]).decide(after=10)
    status, reason, message = at_some.condition("Healthy")
    assert (status, reason) == ("Unknown", "InvalidSpec")
    assert message.startswith("spec.rollback[0]: ")
    at_some.decide(after=10, noGo="breach")
    assert at_some.condition("Healthy")[:2] == ("False", "Breach")


def test_a_step_that_can_not_be_carried_out_does_not_hide_that_all_rules_pass(at_some: Pilot) -> None:
    at_some.edit(steps=[{"name": "few", "cohorts": ["unknown"]}]).decide(after=10)
    assert at_some.condition("Stalled")[0] == "True"
    assert at_some.condition("Healthy")[0] == "True"


def test_each_rollout_puts_other_people_first_in_each_namespace() -> None:
    def seed(name: str, namespace: str, flag: str) -> str:
        rollout = make_rollout(name).with_spec(feature={"flag": flag}).step("few", percent=10).obj()
        there = rollout.metadata.model_copy(update={"namespace": namespace})
        rollout = rollout.model_copy(update={"metadata": there})
        cohort = decide(read_plan(rollout, {}), rollout, Seen(), NOW).status.cohort
        assert cohort is not None
        return cohort.seed

    seeds = {seed("a", "shop", "f"), seed("a", "other", "f"), seed("b", "shop", "f"), seed("a", "shop", "g")}
    assert len(seeds) == 4
    assert seed("a", "shop", "f") in seeds, "made anew, it finds the same people"


def test_a_completed_rollout_stays_so_when_its_spec_makes_no_sense_any_more() -> None:
    pilot = Pilot(make_rollout().indicator("errors").step("all", percent=100))
    pilot.settle().decide(after=1)
    assert pilot.phase == "Completed"
    pilot.edit(indicators=[{"name": "errors", "templateRef": "deleted"}], go=["errors < 1%"]).decide(after=10)
    assert pilot.phase == "Completed"
