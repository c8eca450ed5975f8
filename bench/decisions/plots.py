"""Two plots: what each rule takes back for nothing, and how fast it sees faults."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.decisions.score import Score

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "pilotage",
    "font.size": 9,
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
}
COLOURS = ("#4e79a7", "#f28e2b", "#b07aa1", "#59a14f", "#9c755f", "#76b7b2", "#d62728")
MARKERS = "osD^vP*"
NEVER_SECONDS = 5400
"""Where a fault is drawn whose median is never, above the hour."""


def write_plots(scores: Sequence[Score], folder: Path, rules: Sequence[str]) -> list[Path]:
    """Draw both plots into SVG files beside the page."""
    chosen = [score for score in scores if score.rule in rules]
    drawn = {
        "decision-quality-false.svg": draw_false([score for score in chosen if not score.world.fault], rules),
        "decision-quality-delay.svg": draw_delay([score for score in chosen if score.world.fault], rules),
    }
    paths = []
    for name, figure in drawn.items():
        paths.append(folder / name)
        with mpl.rc_context(STYLE):
            figure.savefig(paths[-1], metadata={"Date": None, "Creator": None})
    return paths


def draw_false(scores: Sequence[Score], rules: Sequence[str]) -> Figure:
    """False rollbacks per noise: a dot for each rule, at its worst traffic; a panel for each baseline."""
    baselines = sorted({score.world.baseline for score in scores})
    names = [list(dict.fromkeys(label(s) for s in scores if s.world.baseline == b)) for b in baselines]
    with mpl.rc_context(STYLE):
        height = 0.26 * sum(map(len, names)) + 2
        figure = Figure(figsize=(8, height), layout="constrained")
        ratios = {"height_ratios": [len(found) for found in names]}
        panels = figure.subplots(len(baselines), 1, squeeze=False, sharex=True, gridspec_kw=ratios)[:, 0]
        for axes, baseline, rows in zip(panels, baselines, names, strict=True):
            for rule, colour, marker in zip(rules, COLOURS, MARKERS, strict=False):
                cells = [s for s in scores if s.rule == rule and s.world.baseline == baseline]
                worst = [max((s.early_percent for s in cells if label(s) == row), default=math.nan) for row in rows]
                axes.plot(worst, range(len(rows)), marker, color=colour, label=rule, markersize=6, alpha=0.85)
            axes.set_yticks(range(len(rows)), rows)
            axes.invert_yaxis()
            axes.set_title(f"baseline {100 * baseline:g} % (objective 1 %)", loc="left", fontsize=9)
            axes.set_xscale("symlog", linthresh=0.1, linscale=0.4)
            axes.set_xlim(-0.02, 130)
            axes.set_xticks([0, 0.1, 0.5, 2, 10, 100], ["0", "0.1", "0.5", "2", "10", "100 %"])
            axes.grid(visible=True, alpha=0.3)
        panels[-1].set_xlabel("healthy rollouts taken back; each dot is a rule's worst of 1, 20 and 500 requests/s")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return figure


def label(score: Score) -> str:
    """What happens in a healthy world."""
    return score.world.event or score.world.noise


def draw_delay(scores: Sequence[Score], rules: Sequence[str]) -> Figure:
    """Median delay over the size of the fault, a panel for each traffic; thin lines reach to the 90th percentile."""
    calm = [s for s in scores if s.world.noise == "independent" and s.world.baseline == 0.001]
    rates = sorted({score.world.requests_per_second for score in calm})
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 4.4), layout="constrained")
        panels = figure.subplots(1, max(1, len(rates)), squeeze=False, sharey=True)[0]
        for axes, rate in zip(panels, rates, strict=False):
            for index, rule in enumerate(rules):
                cells = [s for s in calm if s.rule == rule and s.world.requests_per_second == rate]
                draw_rule(axes, sorted(cells, key=lambda s: s.world.fault), rule, index, len(rules))
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_xticks([0.02, 0.05, 0.2, 1], ["2 %", "5 %", "20 %", "100 %"])
            axes.minorticks_off()
            axes.set_ylim(12, 7000)
            ticks = {15: "15 s", 90: "90 s", 300: "5 min", 1200: "20 min", 3600: "1 h", NEVER_SECONDS: "never"}
            axes.set_yticks(list(ticks), list(ticks.values()))
            axes.set_xlabel(f"error ratio of the fault, {rate:g}/s")
            axes.grid(visible=True, alpha=0.3)
        panels[0].set_ylabel("onset to rollback, median and p90")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return figure


def draw_rule(axes: Axes, cells: Sequence[Score], rule: str, index: int, of: int) -> None:
    """One rule's medians and whiskers, set a little aside so that rules don't hide each other."""
    aside = 1 + 0.05 * (index - of / 2)
    sizes = [cell.world.fault * aside for cell in cells]
    medians = [min(cell.delay(0.5), NEVER_SECONDS) for cell in cells]
    upper = [min(cell.delay(0.9), NEVER_SECONDS) for cell in cells]
    colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
    axes.plot(sizes, medians, marker=marker, color=colour, label=rule, linewidth=1.2, markersize=5, zorder=3 + index)
    axes.vlines(sizes, medians, upper, color=colour, linewidth=0.8, alpha=0.6)
