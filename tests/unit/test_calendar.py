"""Windows, freezes and a start time by the clocks of a zone, against a calendar that walks through every minute."""

import re
import time
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage.resources.calendar import RRULE_PATTERN, Period, Schedule
from pilotage.rollout.calendar import Calendar, read_calendar
from pilotage.rollout.periods import ScheduleError, read_period, stretches
from tests.builders import make_rollout

MINUTE = timedelta(minutes=1)
WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")

# The weeks in which clocks are changed: by an hour, and by half an hour.
CHANGES = {
    "Europe/Berlin": [date(2026, 3, 29), date(2026, 10, 25)],
    "America/New_York": [date(2026, 3, 8), date(2026, 11, 1)],
    "Australia/Lord_Howe": [date(2026, 4, 5), date(2026, 10, 4)],
    "UTC": [date(2026, 2, 28)],
}


def calendar(zone: str = "Europe/Berlin", **schedule: Any) -> Calendar:
    return read_calendar(make_rollout().step(percent=100).with_spec(timeZone=zone, schedule=schedule).obj().spec)


def refused(**schedule: Any) -> ScheduleError:
    with pytest.raises(ScheduleError) as caught:
        calendar(**schedule)
    return caught.value


def utc(text: str, zone: str = "Europe/Berlin") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def opening(found: Calendar, now: datetime, zone: str = "Europe/Berlin") -> str:
    opens_at = found.opens_at(now)
    return f"{opens_at.astimezone(ZoneInfo(zone)):%Y-%m-%dT%H:%M}" if opens_at else ""


OFFICE = {"name": "office", "rrule": "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH", "start": "09:00", "duration": "7h"}
HOLIDAYS = {"name": "holidays", "from": "2026-12-18T12:00", "until": "2027-01-06"}


def test_without_a_calendar_it_is_always_open() -> None:
    assert calendar().closure(utc("2026-12-24T20:00")) is None


def test_a_window_opens_at_its_start_and_closes_with_its_duration() -> None:
    found = calendar(windows=[OFFICE])
    assert found.closure(utc("2026-03-05T09:00")) is None
    assert found.closure(utc("2026-03-05T15:59")) is None
    closed = found.closure(utc("2026-03-05T16:00"))
    assert closed
    assert (closed.reason, closed.waits_for) == ("OutsideWindow", "window")
    assert closed.message == ("outside spec.schedule.windows: users are let in from Mon 2026-03-09 09:00 CET on")


def test_a_freeze_wins_over_a_window_and_the_opening_is_in_the_next_window() -> None:
    found = calendar(windows=[OFFICE], freezes=[HOLIDAYS])
    closed = found.closure(utc("2026-12-21T10:00"))
    assert closed
    assert (closed.reason, closed.waits_for) == ("Frozen", "end of freeze holidays")
    assert closed.message == "frozen by holidays: users are let in from Thu 2027-01-07 09:00 CET on"


def test_the_last_day_of_a_freeze_belongs_to_it() -> None:
    found = calendar(freezes=[HOLIDAYS])
    assert opening(found, utc("2027-01-06T23:59")) == "2027-01-07T00:00"
    assert found.closure(utc("2026-12-18T11:59")) is None
    assert found.closure(utc("2026-12-18T12:00"))


def test_of_several_freezes_the_one_that_lasts_longest_is_named() -> None:
    short = {"name": "audit", "from": "2026-12-21", "until": "2026-12-22"}
    closed = calendar(freezes=[short, HOLIDAYS]).closure(utc("2026-12-21T10:00"))
    assert closed
    assert "holidays" in closed.message


def test_before_the_start_time_nobody_is_let_in() -> None:
    closed = calendar(startTime="2026-06-01T10:00", windows=[OFFICE]).closure(utc("2026-05-04T10:00"))
    assert closed
    assert closed.reason == "NotStarted"
    assert closed.opens_at == utc("2026-06-01T10:00")


@pytest.mark.parametrize(
    ("zone", "now", "start", "expected"),
    [
        # 02:30 does not come: the window begins as long after midnight as on other days, an hour later by the clock.
        ("Europe/Berlin", "2026-03-29T00:00", "02:30", "2026-03-29T03:30"),
        ("America/New_York", "2026-03-08T00:00", "02:30", "2026-03-08T03:30"),
        ("Australia/Lord_Howe", "2026-10-04T00:00", "02:15", "2026-10-04T02:45"),
    ],
)
def test_a_window_that_starts_in_the_gap_begins_after_it(zone: str, now: str, start: str, expected: str) -> None:
    nightly = {"name": "nightly", "rrule": "FREQ=DAILY", "start": start, "duration": "30m"}
    found = calendar(zone, windows=[nightly])
    assert opening(found, utc(now, zone), zone) == expected


def test_of_a_time_that_comes_twice_the_first_counts() -> None:
    nightly = {"name": "nightly", "rrule": "FREQ=DAILY", "start": "02:30", "duration": "30m"}
    found = calendar(windows=[nightly])
    assert found.opens_at(utc("2026-10-25T00:00")) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert opening(found, datetime(2026, 10, 25, 1, 0, tzinfo=UTC)) == "2026-10-26T02:30"


def test_hours_are_exact_and_days_are_those_of_the_calendar() -> None:
    friday = {"rrule": "FREQ=WEEKLY;BYDAY=SA", "start": "22:00"}
    hours = calendar(freezes=[{"name": "a", "duration": "24h", **friday}])
    days = calendar(freezes=[{"name": "a", "duration": "1d", **friday}])
    night = utc("2026-03-28T23:00")
    assert (opening(hours, night), opening(days, night)) == ("2026-03-29T23:00", "2026-03-29T22:00")


@pytest.mark.parametrize(
    ("rule", "more", "expected"),
    [
        ("FREQ=MONTHLY;BYDAY=1TU", {}, "2026-04-07"),
        ("FREQ=MONTHLY;BYDAY=-1FR", {}, "2026-03-27"),
        ("FREQ=MONTHLY;BYMONTHDAY=-1", {}, "2026-03-31"),
        ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", {}, "2026-03-31"),
        ("FREQ=YEARLY;BYMONTH=11;BYDAY=4TH", {}, "2026-11-26"),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=TU", {"from": "2026-01-06"}, "2026-03-17"),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=TU", {"from": "2026-01-13"}, "2026-03-10"),
        ("FREQ=DAILY;INTERVAL=10", {"from": "2025-01-01"}, "2026-03-17"),
        ("FREQ=MONTHLY", {"from": "2026-01-31"}, "2026-03-31"),
        ("FREQ=YEARLY", {"from": "2026-06-01"}, "2026-06-01"),
        ("FREQ=DAILY", {"from": "2026-05-01"}, "2026-05-01"),
        ("FREQ=WEEKLY;BYDAY=WE;UNTIL=20260311", {}, "2026-03-11"),
    ],
)
def test_a_rule_of_rfc_5545_names_the_days(rule: str, more: dict[str, str], expected: str) -> None:
    found = calendar(windows=[{"name": "w", "rrule": rule, "start": "09:00", "duration": "1h", **more}])
    now = utc("2026-03-10T10:00") if "=TU" not in rule else utc("2026-03-10T08:00")
    assert opening(found, now) == f"{expected}T09:00"


@pytest.mark.parametrize(
    ("schedule", "field", "remedy"),
    [
        ({"startTime": "2026-02-30"}, "spec.schedule.startTime", "correct it"),
        ({"freezes": [{"name": "a", "from": "2026-01-02", "until": "2026-13-01"}]}, "", ""),
        (
            {"freezes": [{"name": "a", "from": "2026-01-02T10:00", "until": "2026-01-02T09:00"}]},
            "spec.schedule.freezes[0].until",
            "correct one of them",
        ),
        ({"windows": [{**OFFICE, "rrule": "FREQ=WEEKLY"}]}, "spec.schedule.windows[0].rrule", "add from"),
        ({"windows": [{**OFFICE, "rrule": "FREQ=DAILY;INTERVAL=3"}]}, "spec.schedule.windows[0].rrule", "add from"),
        (
            {"windows": [{**OFFICE, "rrule": "FREQ=MONTHLY;BYDAY=MO,1TU"}]},
            "spec.schedule.windows[0].rrule",
            "of its own",
        ),
        ({"windows": [{**OFFICE, "rrule": "FREQ=WEEKLY;BYDAY=1MO"}]}, "spec.schedule.windows[0].rrule", "MONTHLY"),
        (
            {"windows": [{**OFFICE, "rrule": "FREQ=DAILY;BYMONTH=1;BYMONTH=2"}]},
            "spec.schedule.windows[0].rrule",
            "leave one out",
        ),
        (
            {"windows": [OFFICE, {**OFFICE, "rrule": "FREQ=DAILY;UNTIL=20260231"}]},
            "spec.schedule.windows[1].rrule",
            "correct it",
        ),
    ],
)
def test_what_can_not_be_followed_names_the_field_and_the_remedy(
    schedule: dict[str, Any], field: str, remedy: str
) -> None:
    if not field:
        with pytest.raises(ValueError, match="until"):  # the pattern of the field
            calendar(**schedule)
        return
    error = refused(**schedule)
    assert error.field == field
    assert remedy in error.message


def test_an_unknown_zone_is_named() -> None:
    with pytest.raises(ScheduleError, match="Europe/Berlin"):
        calendar("Europe/Berln")


@pytest.mark.parametrize(
    ("schedule", "field"),
    [
        ({"freezes": [{"name": "a", "from": "2026-01-01", "until": "2030-01-01"}]}, "spec.schedule.freezes: "),
        ({"windows": [{**OFFICE, "rrule": "FREQ=DAILY;UNTIL=20260101"}]}, "spec.schedule.windows: "),
        (
            {
                "windows": [OFFICE],
                "freezes": [{"name": "a", "rrule": "FREQ=DAILY", "start": "08:00", "duration": "12h"}],
            },
            "spec.schedule.windows: ",
        ),
    ],
)
def test_what_does_not_open_within_a_year_says_so(schedule: dict[str, Any], field: str) -> None:
    closed = calendar(**schedule).closure(utc("2026-03-10T08:00"))
    assert closed
    assert (closed.reason, closed.opens_at) == ("NeverOpens", None)
    assert closed.message.startswith(field)


def test_what_opens_in_eleven_months_is_found() -> None:
    yearly = {"name": "w", "rrule": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=1", "start": "09:00", "duration": "1h"}
    assert opening(calendar(windows=[yearly]), utc("2026-03-10T08:00")) == "2027-02-01T09:00"


# The other way to tell, which knows no instants: it reads the clock at every minute.


@cache
def minutes(zone: str, first: date) -> tuple[tuple[datetime, str, str], ...]:
    """The minutes of ten days around a change: moment, day and what the clock shows."""
    begin = datetime.combine(first - timedelta(days=4), datetime.min.time(), ZoneInfo(zone)).astimezone(UTC)
    shown = ((begin + n * MINUTE) for n in range(10 * 1440))
    return tuple(
        (at, f"{at.astimezone(ZoneInfo(zone)):%Y-%m-%d}", f"{at.astimezone(ZoneInfo(zone)):%H:%M}") for at in shown
    )


def begins(zone: str, first: date, days: set[int], start: str) -> list[int]:
    """The minutes at which the clock first shows `start` on these weekdays, or would, had nobody put it forward."""
    seen: dict[str, int] = {}
    midnight: dict[str, int] = {}
    for n, (_, day, clock) in enumerate(minutes(zone, first)):
        midnight.setdefault(day, n)
        if clock == start:
            seen.setdefault(day, n)
    after = int(start[:2]) * 60 + int(start[3:])
    found = [(day, seen.get(day, midnight[day] + after)) for day in midnight]
    return [n for day, n in found if date.fromisoformat(day).weekday() in days]


@st.composite
def periods(draw: st.DrawFn, name: str) -> tuple[Period, set[int], str, int]:
    days = draw(st.sets(st.integers(0, 6), min_size=1))
    start = f"{draw(st.sampled_from([0, 1, 2, 3, 9, 23])):02}:{draw(st.sampled_from([0, 15, 30, 45])):02}"
    length = draw(st.sampled_from([15, 60, 90, 240, 480, 1440, 1500]))
    rule = f"FREQ=WEEKLY;BYDAY={','.join(WEEKDAYS[day] for day in sorted(days))}"
    return Period(name=name, rrule=rule, start=start, duration=f"{length}m"), days, start, length


@given(
    st.sampled_from([(zone, first) for zone, changes in CHANGES.items() for first in changes]),
    st.lists(periods("w"), max_size=2),
    st.lists(periods("f"), max_size=2),
)
def test_openings_are_those_that_a_walk_through_every_minute_finds(
    place: tuple[str, date],
    windows: list[tuple[Period, set[int], str, int]],
    freezes: list[tuple[Period, set[int], str, int]],
) -> None:
    zone, first = place
    spec = make_rollout().step(percent=100).with_spec(timeZone=zone).obj().spec
    schedule = Schedule(windows=tuple(w[0] for w in windows), freezes=tuple(f[0] for f in freezes))
    found = read_calendar(spec.model_copy(update={"schedule": schedule}))
    walked = minutes(zone, first)
    is_open = [not windows] * len(walked)
    for listed, value in ((windows, True), (freezes, False)):
        for _, days, start, length in listed:
            for begin in begins(zone, first, days, start):
                is_open[begin : begin + length] = [value] * len(is_open[begin : begin + length])
    # What began before the first of the ten days is not walked through; what opens after the last neither.
    looked_at = range(2880, len(walked), 97)
    changes = [n for n, (a, b) in enumerate(pairwise(is_open), 1) if a != b and n > 2880]
    for n in (*looked_at, *changes):
        if any(is_open[n:]):
            expected = walked[is_open.index(True, n)][0]
            assert found.opens_at(walked[n][0]) == expected
            assert (found.closure(walked[n][0]) is None) == is_open[n]


def some(*values: str) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=4, unique=True).map(",".join)


nth_days = some(*WEEKDAYS, *(f"{nth}{day}" for nth in (-4, -1, 1, 4) for day in WEEKDAYS))
parts = st.fixed_dictionaries(
    {"FREQ": st.sampled_from(["DAILY", "WEEKLY", "MONTHLY", "YEARLY"])},
    optional={
        "INTERVAL": st.integers(1, 99).map(str),
        "UNTIL": st.sampled_from(["20200101", "20260115", "20260231", "20991231"]),
        "BYDAY": some(*WEEKDAYS) | nth_days,
        "BYMONTHDAY": some("1", "13", "28", "-1", "-28"),
        "BYMONTH": some(*(str(month) for month in range(1, 13))),
        "BYSETPOS": st.sampled_from(["1", "-1"]),
        "WKST": st.sampled_from(WEEKDAYS),
    },
)
rules = parts.map(
    lambda found: ";".join(f"{name}={found[name]}" for name in sorted(found, key=lambda part: part != "FREQ"))
)


@settings(deadline=None)
@given(rules, st.dates(date(2020, 1, 1), date(2026, 1, 1)))
def test_every_rule_that_the_server_takes_is_refused_or_has_its_days_soon(rule: str, first: date) -> None:
    """A rule without a day would be searched for until the year 9999."""
    assert re.fullmatch(RRULE_PATTERN, rule)
    period = Period(name="w", rrule=rule, start="09:00", duration="1h", from_=first.isoformat())
    began = time.process_time()
    try:
        found = stretches(read_period(period, "spec.schedule.windows[0]", UTC), date(2026, 1, 1), date(2027, 2, 1))
    except ScheduleError:
        return
    assert time.process_time() - began < 0.5
    rare = "UNTIL" in rule or "INTERVAL" in rule or ("BYMONTHDAY" in rule and "BYDAY" in rule) or first.day > 28
    assert found.begins or rare
