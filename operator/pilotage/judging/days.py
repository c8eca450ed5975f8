"""Days: hourly values folded into whole UTC days, for criteria whose `for` is counted in days."""

from collections import defaultdict
from datetime import UTC, date, datetime

from pilotage.judging.evidence import Series
from pilotage.resources.durations import DAY

LEAST_HOURS = 0.9
"""A day counts with at least this share of its hours present."""


def fold_days(series: Series, step_seconds: float) -> dict[date, float]:
    """The value of each UTC day that has data for at least 90% of its steps.

    A day's value is the mean of its steps, weighted by their events where these are known: for errors and total it is
    the day's own ratio.

    Args:
        series: steps that end at their times: midnight's belongs to the day before.
        step_seconds: of the series; an hour as a rule.
    """
    steps: dict[date, list[tuple[float, float]]] = defaultdict(list)
    weights = series.weights or (1.0,) * len(series.values)
    for time, value, weight in zip(series.times, series.values, weights, strict=True):
        steps[datetime.fromtimestamp(time - step_seconds / 2, UTC).date()].append((value, weight))
    least = LEAST_HOURS * DAY / step_seconds
    return {day: _mean(found) for day, found in steps.items() if len(found) >= least}


def _mean(found: list[tuple[float, float]]) -> float:
    total = sum(weight for _, weight in found)
    return sum(value * weight for value, weight in found) / total
