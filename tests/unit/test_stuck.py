"""A rollout that needs a person says so, with the field; one that waits tells why: one Event, and always in status."""

from datetime import timedelta

import pytest

from pilotage.resources.status import Finding, Verdict
from pilotage.rollout.decide import decide
from pilotage.rollout.situation import Seen
from tests.builders import make_rollout
from tests.pilot import USERS, Pilot, guarded

DIRECTORY = {"directory": {"configMap": "users"}}


def at_some() -> Pilot:
    """In the second step, its users verified."""
    pilot = Pilot(guarded())
    return pilot.settle().settle(after=61)


def step_vanished() -> Pilot:
    steps = [{"name": "few", "users": 10, "hold": "1m"}, {"name": "all", "percent": 100}]
    return at_some().edit(steps=steps).decide(after=1)


def not_enough_users() -> Pilot:
    return Pilot(make_rollout().with_spec(audience=DIRECTORY).step("many", users=500)).decide()


def step_shrinks() -> Pilot:
    cohorts = [{"name": "buyers", "criteria": "orders > 18"}]
    steps = [
        {"name": "few", "users": 10, "hold": "1m"},
        {"name": "some", "users": 20, "hold": "1m"},
        {"name": "buyers", "percent": 50, "cohorts": ["buyers"]},
    ]
    return at_some().edit(audience={**DIRECTORY, "cohorts": cohorts}, steps=steps).decide(after=61)


@pytest.mark.parametrize(
    ("stuck", "reason", "field"),
    [
        (step_vanished, "StepVanished", "spec.steps[1]: "),
        (not_enough_users, "NotEnoughUsers", "spec.steps[0].users: "),
        (step_shrinks, "StepShrinks", "spec.steps[2]: "),
    ],
)
def test_what_only_a_person_can_mend_is_stalled_and_names_the_field(stuck: object, reason: str, field: str) -> None:
    assert callable(stuck)
    pilot: Pilot = stuck()
    status, found, message = pilot.condition("Stalled")
    assert (status, found) == ("True", reason)
    assert message.startswith(field)
    assert pilot.condition("Reconciling")[0] == "False"
    pilot.decide(after=10).decide(after=10)
    assert pilot.actions.count("Stall") == 1
    assert pilot.decision.wake_at is not None, "it goes on by itself when it is mended"


def test_a_population_that_is_not_known_yet_is_not_stalled() -> None:
    audience = {"population": {"indicator": "active"}}
    pilot = Pilot(make_rollout().with_spec(audience=audience).indicator("active", query="a").step("few", users=5))
    seen = Seen(tuple(Finding(rule=r.text, role=r.role, verdict="pass") for r in pilot.plan.rules))
    decision = decide(pilot.plan, pilot.rollout, seen, pilot.now)
    [stalled] = [each for each in decision.status.conditions if each.type == "Stalled"]
    assert (stalled.reason, stalled.status) == ("PopulationUnknown", "False")


def test_steps_that_are_appended_after_the_end_are_taken() -> None:
    pilot = Pilot(make_rollout().indicator("errors").with_spec(go=["errors < 1%"]).step("half", percent=50))
    pilot.settle().decide(after=1)
    assert pilot.phase == "Completed"
    more = [{"name": "half", "percent": 50}, {"name": "all", "percent": 100, "hold": "1m"}]
    pilot.edit(steps=more).decide(after=60, go="breach")
    assert (pilot.phase, pilot.step) == ("Holding", "half"), "users are judged again before more come in"
    assert pilot.condition("Completed")[0] == "False"
    pilot.settle(after=10, go="pass")
    assert (pilot.phase, pilot.step) == ("Progressing", "all")
    pilot.decide(after=61)
    assert pilot.phase == "Completed"
    assert pilot.actions[-2:] == ["Advance", "Complete"]


def test_users_are_taken_back_when_a_completed_rollout_goes_on() -> None:
    pilot = Pilot(make_rollout().indicator("errors").with_spec(rollback=["errors > 3%"]).step("half", percent=50))
    pilot.settle().decide(after=1)
    more = [{"name": "half", "percent": 50}, {"name": "all", "percent": 100, "hold": "1m"}]
    pilot.edit(steps=more).decide(after=60, rollback="breach")
    assert pilot.phase == "RollingBack"


def test_other_edits_of_the_steps_after_the_end_are_said_to_have_no_effect() -> None:
    pilot = Pilot(make_rollout().step("half", percent=50))
    pilot.settle().decide(after=1)
    done = pilot.rollout.status.message
    pilot.edit(steps=[{"name": "tenth", "percent": 10}, {"name": "half", "percent": 50}]).decide(after=60)
    assert pilot.phase == "Completed"
    message = "step half stays in force; it is no longer spec.steps[0]: raise spec.feature.revision to start over"
    assert pilot.rollout.status.message == message
    pilot.edit(steps=[{"name": "half", "percent": 50}]).decide(after=60)
    assert pilot.rollout.status.message == done


def test_what_a_restarted_rollout_waits_for_is_told_once() -> None:
    pilot = at_some().settle(after=5, rollback="breach")
    pilot.edit(feature={"flag": "search", "revision": 2}, paused=False).decide(after=1).decide(after=1)
    assert (pilot.phase, pilot.actions[-2:]) == ("Pending", ["Restart", "Hold"])
    pilot.decide(after=10, rollback="unavailable").decide(after=10, rollback="breach")
    assert pilot.actions[-2:] == ["Restart", "Hold"], "a reason that comes and goes fills no history"


@pytest.mark.parametrize(
    ("verdict", "message", "said"),
    [
        ("unavailable", "errors: Prometheus did not answer in time", " (Prometheus did not answer in time)"),
        ("no-data", "errors: no data for the variant on", " (no data for the variant on)"),
        ("no-data", "errors: no data for 45s, since 2026-03-02 09:00:00 UTC", ""),
        ("pending", "errors 2% > 1% (for 10s of 1m)", ""),
    ],
)
def test_the_message_says_why_nothing_is_known_unless_that_text_changes_with_time(
    verdict: Verdict, message: str, said: str
) -> None:
    pilot = Pilot(make_rollout().indicator("errors").with_spec(go=["errors < 1%"]).step("all", percent=100))
    pilot.decide()
    finding = Finding(rule="errors < 1%", role="go", verdict=verdict, message=message)
    seen = Seen((finding,), None, USERS, delivered=pilot.delivered)
    decision = decide(pilot.plan, pilot.rollout, seen, pilot.now)
    assert decision.status.message == f"spec.go[0]: errors < 1%: {verdict}{said}"


def test_it_goes_on_when_the_last_of_several_criteria_can_be_met() -> None:
    pilot = Pilot(make_rollout().indicator("errors").with_spec(go=["errors < 1%", "errors < 2%"]).step(percent=100))
    pilot.decide()
    hours = [timedelta(hours=2), timedelta(hours=3)]
    findings = tuple(
        Finding(rule=rule.text, role="go", verdict="pending", earliest=pilot.now + after)
        for rule, after in zip(pilot.plan.rules, hours, strict=True)
    )
    for order in (findings, findings[::-1]):
        decision = decide(pilot.plan, pilot.rollout, Seen(order, delivered=pilot.delivered), pilot.now)
        assert decision.status.next_check_time == pilot.now + timedelta(hours=3)
