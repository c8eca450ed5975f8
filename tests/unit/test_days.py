"""Days of a time zone: which hours belong to which, how many a day has, and streaks across changes of the clocks."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.judging.days import Day, fold_days, midnight, missing_days
from pilotage.judging.evidence import Answered, Series
from pilotage.judging.reading import readable_rules
from pilotage.judging.threshold import ThresholdRule
from pilotage.resources.status import Finding
from tests.builders import judge, make_rollout, read_rules

HOUR = timedelta(hours=1)

# Changes at 2 or 3 o'clock, by half an hour, at midnight (Santiago: the day begins at one; Havana: midnight comes
# twice), offsets of half and three quarters of an hour, and offsets beyond a day's half.
ZONES = (
    *("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "America/Havana"),
    *("Asia/Kolkata", "Asia/Kathmandu", "Pacific/Chatham", "Pacific/Kiritimati", "UTC"),
)
zones = st.sampled_from(ZONES).map(ZoneInfo)
# Two years of changes.
moments = st.datetimes(datetime(2025, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001 - takes none
    lambda moment: moment.replace(microsecond=0)
)


def hours_until(end: datetime, count: int) -> list[float]:
    """The last full hours (UTC) at `end`, ascending, as Prometheus is asked for them."""
    newest = end.timestamp() // 3600 * 3600
    return [newest - 3600 * back for back in reversed(range(count))]


def good(times: list[float], value: float = 9.0) -> Answered:
    return Answered((("on", Series(tuple(times), (value,) * len(times))),))


def lasting(days: int, zone: ZoneInfo | str = "UTC", role: str = "go") -> ThresholdRule:
    criterion = f"x {'>= 8' if role == 'go' else '< 8'} for {days}d"
    builder = make_rollout().indicator("x", query="x", unit="score").step(percent=100)
    (rule,) = read_rules(builder.with_spec(timeZone=str(zone), **{role: [criterion]}).obj().spec, {})
    return rule


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", date(2026, 3, 28), 24),
        ("Europe/Berlin", date(2026, 3, 29), 23),
        ("Europe/Berlin", date(2026, 10, 25), 25),
        ("America/New_York", date(2026, 3, 8), 23),
        ("America/New_York", date(2026, 11, 1), 25),
        ("America/Santiago", date(2026, 9, 6), 23),
        ("America/Havana", date(2026, 11, 1), 25),
        ("Australia/Lord_Howe", date(2026, 4, 5), 24),  # of 24 h 30 min, from 13:00 to 13:30 UTC
        ("Australia/Lord_Howe", date(2026, 10, 4), 24),  # of 23 h 30 min, from 13:30 to 13:00 UTC
        ("Australia/Lord_Howe", date(2026, 6, 1), 24),
        ("Asia/Kolkata", date(2026, 6, 1), 24),
        ("Europe/Berlin", date(2026, 2, 28), 24),
        ("Europe/Berlin", date(2028, 2, 29), 24),
    ],
)
def test_a_day_has_as_many_hours_as_its_clocks_say(zone: str, day: date, hours: int) -> None:
    end = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=3)
    folded = fold_days(Series(tuple(hours_until(end, 120)), (1.0,) * 120), 3600.0, ZoneInfo(zone))
    assert (folded[day].seen, folded[day].steps) == (hours, hours)


@given(zones, moments, st.integers(1, 2400))
def test_each_hour_belongs_to_one_day_and_whole_days_are_complete(zone: ZoneInfo, end: datetime, count: int) -> None:
    folded = fold_days(Series(tuple(hours_until(end, count)), (1.0,) * count), 3600.0, zone)
    assert sum(day.seen for day in folded.values()) == count
    inner = sorted(folded)[1:-1]
    assert all(folded[day].seen == folded[day].steps for day in inner)
    assert inner == [inner[0] + timedelta(days=place) for place in range(len(inner))] if inner else True


def test_a_value_counts_to_the_local_day() -> None:
    # 23:00 in Berlin on March 1st is 22:00 UTC; an hour later in UTC, the 2nd has begun there.
    times = [datetime(2026, 3, 1, hour, tzinfo=UTC).timestamp() for hour in (23,)] + [
        datetime(2026, 3, 2, tzinfo=UTC).timestamp()
    ]
    folded = fold_days(Series(tuple(times), (1.0, 2.0)), 3600.0, ZoneInfo("Europe/Berlin"))
    assert {day: seen.value for day, seen in folded.items()} == {date(2026, 3, 1): 1.0, date(2026, 3, 2): 2.0}


def test_a_day_counts_with_nine_tenths_of_its_own_hours() -> None:
    assert Day(1.0, 21, 23).counts
    assert not Day(1.0, 20, 23).counts
    assert not Day(1.0, 21, 24).counts
    assert Day(1.0, 23, 25).counts
    assert not Day(1.0, 22, 25).counts


def test_missing_days_are_named_in_stretches_the_latest_if_there_are_many() -> None:
    march = [date(2026, 3, day) for day in range(1, 32)]
    gone = {2, 3, 4, 10, 20, 30, 31}
    days = {day: Day(1.0, 24, 24) for day in march if day.day not in gone}
    days[date(2026, 3, 20)] = Day(1.0, 12, 24)
    told = missing_days(days, march)
    assert told == "1 earlier gaps, 2026-03-10, 2026-03-20 (12 of 24 h), 2026-03-30 to 2026-03-31"
    assert missing_days(days, [date(2026, 3, 1)]) == ""


@given(zones, moments, st.integers(2, 40), st.sets(st.integers(0, 1100), max_size=60), st.sampled_from(["go", "noGo"]))
def test_a_criterion_over_days_is_met_exactly_if_each_local_day_was_seen_and_good(
    zone: ZoneInfo, now: datetime, days: int, missing: set[int], role: str
) -> None:
    times = hours_until(now, 45 * 24)
    kept = [at for place, at in enumerate(reversed(times)) if place not in missing][::-1]
    of: dict[date, list[bool]] = {}
    for at in times:
        # What the local clock shows in the middle of the hour.
        local = (datetime.fromtimestamp(at, UTC) - HOUR / 2).astimezone(zone).date()
        of.setdefault(local, []).append(at in set(kept))
    today = now.astimezone(zone).date()
    wanted = [today - timedelta(days=back) for back in range(1, days + 1)]
    fresh = now.timestamp() - kept[-1] <= 2 * HOUR.total_seconds()  # values that stopped coming tell nothing
    seen = fresh and all(sum(of[day]) >= 0.9 * len(of[day]) for day in wanted)
    rule = lasting(days, zone, role)
    finding = judge(rule, good(kept, 9.0 if role == "go" else 7.0), now)
    assert (finding.verdict == ("pass" if role == "go" else "breach")) == seen


@given(zones, moments, st.integers(2, 35), st.integers(0, 900))
def test_a_criterion_over_days_is_met_at_the_moment_that_was_foretold_and_not_before(
    zone: ZoneInfo, first: datetime, days: int, later: int
) -> None:
    """Data begin at `first` and never break; asked `later` hours on, the rule says when it can be met."""
    rule = lasting(days, zone)

    def asked(now: datetime) -> Finding:
        return judge(rule, good([at for at in hours_until(now, 46 * 24) if at > first.timestamp()] or [0.0]), now)

    now = first + later * HOUR
    finding = asked(now)
    if finding.earliest is None:
        return
    assert finding.earliest == midnight(finding.earliest.astimezone(zone).date(), zone)
    assert (asked(finding.earliest).verdict, finding.earliest > now) == ("pass", finding.verdict != "pass")
    assert asked(finding.earliest - timedelta(seconds=1)).verdict != "pass"
    whole = midnight(first.astimezone(zone).date(), zone)
    assert finding.earliest >= (whole + timedelta(days=days)).astimezone(UTC)


@pytest.mark.parametrize(
    ("zone", "now", "since", "earliest"),
    [
        # Twelve of fourteen days held on April 2nd; clocks were put forward on March 29th.
        ("Europe/Berlin", "2026-04-02T09:00Z", "2026-03-20T23:00Z", "2026-04-03T22:00Z"),
        ("America/New_York", "2026-04-02T09:00Z", "2026-03-21T04:00Z", "2026-04-04T04:00Z"),
        ("Australia/Lord_Howe", "2026-04-09T09:00Z", "2026-03-27T13:00Z", "2026-04-10T13:30Z"),
    ],
)
def test_since_and_earliest_are_local_midnights_over_a_change_of_clocks(
    zone: str, now: str, since: str, earliest: str
) -> None:
    moment = datetime.fromisoformat(now)
    times = hours_until(moment, 20 * 24)
    began = midnight(moment.astimezone(ZoneInfo(zone)).date() - timedelta(days=12), ZoneInfo(zone)).timestamp()
    series = Series(tuple(times), tuple(9.0 if at > began + 1800 else 1.0 for at in times))
    finding = judge(lasting(14, zone), Answered((("on", series),)), moment)
    assert (finding.verdict, finding.message) == ("pending", "x 9 >= 8 (held 12d of 14d)")
    assert finding.since == datetime.fromisoformat(since)
    assert finding.earliest == datetime.fromisoformat(earliest)


def test_the_message_names_the_days_that_are_missing() -> None:
    now = datetime(2026, 4, 2, 9, tzinfo=UTC)
    gap = datetime(2026, 3, 29, 12, tzinfo=UTC)
    times = [at for at in hours_until(now, 20 * 24) if not gap.timestamp() < at <= (gap + 4 * HOUR).timestamp()]
    finding = judge(lasting(14, "Europe/Berlin"), good(times), now)
    assert finding.verdict == "no-data"
    assert finding.message == "x 9 >= 8 now, but no data for 1 of 14 days: 2026-03-29 (19 of 23 h) (held 3d of 14d)"


def test_a_yesterday_without_data_is_named() -> None:
    now = datetime(2026, 4, 2, 0, 30, tzinfo=UTC)  # the 1st in New York
    times = hours_until(now, 1)
    finding = judge(lasting(2, "America/New_York"), good(times), now)
    assert finding.message == "x: no data for yesterday, 2026-03-31 (America/New_York)"


def test_weeks_are_counted_in_days_too() -> None:
    spec = make_rollout().indicator("x", query="x", unit="score").step(percent=100)
    (rule,) = read_rules(spec.with_spec(timeZone="Europe/Berlin", go=["x >= 8 for 2w"]).obj().spec, {})
    now = datetime(2026, 4, 2, 9, tzinfo=UTC)
    assert rule.counts_days
    assert judge(rule, good(hours_until(now, 15 * 24)), now).message == "x 9 >= 8 (held 14d)"


@given(zones, moments, st.integers(2, 400))
def test_what_is_asked_reaches_back_over_all_days(zone: ZoneInfo, now: datetime, days: int) -> None:
    rule = lasting(days, zone)
    oldest = rule.question.end_at(now.timestamp()) - rule.question.span_seconds
    first = midnight(now.astimezone(zone).date() - timedelta(days=days), zone).timestamp()
    assert oldest <= first + 3600
    assert rule.question.steps < 11_000
    assert rule.reach_seconds >= now.timestamp() - first


@pytest.mark.parametrize(
    ("zone", "near"),
    [
        ("Europe/Belin", "Europe/Berlin"),
        ("Berlin", "Europe/Berlin"),
        ("America", "America/"),
        ("Europe/berlin", "Europe/Berlin"),
        ("PST8", "PST8PDT"),
        ("Xyzzy", "such as "),
    ],
)
def test_an_unknown_zone_is_named_with_its_field_and_guards_still_work(zone: str, near: str) -> None:
    spec = make_rollout().indicator("x", query="x").step(percent=100).with_spec(timeZone=zone, rollback=["x > 1"])
    rules, (error,) = readable_rules(spec.obj().spec, {}, namespace="shop", name="search")
    assert len(rules) == 1
    assert str(error).startswith(f"spec.timeZone: there is no time zone {zone!r}: write an IANA name such as ")
    assert near in str(error)
