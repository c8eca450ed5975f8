"""What all charts share: the figure with one time axis, the marks of the decisions, and inline SVG."""

import hashlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pilotage.reports import palette
from pilotage.reports.numbers import write_elapsed

WIDTH_INCHES = 11.0
POINTS_PER_INCH = 72
_LEFT, _RIGHT = 0.072, 0.845

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: selectable, and in the page's own font
    "font.size": 10,
    "axes.edgecolor": palette.GRID,
    "axes.labelcolor": palette.MUTED,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "xtick.color": palette.GRID,
    "ytick.color": palette.GRID,
    "xtick.labelcolor": palette.MUTED,
    "ytick.labelcolor": palette.MUTED,
    "text.color": palette.INK,
    "lines.solid_capstyle": "round",
    "lines.dash_capstyle": "round",
    "text.parse_math": False,  # a dollar sign in a rule is a dollar sign
}


@dataclass(frozen=True, slots=True)
class Span:
    """The time that a chart shows; x is seconds since its beginning."""

    since: datetime
    until: datetime

    def x(self, at: datetime) -> float:
        """Where a time lies."""
        return (at - self.since).total_seconds()

    def x_of(self, times: Sequence[float]) -> list[float]:
        """Where Unix seconds lie."""
        origin = self.since.timestamp()
        return [time - origin for time in times]

    @property
    def seconds(self) -> float:
        """The length."""
        return max((self.until - self.since).total_seconds(), 1.0)


def make_figure(heights: Sequence[float], *, head_points: float) -> tuple[Figure, list[Axes]]:
    """A figure of panels, one below the other, over one time axis; heights in inches, `head_points` above them."""
    head = head_points / POINTS_PER_INCH + 0.2
    total = sum(heights) + head + 0.36
    figure = Figure(figsize=(WIDTH_INCHES, total))
    figure.patch.set_alpha(0)
    axes = figure.subplots(len(heights), 1, sharex=True, height_ratios=list(heights), squeeze=False)[:, 0]
    figure.subplots_adjust(left=_LEFT, right=_RIGHT, top=1 - head / total, bottom=0.36 / total, hspace=0.42)
    return figure, list(axes)


def dress(axes: Axes, span: Span) -> None:
    """Give a panel its frame: a baseline, faint horizontal lines, no box."""
    axes.patch.set_alpha(0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.grid(axis="y", color=palette.GRID, linewidth=0.6)
    axes.tick_params(length=0, pad=5)
    axes.set_xlim(0, span.seconds)


def label_time(axes: Axes, span: Span) -> None:
    """Label the last panel's time axis with the time since its beginning."""
    step = _tick_seconds(span.seconds)
    ticks = [step * n for n in range(int(span.seconds / step) + 1)]
    axes.set_xticks(ticks, [_time_label(tick) for tick in ticks])
    axes.tick_params(axis="x", length=3)


def _time_label(seconds: float) -> str:
    if seconds == 0:
        return "start"
    return f"{seconds:.0f} s" if seconds < 60 else write_elapsed(timedelta(seconds=seconds))  # noqa: PLR2004 - a minute


def _tick_seconds(length: float) -> float:
    steps = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400, 172800, 604800, 1209600)
    return next((float(step) for step in steps if length / step <= 10), length / 8)  # noqa: PLR2004 - labels that fit


def title_panel(axes: Axes, title: str, *, points: float = 8) -> None:
    """Write a panel's title so many points above its upper edge, where the page's text begins."""
    axes.annotate(
        title,
        (0, 1),
        xycoords="axes fraction",
        xytext=(-_LEFT * WIDTH_INCHES * POINTS_PER_INCH, points),
        textcoords="offset points",
        fontsize=10.5,
        fontweight="bold",
        va="bottom",
    )


def note_right(axes: Axes, y: float, text: str, color: str, *, weight: str = "normal", shift: float = 0.0) -> None:
    """Write a label to the right of a panel, at a height of its data plus `shift` points."""
    axes.annotate(
        text,
        (1, y),
        xycoords=("axes fraction", "data"),
        xytext=(8, shift),
        textcoords="offset points",
        color=color,
        fontsize=9,
        fontweight=weight,
        va="center",
        annotation_clip=False,
    )


def to_svg(figure: Figure, *, label: str, salt: str) -> str:
    """The figure as inline SVG.

    Args:
        figure: drawn in placeholder colours.
        label: what a screen reader says.
        salt: must differ between the figures of a page: their element ids are made from it.
    """
    text = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": hashlib.sha256(salt.encode()).hexdigest()}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = _separate_ids(svg, salt)
    svg = svg.replace("<svg", f'<svg role="img" aria-label="{_attribute(label)}"', 1)
    return palette.resolve(svg)


def _separate_ids(svg: str, salt: str) -> str:
    """Matplotlib numbers its groups the same way in each figure; a page must not have an id twice."""
    prefix = "p" + hashlib.sha256(salt.encode()).hexdigest()[:6] + "-"
    svg = re.sub(r'\bid="', f'id="{prefix}', svg)
    svg = re.sub(r'href="#', f'href="#{prefix}', svg)
    return svg.replace("url(#", f"url(#{prefix}")


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
