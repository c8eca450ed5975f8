"""Rollback: users are taken back, whatever else is going on: no calendar, pause or person is waited for.

Where they go is a step that was entered before, with exactly its people, or nobody; never one that lets in more.
"""

from datetime import timedelta

from pilotage.judging.rules import Rule
from pilotage.resources.durations import parse_duration
from pilotage.resources.status import ExposureStatus, Finding, RollbackStatus, StepStatus
from pilotage.rollout.retry import obstacle_of
from pilotage.rollout.safety import is_ended
from pilotage.rollout.situation import NOBODY, Move, Situation


def take_back(at: Situation) -> Move | None:
    """A rollback rule or a critical bound is broken: users go back, whatever else is going on."""
    if not at.exposed or at.status.phase == "RollingBack" or is_ended(at.spec, at.status):
        return None
    broken = next(((rule, found) for rule, found in at.judged if _takes_back(rule, found) and _is_new(at, rule)), None)
    if broken is None:
        return None
    rule, found = broken
    reason = "CriticalBreach" if rule.role == "critical" else "Breach"
    why = f"breach: {found.message or found.rule}"
    return go_back(at, target_of(at), reason=reason, message=f"{rule.field} is broken: {found.rule}", why=why)


def resume_rollback(at: Situation) -> Move | None:
    """The flag is off by a later decision than the last one that was written down: that was lost, and is taken up.

    Everybody is taken back before the decision is written (docs/decisions/0017). Who dies in between must not leave it
    to chance whether the rule is still broken, now that nobody uses the feature.
    """
    delivery = at.status.delivery
    if not (at.seen.delivered.taken_back and at.exposed and delivery) or is_ended(at.spec, at.status):
        return None
    if delivery.verified_revision != delivery.revision:
        return None  # the flag may be older than this rollout: its own was never seen in force
    message = "the flag is off by a later decision than the last one that was written down"
    return go_back(at, None, reason="TakenBack", message=message, why=message)


def go_back(at: Situation, index: int | None, *, reason: str, message: str, why: str) -> Move:
    """Take users back.

    Args:
        at: what is known.
        index: of the step that they go back to; None for nobody.
        reason: one CamelCase word.
        message: names the rule or the person.
        why: for the record.
    """
    back = _nobody(at) if index is None else at.status.trail[index]
    rollback = RollbackStatus(
        sequence=(at.status.history[-1].sequence if at.status.history else 0) + 1,
        decided_time=at.now,
        from_step=at.status.step.name if at.status.step else "",
        to_step=back.step,
        reason=reason,
        message=message,
    )
    update = {
        "exposure": back,
        "rollback": rollback,
        "step": None if index is None else StepStatus(index=index, name=back.step, entered_time=at.now),
        "throttled": False,
        "trail": () if index is None else at.status.trail[: index + 1],
    }
    detail = f"{why}; {_reached(back)}"
    return Move("RollingBack", rollback.reason, message, "RollBack", detail, update, waits_for="users to be taken back")


def _takes_back(rule: Rule, found: Finding) -> bool:
    return found.verdict == "breach" and rule.on_breach == "rollback"


def _is_new(at: Situation, rule: Rule) -> bool:
    """After stepping back, a breach counts when all of its evidence is younger than that, or after the stated pace."""
    rollback = at.status.rollback
    if at.status.phase != "RolledBack" or rollback is None:
        return True
    if rollback.verified_time is None:
        return False
    pace = at.spec.on_rollback.pace
    settled = rollback.verified_time + timedelta(seconds=parse_duration(pace) if pace else rule.reach_seconds)
    return at.now > settled


def target_of(at: Situation) -> int | None:
    """The index of the step that users go back to by spec.onRollback; None for nobody."""
    spec, trail = at.spec.on_rollback, at.status.trail
    here = at.status.step.index if at.status.step else 0
    # A rollout that sheds load, or whose step waits for an exclusion, already shows the step before its own.
    shown = min(here if at.shows_step else here - 1, len(trail))
    if shown < 1:
        return None
    if spec.to == "previous" or (spec.to == "zero" and spec.mode == "stepwise"):
        return shown - 1
    # A step that was taken out of the spec, or never entered, is not found: then nobody is safe.
    named = next((index for index, entered in enumerate(trail[:shown]) if entered.step == spec.to), None)
    return shown - 1 if named is not None and spec.mode == "stepwise" else named


def _nobody(at: Situation) -> ExposureStatus:
    """Nobody; or those whom audience.include names, where they keep the feature until it breaks for them alone."""
    cohort = at.status.cohort
    if at.spec.on_rollback.included == "off" or cohort is None or at.status.step is None:
        return NOBODY
    wanted = set(at.spec.audience.include)
    kept = 0
    for key in cohort.enrolled[: at.exposure.enrolled]:
        if key not in wanted:
            break
        kept += 1
    return ExposureStatus(kind="users", enrolled=kept, users=kept) if kept else NOBODY


def _reached(back: ExposureStatus) -> str:
    if back.step:
        return f"users are taken back to step {back.step}"
    if back.kind == "users":
        return f"users are taken back to the {back.enrolled} of audience.include"
    return "users are taken back to nobody"


def finish_rollback(at: Situation) -> Move | None:
    """A rollback was decided: it is done when nobody is seen to have more than decided."""
    rollback = at.status.rollback
    if at.status.phase != "RollingBack" or rollback is None:
        return None
    if rollback.verified_time is None:
        return Move("RollingBack", rollback.reason, rollback.message, waits_for="users to be taken back")
    seconds = (rollback.verified_time - rollback.decided_time).total_seconds()
    obstacle = obstacle_of(at)
    return Move(
        phase="RolledBack",
        reason=rollback.reason,
        message=rollback.message,
        action="RolledBack",
        detail=f"{_reached(at.exposure)}; verified {seconds:.1f}s after the decision",
        waits_for=obstacle.waits_for if obstacle else "",
        until=obstacle.until if obstacle else None,
        at_rest=not at.exposed and obstacle is not None and obstacle.lasts,
    )
