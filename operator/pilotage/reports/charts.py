"""A rollout's chart: who was in above, the indicators below, over one time axis, with the decisions as marks."""

from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.axes import Axes

from pilotage.reports import exposure_chart, indicator_chart, palette
from pilotage.reports.drawing import STYLE, Span, label_time, make_figure, to_svg
from pilotage.reports.record import Mark, RolloutRecord
from pilotage.reports.timeline import SHOWN


def draw(record: RolloutRecord) -> str:
    """The chart as inline SVG, in the colours of the page's style sheet."""
    span = Span(record.since, record.until)
    heights = [exposure_chart.HEIGHT_INCHES, *map(indicator_chart.height_inches, record.indicators)]
    with mpl.rc_context(STYLE):
        figure, panels = make_figure(heights)
        exposure_chart.draw_exposure(panels[0], record, span)
        for axes, indicator in zip(panels[1:], record.indicators, strict=True):
            indicator_chart.draw_indicator(axes, indicator, record.rollout.spec.feature, span)
        _mark(panels, record.marks, span)
        shown = [entry for entry in record.rollout.status.history if entry.action in SHOWN]
        exposure_chart.mark_decisions(panels, shown, span)
        label_time(panels[-1], span)
        name = record.rollout.metadata.name
        return to_svg(figure, label=f"Users and indicators of {name} over time", salt=name)


def _mark(panels: Sequence[Axes], marks: Sequence[Mark], span: Span) -> None:
    """Shade from a fault on, and name it at the foot of the first panel."""
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
