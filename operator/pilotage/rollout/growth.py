"""Growth: the policies that let users in. What is unknown holds; going on needs a reason, stopping needs none."""

import hashlib
from collections.abc import Sequence
from datetime import timedelta

from pilotage.judging.rules import Rule
from pilotage.resources.durations import format_duration
from pilotage.resources.status import WORST_FIRST, Action, CohortStatus, Finding, Phase, StepStatus
from pilotage.rollout.admission import Admission, Obstacle, PlannedStep, admit
from pilotage.rollout.situation import Move, Situation, once

SPEAKS_OF_USERS = ("objective", "warning", "critical", "noGo", "rollback", "throttle")
"""Roles whose rules tell that users suffer; a go criterion only tells that it is too early."""


def begin(at: Situation) -> Move | None:
    """Nobody is in yet: let the first users in, unless something speaks against it already."""
    if at.status.step is not None:
        return None
    against = [
        (rule, found)
        for rule, found in at.judged
        if found.verdict == "unavailable" or (rule.role in SPEAKS_OF_USERS and found.verdict in ("breach", "pending"))
    ]
    if against:
        return _hold_for(at, against, phase="Pending")
    return _enter(at, at.plan.steps[0], "Start")


def find_step(at: Situation) -> Move | None:
    """The step that the rollout is in must still be in the spec."""
    step = at.status.step
    if step is None or (step.index < len(at.plan.steps) and at.plan.steps[step.index].name == step.name):
        return None
    return Move(
        phase="Holding",
        reason="StepVanished",
        message=f"spec.steps[{step.index}]: the rollout is in step {step.name}, which is no longer there: put it back",
        action=once(at, "Hold", "StepVanished"),
        waits_for=f"step {step.name} in spec",
    )


def restore(at: Situation) -> Move | None:
    """Users were shed: they come back, with a new clock, when load has been over for long enough."""
    if not at.status.throttled or at.status.step is None:
        return None
    applies = [(r, f) for r, f in at.judged if r.role == "throttle" and not _is_over(at, r, f)]
    if applies:
        rule, found = applies[0]
        message = f"{rule.field} applied: {found.rule}; users come back when it has not for as long"
        return Move("Holding", "Throttled", message, waits_for=f"throttle: {found.rule}")
    step = at.status.step
    return Move(
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


def _is_over(at: Situation, rule: Rule, found: Finding) -> bool:
    """Hysteresis: users come back only after the rule has not applied for as long as it takes to apply."""
    if found.verdict != "pass":
        return False
    return found.since is not None and at.now - found.since >= timedelta(seconds=rule.for_seconds)


def await_delivery(at: Situation) -> Move | None:
    """The step's clock starts when its users are seen to have the feature."""
    step = at.status.step
    if step is None or step.verified_time is not None:
        return None
    waiting = f"step {step.name} is decided; its clock starts when its users are seen to have the feature"
    obstacle = at.status.delivery.message if at.status.delivery else ""
    return Move(
        phase="Progressing",
        reason="AwaitingDelivery",
        message=f"step {step.name} is not in force: {obstacle}"[:1024] if obstacle else waiting,
        waits_for="delivery",
    )


def hold(at: Situation) -> Move | None:
    """Time must pass, and nothing may speak against going on; what is unknown speaks against it."""
    ends_at = at.hold_ends_at
    bad = [(r, f) for r, f in at.judged if r.role in SPEAKS_OF_USERS and f.verdict in ("breach", "pending")]
    if bad:
        return _hold_for(at, bad)
    if ends_at is not None and at.now < ends_at and at.status.step:
        planned = at.plan.steps[at.status.step.index]
        message = f"step {planned.name} is held for {format_duration(planned.hold_seconds)}"
        return Move(
            phase="Progressing",
            reason="StepRunning",
            message=message,
            action="Resume" if at.status.phase in ("Holding", "Paused") else None,
            waits_for=f"hold {format_duration(planned.hold_seconds)}",
            until=ends_at,
        )
    unproven = [(rule, found) for rule, found in at.judged if found.verdict != "pass"]
    return _hold_for(at, unproven) if unproven else None


def advance(at: Situation) -> Move | None:
    """Everything holds: the next step, or the end."""
    if at.status.step is None:
        return None
    following = at.status.step.index + 1
    if following < len(at.plan.steps):
        return _enter(at, at.plan.steps[following], "Advance")
    step = at.plan.steps[-1]
    message = f"all {len(at.plan.steps)} steps are done; step {step.name} stays in force"
    return Move("Completed", "Completed", message, "Complete", at_rest=True)


_REASONS = {
    "unavailable": "MetricsUnavailable",
    "no-data": "NoData",
    "breach": "CriteriaNotMet",
    "pending": "CriteriaPending",
}


def _hold_for(at: Situation, against: Sequence[tuple[Rule, Finding]], phase: Phase = "Holding") -> Move:
    rule, found = min(against, key=lambda pair: WORST_FIRST.index(pair[1].verdict))
    more = f" (and {len(against) - 1} more)" if len(against) > 1 else ""
    earliest = [found.earliest for _, found in against if found.earliest]
    return Move(
        phase=phase,
        reason=_REASONS[found.verdict],
        message=f"{rule.field}: {found.rule}: {found.verdict}{more}",
        action="Hold" if at.status.phase != phase else None,
        detail=f"{found.rule}: {found.message or found.verdict}{more}",
        waits_for=f"{rule.role}: {found.rule}",
        until=max(earliest) if earliest else None,
    )


def _enter(at: Situation, step: PlannedStep, action: Action) -> Move:
    cohort = at.status.cohort or _freeze_cohort(at)
    before = at.status.trail[-1] if at.status.trail else None
    admission: Admission | Obstacle
    if at.seen.unread:
        admission = Obstacle("DirectoryUnread", at.seen.unread)
    else:
        admission = admit(step, at.spec.audience, cohort, at.crowd, before)
    if isinstance(admission, Obstacle):
        return Move(
            phase="Holding" if at.status.step else "Pending",
            reason=admission.reason,
            message=admission.message,
            action=once(at, "Hold", admission.reason),
            waits_for=f"step {step.name}: {admission.reason}",
        )
    return Move(
        phase="Progressing",
        reason="StepEntered",
        message=f"step {step.name} is decided; its clock starts when its users are seen to have the feature",
        action=action,
        detail=_why(at, step),
        update={
            "revision": at.spec.feature.revision,
            "step": StepStatus(index=step.index, name=step.name, entered_time=at.now),
            "exposure": admission.exposure,
            "trail": (*at.status.trail[: step.index], admission.exposure),
            "cohort": cohort.model_copy(update={"enrolled": admission.enrolled}),
            "population": at.crowd.population,
        },
        waits_for="delivery",
    )


def _why(at: Situation, step: PlannedStep) -> str:
    """What the step before has shown, by the last value of each indicator."""
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


def _freeze_cohort(at: Situation) -> CohortStatus:
    """The same feature in the same place always has the same seed: restored from Git, it finds the same people."""
    feature = at.spec.feature
    digest = hashlib.sha256(f"{at.namespace}/{at.name}/{feature.flag}".encode()).hexdigest()[:10]
    return CohortStatus(
        seed=f"{digest}:",
        order=(feature.treatment, feature.control),
        hash_generation=at.spec.delivery.flags.hash_generation,
        bucket_by=at.spec.audience.bucket_by,
    )
