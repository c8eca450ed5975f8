"""The plot of one day: the load with the replicas that each rule has for it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from bench.scaling.day import GAP_TICKS, SPIKE_TICKS, TICK_SECONDS, TICKS, VALUE, Day
from bench.scaling.running import Lived

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "pilotage",
    "font.size": 9,
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
}
COLOURS = ("#4e79a7", "#f28e2b", "#b07aa1", "#9c755f", "#59a14f")
_EVERY = 12
"""One point in three minutes: the file stays small."""


def write_plot(path: Path, day: Day, lived: Mapping[str, Lived]) -> None:
    """Draw into an SVG file."""
    with mpl.rc_context(STYLE):
        draw(day, lived).savefig(path, metadata={"Date": None, "Creator": None})


def draw(day: Day, lived: Mapping[str, Lived]) -> Figure:
    """A panel for each rule: what is needed at the value (grey), what is there, spike and gap shaded."""
    figure = Figure(figsize=(8, 1.5 * len(lived) + 0.6), layout="constrained")
    panels = figure.subplots(len(lived), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    hours = [tick * TICK_SECONDS / 3600 for tick in range(0, TICKS, _EVERY)]
    for axes, (rule, found), colour in zip(panels, lived.items(), COLOURS, strict=False):
        axes.fill_between(hours, [load / VALUE for load in day.loads[::_EVERY]], color="#dddddd", linewidth=0)
        axes.step(hours, found.replicas[::_EVERY], where="post", color=colour, linewidth=1.2)
        for begins, lasts, shade in ((day.spike, SPIKE_TICKS, "#f28e2b"), (day.gap, GAP_TICKS, "#4e79a7")):
            axes.axvspan(begins / 240, (begins + lasts) / 240, color=shade, alpha=0.15, linewidth=0)
        said = f"{found.over_percent:.2f} % of the time above 120 %, {found.replica_hours:.0f} replica-hours"
        axes.set_title(f"{rule}: {said}", loc="left", fontsize=9)
        axes.set_ylabel("replicas")
    panels[-1].set_xlim(0, 24)
    panels[-1].set_xticks(range(0, 25, 3))
    panels[-1].set_xlabel("hour (grey: needed at the value; orange: spike; blue: no metrics)")
    return figure
