"""A track: the values of the last steps counted back from the newest, with their gaps, and the streaks in it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo

from pilotage.judging.days import Day, fold_days, midnight, missing_days
from pilotage.judging.evidence import NoData, Series

LEAST_COVERAGE = 0.8
"""At least this share of the steps of `for` must have data."""

ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Streak:
    """How far a kind of value reaches back without a break.

    Attributes:
        steps: how many, counted from the newest; steps without data within it are counted too.
        broken: whether a value of the other kind ended it; else the data end there, or a gap is too long.
    """

    steps: int
    broken: bool


@dataclass(frozen=True, slots=True)
class Track:
    """Values by their place: 0 is the newest step, 1 the one before; places without data are missing.

    Attributes:
        values: by place; place 0 is always there.
        end: when place 0 ends; with the zone whose clock tells days.
        step: length of a step.
        needed: how many steps the rule's time has; at least 1.
        least: how many of them must have data.
        gaps: which days are missing, for people; empty where steps are no days.
    """

    values: Mapping[int, float]
    end: datetime
    step: timedelta
    needed: int
    least: int
    gaps: str = ""

    @property
    def newest(self) -> float:
        """The present value."""
        return self.values[0]

    @property
    def missing(self) -> int:
        """How many of the needed steps have no data."""
        return self.needed - sum(place in self.values for place in range(self.needed))

    @property
    def covered(self) -> bool:
        """Whether enough of the needed steps have data."""
        return self.needed - self.missing >= self.least

    def streak(self, belongs: Callable[[float], bool]) -> Streak:
        """How far values that belong reach back; a gap that coverage would never forgive ends it."""
        reached = 0
        for place in sorted(self.values):
            if place - reached > self.needed - self.least:
                break
            if not belongs(self.values[place]):
                return Streak(reached, broken=True)
            reached = place + 1
        return Streak(reached, broken=False)

    def since(self, steps: int) -> datetime:
        """When a streak of so many steps began, in UTC."""
        # Python counts within a zone by its clock: a day before midnight is midnight, whatever lies between.
        return (self.end - steps * self.step).astimezone(UTC)

    def complete(self, steps: int) -> datetime:
        """When a streak that now has so many steps will have the needed ones, in UTC."""
        return self.since(steps - self.needed)


def track_steps(series: Series, *, step_seconds: float, over_seconds: float) -> Track:
    """A track of the steps of a range query, of which 80% must have data; the series must not be empty."""
    newest = series.times[-1]
    needed = max(1, math.ceil(over_seconds / step_seconds - ROUNDING))
    places = (
        (round((newest - at) / step_seconds), value) for at, value in zip(series.times, series.values, strict=True)
    )
    return Track(
        # Later samples win, should two fall on one place.
        values=dict(places),
        end=datetime.fromtimestamp(newest, UTC),
        step=timedelta(seconds=step_seconds),
        needed=needed,
        least=math.ceil(LEAST_COVERAGE * needed - ROUNDING),
    )


def track_days(series: Series, *, step_seconds: float, days: int, now: datetime, zone: tzinfo) -> Track | NoData:
    """A track of whole days of the zone, all of which must have data; today is left out.

    No data where yesterday has none, or for too few of its hours.
    """
    today = now.astimezone(zone).date()
    yesterday = today - timedelta(days=1)
    found = fold_days(series, step_seconds, zone)
    last = found.get(yesterday)
    if last is None or not last.counts:
        return NoData(_without(yesterday, last, zone))
    return Track(
        values={(yesterday - day).days: seen.value for day, seen in found.items() if seen.counts and day <= yesterday},
        end=midnight(today, zone),
        step=timedelta(days=1),
        needed=days,
        least=days,
        gaps=missing_days(found, (today - timedelta(days=place) for place in range(days, 0, -1))),
    )


def _without(yesterday: date, seen: Day | None, zone: tzinfo) -> str:
    if seen is None:
        return f"no data for yesterday, {yesterday} ({zone})"
    return f"yesterday, {yesterday} ({zone}), has data for {seen.seen} of {seen.steps} hours only"
