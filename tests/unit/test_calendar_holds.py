"""What waits for the calendar (all that lets users in), what does not, and how it is told."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tests.pilot import NOW, Pilot, guarded
from tests.unit.test_decide_properties import Moment, last_sequence, mixed, moments, play

LETS_IN = {"Start", "Advance", "Restore", "Retry"}

# NOW is a Monday, 09:00 UTC.
MORNING = {"name": "morning", "rrule": "FREQ=WEEKLY;BYDAY=MO,TU", "start": "08:30", "duration": "2h"}
RELEASE = {"name": "release", "from": "2026-03-02T09:01", "until": "2026-03-02T10:00"}
HOUR = 3600.0


def pilot(**schedule: object) -> Pilot:
    return Pilot(guarded().with_spec(schedule=schedule))


def test_the_first_step_waits_for_the_window_and_is_told_once() -> None:
    waiting = pilot(windows=[{**MORNING, "start": "11:00"}])
    for _ in range(3):
        waiting.decide(after=600)
    status = waiting.rollout.status
    assert (waiting.phase, waiting.actions, waiting.waits_for) == ("Pending", ["Hold"], "window")
    assert status.next_check_time == datetime(2026, 3, 2, 11, 0, tzinfo=UTC)
    assert status.history[-1].reason == "OutsideWindow"
    assert waiting.condition("Stalled")[0] == "False"
    waiting.decide(after=1.5 * HOUR)
    assert (waiting.phase, waiting.actions) == ("Progressing", ["Hold", "Start"])


def test_the_next_step_waits_for_the_end_of_a_freeze_and_is_decided_at_that_moment() -> None:
    holding = pilot(freezes=[RELEASE]).settle().decide(after=61)
    assert (holding.phase, holding.step, holding.waits_for) == ("Holding", "few", "end of freeze release")
    assert holding.rollout.status.next_check_time == datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
    assert holding.condition("Ready")[1:] == (
        "Frozen",
        "frozen by release: users are let in from Mon 2026-03-02 10:00 UTC on",
    )
    holding.decide(after=(datetime(2026, 3, 2, 9, 59, 57, tzinfo=UTC) - holding.now).total_seconds())
    assert holding.decision.wake_at == datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
    holding.decide(after=3)
    assert (holding.step, holding.actions) == ("some", ["Start", "Hold", "Advance"])


def test_before_the_start_time_it_is_pending() -> None:
    waiting = pilot(startTime="2026-03-02T12:00").decide()
    assert (waiting.phase, waiting.condition("Ready")[1], waiting.waits_for) == ("Pending", "NotStarted", "start time")


def test_another_reason_to_wait_is_no_other_transition() -> None:
    holding = pilot(freezes=[RELEASE], windows=[MORNING]).settle().decide(after=61).decide(after=2 * HOUR)
    assert (holding.condition("Ready")[1], holding.actions) == ("OutsideWindow", ["Start", "Hold"])


def test_criteria_that_speak_against_it_are_told_before_the_calendar() -> None:
    holding = pilot(freezes=[RELEASE]).settle().decide(after=61, go="breach")
    assert holding.condition("Ready")[1] == "CriteriaNotMet"


def test_users_are_taken_back_in_a_freeze() -> None:
    broken = pilot(freezes=[RELEASE]).settle().decide(after=61).settle(after=5, rollback="breach")
    assert (broken.phase, broken.admitted) == ("RolledBack", 0)


def test_users_are_shed_in_a_freeze_and_come_back_after_it() -> None:
    shed = pilot(freezes=[{**RELEASE, "from": "2026-03-02T09:02:30"}]).settle().settle(after=61)
    assert shed.admitted == 20
    shed.settle(after=120, throttle="breach")
    assert shed.admitted == 10
    shed.since = shed.now
    shed.decide(after=60, throttle="pass")
    assert (shed.phase, shed.admitted, shed.condition("Ready")[1]) == ("Holding", 10, "Frozen")
    shed.decide(after=HOUR)
    assert (shed.actions[-1], shed.admitted) == ("Restore", 20)


def test_who_is_excluded_goes_in_a_freeze_too() -> None:
    frozen = pilot(freezes=[RELEASE]).settle().decide(after=61)
    frozen.edit(audience={"directory": {"configMap": "users"}, "exclude": ["user-3"]}).decide(after=1)
    assert frozen.rollout.status.delivery
    assert (frozen.rollout.status.delivery.revision, frozen.rollout.status.delivery.direction) == (2, "back")


def test_the_end_waits_for_nothing() -> None:
    done = pilot(freezes=[{**RELEASE, "from": "2026-03-02T09:02:30"}])
    done.settle().settle(after=61).settle(after=61).decide(after=61)
    assert (done.phase, done.admitted) == ("Completed", 200)


def test_a_pause_and_a_deletion_are_told_in_a_freeze() -> None:
    frozen = pilot(freezes=[RELEASE]).settle().decide(after=61).edit(paused=True).decide(after=1)
    assert frozen.phase == "Paused"
    frozen.deleting = True
    assert frozen.decide(after=1).admitted == 0


def test_a_calendar_that_never_opens_needs_a_person() -> None:
    stuck = (
        pilot(freezes=[{"name": "moratorium", "from": "2026-01-01", "until": "2028-01-01"}]).decide().decide(after=9)
    )
    assert stuck.condition("Stalled")[:2] == ("True", "NeverOpens")
    assert stuck.condition("Stalled")[2].startswith("spec.schedule.freezes: ")
    assert stuck.actions == ["Stall"]
    stuck.edit(schedule={}).decide(after=1)
    assert stuck.actions == ["Stall", "Start"]


def test_a_calendar_that_can_not_be_read_stalls_and_keeps_the_users() -> None:
    stalled = pilot().settle().edit(schedule={"startTime": "2026-02-31"}).decide(after=61)
    assert stalled.condition("Stalled")[1:] == (
        "InvalidSpec",
        "spec.schedule.startTime: 2026-02-31 is no day of the calendar: correct it",
    )
    assert stalled.admitted == 10
    assert stalled.decide(after=1, rollback="breach").phase == "RollingBack"


@given(st.lists(moments, min_size=1, max_size=25), st.sampled_from(["previous", "zero"]), st.integers(0, 3))
def test_nobody_is_let_in_outside_an_open_time(world: list[Moment], to: str, frozen_hour: int) -> None:
    """Open in the first half of each hour, but for one hour in four."""
    frozen = f"2026-03-02T{9 + frozen_hour:02}:00"
    windows = [
        {"name": f"h{hour}", "rrule": "FREQ=DAILY", "start": f"{hour:02}:00", "duration": "30m"}
        for hour in range(9, 24)
    ]
    held = mixed(to)
    held.edit(schedule={"windows": windows, "freezes": [{"name": "f", "from": frozen, "until": frozen[:-2] + "59"}]})
    begin, end = NOW + timedelta(hours=frozen_hour), NOW + timedelta(hours=frozen_hour, minutes=59)
    for moment in world:
        sequence = last_sequence(held.rollout.status)
        play(held, moment)
        new = {e.action for e in held.rollout.status.history if e.sequence > sequence}
        if new & LETS_IN:
            assert held.now.minute < 30
            assert held.now.hour >= 9
            assert not begin <= held.now < end
