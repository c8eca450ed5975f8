"""The chart of who was in: admitted users as steps, users who had it when they came last, and marks of decisions."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes

from pilotage.reports import palette
from pilotage.reports.drawing import POINTS_PER_INCH, Span, dress, note_right, title_panel
from pilotage.reports.marks import Badge, title_points
from pilotage.reports.numbers import write_count
from pilotage.reports.record import RolloutRecord
from pilotage.reports.timeline import Level, levels

HEIGHT_INCHES = 3.6
_LEAST_TICK_GAP = 0.045
"""Two labels of the vertical axis that are closer than this share of its height would touch."""

_LABEL_GAP_POINTS = 13.0


def draw_exposure(axes: Axes, record: RolloutRecord, span: Span, badges: Sequence[Badge]) -> None:
    """Draw the panel, and the decisions' numbers above it."""
    dress(axes, span)
    title_panel(axes, "Users with the feature", points=title_points(badges))
    found = levels(record)
    if not found:
        _say_unknown(axes)
        return
    top = max([level.users for level in found] + [1])
    scale = _Scale(max(min((level.users for level in found if level.users), default=1), 1), top)
    xs, ys = _outline(found, span)
    axes.fill_between(xs, [scale.y(y) for y in ys], step="post", color=palette.TREATMENT_SOFT, linewidth=0)
    axes.step(xs, [scale.y(y) for y in ys], where="post", color=palette.TREATMENT, linewidth=1.2, alpha=0.75)
    if record.seen:
        seen = [scale.y(value) for value in record.seen.values]
        axes.step(span.x_of(record.seen.times), seen, where="post", color=palette.TREATMENT, linewidth=2.4)
    axes.set_ylim(0, scale.y(top) * 1.1)
    _label_users(axes, scale, [level.users for level in found])
    _label_steps(axes, found, scale, span)
    _explain(axes, scale, found[-1].users, record.seen.values[-1] if record.seen else None)


def _say_unknown(axes: Axes) -> None:
    axes.set_yticks([])
    axes.text(0.5, 0.5, "users were not counted: no directory, no population", transform=axes.transAxes, ha="center")


class _Scale:
    """Ten users and three thousand on one axis: linear up to the first step, logarithmic above."""

    def __init__(self, least: int, top: int) -> None:
        self._least = least
        self.linear = top <= least * 8

    def y(self, users: float) -> float:
        """Where a number of users lies."""
        if self.linear:
            return users / self._least
        if users <= self._least:
            return users / self._least * 0.5
        return 0.5 + math.log10(users / self._least)


def _outline(found: Sequence[Level], span: Span) -> tuple[list[float], list[float]]:
    xs = [0.0, *(max(span.x(level.at), 0.0) for level in found), span.seconds]
    ys = [0.0, *(float(level.users) for level in found), float(found[-1].users)]
    return xs, ys


def _label_users(axes: Axes, scale: _Scale, numbers: Sequence[int]) -> None:
    """The numbers of the plan are the ticks: they are what a reader looks for."""
    height = axes.get_ylim()[1]
    kept: list[int] = []
    for number in sorted({0, *numbers}, reverse=True):
        if not kept or scale.y(kept[-1]) - scale.y(number) > _LEAST_TICK_GAP * height:
            kept.append(number)
    axes.set_yticks([scale.y(number) for number in kept], [write_count(number) for number in kept], fontsize=9)


def _label_steps(axes: Axes, found: Sequence[Level], scale: _Scale, span: Span) -> None:
    ends = [*(span.x(level.at) for level in found[1:]), span.seconds]
    for level, end in zip(found, ends, strict=True):
        begin = span.x(level.at)
        fits = (end - begin) / span.seconds > 0.0085 * len(level.step)
        if level.step and fits:
            axes.annotate(
                level.step,
                ((begin + end) / 2, scale.y(level.users)),
                xytext=(0, 4),
                textcoords="offset points",
                ha="center",
                fontsize=8.5,
                color=palette.MUTED,
            )


def _explain(axes: Axes, scale: _Scale, admitted: int, seen: float | None) -> None:
    """Name the lines where they end, in place of a legend; apart from each other where they end together."""
    upper, lower = scale.y(admitted), scale.y(admitted if seen is None else seen)
    points = HEIGHT_INCHES * POINTS_PER_INCH / axes.get_ylim()[1]
    apart = max(_LABEL_GAP_POINTS - abs(upper - lower) * points, 0.0) / 2 if seen is not None else 0.0
    up = 1 if upper >= lower else -1
    note_right(axes, upper, "admitted", palette.MUTED, shift=up * apart)
    if seen is not None:
        note_right(axes, lower, "had it at last visit", palette.TREATMENT, weight="bold", shift=-up * apart)
