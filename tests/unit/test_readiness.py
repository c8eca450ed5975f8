"""Readiness: what blocks, what is only told, and what is not known; gates that hold without alarming."""

from datetime import timedelta
from typing import Any

import pytest

from pilotage.resources.scores import ScoreStatus
from pilotage.resources.status import Finding, ReadinessStatus, Verdict
from pilotage.rollout.decide import decide
from pilotage.rollout.readiness import assess
from pilotage.rollout.situation import Seen
from tests.pilot import USERS, Pilot, guarded, said

READINESS = {"blockers": ["errors > 5%"], "warnings": ["errors > 0.1% for 1h"]}


def watched(**spec: Any) -> Pilot:
    return Pilot(guarded().with_spec(readiness=READINESS, **spec))


@pytest.fixture
def pilot() -> Pilot:
    return watched()


@pytest.fixture
def at_few(pilot: Pilot) -> Pilot:
    """In the first step, its users verified."""
    pilot.settle()
    assert pilot.step == "few"
    return pilot


def readiness(pilot: Pilot) -> ReadinessStatus:
    found = pilot.rollout.status.readiness
    assert found is not None
    return found


def test_where_all_criteria_hold_it_is_ready(at_few: Pilot) -> None:
    assert readiness(at_few) == ReadinessStatus(state="Ready")


@pytest.mark.parametrize("verdict", ["breach", "pending"])
def test_a_blocker_holds_the_advance_and_takes_nobody_back(at_few: Pilot, verdict: Verdict) -> None:
    at_few.decide(after=61, blocker=verdict)
    assert (at_few.phase, at_few.step, at_few.admitted) == ("Holding", "few", 10)
    assert at_few.waits_for == "blocker: errors > 5%"
    assert readiness(at_few).state == "NotReady"
    assert at_few.decide(after=5, blocker="pass").step == "some"


def test_a_blocker_keeps_the_first_users_out(pilot: Pilot) -> None:
    pilot.decide(blocker="breach")
    assert (pilot.phase, pilot.step) == ("Pending", "-")


def test_warnings_are_told_and_decide_nothing(pilot: Pilot) -> None:
    pilot.settle(readinessWarning="breach")
    assert pilot.step == "few"
    assert readiness(pilot).warnings == ("errors > 0.1% for 1h: applies",)
    assert readiness(pilot).state == "Ready"
    assert pilot.condition("Healthy")[0] == "True"
    assert pilot.rollout.status.summary is not None
    assert pilot.rollout.status.summary.verdict == "pass"
    pilot.settle(after=61)
    assert pilot.step == "some"


@pytest.mark.parametrize("verdict", ["no-data", "unavailable"])
def test_warnings_that_nobody_can_tell_hold_nothing(at_few: Pilot, verdict: Verdict) -> None:
    at_few.decide(after=61, readinessWarning=verdict)
    assert at_few.step == "some"
    assert readiness(at_few).state == "Ready"
    assert readiness(at_few).unknown == (f"errors > 0.1% for 1h: {verdict}",)


def test_what_is_not_known_is_not_ready(at_few: Pilot) -> None:
    at_few.decide(after=5, blocker="no-data")
    assert readiness(at_few) == ReadinessStatus(state="Unknown", unknown=("errors > 5%: no-data",))


def test_objectives_that_are_missed_and_go_criteria_that_are_not_met_block(at_few: Pilot) -> None:
    at_few.decide(after=5, objective="breach", go="pending", noGo="breach")
    assert readiness(at_few).blockers == (
        "errors < 1%: not met",
        "errors > 2%: applies",
        "errors < 1%: not met yet",
    )


def test_readiness_goes_when_it_is_no_longer_asked_for(at_few: Pilot) -> None:
    at_few.edit(readiness=None).decide(after=5)
    assert at_few.rollout.status.readiness is None


def test_the_texts_are_bounded() -> None:
    rules = watched().plan.rules
    rule = next(rule for rule in rules if rule.role == "blocker")
    found = Finding(rule="x" * 256, role="blocker", verdict="breach", message="m" * 1024)
    made = assess([(rule, found)] * 50)
    assert len(made.blockers) == 32
    assert made.blockers[-1] == "and 19 more"
    assert all(len(text) <= 1024 for text in made.blockers)


@pytest.fixture
def gated() -> Pilot:
    made = guarded().indicator("exposed", query="x").indicator("counted", errors="e[$window]", total="t[$window]")
    audience = {"directory": {"configMap": "users"}, "assignment": {"indicator": "exposed"}}
    return Pilot(made.with_spec(audience=audience, burnRates=[{"indicator": "counted", "budget": "0.1%"}]))


@pytest.mark.parametrize("role", ["burnRate", "assignment"])
def test_a_gate_holds_the_first_step_and_the_next_one(gated: Pilot, role: str) -> None:
    gated.decide(after=0, **said(role, "breach"))
    assert (gated.phase, gated.step) == ("Pending", "-")
    gated.settle(after=5, **said(role, "pass"))
    gated.decide(after=61, **said(role, "breach"))
    assert (gated.phase, gated.step, gated.admitted) == ("Holding", "few", 10)
    assert gated.actions == ["Hold", "Start", "Hold"]


@pytest.mark.parametrize("verdict", ["pending", "no-data"])
def test_a_gate_that_can_not_tell_yet_lets_the_step_run_and_not_end(gated: Pilot, verdict: Verdict) -> None:
    gated.settle(assignment=verdict)
    gated.decide(after=30)
    assert (gated.phase, gated.step) == ("Progressing", "few")
    gated.decide(after=31)
    assert (gated.phase, gated.step) == ("Holding", "few")
    assert gated.decide(after=5, assignment="pass").step == "some"


def test_a_lift_that_is_not_proven_lets_the_step_run_and_not_end() -> None:
    made = guarded().with_spec(rollback=["lift(counted) > 20% significant"])
    pilot = Pilot(made.indicator("counted", errors="e[$window]", total="t[$window]"))
    pilot.settle(rollback="pending")
    pilot.decide(after=30)
    assert (pilot.phase, pilot.step) == ("Progressing", "few")
    assert pilot.decide(after=31).phase == "Holding"
    assert pilot.decide(after=5, rollback="breach").phase == "RollingBack"


def test_scores_are_written_when_a_rating_changes_or_they_are_old(at_few: Pilot) -> None:
    def see(value: str, rating: str, *, after: float = 10) -> str:
        at_few.now += timedelta(seconds=after)
        findings = tuple(Finding(rule=r.text, role=r.role, verdict="pass") for r in at_few.plan.rules)
        scores = (ScoreStatus.model_validate({"name": "customer", "value": value, "rating": rating}),)
        seen = Seen(findings, None, USERS, "", at_few.delivered, scores=scores)
        status = decide(at_few.plan, at_few.rollout, seen, at_few.now).status
        at_few.rollout = at_few.rollout.model_copy(update={"status": status})
        return status.scores[0].value

    assert see("8.6", "acceptable") == "8.6"
    assert see("8.7", "acceptable") == "8.6"  # status is no time series
    assert see("7.9", "poor") == "7.9"
    assert see("7.8", "poor", after=301) == "7.8"
