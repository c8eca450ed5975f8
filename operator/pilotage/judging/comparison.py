"""Comparisons: `lift(conversions) > 10% significant`, treatment against control since the step began.

The interval of the lift is valid however often one looks (`lift`), so the rule may be asked at every judgement: it
applies only when the whole interval lies beyond its bound, and is refuted only when the whole interval lies short of
it. In between nothing is proven: the step goes on, and is not left.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pilotage.judging.criteria import COMPARE, OPPOSITE, Criterion, Operator
from pilotage.judging.evidence import Answered, Evidence, NoData, Question, Series, Stage, Unavailable
from pilotage.judging.inference.lift import lift_interval
from pilotage.judging.questions import Resolved, RuleError, find
from pilotage.judging.rules import CONSEQUENCE, Role, Rule
from pilotage.judging.standing import Standing
from pilotage.judging.units import format_value
from pilotage.resources.durations import DAY, HOUR, MINUTE, parse_duration
from pilotage.resources.rollout import PilotRolloutSpec
from pilotage.resources.status import Finding, Verdict

MOST_STEPS = 500
"""Of the counts' range query; coarser steps lose no events, only the begun ones at both ends."""

HOLDS = 4
"""The counts reach back over so many times the longest hold. A step that lasts longer is judged by its newest part,
for which the interval is no more valid at all times."""

STALE_STEPS = MOST_STEPS // 20
"""After so many steps without an event in an arm, nobody knows whether it is still counted."""

_REMEDY: Mapping[Verdict, str] = {
    "pending": "more events of both variants: the interval gets narrower",
    "breach": "another feature, or more of the right events: the lift is certain",
}

_STEPS = (1, 2, 5, 10, 15, 20, 30, MINUTE, 120, 180, 300, 600, 900, 1800, HOUR, 7200, 10800, 21600, 43200, DAY)


@dataclass(frozen=True, slots=True)
class Arm:
    """The counts of one variant.

    Attributes:
        events: such as users who converted.
        total: such as all users.
    """

    events: float
    total: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftRule(Rule):
    """A bound on the lift of treatment over control.

    Attributes:
        op: as written; `<`, `<=`, `>` or `>=`.
        threshold: a ratio: 10% is 0.1.
        question: asks for the counts in aligned steps, over more than the rollout's step.
        treatment: the variant with the feature.
        control: the variant without it.
        subject: as it is written, such as `lift(conversions)`.
    """

    op: Operator
    threshold: float
    question: Question
    treatment: str
    control: str
    subject: str

    @property
    def questions(self) -> tuple[Question, ...]:
        """One."""
        return (self.question,)

    @property
    def reach_seconds(self) -> float:
        """Counts begin anew with each step; only the first window reaches back."""
        return self.question.window_seconds

    @property
    def is_pending_alarming(self) -> bool:
        """What is not proven yet is nothing bad."""
        return False

    def judge(self, evidence: Evidence, now: datetime) -> Finding:
        """Whether the lift lies beyond the bound for certain."""
        stage, answer = evidence.stage, evidence.answers[self.question]
        if stage.since is None:
            return self.finding("pending", f"{self.subject}: no step has begun, there is nothing to compare yet")
        if isinstance(answer, Unavailable):
            return self.finding("unavailable", f"{self.indicator}: {answer.reason}")
        if isinstance(answer, NoData):
            return self.finding("no-data", f"{self.indicator}: {answer.reason}")
        arms = [self._arm(answer, variant, stage, now) for variant in (self.treatment, self.control)]
        lacking = next((arm for arm in arms if isinstance(arm, NoData)), None)
        if lacking is not None:
            return self.finding("no-data", f"{self.indicator}: {lacking.reason}")
        treatment, control = (arm for arm in arms if isinstance(arm, Arm))
        return self._compared(treatment, control, stage)

    def _arm(self, answer: Answered, variant: str, stage: Stage, now: datetime) -> Arm | NoData:
        """The variant's counts in whole steps since the stage began."""
        series = dict(answer.by_variant).get(variant)
        if series is None or not series.weights:
            return NoData(f"no data for the variant {variant}")
        if self.question.end_at(now.timestamp()) - series.times[-1] > STALE_STEPS * self.question.step_seconds:
            return NoData(f"no data for the variant {variant} of late")
        assert stage.since is not None
        arm = self._counted(series, stage.since.timestamp())
        return arm if arm.total > 0 else NoData(f"no data for the variant {variant} in this step yet")

    def _counted(self, series: Series, since: float) -> Arm:
        # Windows overlap by a scrape, so that no event falls between two: that much is counted twice.
        scale = self.question.step_seconds / self.question.window_seconds
        first = since + self.question.window_seconds - 1e-3
        events = total = 0.0
        for at, ratio, weight in zip(series.times, series.values, series.weights, strict=True):
            if at >= first:
                events += ratio * weight * scale
                total += weight * scale
        return Arm(events, total)

    def _compared(self, treatment: Arm, control: Arm, stage: Stage) -> Finding:
        interval = lift_interval(treatment.events, treatment.total, control.events, control.total)
        if interval is None:
            return self.finding("no-data", f"{self.indicator}: there were no events in this step yet")
        seen = "?"
        if control.events > 0:
            lift = treatment.events / treatment.total / (control.events / control.total) - 1
            seen = format_value(lift, "ratio", apart_from=self.threshold)
        counts = f"{_count(treatment)} with {self.treatment}, {_count(control)} with {self.control}"
        message = f"{self.subject} {seen}, certainly {_between(*interval)} ({counts})"
        verdict = self._verdict(interval)
        standing = Standing(f"{self.op} {format_value(self.threshold, 'ratio')}", remedy=_REMEDY.get(verdict, ""))
        return self.finding(verdict, message, value=seen, since=stage.since, standing=standing)

    def _verdict(self, interval: tuple[float, float]) -> Verdict:
        low, high = interval
        least, most = (low, high) if self.op in (">", ">=") else (high, low)
        must_hold = self.kind == "must-hold"
        if COMPARE[self.op](least, self.threshold):
            return "pass" if must_hold else "breach"
        if COMPARE[OPPOSITE[self.op]](most, self.threshold):
            return "breach" if must_hold else "pass"
        return "pending"


def _between(low: float, high: float) -> str:
    if math.isinf(high):
        return f"above {format_value(low, 'ratio')}"
    return f"between {format_value(low, 'ratio')} and {format_value(high, 'ratio')}"


def _count(arm: Arm) -> str:
    return f"{arm.events:,.0f} of {arm.total:,.0f}"


def lift_rule(
    written: Criterion,
    text: str,
    role: Role,
    field: str,
    *,
    spec: PilotRolloutSpec,
    known: Mapping[str, Resolved | RuleError],
) -> LiftRule:
    """The rule of `lift(INDICATOR) OP VALUE significant`.

    Args:
        written: the criterion.
        text: as it is written.
        role: what it is for.
        field: its path.
        spec: of the rollout.
        known: its indicators.

    Raises:
        RuleError: the indicator counts nothing in `$window`, or users would be shed by it.
    """
    indicator = find(known, written.indicator, field)
    if role == "throttle":
        raise RuleError(field, f"{written.subject} says nothing about load: put it under go, noGo or rollback")
    if indicator.measurement.query:
        remedy = "give it good and total, such as orders and visits, instead of query"
        raise RuleError(field, f"{written.subject} compares counts, and {indicator.name} is a value: {remedy}")
    if not indicator.has_window:
        message = f"{written.subject} counts in steps, but the queries of {indicator.name} don't use $window"
        raise RuleError(field, f"{message}: write it there")
    return LiftRule(
        text=text,
        role=role,
        field=field,
        on_breach=CONSEQUENCE[role],
        indicator=indicator.name,
        op=written.bound.op,
        threshold=written.bound.value,
        question=_question(indicator, spec),
        treatment=spec.feature.treatment,
        control=spec.feature.control,
        subject=written.subject,
    )


def _question(indicator: Resolved, spec: PilotRolloutSpec) -> Question:
    """Counts in aligned steps, so that a step is the same stretch of time whenever it is asked for."""
    interval = indicator.interval_seconds
    longest = max(parse_duration(step.hold) for step in spec.steps)
    span = max(HOLDS * longest, MOST_STEPS * interval)
    finest = max(span / MOST_STEPS, interval)
    step = next((float(each) for each in _STEPS if each >= finest - 1e-9), DAY)
    span = min(math.ceil(span / step), MOST_STEPS) * step
    return Question(indicator.measurement, step + interval, span, step, aligned=True)
