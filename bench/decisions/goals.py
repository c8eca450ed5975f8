"""What was aimed for, and whether a rule does it.

A goal for false rollbacks is compared with the worst cell that it names. Where fewer runs were made than a goal can be
shown with, the upper limit of the 95 % interval beside it says so.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.decisions.cells import HALF, INCIDENTS, LOW, SINGLE_NOISES, SLOW_NOISES
from bench.decisions.score import Score, upper_limit
from bench.decisions.table import markdown, percent, seconds
from bench.decisions.worlds import World


@dataclass(frozen=True, slots=True)
class Goal:
    """Something to reach.

    Args:
        text: What is aimed for.
        where: Worlds that count.
        shortfall: How far a score is from the goal; at most 0 is met.
        shown: The figure of a score.
    """

    text: str
    where: Callable[[World], bool]
    shortfall: Callable[[Score], float]
    shown: Callable[[Score], str]


def false_rate(score: Score) -> str:
    """False rollbacks with the upper limit of what they stand for."""
    limit = percent(upper_limit(score.early, score.runs))
    return f"{score.early} of {score.runs:,} ({percent(score.early_percent)} %; 95 % limit {limit} %)"


def delay_figures(score: Score) -> str:
    """Median, p90 and the share that was missed."""
    missed = percent(score.missed_percent)
    return f"median {seconds(score.delay(0.5))} s, p90 {seconds(score.delay(0.9))} s, {missed} % missed"


def at_most(limit: float) -> tuple[Callable[[Score], float], Callable[[Score], str]]:
    """False rollbacks of at most so many percent."""
    return lambda score: score.early_percent - limit, false_rate


def within(median: float, p90: float = math.inf) -> tuple[Callable[[Score], float], Callable[[Score], str]]:
    """Faults seen within so many seconds, and none missed."""

    def shortfall(score: Score) -> float:
        return max(score.delay(0.5) - median, score.delay(0.9) - p90, score.missed_percent)

    return shortfall, delay_figures


def calm_fault(size: Callable[[float], bool]) -> Callable[[World], bool]:
    """Faults of a size at 20 requests a second, nothing else being wrong."""
    return lambda w: (
        bool(w.fault)
        and size(w.fault)
        and (w.noise, w.requests_per_second, w.baseline)
        == (
            "independent",
            20,
            LOW,
        )
    )


def healthy(world: World, baseline: float = LOW) -> bool:
    """Nothing but noise, at a baseline."""
    return not world.fault and not world.event and world.baseline == baseline


GOALS = (
    Goal(
        "false rollbacks <= 0.1 % in any single noise", lambda w: healthy(w) and w.noise in SINGLE_NOISES, *at_most(0.1)
    ),
    Goal("<= 0.5 % in all noises together", lambda w: healthy(w) and w.noise == "all", *at_most(0.5)),
    Goal("<= 0.1 % in a shared incident", lambda w: w.event in INCIDENTS, *at_most(0.1)),
    Goal("none in a gap of the metrics", lambda w: w.event == "gap", *at_most(0)),
    Goal(
        "<= 2 % in slow noise (500/s, baseline at half the objective)",
        lambda w: healthy(w, HALF) and w.noise in SLOW_NOISES and w.requests_per_second == 500,
        *at_most(2),
    ),
    Goal("faults >= 20 % at 20/s: median <= 90 s, none missed", calm_fault(lambda f: f >= 0.2), *within(90)),
    Goal("5 % at 20/s: median <= 105 s, p90 <= 165 s, none missed", calm_fault(lambda f: f == 0.05), *within(105, 165)),
    Goal("2 % at 20/s: median <= 240 s, none missed", calm_fault(lambda f: f == 0.02), *within(240)),
    Goal(
        "no stage end of a healthy rollout waits, in any noise and in all together, >= 20/s",
        lambda w: healthy(w) and w.noise in {*SINGLE_NOISES, "all"} and w.requests_per_second >= 20,
        lambda score: score.ends.held + score.ends.short,
        lambda score: f"{score.ends.held} held, {score.ends.short} too few requests, of {score.ends.reached}",
    ),
)


def goals_table(scores: Sequence[Score], rule: str) -> str:
    """One line per goal for one rule, from its worst cell; goals without a measured cell are left out."""
    rows = []
    for goal in GOALS:
        cells = [score for score in scores if score.rule == rule and goal.where(score.world)]
        if cells:
            worst = max(cells, key=goal.shortfall)
            met = "met" if goal.shortfall(worst) <= 0 else "**missed**"
            rows.append((goal.text, goal.shown(worst), str(worst.world), met))
    return markdown(("goal", "worst cell", "where", "outcome"), rows)
