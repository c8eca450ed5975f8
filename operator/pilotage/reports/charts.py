"""A rollout's chart: who was in above, the indicators below, over one time axis, with the decisions as marks."""

import matplotlib as mpl

from pilotage.reports import exposure_chart, indicator_chart
from pilotage.reports.drawing import STYLE, Span, label_time, make_figure, to_svg
from pilotage.reports.marks import mark_decisions, mark_events, place_badges, title_points
from pilotage.reports.record import RolloutRecord
from pilotage.reports.timeline import SHOWN


def draw(record: RolloutRecord) -> str:
    """The chart as inline SVG, in the colours of the page's style sheet."""
    span = Span(record.since, record.until)
    heights = [exposure_chart.HEIGHT_INCHES, *map(indicator_chart.height_inches, record.indicators)]
    with mpl.rc_context(STYLE):
        shown = [entry for entry in record.rollout.status.history if entry.action in SHOWN]
        badges = place_badges(shown, span)
        figure, panels = make_figure(heights, head_points=title_points(badges))
        exposure_chart.draw_exposure(panels[0], record, span, badges)
        for axes, indicator in zip(panels[1:], record.indicators, strict=True):
            indicator_chart.draw_indicator(axes, indicator, record.rollout.spec.feature, span)
        mark_events(panels, record.marks, span)
        mark_decisions(panels, badges)
        label_time(panels[-1], span)
        name = record.rollout.metadata.name
        return to_svg(figure, label=f"Users and indicators of {name} over time", salt=name)
