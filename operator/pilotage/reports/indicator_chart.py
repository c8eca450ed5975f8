"""The chart of one indicator: treatment and control over time, with the bounds that it is held to."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from pilotage.judging.evidence import Series
from pilotage.reports import palette
from pilotage.reports.drawing import POINTS_PER_INCH, Span, dress, note_right, title_panel
from pilotage.reports.numbers import write_value
from pilotage.reports.record import Bound, IndicatorRecord
from pilotage.resources.rollout import Feature

_HEIGHT_INCHES = 1.25
_EMPTY_HEIGHT_INCHES = 0.4
_GAP_STEPS = 3.5
_BOUND_COLORS = {
    "rollback": palette.BAD,
    "critical": palette.BAD,
    "objective": palette.CAUTION,
    "warning": palette.CAUTION,
    "noGo": palette.CAUTION,
    "throttle": palette.CAUTION,
    "go": palette.GOOD,
}
_LABEL_GAP_POINTS = 12.0
_FLATTENED = 6.0
"""Where values exceed the highest bound so many times, the bound would lie on the floor: a square root lifts it."""

_LONGEST_LABEL = 27

_FAR = 3.0
"""A bound beyond so many times the next one is far away."""


def height_inches(indicator: IndicatorRecord) -> float:
    """How high the indicator's panel is."""
    return _HEIGHT_INCHES if indicator.by_variant else _EMPTY_HEIGHT_INCHES


def draw_indicator(axes: Axes, indicator: IndicatorRecord, feature: Feature, span: Span) -> None:
    """Draw the panel."""
    dress(axes, span)
    title_panel(axes, indicator.name)
    if not indicator.by_variant:
        axes.set_yticks([])
        axes.text(0.01, 0.5, indicator.missing or "no data", transform=axes.transAxes, color=palette.MUTED, va="center")
        return
    notes: list[tuple[float, str, str, str]] = []
    for variant, series in indicator.by_variant:
        style, color, name = _style_of(variant, feature)
        for times, values in _runs(series):
            axes.plot(span.x_of(times), values, linestyle=style, color=color, linewidth=1.8)
        notes.append((series.values[-1], name, color, "bold"))
    bounds = _near(_distinct(indicator.bounds), indicator)
    for bound in bounds:
        color = _BOUND_COLORS.get(bound.role, palette.MUTED)
        axes.axhline(bound.value, color=color, linewidth=1.1, linestyle=(0, (1, 2.2)), zorder=1)
        notes.append((bound.value, _short(bound.label), color, "normal"))
    _limit(axes, indicator, bounds)
    _label_values(axes, indicator, bounds)
    _place(axes, notes)


def _style_of(variant: str, feature: Feature) -> tuple[str | tuple[int, tuple[float, ...]], str, str]:
    if variant == feature.control:
        return (0, (4, 2.2)), palette.CONTROL, "control"
    return "-", palette.TREATMENT, "treatment" if variant == feature.treatment else variant or "all"


def _runs(series: Series) -> list[tuple[tuple[float, ...], tuple[float, ...]]]:
    """The series cut where data is missing: a line across a gap would claim what nobody saw."""
    gaps = sorted(after - before for before, after in pairwise(series.times))
    usual = gaps[len(gaps) // 2] if gaps else 0.0
    cuts = [n for n, (a, b) in enumerate(pairwise(series.times), start=1) if b - a > _GAP_STEPS * usual]
    edges = [0, *cuts, len(series.times)]
    return [(series.times[a:b], series.values[a:b]) for a, b in pairwise(edges)]


def _distinct(bounds: Sequence[Bound]) -> list[Bound]:
    """One line for each value; the most severe rule names it."""
    severity = list(_BOUND_COLORS)
    kept: dict[float, Bound] = {}
    for bound in sorted(bounds, key=lambda b: severity.index(b.role) if b.role in severity else len(severity)):
        kept.setdefault(bound.value, bound)
    return list(kept.values())


def _short(label: str) -> str:
    return label if len(label) <= _LONGEST_LABEL else label[: _LONGEST_LABEL - 1] + "…"


def _values(indicator: IndicatorRecord) -> list[float]:
    return [value for _, series in indicator.by_variant for value in series.values]


def _near(bounds: Sequence[Bound], indicator: IndicatorRecord) -> list[Bound]:
    """Those among the values, and the next ones above and below: one far away would press the lines flat."""
    values = _values(indicator)
    low, high = min(values), max(values)
    above = min((bound.value for bound in bounds if bound.value > high), default=high)
    below = max((bound.value for bound in bounds if bound.value < low), default=low)
    return [bound for bound in bounds if below <= bound.value <= max(above, _FAR * above)]


def _limit(axes: Axes, indicator: IndicatorRecord, bounds: Sequence[Bound]) -> None:
    values = _values(indicator) + [bound.value for bound in bounds]
    low, high = min(values), max(values)
    room = (high - low) * 0.12 or abs(high) * 0.1 or 1.0
    floor = 0.0 if indicator.unit != "score" and low >= 0 else low - room
    highest = max((bound.value for bound in bounds), default=0.0)
    if floor == 0 and 0 < highest * _FLATTENED < high:
        axes.set_yscale("function", functions=(_root, np.square))
    axes.set_ylim(floor, high + room)


def _root(values: Any) -> Any:
    return np.sqrt(np.maximum(values, 0.0))


def _label_values(axes: Axes, indicator: IndicatorRecord, bounds: Sequence[Bound]) -> None:
    low, high = axes.get_ylim()
    if axes.get_yscale() == "function":
        highest = max(bound.value for bound in bounds)
        ticks = [0.0, highest, max(highest * 5, _round_down(high))]
    else:
        axes.locator_params(axis="y", nbins=3)
        ticks = [tick for tick in axes.get_yticks() if low <= tick <= high]
    axes.set_yticks(ticks, [write_value(tick, indicator.unit) for tick in ticks], minor=False)


def _round_down(value: float) -> float:
    """To one significant digit: a number that reads well on an axis."""
    size = 10.0 ** math.floor(math.log10(value))
    return math.floor(value / size) * size


def _place(axes: Axes, notes: list[tuple[float, str, str, str]]) -> None:
    """Write the names of the lines at their right end, moved apart where they would cover each other."""
    scale = axes.yaxis.get_transform()
    low, high = (float(edge) for edge in scale.transform(np.array(axes.get_ylim())))
    below = -math.inf
    for value, text, color, weight in sorted(notes):
        place = float(scale.transform(np.array([value]))[0])
        wanted = (place - low) / (high - low) * _HEIGHT_INCHES * POINTS_PER_INCH
        placed = max(wanted, below + _LABEL_GAP_POINTS)
        below = placed
        note_right(axes, value, text, color, weight=weight, shift=placed - wanted)
