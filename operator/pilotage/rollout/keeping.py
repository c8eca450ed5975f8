"""Keeping: what was judged, as status shows it: criteria, scores, readiness. Status is no time series."""

from datetime import timedelta
from typing import Any

from pilotage.rollout.readiness import assess
from pilotage.rollout.situation import Situation

REFRESH = timedelta(minutes=5)
"""Values in status are renewed when a verdict or a rating changes, else so seldom."""


def judged_update(at: Situation, *, changed: bool) -> dict[str, Any]:
    """The fields of status that tell what was judged: the new ones where they say something else or the old are old.

    Args:
        at: what was seen, and the status so far.
        changed: whether a decision was made that rests on it.
    """
    old, scores = at.status, at.seen.scores
    shown = at.shown if at.seen.findings else ()
    if not shown and not scores:
        return {"readiness": old.readiness if at.spec.readiness else None}
    findings = tuple(found for _, found in shown)
    same = [(f.rule, f.role, f.verdict) for f in old.criteria] == [(f.rule, f.role, f.verdict) for f in findings]
    same = same and [(s.name, s.rating) for s in old.scores] == [(s.name, s.rating) for s in scores]
    recent = old.judged_time is not None and at.now - old.judged_time < REFRESH
    if same and recent and not changed and (old.readiness is not None) == (at.spec.readiness is not None):
        return {}
    readiness = assess(shown) if at.spec.readiness else None
    return {"criteria": findings, "scores": scores, "readiness": readiness, "judged_time": at.now}
