"""Weighing: values of several indicators as one number of points, at one moment or at each step of a time.

Each value is scaled to points between its worst and its best; the score is their mean by weight. A mean hides what is
bad in it, so a value beyond its critical bound makes the score 0, and what matters most can't be missing: without a
critical value, or with less than half of the weight, there is no score. Else the values that are known count for the
whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pilotage.judging.criteria import COMPARE, Bound
from pilotage.judging.evidence import Series
from pilotage.resources.indicators import Unit

MOST_POINTS = 10.0

LEAST_WEIGHT = 0.5
"""At least this part of the weight must have data."""

ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Input:
    """One indicator of a score.

    Attributes:
        indicator: its name.
        unit: the indicator's.
        weight: beside the other inputs, above 0.
        worst: worth 0 points, in base units.
        best: worth 10 points; not equal to worst.
        critical: what makes the whole score 0; None if nothing does.
    """

    indicator: str
    unit: Unit | None
    weight: float
    worst: float
    best: float
    critical: Bound | None = None

    def points(self, value: float) -> float:
        """What a value is worth, 0 to 10."""
        part = (value - self.worst) / (self.best - self.worst)
        return MOST_POINTS * min(max(part, 0.0), 1.0)

    def is_broken(self, value: float) -> bool:
        """Whether the value is beyond the critical bound."""
        return self.critical is not None and COMPARE[self.critical.op](value, self.critical.value)


@dataclass(frozen=True, slots=True)
class Weighed:
    """The inputs of a score at one moment, put together.

    Attributes:
        value: 0 to 10; None where nothing can be said.
        missing: the indicators without data.
        broken: the first one beyond its critical bound; empty if none is.
    """

    value: float | None
    missing: tuple[str, ...] = ()
    broken: str = ""


def weigh(inputs: Sequence[Input], values: Mapping[str, float]) -> Weighed:
    """The score of the values that are known, by indicator."""
    known = [each for each in inputs if each.indicator in values]
    missing = tuple(each.indicator for each in inputs if each.indicator not in values)
    broken = next((each.indicator for each in known if each.is_broken(values[each.indicator])), "")
    if broken:
        return Weighed(0.0, missing, broken)  # whatever the missing ones are
    weight = sum(each.weight for each in known)
    least = LEAST_WEIGHT * sum(each.weight for each in inputs)
    if weight < least - ROUNDING or any(each.critical and each.indicator not in values for each in inputs):
        return Weighed(None, missing)
    return Weighed(sum(each.weight * each.points(values[each.indicator]) for each in known) / weight, missing)


@dataclass(slots=True)
class _Sum:
    """What is known of one step."""

    weight: float = 0.0
    points: float = 0.0
    critical: int = 0
    broken: bool = False


def weigh_series(inputs: Sequence[Input], found: Mapping[str, Series], step_seconds: float) -> Series:
    """The score at each step that it can be told for, as `weigh` tells it, in one pass over the values.

    Args:
        inputs: of the score.
        found: a series that is not empty for each indicator that has data.
        step_seconds: of all series. They may end on grids that differ by less than a step: rounded down, they meet.
    """
    if not found:
        return Series((), ())
    newest = max(series.times[-1] for series in found.values())
    sums: dict[int, _Sum] = {}
    for each in inputs:
        series = found.get(each.indicator, Series((), ()))
        # Later samples win, should two fall on one place.
        values = {
            int((newest - at) / step_seconds + 0.01): v for at, v in zip(series.times, series.values, strict=True)
        }
        for place, value in values.items():
            known = sums.setdefault(place, _Sum())
            known.weight += each.weight
            known.points += each.weight * each.points(value)
            if each.critical is not None:
                known.critical += 1
                known.broken = known.broken or each.is_broken(value)
    least = LEAST_WEIGHT * sum(each.weight for each in inputs) - ROUNDING
    critical = sum(each.critical is not None for each in inputs)
    told = [
        (newest - place * step_seconds, 0.0 if known.broken else known.points / known.weight)
        for place, known in sorted(sums.items(), reverse=True)
        if known.broken or (known.weight >= least and known.critical == critical)
    ]
    return Series(tuple(at for at, _ in told), tuple(value for _, value in told))
