"""Safety: the policies that take users back, keep them where they are, or end a rollout. They come before growth."""

from datetime import timedelta

from pilotage.judging.rules import Rule
from pilotage.resources.status import Finding, RollbackStatus, StepStatus
from pilotage.rollout.situation import NOBODY, Move, Situation, once


def release(at: Situation) -> Move | None:
    """The resource is being deleted: leave the stated final state."""
    if not at.seen.deleting:
        return None
    choice = at.spec.on_delete.exposure
    keep = choice == "keep" or (choice == "auto" and at.status.phase == "Completed")
    phase = at.status.phase or "Pending"
    left = "users keep what they have" if keep else "the feature is off for everybody"
    done = bool(at.status.history) and at.status.history[-1].action == "Release"
    return Move(
        phase=phase,
        reason="Deleted",
        message=f"deleted: {left}",
        action=None if done else "Release",
        update={} if keep else {"exposure": NOBODY},
        at_rest=True,
    )


def stall(at: Situation) -> Move | None:
    """The spec can't be carried out: keep what is, and say which field. What can be read still guards the users."""
    if at.plan.problem is None:
        return None
    return Move(
        phase="Holding" if at.exposed else "Pending",
        reason="InvalidSpec",
        message=str(at.plan.problem),
        action=once(at, "Stall", "InvalidSpec"),
        waits_for="a valid spec",
        at_rest=not at.exposed,
    )


def take_back(at: Situation) -> Move | None:
    """A rollback rule or a critical bound is broken: users go back, whatever else is going on."""
    if not at.exposed or at.status.phase in ("Completed", "RollingBack"):
        return None
    broken = next(((rule, found) for rule, found in at.judged if _takes_back(rule, found) and _is_new(at, rule)), None)
    if broken is None:
        return None
    rule, found = broken
    here = at.status.step.index if at.status.step else 0
    # A throttled rollout already shows the step before its own.
    shown = here - 1 if at.status.throttled else here
    target = shown - 1 if at.spec.on_rollback.to == "previous" and shown >= 1 else None
    back = at.status.trail[target] if target is not None and target < len(at.status.trail) else NOBODY
    message = f"{rule.field} is broken: {found.rule}"
    rollback = RollbackStatus(
        decided_time=at.now,
        from_step=at.status.step.name if at.status.step else "",
        to_step=back.step,
        reason="CriticalBreach" if rule.role == "critical" else "Breach",
        message=message,
    )
    step = None
    if target is not None and back.kind != "off":
        step = StepStatus(index=target, name=back.step, entered_time=at.now)
    update = {
        "exposure": back,
        "rollback": rollback,
        "step": step,
        "throttled": False,
        "trail": at.status.trail[: target + 1] if target is not None else (),
    }
    detail = f"breach: {found.message or found.rule}; {_reached(back.step)}"
    return Move("RollingBack", rollback.reason, message, "RollBack", detail, update, waits_for="users to be taken back")


def _takes_back(rule: Rule, found: Finding) -> bool:
    if found.verdict != "breach":
        return False
    return rule.role in ("rollback", "critical") or (rule.role == "objective" and rule.on_breach == "rollback")


def _is_new(at: Situation, rule: Rule) -> bool:
    """After stepping back, a breach counts only when all of its evidence is younger than that."""
    rollback = at.status.rollback
    if at.status.phase != "RolledBack" or rollback is None:
        return True
    if rollback.verified_time is None:
        return False
    settled = rollback.verified_time + timedelta(seconds=rule.for_seconds + rule.question.window_seconds)
    return at.now > settled


def _reached(step: str) -> str:
    return f"users are taken back to step {step}" if step else "users are taken back to nobody"


def finish_rollback(at: Situation) -> Move | None:
    """A rollback was decided: it is done when nobody is seen to have more than decided."""
    rollback = at.status.rollback
    if at.status.phase != "RollingBack" or rollback is None:
        return None
    if rollback.verified_time is None:
        return Move(
            phase="RollingBack", reason=rollback.reason, message=rollback.message, waits_for="users to be taken back"
        )
    seconds = (rollback.verified_time - rollback.decided_time).total_seconds()
    return Move(
        phase="RolledBack",
        reason=rollback.reason,
        message=rollback.message,
        action="RolledBack",
        detail=f"{_reached(rollback.to_step)}; verified {seconds:.1f}s after the decision",
        waits_for="a new revision",
        at_rest=not at.exposed,
    )


def start_over(at: Situation) -> Move | None:
    """The feature has a new revision: begin again with the first step, on purpose."""
    if at.status.revision == 0 or at.spec.feature.revision <= at.status.revision:
        return None
    return Move(
        phase="Pending",
        reason="NewRevision",
        message=f"spec.feature.revision is {at.spec.feature.revision}: starting over",
        action="Restart",
        update={
            "revision": at.spec.feature.revision,
            "step": None,
            "trail": (),
            "exposure": NOBODY,
            "rollback": None,
            "throttled": False,
        },
        waits_for="the first step",
        at_once=True,
    )


def rest(at: Situation) -> Move | None:
    """Completed and rolled back stay so; users who are still in after a rollback are still judged."""
    status = at.status
    if status.phase == "Completed":
        return Move("Completed", "Completed", status.message, at_rest=True)
    if status.phase == "RolledBack" and status.rollback:
        return Move(
            "RolledBack",
            status.rollback.reason,
            status.rollback.message,
            waits_for="a new revision",
            at_rest=not at.exposed,
        )
    return None


def shed(at: Situation) -> Move | None:
    """Load is too high: shed users to the last proven step, also while paused."""
    broken = next(((r, f) for r, f in at.judged if r.role == "throttle" and f.verdict == "breach"), None)
    if broken is None or at.status.throttled or not at.exposed or at.status.step is None:
        return None
    rule, found = broken
    index = at.status.step.index
    back = at.status.trail[index - 1] if index >= 1 else NOBODY
    return Move(
        phase="Holding",
        reason="Throttled",
        message=f"{rule.field} applies: {found.rule}; users are shed to {back.step or 'nobody'}",
        action="Throttle",
        detail=f"{found.message or found.rule}; shed to {back.step or 'nobody'}",
        update={"throttled": True, "exposure": back},
        waits_for=f"throttle: {found.rule}",
    )


def pause(at: Situation) -> Move | None:
    """A person has stopped it: nothing grows."""
    if not at.spec.paused:
        return None
    return Move(
        phase="Paused",
        reason="Paused",
        message="spec.paused is set: users keep what they have",
        action="Pause" if at.status.phase != "Paused" else None,
        waits_for="spec.paused: false",
    )
