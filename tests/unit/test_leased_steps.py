"""The dead-man lease: users of an unproven step fall back by the evaluator's clock if nobody knows how it fares."""

import time
from dataclasses import replace
from datetime import timedelta
from importlib import import_module
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.delivery.leases import lease_of, without_lease
from pilotage.delivery.probes import probes_for
from pilotage.delivery.targeting import definition_of, is_outdated, lost_by, shortfall
from pilotage.resources.status import LeaseStatus, PilotRolloutStatus, Verdict
from pilotage.rollout.decide import exposure_of
from pilotage.rollout.exposure import SHARE_TOTAL, Exposure
from pilotage.rollout.flagd import Evaluator
from tests.builders import make_rollout
from tests.pilot import NOW, Pilot, guarded
from tests.unit.controller_world import two_steps

EVALUATION = import_module("openfeature.contrib.tools.flagd.core.targeting.targeting")
LEASE = 300
DEAD: dict[str, Verdict] = dict.fromkeys(
    ("objective", "warning", "critical", "go", "noGo", "rollback", "throttle"), "unavailable"
)
SILENT: dict[str, Verdict] = dict.fromkeys(DEAD, "no-data")
WELL: dict[str, Verdict] = dict.fromkeys(DEAD, "pass")
UNTIL = 1_772_442_000
KEYS = [f"user-{number:04}" for number in range(1000)]
TENTH = Exposure("checkout", "on", "off", "percent", share=SHARE_TOTAL // 10, seed="7f3a:", revision=1)
THIRD = replace(TENTH, share=SHARE_TOTAL // 3, revision=2, lease_until=UNTIL, fallback=TENTH)


def admitted_at(definition: dict[str, Any], seconds: float | None) -> set[str]:
    """Who has the feature when the evaluator's clock shows this time; None for one that tells no time."""
    evaluator = Evaluator(definition)
    told = int if seconds is not None else lambda _: None
    with patch.object(time, "time", lambda: seconds or 0.0), patch.object(EVALUATION, "int", told, create=True):
        return {key for key in KEYS if evaluator.variant({"targetingKey": key}) == "on"}


def leased(**spec: Any) -> Pilot:
    """Three steps of a minute; unproven ones last five minutes."""
    return Pilot(guarded().with_spec(delivery={"leaseSeconds": LEASE}, **spec))


def lease(pilot: Pilot) -> LeaseStatus | None:
    assert pilot.rollout.status.delivery
    return pilot.rollout.status.delivery.lease


def ends_in(pilot: Pilot) -> float | None:
    """Seconds until users fall back."""
    found = lease(pilot)
    return (found.time - pilot.now).total_seconds() if found else None


def wanted(pilot: Pilot) -> Exposure:
    want = exposure_of(pilot.rollout, pilot.rollout.status)
    assert want
    return want


def test_users_fall_back_to_the_step_before_at_the_second_the_lease_ends() -> None:
    definition = definition_of(THIRD)
    few, many = admitted_at(definition_of(TENTH), 0), admitted_at(definition, UNTIL - 1)
    assert 60 < len(few) < 140
    assert 280 < len(many) < 390
    assert few < many
    assert admitted_at(definition, UNTIL) == few
    assert admitted_at(definition, UNTIL + 10**6) == few


def test_an_evaluator_that_tells_no_time_never_serves_what_is_unproven() -> None:
    assert admitted_at(definition_of(THIRD), None) == admitted_at(definition_of(TENTH), 0)


def test_a_first_step_falls_back_to_nobody() -> None:
    nobody = replace(TENTH, kind="off", share=0)
    definition = definition_of(replace(TENTH, lease_until=UNTIL, fallback=nobody))
    assert admitted_at(definition, UNTIL - 1)
    assert not admitted_at(definition, UNTIL)


def test_another_lease_is_the_same_exposure_and_has_to_be_written_again() -> None:
    served = definition_of(THIRD)
    for want in (replace(THIRD, lease_until=UNTIL + 60), replace(THIRD, lease_until=None, fallback=None)):
        assert shortfall(served, want, KEYS[:20]) == ""
        assert is_outdated(served, want)
        assert not lost_by(served, definition_of(want), probes_for(want, served, definition_of(want)))
    assert not is_outdated(served, THIRD)
    assert lease_of(served) == UNTIL
    assert lease_of(without_lease(served)) is None


def test_growth_is_compared_with_what_users_have_while_the_lease_lasts() -> None:
    served, smaller = definition_of(THIRD), definition_of(replace(TENTH, revision=3))
    assert lost_by(served, smaller, probes_for(TENTH, served, smaller))


def test_without_leaseseconds_no_step_ends_by_itself() -> None:
    pilot = Pilot(guarded())
    pilot.settle()
    assert lease(pilot) is None
    assert wanted(pilot).lease_until is None
    assert "LeaseHeld" not in [each.type for each in pilot.rollout.status.conditions]


def test_an_unproven_step_has_an_end_and_falls_back_to_the_one_before() -> None:
    pilot = leased()
    pilot.settle()
    fallback = wanted(pilot).fallback
    assert fallback
    assert (ends_in(pilot), fallback.kind) == (LEASE - 1, "off")
    pilot.settle(after=61)
    assert wanted(pilot).fallback == replace(wanted(pilot), **_former(pilot))
    assert pilot.condition("LeaseHeld") == ("True", "Renewed", "")


def _former(pilot: Pilot) -> dict[str, Any]:
    shown = pilot.rollout.status.trail[0]
    assert pilot.rollout.status.cohort
    enrolled = pilot.rollout.status.cohort.enrolled[: shown.enrolled]
    return {"kind": shown.kind, "enrolled": enrolled, "share": shown.share, "lease_until": None, "fallback": None}


def test_it_is_renewed_after_half_of_its_time_and_not_before() -> None:
    pilot = leased(steps=[{"name": "few", "users": 10, "hold": "1h"}])
    pilot.settle()
    ends = []
    for _ in range(60):
        pilot.decide(after=10)
        ends.append(lease(pilot))
    assert len(set(map(str, ends))) == 5, "600 s of 300 s: one at the beginning, and one write each 150 s"
    assert len({wanted(pilot).revision}) == 1
    assert pilot.actions == ["Start"], "a renewal is no transition"


@pytest.mark.parametrize("waiting", [{"paused": True}, {"noGo": ["errors > 2%"]}])
def test_who_waits_long_is_renewed_as_long_as_rules_are_known(waiting: dict[str, Any]) -> None:
    pilot = leased()
    pilot.settle().edit(**waiting)
    for _ in range(100):
        pilot.decide(after=30, noGo="breach")
    assert pilot.phase in ("Paused", "Holding")
    assert 150 <= (ends_in(pilot) or 0) <= LEASE
    assert pilot.rollout.status.delivery
    assert pilot.rollout.status.delivery.lost_time is None


def test_a_proven_step_has_no_end() -> None:
    pilot = leased()
    pilot.settle().settle(after=61).settle(after=61).settle(after=61)
    assert pilot.phase == "Completed"
    assert (lease(pilot), wanted(pilot).lease_until, wanted(pilot).kind) == (None, None, "full")


@pytest.mark.parametrize("role", ["rollback", "throttle"])
def test_what_users_are_taken_back_to_has_no_end(role: str) -> None:
    pilot = leased(onRollback={"to": "previous"})
    pilot.settle().settle(after=61).decide(after=1, **{role: "breach"})  # type: ignore[arg-type]
    assert (pilot.admitted, lease(pilot)) == (10, None)


def test_what_is_kept_after_deletion_has_no_end() -> None:
    pilot = leased(onDelete={"exposure": "keep"})
    pilot.settle()
    pilot.deleting = True
    pilot.decide(after=1)
    assert (wanted(pilot).kind, wanted(pilot).lease_until) == ("users", None)


def test_while_metrics_are_dead_it_is_not_renewed_and_status_says_what_comes() -> None:
    pilot = leased(steps=[{"name": "few", "users": 10, "hold": "1m"}, {"name": "some", "users": 20, "hold": "1d"}])
    pilot.settle().settle(after=61)
    ends = lease(pilot)
    assert ends
    pilot.decide(after=200, **DEAD)
    assert lease(pilot) == ends
    truth, reason, message = pilot.condition("LeaseHeld")
    assert (truth, reason) == ("Unknown", "NotRenewed")
    assert message.startswith(f"users of step some fall back to few at {ends.time:%Y-%m-%dT%H:%M:%SZ}: spec.")
    pilot.decide(after=200)
    assert pilot.condition("LeaseHeld")[:2] == ("False", "Lapsed")
    assert (pilot.phase, pilot.actions[-1]) == ("Holding", "NotInForce")
    assert pilot.condition("Delivered")[:2] == ("False", "NotInForce")
    assert "its lease ran out" in pilot.condition("Delivered")[2]
    assert pilot.rollout.status.delivery
    assert pilot.rollout.status.delivery.lost_time == ends.time, "since they fell back, not since we saw it"


def test_users_come_back_when_metrics_do_and_the_clock_stood_still() -> None:
    pilot = leased(steps=[{"name": "few", "users": 10, "hold": "1h"}])
    pilot.settle()
    began = pilot.rollout.status.step
    assert began
    assert began.verified_time
    ends = lease(pilot)
    assert ends
    pilot.decide(after=250, **DEAD).decide(after=650)
    away = pilot.now - ends.time
    pilot.decide(after=10, **WELL)
    assert ends_in(pilot) == LEASE
    assert pilot.phase == "Holding", "not before they are seen to have it"
    pilot.decide(after=1)
    step = pilot.rollout.status.step
    assert step
    assert step.verified_time == began.verified_time + away + timedelta(seconds=11)
    assert step.regained_time == pilot.now, "users are counted by variant from here on"
    assert pilot.actions[-1] == "InForce"
    assert "its clock stood still for" in pilot.rollout.status.history[-1].message
    assert pilot.condition("LeaseHeld") == ("True", "Renewed", "")


def test_a_frozen_operator_that_wakes_up_finds_that_users_fell_back() -> None:
    pilot = leased(steps=[{"name": "few", "users": 10, "hold": "1h"}])
    pilot.settle()
    ends = lease(pilot)
    assert ends
    pilot.decide(after=4000)
    assert pilot.actions == ["Start", "NotInForce"], "an hour is over, but not of the step"
    assert pilot.rollout.status.delivery
    assert pilot.rollout.status.delivery.lost_time == ends.time
    assert ends_in(pilot) == LEASE
    pilot.decide(after=1)
    assert pilot.step == "few"
    assert pilot.actions == ["Start", "NotInForce", "InForce"]
    pilot.decide(after=3200)
    assert pilot.phase != "Completed"


def test_no_data_at_all_ends_it_and_a_quiet_moment_does_not() -> None:
    pilot = leased(steps=[{"name": "few", "users": 10, "hold": "1d"}])
    pilot.settle()
    for _ in range(20):
        pilot.decide(after=14, **SILENT)
    assert ends_in(pilot) is not None
    assert (ends_in(pilot) or 0) > 0
    assert pilot.condition("LeaseHeld")[0] == "True", "they are in for less than the lease"
    for _ in range(30):
        pilot.decide(after=14, **SILENT)
    assert pilot.condition("LeaseHeld")[:2] == ("False", "Lapsed")
    assert "no rule that guards them has data; tried again after 5m" in pilot.condition("LeaseHeld")[2]
    assert pilot.phase == "Holding"


def test_what_is_never_measured_is_tried_again_ever_more_seldom() -> None:
    pilot = leased(steps=[{"name": "few", "users": 10, "hold": "30d"}])
    pilot.settle()
    pilot.verdicts.update(SILENT)
    exposed = []
    for _ in range(1000):
        pilot.decide(after=40)
        exposed.append((ends_in(pilot) or 0) > 0)
    tries = [index for index in range(1, len(exposed)) if exposed[index] and not exposed[index - 1]]
    pauses = [after - before for before, after in pairwise(tries)]
    assert len(tries) >= 4
    assert pauses == sorted(pauses)
    assert pauses[-1] > 1.5 * pauses[-2]
    pilot.decide(after=10, **WELL)
    assert (ends_in(pilot) or 0) > 0, "data bring them back at once"
    pilot.decide(after=200)
    assert lease(pilot) == LeaseStatus(time=pilot.now + timedelta(seconds=LEASE))


def test_some_rules_without_data_are_no_reason() -> None:
    pilot = leased(steps=[{"name": "few", "users": 10, "hold": "1d"}])
    pilot.settle()
    for _ in range(100):
        pilot.decide(after=10, critical="no-data", go="unavailable")
    assert pilot.condition("LeaseHeld")[0] == "True"


def test_a_lease_shorter_than_three_judgements_is_refused() -> None:
    made = make_rollout().with_spec(interval="2m", delivery={"leaseSeconds": LEASE}).step("all", percent=100)
    pilot = Pilot(made)
    pilot.decide()
    assert pilot.condition("Stalled")[2].startswith("spec.delivery.leaseSeconds: must be at least 360, three times")


def test_a_lease_that_is_given_later_or_taken_away_counts_from_then_on() -> None:
    pilot = Pilot(guarded())
    pilot.settle()
    pilot.edit(delivery={"leaseSeconds": 60}).decide(after=1)
    assert ends_in(pilot) == 60
    pilot.edit(delivery={"leaseSeconds": 600}).decide(after=1)
    assert ends_in(pilot) == 600, "less than half of it was left"
    pilot.edit(delivery={}).decide(after=1)
    assert lease(pilot) is None
    assert pilot.rollout.status.delivery
    assert pilot.rollout.status.delivery.revision == 1


@given(
    st.lists(
        st.tuples(st.sampled_from([1, 10, 61, 400]), st.sampled_from(["pass", "unavailable", "no-data", "breach"])),
        min_size=1,
        max_size=20,
    )
)
def test_nobody_is_left_in_an_unproven_step_without_an_end_and_no_proven_one_has_one(
    moments: list[tuple[int, Verdict]],
) -> None:
    pilot = leased()
    for after, verdict in moments:
        pilot.decide(after=after, **dict.fromkeys(DEAD, verdict))
        status = pilot.rollout.status
        if status.delivery is None:
            continue
        shown = status.exposure.step if status.exposure else ""
        unproven = bool(shown) and status.step is not None and shown == status.step.name
        unproven = unproven and status.phase in ("Progressing", "Holding", "Paused", "AwaitingApproval")
        assert (status.delivery.lease is not None) == unproven
        if status.delivery.lease:
            assert status.delivery.lease.time <= pilot.now + timedelta(seconds=LEASE)
            want = wanted(pilot)
            assert want.fallback is not None
            assert set(want.fallback.enrolled) <= set(want.enrolled)
        if verdict == "unavailable":
            assert "Advance" not in [e.action for e in status.history if e.time == pilot.now]


def test_the_lease_survives_a_restart() -> None:
    pilot = leased()
    pilot.settle()
    fresh = PilotRolloutStatus.model_validate(pilot.rollout.status.to_wire())
    assert fresh.delivery == pilot.rollout.status.delivery
    assert lease(pilot) == LeaseStatus(time=NOW + timedelta(seconds=LEASE))


async def test_a_renewal_is_one_write_and_a_failed_one_is_tried_again() -> None:
    world = two_steps()
    world.edit(delivery={"leaseSeconds": 100})
    await world.run(3)
    writes = len(world.target.writes)
    await world.clock.advance(60)
    await world.run(3)
    assert len(world.target.writes) == writes + 1
    how, want = world.target.writes[-1]
    assert (how, want.revision) == ("apply", 1)
    assert want.lease_until == int(world.clock.now().timestamp()) + 100
    assert [entry.action for entry in world.rollout.status.history] == ["Start"]


def test_that_users_fell_back_is_told_however_short_it_was() -> None:
    pilot = leased(steps=[{"name": "few", "users": 10, "hold": "1h"}])
    pilot.settle()
    pilot.decide(after=LEASE + 1).decide(after=1).decide(after=1)
    assert pilot.actions == ["Start", "NotInForce", "InForce"]
    assert pilot.condition("Delivered")[0] == "True"
