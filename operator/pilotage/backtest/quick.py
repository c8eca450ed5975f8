"""Quick: the verdict of a threshold rule where it is plain to see, without the words that explain it. Pure.

Replays from many starts judge the same rules at each of some ten thousand moments, and nearly always nothing is wrong.
What is not plain is left to the rule; a test holds the two equal.
"""

from datetime import datetime

from pilotage.judging.evidence import Answer, Answered
from pilotage.judging.threshold import ThresholdRule
from pilotage.resources.status import Verdict

_ROUNDING_SECONDS = 0.002


def plain_verdict(rule: ThresholdRule, answer: Answer, now: datetime) -> Verdict | None:
    """What `rule.judge` would say of the answer, with no earliest time; None where it has to be asked."""
    if rule.counts_days or rule.op in ("==", "!=") or not isinstance(answer, Answered):
        return None
    series = answer.series_of(rule.variant)
    if series is None or not series.times:
        return None
    if abs(series.times[-1] - rule.question.end_at(now.timestamp())) > _ROUNDING_SECONDS:
        return None
    newest_is_bad = rule.is_bad(series.values[-1])
    if rule.kind != "must-hold":
        return None if newest_is_bad else "pass"
    if newest_is_bad:
        return "breach"
    worst = max(series.values) if rule.bad_op.startswith(">") else min(series.values)
    complete = len(series.values) == rule.question.steps + 1
    return "pass" if complete and not rule.is_bad(worst) else None
