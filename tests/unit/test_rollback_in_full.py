"""Where users are taken back to, how, and how a rollout goes on after it."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.rollout.decide import needs_judging
from tests.pilot import Pilot, guarded, said
from tests.unit.test_decide_properties import PLANNED, Moment, mixed, moments, people, play

DAY, HOUR = 86400.0, 3600.0
FOUR_STEPS = [
    {"name": "few", "users": 10, "hold": "1m"},
    {"name": "some", "users": 20, "hold": "1m"},
    {"name": "more", "users": 40, "hold": "1m"},
    {"name": "many", "users": 80, "hold": "1h"},
]


def pilot(**way_back: object) -> Pilot:
    """In the last of four steps, its users verified."""
    found = Pilot(guarded().with_spec(onRollback=way_back, steps=FOUR_STEPS))
    found.settle().settle(after=61).settle(after=61).settle(after=61)
    assert found.step == "many"
    return found


def quiet(found: Pilot, *, after: float) -> Pilot:
    """All is well since then, and so much time has passed."""
    found.since = found.now
    return found.decide(after=after, **said("rollback", "pass"))


def back(found: Pilot, *, after: float = 5) -> tuple[str, int | None]:
    """The step and the users after a breach that is verified."""
    found.settle(after=after, rollback="breach")
    return found.step, found.admitted


def acknowledged(found: Pilot, *, after: float = 1) -> Pilot:
    assert found.rollout.status.rollback
    return found.edit(acknowledgedRollback=found.rollout.status.rollback.sequence).decide(after=after)


# Where to.


@pytest.mark.parametrize(
    ("to", "expected"), [("zero", ("-", 0)), ("previous", ("more", 40)), ("few", ("few", 10)), ("some", ("some", 20))]
)
def test_users_go_where_it_says(to: str, expected: tuple[str, int]) -> None:
    assert back(pilot(to=to)) == expected


def test_who_is_taken_back_to_a_step_are_the_people_of_that_step() -> None:
    found = Pilot(guarded().with_spec(onRollback={"to": "few"}, steps=FOUR_STEPS)).settle()
    first = people(found)
    found.settle(after=61).settle(after=61)
    back(found)
    assert people(found) == first


@pytest.mark.parametrize("to", ["many", "more"])
def test_from_the_named_step_itself_users_go_to_nobody(to: str) -> None:
    found = Pilot(guarded().with_spec(onRollback={"to": to}, steps=FOUR_STEPS))
    found.settle().settle(after=61).settle(after=61)
    assert found.step == "more"
    assert back(found) == ("-", 0)


def test_if_it_stays_broken_in_the_named_step_users_go_to_nobody() -> None:
    found = pilot(to="some")
    back(found)
    assert found.phase == "RolledBack"
    assert back(found, after=91) == ("-", 0)


def test_stepwise_goes_back_one_step_at_a_time_while_it_is_broken() -> None:
    found = pilot(to="few", mode="stepwise", pace="10s")
    assert back(found) == ("more", 40)
    found.decide(after=8)
    assert (found.phase, found.step) == ("RolledBack", "more")
    assert back(found, after=5) == ("some", 20)
    found.decide(after=30, rollback="pass")
    assert (found.phase, found.step) == ("RolledBack", "some")
    assert back(found) == ("few", 10)
    assert back(found, after=11) == ("-", 0)
    assert found.actions.count("RollBack") == found.actions.count("RolledBack") == 4


def test_stepwise_waits_until_each_step_back_is_seen_in_force() -> None:
    found = pilot(to="zero", mode="stepwise", pace="10s")
    found.decide(after=5, rollback="breach")
    found.in_force = False
    for _ in range(5):
        found.decide(after=60)
    assert (found.phase, found.step) == ("RollingBack", "more")
    found.mend().decide(after=1).decide(after=1)
    assert (found.phase, found.step) == ("RolledBack", "more")


def test_without_a_pace_stepwise_counts_only_evidence_that_is_new() -> None:
    found = pilot(to="zero", mode="stepwise")
    back(found)
    assert back(found, after=80) == ("more", 40)
    assert back(found, after=20) == ("some", 20)


INCLUDED = {"directory": {"configMap": "users"}, "include": ["user-7", "user-8"]}


def test_the_feature_is_taken_from_those_who_are_included_too() -> None:
    found = Pilot(guarded().with_spec(audience=INCLUDED)).settle()
    back(found)
    assert not people(found)


def test_who_is_included_keeps_the_feature_where_the_spec_says_so_until_it_breaks_there() -> None:
    found = Pilot(guarded().with_spec(audience=INCLUDED, onRollback={"included": "keep"})).settle()
    back(found)
    assert people(found) == {"user-7", "user-8"}
    assert "the 2 of audience.include" in found.rollout.status.history[-1].message
    assert needs_judging(found.rollout)
    back(found, after=91)
    assert not people(found)


def test_with_nobody_included_keep_and_off_are_the_same() -> None:
    assert back(pilot(included="keep")) == ("-", 0)


# How it goes on.


def test_without_a_retry_it_stays_back_until_a_new_revision() -> None:
    found = pilot()
    back(found)
    quiet(found, after=30 * DAY)
    assert (found.phase, found.waits_for) == ("RolledBack", "a new revision")
    assert (found.decision.wake_at, needs_judging(found.rollout)) == (None, False)
    assert found.condition("Stalled")[0] == "True"


def test_a_retry_comes_after_its_time_with_the_same_people_in_the_same_order() -> None:
    found = Pilot(guarded().with_spec(onRollback={"retry": {"after": "24h"}}, steps=FOUR_STEPS))
    went = [people(found.settle()), *(people(found.settle(after=61)) for _ in range(3))]
    back(found)
    due_at = found.now + timedelta(days=1)
    quiet(found, after=DAY - 10)
    assert (found.phase, found.waits_for) == ("RolledBack", "the next try")
    assert found.rollout.status.next_check_time
    assert abs(found.rollout.status.next_check_time - due_at) < timedelta(seconds=2)
    assert found.condition("Stalled")[0] == "False", "it needs nobody"
    found.decide(after=11).decide()
    assert found.actions[-2:] == ["Retry", "Start"]
    assert found.rollout.status.history[-2].message.startswith("try 1 of 1 from the first step")
    again = [people(found.decide(after=1)), *(people(found.settle(after=61)) for _ in range(3))]
    assert again == went


def test_a_retry_goes_on_from_the_step_that_users_are_in_and_takes_nobody_out() -> None:
    found = pilot(to="some", retry={"after": "1h"})
    back(found)
    inside = people(found)
    quiet(found, after=HOUR).decide()
    assert (found.phase, found.step, people(found)) == ("Progressing", "some", inside)
    found.decide(after=50)
    assert found.step == "some", "its time begins anew"
    assert found.decide(after=11).step == "more"


def test_tries_are_limited_and_a_new_revision_begins_to_count_anew() -> None:
    found = pilot(retry={"after": "1m", "limit": 2})
    for _ in range(2):
        back(found)
        quiet(found, after=HOUR).decide().decide(after=1)
        assert found.phase == "Progressing"
    back(found)
    quiet(found, after=HOUR)
    assert (found.phase, found.waits_for) == ("RolledBack", "a new revision")
    found.edit(feature={"flag": "search", "revision": 2}).settle(after=1)
    assert (found.step, found.rollout.status.retries) == ("few", 0)


def test_a_retry_waits_until_what_broke_is_quiet_for_as_long_as_it_takes() -> None:
    found = pilot(retry={"after": "1m"})
    back(found)
    found.decide(after=HOUR)
    assert (found.phase, found.waits_for) == ("RolledBack", "quiet rollback: errors > 3% for 30s")
    found.decide(after=1, rollback="unavailable")
    assert found.phase == "RolledBack"
    quiet(found, after=59)  # the critical bound takes six intervals
    assert (found.phase, found.waits_for) == ("RolledBack", "quiet critical: errors > 5%")
    assert found.decide(after=2).actions[-1] == "Retry"


def test_where_nobody_has_the_feature_no_data_is_quiet_once_the_old_are_too_old() -> None:
    found = pilot(retry={"after": "1s"})
    found.verdicts |= said("critical", "no-data")
    back(found)
    found.decide(after=115, rollback="no-data")
    assert found.phase == "RolledBack"
    assert found.decide(after=10).actions[-1] == "Retry"


def test_where_users_are_still_in_no_data_is_not_quiet() -> None:
    found = pilot(to="few", retry={"after": "1s"})
    back(found)
    found.decide(after=HOUR, rollback="no-data")
    assert (found.phase, found.waits_for) == ("RolledBack", "quiet rollback: errors > 3% for 30s")


def test_a_retry_after_acknowledgement_waits_for_the_person() -> None:
    found = pilot(retry={"acknowledgement": "required"})
    back(found)
    sequence = found.rollout.status.rollback.sequence if found.rollout.status.rollback else 0
    assert found.rollout.status.history[-2].sequence == sequence
    quiet(found, after=DAY)
    assert (found.phase, found.waits_for) == ("RolledBack", f"acknowledgement of rollback {sequence}")
    assert found.condition("Acknowledged")[0] == "False"
    assert f"set spec.acknowledgedRollback to {sequence}" in found.condition("Acknowledged")[2]
    acknowledged(found)
    assert (found.actions[-1], found.condition("Acknowledged")[0]) == ("Acknowledge", "True")
    assert found.decide().actions[-1] == "Retry"
    assert found.rollout.status.rollback is None


def test_with_both_it_waits_for_both() -> None:
    found = pilot(retry={"after": "1h", "acknowledgement": "required"})
    back(found)
    acknowledged(found)
    quiet(found, after=60)
    assert (found.phase, found.waits_for) == ("RolledBack", "the next try")
    assert found.decide(after=HOUR).actions[-1] == "Retry"


def test_another_number_acknowledges_nothing() -> None:
    found = pilot(retry={"acknowledgement": "required"}).edit(acknowledgedRollback=1000)
    back(found)
    quiet(found, after=DAY)
    assert (found.phase, "Acknowledge" in found.actions) == ("RolledBack", False)


def test_the_reason_stays_through_a_retry_until_it_is_acknowledged() -> None:
    found = pilot(retry={"after": "1m"})
    back(found)
    quiet(found, after=HOUR).decide().decide(after=1)
    assert found.phase == "Progressing"
    assert found.rollout.status.rollback
    assert found.condition("Acknowledged")[:2] == ("False", "Breach")
    acknowledged(found)
    assert (found.phase, found.actions[-1]) == ("Progressing", "Acknowledge")
    assert not found.rollout.status.model_dump()["rollback"]
    assert "Acknowledged" not in {each.type for each in found.rollout.status.conditions}


@pytest.mark.parametrize(
    ("edit", "waits_for"),
    [
        ({"paused": True}, "spec.paused: false"),
        ({"schedule": {"startTime": "2026-02-30"}}, "a valid spec"),
        (
            {"schedule": {"freezes": [{"name": "sale", "from": "2026-03-01", "until": "2026-03-20"}]}},
            "end of freeze sale",
        ),
    ],
)
def test_a_retry_is_growth_and_waits_for_what_growth_waits_for(edit: dict[str, object], waits_for: str) -> None:
    found = pilot(retry={"after": "1m"})
    back(found)
    quiet(found.edit(**edit), after=HOUR)
    assert (found.phase, found.waits_for) == ("RolledBack", waits_for)
    assert found.edit(paused=False, schedule={}).decide(after=1).actions[-1] == "Retry"


def test_a_retry_that_breaks_again_is_taken_back_again() -> None:
    found = pilot(retry={"after": "1m", "limit": 5})
    back(found)
    quiet(found, after=HOUR).decide().decide(after=1)
    assert people(found)
    assert back(found) == ("-", 0)
    assert found.rollout.status.rollback
    assert found.rollout.status.rollback.from_step == "few"


def test_a_step_that_is_not_in_the_spec_is_named() -> None:
    found = Pilot(guarded().with_spec(onRollback={"to": "yesterday"})).decide()
    assert found.condition("Stalled")[2].startswith("spec.onRollback.to: there is no step yesterday")


# Whatever happens.

ways = st.fixed_dictionaries(
    {
        "to": st.sampled_from(["zero", "previous", "some", "half"]),
        "mode": st.sampled_from(["atOnce", "stepwise"]),
        "included": st.sampled_from(["off", "keep"]),
    },
    optional={
        "retry": st.fixed_dictionaries({"after": st.sampled_from(["0s", "1m", "1h"]), "limit": st.integers(1, 5)}),
    },
).map(lambda way: {**way, "pace": "30s"} if way["mode"] == "stepwise" else way)


def way(said: dict[str, object]) -> Pilot:
    return mixed("zero").edit(onRollback=said)


@given(st.lists(moments, min_size=1, max_size=30), ways)
def test_no_way_back_lets_anybody_in_and_users_never_exceed_the_step(
    world: list[Moment], said: dict[str, object]
) -> None:
    found = way(said)
    for moment in world:
        before, last = people(found), len(found.rollout.status.history)
        play(found, moment)
        inside = people(found)
        if any(e.action == "RollBack" for e in found.rollout.status.history[last:]):
            assert inside < before
        assert found.admitted == len(inside)
        if found.step != "-":
            assert len(inside) <= PLANNED[found.step]
        else:
            assert inside <= {"user-7"}
        assert found.rollout.status.retries <= (said.get("retry") or {"limit": 0})["limit"]  # type: ignore[index]


@given(st.lists(moments, min_size=1, max_size=30), ways)
def test_as_long_as_it_stays_broken_nobody_is_left_in_the_end(world: list[Moment], said: dict[str, object]) -> None:
    found = way(said)
    for moment in world:
        play(found, moment)
    if found.phase == "Completed" or not people(found):
        return
    for _ in range(20):
        found.mend().decide(after=600, rollback="breach")
    assert not people(found)
    assert found.phase == "RolledBack"


@given(st.lists(moments, min_size=1, max_size=30), ways)
def test_a_step_has_the_same_people_at_every_try(world: list[Moment], said: dict[str, object]) -> None:
    found = way(said)
    first: dict[str, frozenset[str]] = {}
    for moment in world:
        play(found, moment)
        if found.rollout.status.exposure and found.rollout.status.exposure.step:
            inside = people(found)
            assert first.setdefault(found.rollout.status.exposure.step, inside) == inside
