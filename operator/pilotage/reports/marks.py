"""The marks in a chart: decisions as numbers above it, and what happened around the rollout as labels at its foot."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from pilotage.reports import palette
from pilotage.reports.drawing import Span
from pilotage.reports.record import Mark
from pilotage.resources.status import HistoryEntry

_BADGE_GAP = 0.021
"""Two numbers that are closer than this share of the chart's width would touch."""

_ROWS = 3
_ROW_POINTS = 14.0
_BAD = ("RollBack", "RolledBack", "Throttle", "Stall")
_GOOD = ("Complete",)


@dataclass(frozen=True, slots=True)
class Badge:
    """A decision's number above the chart: where, and in which row, so that numbers never cover each other."""

    entry: HistoryEntry
    x: float
    row: int


def place_badges(entries: Sequence[HistoryEntry], span: Span) -> list[Badge]:
    """Give each decision of the span its place."""
    ends = [-1.0] * _ROWS
    badges = []
    for entry in entries:
        x = span.x(entry.time)
        place = x / span.seconds
        if 0 <= place <= 1:
            row = next((r for r in range(_ROWS) if place - ends[r] > _BADGE_GAP), _ROWS - 1)
            ends[row] = place
            badges.append(Badge(entry, x, row))
    return badges


def mark_decisions(panels: Sequence[Axes], badges: Sequence[Badge]) -> None:
    """Number the decisions above the first panel, with a line down through all of them."""
    for badge in badges:
        action = badge.entry.action
        color = palette.BAD if action in _BAD else palette.GOOD if action in _GOOD else palette.MUTED
        for axes in panels:
            axes.axvline(badge.x, color=color, linewidth=0.8, alpha=0.55, zorder=1)
        panels[0].annotate(
            str(badge.entry.sequence),
            (badge.x, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 5 + _ROW_POINTS * badge.row),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=8,
            fontweight="bold",
            color=palette.PAPER,
            bbox={"boxstyle": "round,pad=0.28,rounding_size=0.8", "facecolor": color, "edgecolor": "none"},
            annotation_clip=False,
        )


def title_points(badges: Sequence[Badge]) -> float:
    """How far above the first panel its title stands: over the decisions' numbers."""
    return 24 + _ROW_POINTS * max((badge.row for badge in badges), default=0)


def mark_events(panels: Sequence[Axes], marks: Sequence[Mark], span: Span) -> None:
    """Shade from a fault on, and name each mark at the foot of the first panel."""
    for mark in marks:
        x = span.x(mark.at)
        color = palette.BAD if mark.kind == "fault" else palette.INK
        for axes in panels:
            if mark.kind == "fault":
                axes.axvspan(x, span.seconds, color=palette.BAD_SOFT, linewidth=0, zorder=0)
            axes.axvline(x, color=color, linewidth=1.3, linestyle=(0, (5, 2)), zorder=2)
        left = x > span.seconds / 2
        panels[0].annotate(
            mark.label,
            (x, 0),
            xycoords=("data", "axes fraction"),
            xytext=(-6 if left else 6, 8),
            textcoords="offset points",
            ha="right" if left else "left",
            fontsize=9,
            fontweight="bold",
            color=color,
            bbox={"boxstyle": "round,pad=0.3", "facecolor": palette.PAPER, "edgecolor": color, "linewidth": 0.8},
        )
