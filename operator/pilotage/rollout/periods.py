"""Periods: times that recur or come once by a zone's clocks, as stretches of real time.

What a clock can't show, as it is put forward over it, is taken by the offset before the change; what it shows twice is
the first of the two (RFC 5545, 3.3.5). A duration's days are those of the calendar, its hours are exact (3.3.6).
"""

import re
from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache

from dateutil.rrule import rrulestr

from pilotage.resources.calendar import CONTRADICTIONS, NEEDS_FIRST_DAY, SAYS_FIRST_DAY, Period
from pilotage.resources.durations import split_duration

_LEAD = timedelta(days=14)
"""The first week of a rule that begins in its middle is not whole."""


class ScheduleError(Exception):
    """A calendar that can't be followed.

    Attributes:
        field: path in the resource, such as `spec.schedule.windows[0].rrule`.
        message: what is wrong and what to write instead.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


@dataclass(frozen=True, slots=True)
class Span:
    """A period that was read.

    Attributes:
        name: as messages tell it.
        zone: whose clocks count.
        rule: the recurrence rule; empty for what comes once.
        begin: local: the time of day, on the first day; for what comes once, when it begins.
        anchored: whether the rule counts from that day.
        days: of the calendar, that it lasts.
        seconds: that it lasts besides.
        end: local; when it ends, if it comes once.
    """

    name: str
    zone: tzinfo
    rule: str
    begin: datetime
    anchored: bool = False
    days: int = 0
    seconds: float = 0.0
    end: datetime | None = None


@dataclass(frozen=True, slots=True)
class Stretches:
    """When a period is, in UTC: disjoint and ascending."""

    begins: tuple[datetime, ...]
    ends: tuple[datetime, ...]

    def end_at(self, moment: datetime) -> datetime | None:
        """The end of the stretch that covers the moment; None if none does."""
        place = bisect_right(self.begins, moment) - 1
        return self.ends[place] if place >= 0 and moment < self.ends[place] else None


def read_period(period: Period, field: str, zone: tzinfo) -> Span:
    """The period as it can be searched.

    Args:
        period: as it is written.
        field: its path, such as `spec.schedule.freezes[0]`.
        zone: whose clocks count.

    Raises:
        ScheduleError: it says nothing that can be.
    """
    if period.rrule is None:
        return _read_once(period, field, zone)
    _check_rule(period.rrule, field)
    anchored = any(re.search(m, period.rrule) and not (u and re.search(u, period.rrule)) for m, u in NEEDS_FIRST_DAY)
    if anchored and period.from_ is None:
        raise ScheduleError(f"{field}.rrule", SAYS_FIRST_DAY)
    if period.duration is None:
        raise ScheduleError(f"{field}.duration", "say how long it lasts, such as 8h")
    first = read_local(period.from_, f"{field}.from").date() if period.from_ else date.min
    days, seconds = split_duration(period.duration)
    begin = datetime.combine(first, time.fromisoformat(period.start))
    return Span(period.name, zone, period.rrule, begin, anchored=anchored, days=days, seconds=seconds)


def _read_once(period: Period, field: str, zone: tzinfo) -> Span:
    if period.from_ is None or period.until is None:
        raise ScheduleError(field, "give from and until, or rrule, start and duration")
    begin, end = read_local(period.from_, f"{field}.from"), read_local(period.until, f"{field}.until")
    if "T" not in period.until:
        end += timedelta(days=1)
    if instant(begin, zone) >= instant(end, zone):
        raise ScheduleError(f"{field}.until", f"{period.until} is not after {period.from_}: correct one of them")
    return Span(period.name, zone, "", begin, end=end)


def read_local(text: str, field: str) -> datetime:
    """A day or a local time, without a zone.

    Raises:
        ScheduleError: there is no such day.
    """
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise ScheduleError(field, f"{text} is no day of the calendar: correct it") from error


def _check_rule(rule: str, field: str) -> None:
    for patterns, message in CONTRADICTIONS:
        if all(re.search(pattern, rule) for pattern in patterns):
            raise ScheduleError(f"{field}.rrule", message)
    if until := _parts(rule).get("UNTIL"):
        read_local(f"{until[:4]}-{until[4:6]}-{until[6:]}", f"{field}.rrule")


def _parts(rule: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in rule.split(";"))


def instant(local: datetime, zone: tzinfo) -> datetime:
    """The moment at which the zone's clocks show it, in UTC."""
    return local.replace(tzinfo=zone, fold=0).astimezone(UTC)


@lru_cache(maxsize=512)
def stretches(span: Span, since: date, until: date) -> Stretches:
    """When the period is, as far as it touches the days from `since` to before `until` (UTC)."""
    if span.end is not None:
        return Stretches((instant(span.begin, span.zone),), (instant(span.end, span.zone),))
    lasts = timedelta(days=span.days, seconds=span.seconds)
    earliest = since - lasts - timedelta(days=2)
    first = span.begin.date() if span.begin.date() > date.min else None
    begins: list[datetime] = []
    ends: list[datetime] = []
    for day in _days(span.rule, first, earliest, until + timedelta(days=1), anchored=span.anchored):
        local = datetime.combine(day, span.begin.time())
        begin = instant(local, span.zone)
        end = (instant(local + timedelta(days=span.days), span.zone) if span.days else begin) + timedelta(
            seconds=span.seconds
        )
        if ends and begin <= ends[-1]:
            ends[-1] = max(ends[-1], end)
        else:
            begins.append(begin)
            ends.append(end)
    return Stretches(tuple(begins), tuple(ends))


def _days(rule: str, first: date | None, since: date, until: date, *, anchored: bool = False) -> list[date]:
    """The rule's days from `since` to `until`.

    Counted from the first day only where it must be: else a rule would become slower with each year.
    """
    begin = first if anchored and first else max(since - _LEAD, first or date.min)
    parts = _parts(rule)
    parts["UNTIL"] = min(parts.get("UNTIL", "99991231"), f"{until:%Y%m%d}")
    text = ";".join(f"{name}={value}" for name, value in parts.items())
    return [found.date() for found in rrulestr(text, dtstart=datetime.combine(begin, time())) if found.date() >= since]
