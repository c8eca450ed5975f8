"""Retry: a rollout that was taken back goes on by itself, if its spec says so, when whatever broke it is quiet.

It goes on from the step that users were taken back to, whose time begins anew, or from the first: nobody loses the
feature by it. The seed and the list of who is enrolled are kept, so the same people come in the same order.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from pilotage.judging.rules import Rule
from pilotage.resources.durations import parse_duration
from pilotage.resources.rollout import PilotRolloutSpec
from pilotage.resources.status import Finding, PilotRolloutStatus, RollbackStatus, StepStatus
from pilotage.rollout.opening import await_opening
from pilotage.rollout.situation import Move, Situation


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why it is not tried again now.

    Attributes:
        waits_for: in a few words.
        until: when it can be over at the earliest; None if nobody knows.
        lasts: only a change of the resource can end it.
    """

    waits_for: str
    until: datetime | None = None
    lasts: bool = False


def retries_by_itself(spec: PilotRolloutSpec, status: PilotRolloutStatus) -> bool:
    """Whether a rollout that was taken back goes on without a person."""
    retry, rollback = spec.on_rollback.retry, status.rollback
    if retry is None or rollback is None or status.retries >= retry.limit:
        return False
    return retry.acknowledgement == "none" or rollback.acknowledged_time is not None


def acknowledge(at: Situation) -> Move | None:
    """A person has looked into the last rollback: that is recorded, and its reason is shown as long as it holds."""
    rollback = at.status.rollback
    if rollback is None or rollback.acknowledged_time is not None:
        return None
    if at.spec.acknowledged_rollback != rollback.sequence:
        return None
    keeps = at.status.phase == "RolledBack"
    return Move(
        phase=at.status.phase or "Pending",
        reason="Acknowledged",
        message=at.status.message,
        action="Acknowledge",
        detail=f"rollback {rollback.sequence} is acknowledged: {rollback.message}"[:1024],
        update={"rollback": rollback.model_copy(update={"acknowledged_time": at.now}) if keeps else None},
        waits_for=at.status.summary.waits_for if at.status.summary else "",
        at_once=True,
    )


def await_retry(at: Situation) -> Move | None:
    """What was rolled back stays so until it is tried again; users who are still in are still judged."""
    rollback = at.status.rollback
    if at.status.phase != "RolledBack" or rollback is None:
        return None
    obstacle = obstacle_of(at)
    if obstacle is None:
        return _try_again(at, rollback)
    return Move(
        phase="RolledBack",
        reason=rollback.reason,
        message=rollback.message,
        waits_for=obstacle.waits_for,
        until=obstacle.until,
        at_rest=not at.exposed and obstacle.lasts,
    )


def _try_again(at: Situation, rollback: RollbackStatus) -> Move:
    step, retries = at.status.step, at.status.retries + 1
    limit = at.spec.on_rollback.retry.limit if at.spec.on_rollback.retry else retries
    where = f"from step {step.name}, whose time begins anew" if step else "from the first step"
    again = StepStatus(index=step.index, name=step.name, entered_time=at.now) if step else None
    return Move(
        phase="Progressing" if step else "Pending",
        reason="Retry",
        message=f"trying again {where}",
        action="Retry",
        detail=f"try {retries} of {limit} {where}: what broke is quiet for as long as it takes",
        update={
            "retries": retries,
            "step": again,
            "rollback": rollback if rollback.acknowledged_time is None else None,
        },
        waits_for="delivery" if step else "the first step",
        at_once=True,
    )


def obstacle_of(at: Situation) -> Obstacle | None:
    """What stands against trying again now; None if nothing does."""
    return _lasting(at) or _too_early(at) or _loud(at) or _closed(at)


def _lasting(at: Situation) -> Obstacle | None:
    """What only a change of the resource can end."""
    retry, rollback = at.spec.on_rollback.retry, at.status.rollback
    waits_for = ""
    if retry is None or rollback is None or at.status.retries >= retry.limit:
        waits_for = "a new revision"
    elif not retries_by_itself(at.spec, at.status):
        waits_for = f"acknowledgement of rollback {rollback.sequence}"
    elif at.plan.problem is not None:
        waits_for = "a valid spec"
    elif at.spec.paused:
        waits_for = "spec.paused: false"
    elif at.status.pause is not None:
        waits_for = "a decision to resume"
    return Obstacle(waits_for, lasts=True) if waits_for else None


def _too_early(at: Situation) -> Obstacle | None:
    retry = at.spec.on_rollback.retry
    begins_at = _verified_at(at) + timedelta(seconds=parse_duration(retry.after if retry and retry.after else "0s"))
    return Obstacle("the next try", begins_at) if at.now < begins_at else None


def _loud(at: Situation) -> Obstacle | None:
    loud = next((rule for rule, found in at.judged if not _is_quiet(at, rule, found)), None)
    return Obstacle(f"quiet {loud.role}: {loud.text}"[:253]) if loud else None


def _closed(at: Situation) -> Obstacle | None:
    closed = await_opening(at)
    return Obstacle(closed.waits_for, closed.until) if closed else None


def _is_quiet(at: Situation, rule: Rule, found: Finding) -> bool:
    """Hysteresis: a rule that takes users back has not applied for as long as it takes to apply.

    Where nobody has the feature, nothing of it can be measured: then no data is what is expected, once those of the
    time before are too old to count.
    """
    if rule.on_breach != "rollback":
        return True
    if found.verdict == "no-data" and not at.exposed:
        return at.now - _verified_at(at) >= timedelta(seconds=rule.reach_seconds)
    quiet_since = found.since or _verified_at(at)
    return found.verdict == "pass" and at.now - quiet_since >= timedelta(seconds=rule.for_seconds)


def _verified_at(at: Situation) -> datetime:
    """When users were seen to be back."""
    rollback = at.status.rollback
    return rollback.verified_time if rollback and rollback.verified_time else at.now
