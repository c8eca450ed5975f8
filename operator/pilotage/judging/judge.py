"""The judge: a rule and its answer in, a finding out. Missing data never passes and never breaches.

Rules that must not apply (noGo, rollback, throttle, warning, critical, a missed objective) breach only if they applied
for their whole time; rules that must hold (go) pass only if they held for their whole time. In between is `pending`.
"""

import math
from datetime import datetime, timedelta

from pilotage.judging.evidence import Answer, NoData, Series, Unavailable
from pilotage.judging.rules import OPPOSITE, Rule
from pilotage.judging.track import Streak, Track, track_days, track_steps
from pilotage.judging.units import format_value
from pilotage.resources.durations import DAY, HOUR, format_duration
from pilotage.resources.status import Finding, Verdict

STALE_STEPS = 2
"""The newest value may be this many steps old."""

_LEAST_TOLERANCE_SECONDS = 5.0


def judge(rule: Rule, answer: Answer, now: datetime) -> Finding:
    """What the rule says at `now`.

    Args:
        rule: from `read_rules`.
        answer: to `rule.question`, asked at `now`.
        now: the moment of the judgement, with a zone.
    """
    if isinstance(answer, Unavailable):
        return _finding(rule, "unavailable", f"{rule.indicator}: {answer.reason}")
    if isinstance(answer, NoData):
        return _finding(rule, "no-data", f"{rule.indicator}: {answer.reason}")
    series = _finite(answer.series_of(rule.variant), now)
    if series is None:
        return _finding(rule, "no-data", f"{rule.indicator}: no data for the variant {rule.variant}")
    newest = datetime.fromtimestamp(series.times[-1], now.tzinfo)
    age = (now - newest).total_seconds()
    if age > _tolerance_seconds(rule):
        message = f"{rule.indicator}: no data for {format_duration(age)}, since {newest:%Y-%m-%d %H:%M:%S %Z}"
        return _finding(rule, "no-data", message, since=newest)
    track = _track(rule, series, now)
    if track is None:
        return _finding(rule, "no-data", f"{rule.indicator}: no data for yesterday (UTC)")
    return _must_hold(rule, track) if rule.kind == "must-hold" else _must_not_apply(rule, track)


def _finite(series: Series | None, now: datetime) -> Series | None:
    """The series without NaN, infinities and values from the future; None if nothing is left."""
    if series is None:
        return None
    latest = now.timestamp() + _LEAST_TOLERANCE_SECONDS
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


def _tolerance_seconds(rule: Rule) -> float:
    # Coarser steps than an hour are asked for at full hours, so that their newest value is never older than that.
    return max(STALE_STEPS * min(rule.question.step_seconds, HOUR), _LEAST_TOLERANCE_SECONDS)


def _track(rule: Rule, series: Series, now: datetime) -> Track | None:
    step = rule.question.step_seconds
    if rule.counts_days:
        return track_days(series, step_seconds=step, days=round(rule.for_seconds / DAY), now=now)
    over = rule.in_seconds if rule.kind == "must-hold" and rule.in_seconds else rule.for_seconds
    return track_steps(series, step_seconds=step, over_seconds=over)


def _must_not_apply(rule: Rule, track: Track) -> Finding:
    if not rule.is_bad(track.newest):
        streak = track.streak(lambda value: not rule.is_bad(value))
        return _valued(rule, track, "pass", since=track.since(streak.steps))
    streak = track.streak(rule.is_bad)
    since = track.since(streak.steps)
    if streak.steps < track.needed:
        held = f" (for {_length(track, streak.steps)} of {format_duration(rule.for_seconds)})"
        return _valued(rule, track, "pending", held, since=since, earliest=_earliest(rule, since))
    if not track.covered:
        return _valued(rule, track, "no-data", f" now, but {_missing(track)}")
    held = f" for {format_duration(rule.for_seconds)}" if rule.for_seconds else ""
    return _valued(rule, track, "breach", held, since=since)


def _must_hold(rule: Rule, track: Track) -> Finding:
    if rule.is_bad(track.newest):
        return _valued(rule, track, "breach", since=track.since(track.streak(rule.is_bad).steps))
    streak = track.streak(lambda value: not rule.is_bad(value))
    since = track.since(streak.steps)
    if track.covered and (rule.in_seconds or streak.steps >= track.needed):
        held = f" (held {format_duration(rule.for_seconds)})" if rule.for_seconds else ""
        return _valued(rule, track, "pass", held, since=since)
    return _not_yet(rule, track, streak)


def _not_yet(rule: Rule, track: Track, streak: Streak) -> Finding:
    """It holds now, but has not held for long enough; or nobody can tell, for want of data."""
    since = track.since(streak.steps)
    if rule.in_seconds:
        return _valued(rule, track, "no-data", f" now, but {_missing(track)}")
    earliest = _earliest(rule, since)
    held = f"held {_length(track, streak.steps)} of {format_duration(rule.for_seconds)}"
    if streak.broken:
        return _valued(rule, track, "pending", f" ({held})", since=since, earliest=earliest)
    return _valued(rule, track, "no-data", f" now, but {_missing(track)} ({held})", since=since, earliest=earliest)


def _earliest(rule: Rule, since: datetime) -> datetime:
    return since + timedelta(seconds=rule.for_seconds)


def _length(track: Track, steps: int) -> str:
    return format_duration((steps * track.step).total_seconds())


def _missing(track: Track) -> str:
    if track.step >= timedelta(days=1):
        return f"no data for {track.missing} of {track.needed} days"
    return f"no data for {_length(track, track.missing)} of {_length(track, track.needed)}"


def _valued(
    rule: Rule,
    track: Track,
    verdict: Verdict,
    suffix: str = "",
    *,
    since: datetime | None = None,
    earliest: datetime | None = None,
) -> Finding:
    value = format_value(track.newest, rule.unit, apart_from=rule.threshold)
    compared = rule.bad_op if rule.is_bad(track.newest) else OPPOSITE[rule.bad_op]
    message = f"{rule.indicator} {value} {compared} {format_value(rule.threshold, rule.unit)}{suffix}"
    return _finding(rule, verdict, message, value=value, since=since, earliest=earliest)


def _finding(
    rule: Rule,
    verdict: Verdict,
    message: str,
    *,
    value: str = "",
    since: datetime | None = None,
    earliest: datetime | None = None,
) -> Finding:
    return Finding(
        rule=rule.text,
        role=rule.role,
        verdict=verdict,
        value=value,
        since=since,
        earliest=earliest,
        message=message,
    )
