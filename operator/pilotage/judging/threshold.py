"""Threshold rules: an indicator's value against a bound, now, over a window, or for a time without a break.

Rules that must not apply (noGo, rollback, throttle, warning, critical, a missed objective) breach only if they applied
for their whole time; rules that must hold (go) pass only if they held for their whole time. In between is `pending`.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from pilotage.judging.criteria import COMPARE, OPPOSITE, Operator
from pilotage.judging.evidence import Answer, Evidence, NoData, Question, Series, Unavailable
from pilotage.judging.rules import Rule
from pilotage.judging.standing import Standing, distance_of, held_of, roughly, to_be_asked
from pilotage.judging.track import Streak, Track, track_days, track_steps
from pilotage.judging.units import format_value
from pilotage.resources.durations import DAY, HOUR, format_duration
from pilotage.resources.indicators import Unit
from pilotage.resources.status import Finding, Verdict

STALE_STEPS = 2
"""The newest value may be this many steps old."""

_LEAST_TOLERANCE_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdRule(Rule):
    """A bound on an indicator's value.

    Attributes:
        op: the operator as written.
        threshold: in base units (1% is 0.01, 50ms is 0.05).
        unit: the indicator's.
        question: what is asked of Prometheus.
        variant: whose series is judged, where the answer tells variants apart.
        in_seconds: the window of `in DURATION`; 0 without one.
    """

    op: Operator
    threshold: float
    unit: Unit | None
    question: Question
    variant: str
    in_seconds: float = 0.0

    @property
    def questions(self) -> tuple[Question, ...]:
        """One."""
        return (self.question,)

    @property
    def reach_seconds(self) -> float:
        """Its time and the window of its first value; of days, also what has passed of today."""
        return (self.question.span_seconds if self.counts_days else self.for_seconds) + self.question.window_seconds

    @property
    def bound(self) -> float:
        """The threshold."""
        return self.threshold

    @property
    def bad_op(self) -> Operator:
        """The operator of a bad value: an objective `< 1%` and a go criterion `>= 99%` are turned around."""
        return OPPOSITE[self.op] if self.role in ("objective", "go") else self.op

    def is_bad(self, value: float) -> bool:
        """Whether the value misses the objective or the go criterion, or meets the bound that must not apply."""
        return COMPARE[self.bad_op](value, self.threshold)

    @property
    def counts_days(self) -> bool:
        """Whether `for` is counted in whole days of its zone: from two days on."""
        return counts_days(self.for_seconds)

    def judge(self, evidence: Evidence, now: datetime) -> Finding:
        """The newest value, and how long it has been so."""
        return judge_answer(self, evidence.answers[self.question], now)


def counts_days(for_seconds: float) -> bool:
    """Whether so long a `for` is counted in whole days."""
    return for_seconds >= 2 * DAY and for_seconds % DAY == 0


def judge_answer(rule: ThresholdRule, answer: Answer, now: datetime) -> Finding:
    """What the rule makes of the answer to its question."""
    if isinstance(answer, Unavailable):
        standing = Standing(_written(rule), remedy=to_be_asked(answer.reason))
        return rule.finding("unavailable", f"{rule.indicator}: {answer.reason}", standing=standing)
    unseen = Standing(_written(rule), remedy=f"data for the variant {rule.variant}")
    if isinstance(answer, NoData):
        return rule.finding("no-data", f"{rule.indicator}: {answer.reason}", standing=unseen)
    series = finite(answer.series_of(rule.variant), now)
    if series is None:
        return rule.finding("no-data", f"{rule.indicator}: no data for the variant {rule.variant}", standing=unseen)
    newest = datetime.fromtimestamp(series.times[-1], now.tzinfo)
    age = (now - newest).total_seconds()
    if age > tolerance_seconds(rule.question):
        message = f"{rule.indicator}: no data for {format_duration(age)}, since {newest:%Y-%m-%d %H:%M:%S %Z}"
        return rule.finding("no-data", message, since=newest, standing=unseen)
    track = _track(rule, series, now)
    if isinstance(track, NoData):
        return rule.finding("no-data", f"{rule.indicator}: {track.reason}", standing=unseen)
    return _must_hold(rule, track) if rule.kind == "must-hold" else _must_not_apply(rule, track)


def finite(series: Series | None, now: datetime) -> Series | None:
    """The series without NaN, infinities and values from the future; None if nothing is left."""
    if series is None:
        return None
    latest = now.timestamp() + _LEAST_TOLERANCE_SECONDS
    if series.times and series.times[-1] <= latest and all(map(math.isfinite, series.values)):
        return series  # as a rule; months of hours are not copied at every interval
    kept = [
        index
        for index, (at, value) in enumerate(zip(series.times, series.values, strict=True))
        if math.isfinite(value) and at <= latest
    ]
    if not kept:
        return None
    return Series(
        times=tuple(series.times[index] for index in kept),
        values=tuple(series.values[index] for index in kept),
        weights=tuple(series.weights[index] for index in kept) if series.weights else (),
    )


def tolerance_seconds(question: Question) -> float:
    """How old the newest value of an answer may be."""
    # Coarser steps than an hour are asked for at full hours, so that their newest value is never older than that.
    return max(STALE_STEPS * min(question.step_seconds, HOUR), _LEAST_TOLERANCE_SECONDS)


def _track(rule: ThresholdRule, series: Series, now: datetime) -> Track | NoData:
    step = rule.question.step_seconds
    if rule.counts_days:
        return track_days(series, step_seconds=step, days=round(rule.for_seconds / DAY), now=now, zone=rule.zone)
    over = rule.in_seconds if rule.kind == "must-hold" and rule.in_seconds else rule.for_seconds
    return track_steps(series, step_seconds=step, over_seconds=over)


def _must_not_apply(rule: ThresholdRule, track: Track) -> Finding:
    if not rule.is_bad(track.newest):
        streak = track.streak(lambda value: not rule.is_bad(value))
        return _valued(rule, track, "pass", since=track.since(streak.steps), steps=0)
    streak = track.streak(rule.is_bad)
    since = track.since(streak.steps)
    if streak.steps < track.needed:
        held = f" (for {_length(track, streak.steps)} of {format_duration(rule.for_seconds)})"
        earliest = _earliest(rule, track, streak)
        return _valued(rule, track, "pending", held, since=since, earliest=earliest, steps=streak.steps)
    if not track.covered:
        return _valued(rule, track, "no-data", f" now, but {_missing(track)}", steps=streak.steps)
    held = f" for {format_duration(rule.for_seconds)}" if rule.for_seconds else ""
    return _valued(rule, track, "breach", held, since=since, steps=streak.steps)


def _must_hold(rule: ThresholdRule, track: Track) -> Finding:
    if rule.is_bad(track.newest):
        return _valued(rule, track, "breach", since=track.since(track.streak(rule.is_bad).steps), steps=0)
    streak = track.streak(lambda value: not rule.is_bad(value))
    since = track.since(streak.steps)
    if track.covered and (rule.in_seconds or streak.steps >= track.needed):
        held = f" (held {format_duration(rule.for_seconds)})" if rule.for_seconds else ""
        return _valued(rule, track, "pass", held, since=since, steps=streak.steps)
    return _not_yet(rule, track, streak)


def _not_yet(rule: ThresholdRule, track: Track, streak: Streak) -> Finding:
    """It holds now, but has not held for long enough; or nobody can tell, for want of data."""
    since = track.since(streak.steps)
    if rule.in_seconds:
        return _valued(rule, track, "no-data", f" now, but {_missing(track)}", steps=streak.steps)
    earliest = _earliest(rule, track, streak)
    held = f"held {_length(track, streak.steps)} of {format_duration(rule.for_seconds)}"
    verdict: Verdict = "pending" if streak.broken else "no-data"
    suffix = f" ({held})" if streak.broken else f" now, but {_missing(track)} ({held})"
    return _valued(rule, track, verdict, suffix, since=since, earliest=earliest, steps=streak.steps)


def _earliest(rule: ThresholdRule, track: Track, streak: Streak) -> datetime:
    if rule.counts_days:
        return track.complete(streak.steps)
    return track.since(streak.steps) + timedelta(seconds=rule.for_seconds)


def _length(track: Track, steps: int) -> str:
    return format_duration((steps * track.step).total_seconds())


def _missing(track: Track) -> str:
    if track.step >= timedelta(days=1):
        return f"no data for {track.missing} of {track.needed} days: {track.gaps}"
    return f"no data for {_length(track, track.missing)} of {_length(track, track.needed)}"


def _valued(
    rule: ThresholdRule,
    track: Track,
    verdict: Verdict,
    suffix: str = "",
    *,
    since: datetime | None = None,
    earliest: datetime | None = None,
    steps: int,
) -> Finding:
    value = format_value(track.newest, rule.unit, apart_from=rule.threshold)
    compared = rule.bad_op if rule.is_bad(track.newest) else OPPOSITE[rule.bad_op]
    message = f"{rule.indicator} {value} {compared} {format_value(rule.threshold, rule.unit)}{suffix}"
    standing = _standing(rule, track, verdict, steps)
    return rule.finding(verdict, message, value=value, since=since, earliest=earliest, standing=standing)


def _standing(rule: ThresholdRule, track: Track, verdict: Verdict, steps: int) -> Standing:
    """Where a value stands; `steps` are those that count for the verdict that the rule waits for."""
    held = steps * track.step.total_seconds()
    return Standing(
        bound=_written(rule),
        evidence=held_of(held, rule.for_seconds),
        distance=distance_of(track.newest, rule.threshold, rule.unit),
        remedy=_remedy(rule, verdict, rule.for_seconds - held),
    )


def _written(rule: ThresholdRule) -> str:
    return f"{rule.op} {format_value(rule.threshold, rule.unit)}"


def _remedy(rule: ThresholdRule, verdict: Verdict, left_seconds: float) -> str:
    good = f"{rule.indicator} {OPPOSITE[rule.bad_op]} {format_value(rule.threshold, rule.unit)}"
    if verdict == "pass":
        return ""
    if verdict == "no-data":
        return f"data for the variant {rule.variant} over all of {format_duration(rule.for_seconds or rule.in_seconds)}"
    if rule.kind == "must-not-apply":
        return f"{good} within {roughly(left_seconds)}, or it breaches" if verdict == "pending" else good
    if verdict == "pending":
        return f"{good} for {roughly(left_seconds)} more"
    return f"{good} for {format_duration(rule.for_seconds)}" if rule.for_seconds else good
