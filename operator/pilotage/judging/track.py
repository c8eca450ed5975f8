"""A track: the values of the last steps counted back from the newest, with their gaps, and the streaks in it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from pilotage.judging.days import fold_days
from pilotage.judging.evidence import Series

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
        end: when place 0 ends.
        step: length of a step.
        needed: how many steps the rule's time has; at least 1.
        least: how many of them must have data.
    """

    values: Mapping[int, float]
    end: datetime
    step: timedelta
    needed: int
    least: int

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
        """When a streak of so many steps began."""
        return self.end - steps * self.step


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


def track_days(series: Series, *, step_seconds: float, days: int, now: datetime) -> Track | None:
    """A track of whole UTC days, all of which must have data; None if yesterday has none. Today is left out."""
    midnight = datetime.combine(now.astimezone(UTC).date(), time(), UTC)
    yesterday = (midnight - timedelta(days=1)).date()
    values = {
        (yesterday - day).days: value for day, value in fold_days(series, step_seconds).items() if day <= yesterday
    }
    if 0 not in values:
        return None
    return Track(values=values, end=midnight, step=timedelta(days=1), needed=days, least=days)
