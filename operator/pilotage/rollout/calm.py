"""Calm: when users who were shed may come back. Later than load is over, and later each time, or it would swing.

What the feature itself costs is gone with its users, so load is over soon after they are shed, and comes back with
them. So load must have been over for as long as it takes to shed them; and each time that a step is shed again, for
twice as long as the time before.
"""

from datetime import datetime, timedelta
from typing import Any

from pilotage.judging.rules import Rule
from pilotage.resources.status import Finding, PilotRolloutStatus
from pilotage.rollout.situation import Situation

CALM_INTERVALS = 6
"""Where a rule has no `for` to be as long as."""

_MOST_DOUBLINGS = 6


def calm_update(at: Situation, status: PilotRolloutStatus) -> dict[str, Any]:
    """The fields of status that remember calm.

    Args:
        at: what is known, with the status before.
        status: what was decided now.
    """
    before, here = at.status, status.step.name if status.step else ""
    sheds = before.sheds if before.step and before.step.name == here else 0
    if not status.throttled:
        return {"calm_time": None, "sheds": sheds}
    if not before.throttled:
        return {"calm_time": None, "sheds": sheds + 1}
    over = all(found.verdict == "pass" for rule, found in at.judged if rule.role == "throttle")
    return {"calm_time": (before.calm_time or at.now) if over else None, "sheds": sheds}


def is_over(at: Situation, rule: Rule, found: Finding) -> bool:
    """Whether load has been over for long enough by this rule."""
    since = _since(at, rule, found)
    return found.verdict == "pass" and since is not None and at.now - since >= calm_needed(at, rule)


def calm_needed(at: Situation, rule: Rule) -> timedelta:
    """For how long load must have been over."""
    least = rule.for_seconds or CALM_INTERVALS * at.plan.interval_seconds
    return timedelta(seconds=least * 2 ** min(max(at.status.sheds - 1, 0), _MOST_DOUBLINGS))


def _since(at: Situation, rule: Rule, found: Finding) -> datetime | None:
    """The rule itself looks back no further than its `for`, and without one not at all."""
    known = [at.status.calm_time, found.since if rule.for_seconds else None]
    return min((each for each in known if each is not None), default=None)
