"""Growth: the policies that let users in. What is unknown holds; going on needs a reason, stopping needs none."""

import hashlib
from collections.abc import Sequence
from datetime import datetime

from pilotage.judging.rules import Rule
from pilotage.resources.durations import format_duration
from pilotage.resources.status import WORST_FIRST, Action, CohortStatus, Finding, Phase, Skip, StepStatus
from pilotage.rollout.admission import Admission, Obstacle, PlannedStep, admit
from pilotage.rollout.calm import calm_needed, is_over
from pilotage.rollout.capacity import await_capacity
from pilotage.rollout.force import is_delivered
from pilotage.rollout.gates import await_approval
from pilotage.rollout.opening import await_opening
from pilotage.rollout.safety import say_completed
from pilotage.rollout.situation import NEEDS_A_PERSON, Move, Situation, begins_to_wait, once
from pilotage.rollout.tenant_gate import ask_tenant, await_room
from pilotage.rollout.turns import await_turn

TOO_EARLY = ("go",)
"""Roles whose rules only tell that it is too early; all others tell that something is wrong."""


def begin(at: Situation) -> Move | None:
    """Nobody is in yet: let the first users in, unless something speaks against it already."""
    if at.status.step is not None:
        return None
    against = [(rule, found) for rule, found in at.judged if found.verdict == "unavailable" or alarms(rule, found)]
    if against:
        return hold_for(at, against, phase="Pending")
    return await_approval(at) or _enter(at, at.plan.steps[0], "Start")


def find_step(at: Situation) -> Move | None:
    """The step that the rollout is in must still be in the spec."""
    step = at.status.step
    if step is None or (step.index < len(at.plan.steps) and at.plan.steps[step.index].name == step.name):
        return None
    return Move(
        phase="Holding",
        reason="StepVanished",
        message=f"spec.steps[{step.index}]: the rollout is in step {step.name}, which is no longer there: put it back",
        action=once(at, "Stall", "StepVanished"),
        waits_for=f"step {step.name} in spec",
    )


def alarms(rule: Rule, found: Finding) -> bool:
    """Whether something is wrong, or begins to be: nobody is let in, and that is told at once."""
    if rule.role in TOO_EARLY:
        return False
    return found.verdict == "breach" or (found.verdict == "pending" and rule.is_pending_alarming)


def restore(at: Situation) -> Move | None:
    """Users were shed: they come back, with a new clock, when load has been over for long enough."""
    if not at.status.throttled or at.status.step is None:
        return None
    applies = [(r, f) for r, f in at.judged if r.role == "throttle" and not is_over(at, r, f)]
    if applies:
        rule, found = applies[0]
        needed = format_duration(calm_needed(at, rule).total_seconds())
        message = f"{rule.field} applied: {found.rule}; users come back when it has not for {needed}"
        return Move("Holding", "Throttled", message, waits_for=f"throttle: {found.rule}")
    step = at.status.step
    return _await_return(at, step) or Move(
        phase="Progressing",
        reason="ThrottleOver",
        message=f"load is over: back to step {step.name}",
        action="Restore",
        update={
            "throttled": False,
            "exposure": at.status.trail[step.index],
            "step": step.model_copy(update={"verified_time": None}),
        },
        waits_for="delivery",
    )


def regrow(at: Situation) -> Move | None:
    """An exclusion is in force that came before the users of its step: now they come."""
    step = at.status.step
    if step is None or at.shows_step or not is_delivered(at.status):
        return None
    return _await_return(at, step) or Move(
        phase="Progressing",
        reason="ExclusionInForce",
        message=f"step {step.name} is decided; its clock starts when its users are seen to have the feature",
        action="Restore",
        detail=f"the exclusion is in force: back to step {step.name}",
        update={"exposure": at.status.trail[step.index], "step": step.model_copy(update={"verified_time": None})},
        waits_for="delivery",
    )


def _await_return(at: Situation, step: StepStatus) -> Move | None:
    return await_opening(at) or await_room(at, step.index, at.status.trail[step.index])


def hold(at: Situation) -> Move | None:
    """Time must pass, and nothing may speak against going on; what is unknown speaks against it."""
    ends_at = at.hold_ends_at
    bad = [(rule, found) for rule, found in at.judged if alarms(rule, found)]
    if bad:
        return hold_for(at, bad)
    skipped = at.status.step is not None and at.status.step.skip is not None
    if ends_at is not None and at.now < ends_at and at.status.step and not skipped:
        planned, more = at.plan.steps[at.status.step.index], at.status.step.extended_seconds
        message = f"step {planned.name} is held for {format_duration(planned.hold_seconds + more)}"
        return Move(
            phase="Progressing",
            reason="StepRunning",
            message=message,
            action="Resume" if at.status.phase in ("Holding", "Paused", "Completed") else None,
            waits_for=f"hold {format_duration(planned.hold_seconds + more)}",
            until=ends_at,
        )
    counted = [(rule, found) for rule, found in at.judged if not (skipped and rule.role in TOO_EARLY)]
    unproven = [(rule, found) for rule, found in counted if found.verdict != "pass"]
    return hold_for(at, unproven) if unproven else None


def advance(at: Situation) -> Move | None:
    """Everything holds: the next step, or the end."""
    if at.status.step is None:
        return None
    following = at.status.step.index + 1
    if following < len(at.plan.steps):
        return _enter(at, at.plan.steps[following], "Advance")
    return Move("Completed", "Completed", say_completed(at), "Complete", at_rest=True)


_REASONS = {
    "unavailable": "MetricsUnavailable",
    "no-data": "NoData",
    "breach": "CriteriaNotMet",
    "pending": "CriteriaPending",
}


def hold_for(at: Situation, against: Sequence[tuple[Rule, Finding]], phase: Phase = "Holding") -> Move:
    """Wait, because of these rules; the worst of them is told."""
    rule, found = min(against, key=lambda pair: WORST_FIRST.index(pair[1].verdict))
    more = f" (and {len(against) - 1} more)" if len(against) > 1 else ""
    earliest = [found.earliest for _, found in against if found.earliest]
    return Move(
        phase=phase,
        reason=_REASONS[found.verdict],
        message=f"{rule.field}: {found.rule}: {found.verdict}{_why_unknown(found)}{more}",
        action="Hold" if begins_to_wait(at, phase) else None,
        detail=f"{found.rule}: {found.message or found.verdict}{more}",
        waits_for=f"{rule.role}: {found.rule}",
        until=max(earliest) if earliest else None,
    )


def _why_unknown(found: Finding) -> str:
    """Why nothing is known, where that is a fixed text: status is not written anew for each second that passes."""
    reason = found.message.partition(": ")[2]
    fixed = reason and not any(char.isdigit() for char in reason)
    return f" ({reason})" if fixed and found.verdict in ("unavailable", "no-data") else ""


def _enter(at: Situation, step: PlannedStep, action: Action) -> Move:
    return await_opening(at) or await_capacity(at, step) or await_turn(at) or _enter_now(at, step, action)


def _enter_now(at: Situation, step: PlannedStep, action: Action) -> Move:
    cohort = at.status.cohort or _freeze_cohort(at)
    admission = admission_of(at, step, cohort)
    if isinstance(admission, Obstacle):
        return Move(
            phase="Holding" if at.status.step else "Pending",
            reason=admission.reason,
            message=admission.message,
            action=once(at, "Stall" if admission.reason in NEEDS_A_PERSON else "Hold", admission.reason),
            waits_for=f"step {step.name}: {admission.reason}",
        )
    room = ask_tenant(at, step.index, admission.exposure)
    if room.move is not None:
        return room.move
    return Move(
        phase="Progressing",
        reason="StepEntered",
        message=f"step {step.name} is decided; its clock starts when its users are seen to have the feature",
        action=action,
        detail=_why(at, step),
        update={
            "revision": at.spec.feature.revision,
            "step": StepStatus(
                index=step.index,
                name=step.name,
                entered_time=at.now,
                counted_time=counted_since(at.status.step) if action == "Advance" else None,
                skip=skip_beyond(at.status.step, step.name),
            ),
            "exposure": admission.exposure,
            "trail": (*at.status.trail, admission.exposure),
            "cohort": admission.into(cohort),
            "population": at.crowd.population,
            **room.update,
        },
        waits_for="delivery",
    )


def admission_of(at: Situation, step: PlannedStep, cohort: CohortStatus) -> Admission | Obstacle:
    """Whom the step lets in beside all who are in."""
    if at.seen.unread:
        return Obstacle("DirectoryUnread", at.seen.unread)
    before = at.status.trail[-1] if at.status.trail else None
    return admit(step, at.spec.audience, cohort, at.crowd, before)


def counted_since(left: StepStatus | None) -> datetime | None:
    """Evidence is kept while users only grow: what one step began to show, the next need not show again."""
    return (left.counted_time or left.verified_time or left.entered_time) if left else None


def _why(at: Situation, step: PlannedStep) -> str:
    """What the step before has shown, by the last value of each indicator."""
    left = at.status.step
    if left and left.skip:
        return f"{left.skip.by} skipped what was left of step {left.name}"
    if step.index == 0:
        return f"the first of {len(at.plan.steps)} steps; nothing speaks against it"
    values = dict.fromkeys(
        f"{rule.indicator} {found.value}"
        for rule, found in at.judged
        if found.value and rule.role in ("objective", "go")
    )
    if values:
        return f"all criteria hold: {', '.join(values)}"
    return f"its time is over, and nothing {'speaks against it' if at.judged else 'is judged'}"


def skip_beyond(step: StepStatus | None, entered: str) -> Skip | None:
    """The skip that goes on in the step that is entered: it was decided to go further than that."""
    return step.skip if step and step.skip and step.skip.to_step != entered else None


def _freeze_cohort(at: Situation) -> CohortStatus:
    """The same feature in the same place always has the same seed: restored from Git, it finds the same people."""
    feature = at.spec.feature
    digest = hashlib.sha256(f"{at.namespace}/{at.name}/{feature.flag}".encode()).hexdigest()[:10]
    return CohortStatus(
        seed=f"{digest}:",
        order=(feature.treatment, feature.control),
        hash_generation=at.spec.delivery.flags.hash_generation,
        bucket_by=at.spec.audience.bucket_by,
        control=at.spec.audience.control,
        rest=feature.rest if at.spec.audience.control == "equal" else "",
    )
