"""Incidents over time: how many there are at any moment, when there were any, and what history is left without them."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.judging.incidents import Counts, Incident, State, Streak, incident_intervals, without_incidents
from pilotage.resources.incident import Severity

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
HALF = timedelta(minutes=30)
LAST = 12
"""Hours that the properties look at."""


def at(hour: float) -> datetime:
    return START + timedelta(hours=hour)


def incident(begin: float, end: float | None = None, severity: Severity = "critical", name: str = "") -> Incident:
    return Incident(severity, at(begin), None if end is None else at(end), name)


@st.composite
def incidents(draw: st.DrawFn) -> list[Incident]:
    """Some, on full hours, so that they often begin and end at the same moment; some of them in the future."""
    made = []
    for _ in range(draw(st.integers(0, 5))):
        begin = draw(st.integers(0, LAST + 2))
        end = draw(st.none() | st.integers(begin, LAST + 4))
        made.append(incident(begin, end, draw(st.sampled_from(["critical", "minor"]))))
    return made


def counted(found: list[Incident], severity: Severity | None, state: State, moment: datetime) -> int:
    """What a person would count, looking at one moment."""
    number = 0
    for each in found:
        begun = each.started_at <= moment
        over = each.resolved_at is not None and each.resolved_at < moment
        resolved = each.resolved_at is not None and each.resolved_at <= moment
        wanted = {"open": begun and not over, "resolved": resolved, "any": begun}[state]
        number += wanted and severity in (None, each.severity)
    return number


SEVERITIES = st.sampled_from([None, "critical", "minor"])
STATES = st.sampled_from(["open", "resolved", "any"])


@given(incidents(), SEVERITIES, STATES)
def test_the_count_over_time_is_what_a_person_counts_at_each_moment(
    found: list[Incident], severity: Severity | None, state: State
) -> None:
    counts = Counts.of(found, severity, state)
    for hour in range(LAST + 5):
        assert counts.at(at(hour)) == counted(found, severity, state, at(hour))
        # Between two full hours nothing begins or ends: the count after one is that of all moments up to the next.
        assert counts.after(at(hour)) == counted(found, severity, state, at(hour) + HALF)


@given(incidents(), SEVERITIES, STATES, st.integers(0, 3))
def test_a_streak_reaches_back_to_the_last_moment_that_breaks_it(
    found: list[Incident], severity: Severity | None, state: State, most: int
) -> None:
    now = at(LAST) + HALF
    counts = Counts.of(found, severity, state)
    streak = counts.streak(lambda count: count <= most, lambda count: count <= most, now)
    moments = [START + HALF * number for number in range(2 * LAST + 2)]  # full hours, and those between, up to now
    broken = [moment for moment in moments if counted(found, severity, state, moment) > most]
    if moments[-1] in broken:
        assert streak == Streak(holds=False)
    elif not broken:
        assert streak == Streak(holds=True)
    else:
        last = broken[-1]
        # Broken at a full hour: it holds right after. Broken in between: it holds from the next full hour on.
        assert streak == Streak(holds=True, since=last if last.minute == 0 else last + HALF)


@given(incidents(), STATES, st.integers(0, LAST), st.integers(0, LAST))
def test_what_moves_within_a_time_is_counted_once(found: list[Incident], state: State, one: int, other: int) -> None:
    since, until = at(min(one, other)), at(max(one, other))
    moves = [each.resolved_at if state == "resolved" else each.started_at for each in found]
    expected = sorted(move for move in moves if move is not None and since < move <= until)
    assert list(Counts.of(found, None, state).moved_within(since, until)) == expected


def test_before_the_record_begins_only_what_more_incidents_could_not_change_counts() -> None:
    counts = Counts.of([incident(1, 2)], None, "open")
    never, recorded = (lambda _count: False), at(8)
    assert counts.streak(lambda count: count == 0, never, at(10), recorded) == Streak(holds=True, since=at(8))
    some = Counts.of([incident(1)], None, "open")
    assert some.streak(lambda count: count > 0, lambda count: count > 0, at(10), recorded) == Streak(
        holds=True, since=at(1)
    )


def test_an_incident_that_ends_as_another_begins_leaves_no_gap() -> None:
    counts = Counts.of([incident(1, 3), incident(3)], None, "open")
    streak = counts.streak(lambda count: count > 0, lambda count: count > 0, at(5))
    assert streak == Streak(holds=True, since=at(1))


def test_an_incident_of_no_length_breaks_a_streak() -> None:
    counts = Counts.of([incident(4, 4)], None, "open")
    streak = counts.streak(lambda count: count == 0, lambda count: count == 0, at(5))
    assert streak == Streak(holds=True, since=at(4))


@given(incidents(), st.integers(0, LAST), st.integers(0, LAST))
def test_intervals_cover_exactly_the_moments_with_an_open_incident(found: list[Incident], one: int, other: int) -> None:
    since, until = at(min(one, other)), at(max(one, other))
    made = incident_intervals(found, since, until)
    for hour in range(min(one, other), max(one, other) + 1):
        assert any(begin <= at(hour) <= end for begin, end in made) == (counted(found, None, "open", at(hour)) > 0)
    assert all(since <= begin <= end <= until for begin, end in made)
    assert all(before[1] < after[0] for before, after in pairwise(made))


@pytest.mark.parametrize(
    ("found", "kept"),
    [
        ([], "abcdef"),
        ([incident(1.5, 2.5)], "a--def"),
        ([incident(-9, 0.5)], "-bcdef"),
        ([incident(4.2)], "abcd--"),
        ([incident(-9, -3)], "abcdef"),
        ([incident(7)], "abcdef"),
        ([incident(-1)], "------"),
        ([incident(2.5, 2.5), incident(4.1, 4.2)], "ab-d-f"),
    ],
)
def test_steps_of_history_with_an_open_incident_are_left_out(found: list[Incident], kept: str) -> None:
    history = without_incidents("abcdef", found, end_at=at(6), step_seconds=3600)
    assert "".join(each or "-" for each in history) == kept


def test_steps_without_data_stay_without() -> None:
    assert without_incidents([None, 1, 2], [incident(2, 2.5)], end_at=at(3), step_seconds=3600) == (None, 1, None)
