"""The plots of a governance report: how full tenants are, what each day costs, what a user costs by step."""

from collections.abc import Sequence
from decimal import Decimal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pilotage.reports import palette
from pilotage.reports.drawing import STYLE, WIDTH_INCHES, to_svg
from pilotage.reports.governance import MARK_PERCENT, Governance, TenantCost, Utilisation
from pilotage.reports.governance_text import money, percent
from pilotage.tenancy.economics import StepCost

_BAR_INCHES = 0.27
_EDGE_INCHES = 0.75
_LEFT, _RIGHT = 0.15, 1.0
_LONGEST = 140.0
"""Percent at which a bar ends; its label tells the rest."""

_LABEL_ROOM = 30.0

_LONGEST_NAME = 48
_LETTER = 0.0066
"""A letter's width as a share of the figure's."""

_MOST_BARS = 40
_COLORS = {"good": palette.GOOD, "caution": palette.CAUTION, "bad": palette.BAD, "neutral": palette.MUTED}
_LAYERS = (palette.TREATMENT, palette.GOOD, palette.CONTROL, palette.CAUTION, palette.BAD)


def draw_utilisation(report: Governance) -> str:
    """A bar for each limited resource, the fullest first, with the mark at 80 %."""
    shown = sorted(report.utilisation, key=lambda each: -(each.percent if each.percent is not None else Decimal(-1)))
    shown = shown[:_MOST_BARS]
    if not shown:
        return ""
    with mpl.rc_context(STYLE):
        names = [f"{each.tenant} · {each.resource}" for each in reversed(shown)]
        left = max(_LEFT, min(max(map(len, names)), _LONGEST_NAME) * _LETTER)
        figure, axes = _make(_EDGE_INCHES + _BAR_INCHES * len(shown), left=left)
        for place, each in enumerate(reversed(shown)):
            _bar(axes, place, each)
        for bound, role in ((MARK_PERCENT, palette.CAUTION), (100, palette.BAD)):
            axes.axvline(bound, color=role, linewidth=1.1, linestyle=(0, (1, 2.2)), zorder=1)
        axes.set_yticks(range(len(shown)), [_cut(name) for name in names], fontsize=9)
        axes.set_xticks([0, 50, 80, 100], ["0", "50 %", "80 %", "100 %"])
        axes.set_xlim(0, _LONGEST + _LABEL_ROOM)
        axes.set_ylim(-0.6, len(shown) - 0.4)
        return to_svg(figure, label="How full the tenants' resources are", salt="utilisation")


def _cut(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"


def _bar(axes: Axes, place: int, each: Utilisation) -> None:
    length = min(float(each.percent), _LONGEST) if each.percent is not None else 0.0
    axes.barh(place, length, height=0.62, color=_COLORS[each.tone])
    label = f"{percent(each.percent)}  {each.used} of {each.hard}" if each.percent is not None else "not known"
    ground = {"facecolor": palette.PAPER, "edgecolor": "none", "pad": 1.0}  # the lines of the bounds stop at a label
    axes.text(length + 1.2, place, label, va="center", fontsize=8.5, color=palette.MUTED, bbox=ground)


def draw_costs(report: Governance) -> str:
    """A bar for each day, by tenant; those who cost least are drawn together."""
    costs = sorted((each for each in report.costs if each.daily), key=lambda each: -each.spending.month_to_date)
    if not costs:
        return ""
    with mpl.rc_context(STYLE):
        figure, axes = _make(2.7)
        bottom = [0.0] * report.month.length
        named = costs[: len(_LAYERS) - 1]
        layers = [(each.tenant, [each]) for each in named]
        if rest := costs[len(named) :]:
            layers.append(("others", rest))
        for (name, of), color in zip(layers, _LAYERS, strict=False):
            heights = [sum(float(each.daily.get(day, 0)) for each in of) for day in report.month.days]
            axes.bar(range(1, len(heights) + 1), heights, bottom=bottom, width=0.72, color=color, label=name)
            bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
        _money_axis(axes, costs)
        axes.set_xlim(0.4, report.month.length + 0.6)
        axes.set_xticks([1, 5, 10, 15, 20, 25, report.month.length])
        axes.legend(frameon=False, fontsize=8.5, loc="upper left", bbox_to_anchor=(0, 1.16), ncols=len(layers))
        return to_svg(figure, label=f"Cost of each day of {report.month} by tenant", salt="costs")


def _money_axis(axes: Axes, costs: Sequence[TenantCost]) -> None:
    axes.grid(axis="y", color=palette.GRID, linewidth=0.6)
    axes.locator_params(axis="y", nbins=4)
    ticks = [tick for tick in axes.get_yticks() if tick >= 0]
    axes.set_yticks(ticks, [money(Decimal(str(tick)), costs[0].currency) for tick in ticks])


def draw_steps(steps: Sequence[StepCost]) -> str:
    """What a user costs in a month, step after step of one rollout."""
    known = [(step, step.per_user) for step in steps if step.per_user is not None]
    if len(known) < 2:  # noqa: PLR2004 - a trend takes two
        return ""
    with mpl.rc_context(STYLE):
        figure, axes = _make(2.3)
        heights = [float(amount) for _, amount in known]
        places = range(len(known))
        axes.plot(places, heights, color=palette.TREATMENT, linewidth=2, marker="o", markersize=5)
        for place, (step, amount) in enumerate(known):
            label = f"{money(amount, step.currency)}\n{step.users:,.0f} users"
            axes.annotate(
                label, (place, float(amount)), xytext=(0, 9), textcoords="offset points", ha="center", fontsize=9
            )
        axes.set_xticks(list(places), [step.step for step, _ in known])
        axes.set_xlim(-0.5, len(known) - 0.5)
        axes.set_ylim(0, max(heights) * 1.5 or 1)
        axes.set_yticks([])
        rollout = known[0][0].rollout
        return to_svg(figure, label=f"Cost per user of {rollout} by step", salt=f"steps {rollout}")


def _make(height: float, *, left: float = _LEFT) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH_INCHES, height))
    figure.patch.set_alpha(0)
    axes = figure.subplots()
    axes.patch.set_alpha(0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0, pad=5)
    figure.subplots_adjust(left=left, right=_RIGHT, top=1 - 0.3 / height, bottom=0.36 / height)
    return figure, axes
