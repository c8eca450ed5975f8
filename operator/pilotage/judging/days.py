"""Days: hourly values folded into whole days of a time zone, for criteria whose `for` is counted in days.

A day lasts from midnight to midnight by the clocks of the zone: 23 or 25 hours when they are changed. Prometheus is
asked at full hours (UTC). Where the zone's offset is no full hour, the hour over midnight counts to the day in which
its middle lies, and to the new day if that is midnight itself: each hour counts once.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from operator import mul

from pilotage.judging.evidence import Series

LEAST_HOURS = 0.9
"""A day counts with at least this share of its hours present."""

_MOST_NAMED = 3
"""So many stretches of days are named in a message."""


@dataclass(frozen=True, slots=True)
class Day:
    """What was seen of one day.

    Attributes:
        value: the mean of its steps.
        seen: how many of its steps have data.
        steps: how many it has: 24 hours, or 23 or 25 where clocks are changed.
    """

    value: float
    seen: int
    steps: int

    @property
    def counts(self) -> bool:
        """Whether enough of it was seen."""
        return self.seen >= LEAST_HOURS * self.steps


def fold_days(series: Series, step_seconds: float, zone: tzinfo) -> dict[date, Day]:
    """What was seen of each day of the zone, as far as the series has data.

    A day's value is the mean of its steps, weighted by their events where these are known: for errors and total it is
    the day's own ratio.

    Args:
        series: steps that end at their times: midnight's belongs to the day before. Not empty.
        step_seconds: of the series; an hour as a rule.
        zone: whose days.
    """
    half = step_seconds / 2
    found: dict[date, Day] = {}
    day, last = (datetime.fromtimestamp(series.times[index] - half, zone).date() for index in (0, -1))
    begin, first = midnight(day, zone).timestamp(), 0
    # Day by day, not hour by hour: asked at every interval, a criterion over months must cost little.
    while day <= last:
        tomorrow = day + timedelta(days=1)
        end = midnight(tomorrow, zone).timestamp()
        beyond = bisect_left(series.times, end + half, first)
        if beyond > first:
            steps = _steps_between(begin, end, series.times[0] - half, step_seconds)
            found[day] = Day(_mean(series, slice(first, beyond)), beyond - first, steps)
        day, begin, first = tomorrow, end, beyond
    return found


def midnight(day: date, zone: tzinfo) -> datetime:
    """When the day begins, with the zone: the first midnight where there are two, the jump where there is none."""
    return datetime.combine(day, time(), zone)


def missing_days(days: Mapping[date, Day], wanted: Iterable[date]) -> str:
    """The wanted days (ascending) that don't count, for people: `2026-03-29 (20 of 23 h), 2026-04-01 to 2026-04-03`."""
    stretches = list(_stretches(day for day in wanted if day not in days or not days[day].counts))
    named = [_named(first, last, days) for first, last in stretches[-_MOST_NAMED:]]
    more = [f"{len(stretches) - _MOST_NAMED} earlier gaps"] if len(stretches) > _MOST_NAMED else []
    return ", ".join(more + named)


def _stretches(missing: Iterable[date]) -> Iterator[tuple[date, date]]:
    """First and last of days that follow one another."""
    first = last = None
    for day in missing:
        if first is None or last is None or day - last != timedelta(days=1):
            if first is not None and last is not None:
                yield first, last
            first = day
        last = day
    if first is not None and last is not None:
        yield first, last


def _named(first: date, last: date, days: Mapping[date, Day]) -> str:
    if first != last:
        return f"{first} to {last}"
    return f"{first} ({days[first].seen} of {days[first].steps} h)" if first in days else f"{first}"


def _steps_between(begin: float, end: float, middle: float, step_seconds: float) -> int:
    """How many steps have their middle between the two (Unix seconds), if one of them lies at `middle`."""
    return math.ceil((end - middle) / step_seconds) - math.ceil((begin - middle) / step_seconds)


def _mean(series: Series, part: slice) -> float:
    values = series.values[part]
    if not series.weights:
        return sum(values) / len(values)
    weights = series.weights[part]
    weighed: float = sum(map(mul, values, weights))
    return weighed / sum(weights)
