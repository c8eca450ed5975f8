"""Reads an objective: which judge judges it, and what the sequential one has to ask."""

import math
import re
from dataclasses import replace
from typing import Final

from pilotage.judging.criteria import Bound
from pilotage.judging.evidence import Question
from pilotage.judging.inference.likelihood import Settings
from pilotage.judging.inference.noise import LEAST_HOURS
from pilotage.judging.objective import SequentialRule
from pilotage.judging.progress import Arms
from pilotage.judging.questions import Resolved, RuleError
from pilotage.judging.threshold import ThresholdRule
from pilotage.resources.durations import HOUR, format_duration
from pilotage.resources.rollout import Objective

HISTORY_STEPS: Final = 17_280
"""72 h of 15 s steps: what is learned from. Shorter steps learn from fewer hours."""

HISTORY_SECONDS: Final = 72 * HOUR
TAIL_STEPS: Final = 8
"""Asked for at every judgement at least, so that a late or missed one needs no longer query."""

LONGEST_FOR_STEPS: Final = 240
"""What takes longer is no matter of scrapes: each of them would count for nothing."""


def is_sequential(indicator: Resolved, objective: Objective, bound: Bound, path: str, *, for_seconds: float) -> bool:
    """Whether the sequential judge judges an objective: as it says, else wherever it can.

    Raises:
        RuleError: it is asked for where it can't judge, or what only it heeds is said elsewhere; the message says why.
    """
    why_not = _why_not(indicator, bound, for_seconds)
    if objective.judge == "sequential":
        if why_not:
            raise RuleError(f"{path}.judge", f"can't be sequential: {why_not}, or write `judge: threshold`")
        if objective.window is not None:
            message = "the sequential judge counts step by step: leave window away, or write `judge: threshold`"
            raise RuleError(f"{path}.window", message)
        return True
    sequential = objective.judge is None and not why_not and objective.window is None
    if not sequential and objective.minimum_requests is not None:
        reason = why_not or "leave window and `judge: threshold` away"
        raise RuleError(f"{path}.minimumRequests", f"is for the sequential judge alone: {reason}")
    return sequential


_PER_SECOND = re.compile(r"\b(i?rate)\s*\(")


def _why_not(indicator: Resolved, bound: Bound, for_seconds: float) -> str:
    """Why the sequential judge can't judge it, with the remedy; empty where it can."""
    queries = indicator.measurement
    if not queries.counts_errors:
        return f"{indicator.name} counts nothing: give it errors and total"
    if not indicator.has_window:
        return f"the queries of {indicator.name} don't use $window: write it there"
    if found := _PER_SECOND.search(" ".join(queries.queries)):
        return f"{indicator.name} uses {found[1]}(), which is per second, and not a count: write increase() there"
    if bound.op not in ("<", "<=") or not 0 < bound.value < 1:
        return "the objective is no upper bound between 0% and 100%: write one, such as < 1%"
    if for_seconds > LONGEST_FOR_STEPS * indicator.interval_seconds:
        longest = format_duration(LONGEST_FOR_STEPS * indicator.interval_seconds)
        return f"`for` is longer than {LONGEST_FOR_STEPS} intervals: write at most {longest}"
    return ""


def sequential_rule(
    by_time: ThresholdRule, indicator: Resolved, objective: Objective, *, control: str
) -> SequentialRule:
    """The sequential rule of an objective, which judges by time where there is no control."""
    step = indicator.interval_seconds
    window = 2 * step  # a window overlaps the one before by a scrape, so that no event falls between two
    least_steps = max(1, round(by_time.for_seconds / step))
    span = max(least_steps + 1, TAIL_STEPS) * step
    tail = Question(indicator.measurement, window, span, step, aligned=True)
    return SequentialRule(
        text=by_time.text,
        role=by_time.role,
        field=by_time.field,
        on_breach=by_time.on_breach,
        indicator=by_time.indicator,
        for_seconds=by_time.for_seconds,
        settings=Settings(by_time.threshold, least_steps, objective.sensitivity),
        tail=tail,
        history=Question(
            indicator.history or indicator.measurement, window, _history_seconds(step), step, aligned=True
        ),
        history_sized=indicator.history is not None,
        arms=Arms(by_time.variant, control, step / window),
        by_time=replace(by_time, question=tail),
        minimum_requests=objective.minimum_requests,
    )


def _history_seconds(step: float) -> float:
    """Full hours, and at least so many that something is learned of them."""
    return max(math.floor(min(HISTORY_SECONDS, HISTORY_STEPS * step) / HOUR), LEAST_HOURS) * HOUR
