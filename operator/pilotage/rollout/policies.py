"""Policies: the small rules of a rollout, in the order of safety. Each answers with a move, or leaves it to the next.

Taking users back comes before everything that grows, pauses or explains; what is unknown holds. No policy looks at the
clock or at the world: all it knows is the situation.
"""

import hashlib
from collections.abc import Callable, Sequence
from datetime import timedelta

from pilotage.judging.rules import Rule
from pilotage.resources.durations import format_duration
from pilotage.resources.status import CohortStatus, Finding, Phase, RollbackStatus, StepStatus
from pilotage.rollout.admission import Admission, Obstacle, PlannedStep, admit
from pilotage.rollout.plan import PlanError
from pilotage.rollout.situation import NOBODY, Action, Move, Situation

Policy = Callable[[Situation], Move | None]

_SPEAKS_OF_USERS = ("objective", "warning", "critical", "noGo", "rollback", "throttle")


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
    """The spec can't be carried out: keep what is, and say which field."""
    if not isinstance(at.plan, PlanError):
        return None
    return Move(
        phase="Holding" if at.exposed else "Pending",
        reason="InvalidSpec",
        message=str(at.plan),
        action=_once(at, "Stall", "InvalidSpec"),
        waits_for="a valid spec",
        at_rest=True,
    )


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


def begin(at: Situation) -> Move | None:
    """Nobody is in yet: let the first users in, unless something speaks against it already."""
    if at.status.step is not None:
        return None
    against = [
        (rule, found)
        for rule, found in at.judged
        if found.verdict == "unavailable" or (rule.role in _SPEAKS_OF_USERS and found.verdict in ("breach", "pending"))
    ]
    if against:
        return _hold(at, against, phase="Pending")
    return _enter(at, at.steps[0], "Start")


def find_step(at: Situation) -> Move | None:
    """The step that the rollout is in must still be in the spec."""
    step = at.status.step
    if step is None or (step.index < len(at.steps) and at.steps[step.index].name == step.name):
        return None
    return Move(
        phase="Holding",
        reason="StepVanished",
        message=f"spec.steps[{step.index}]: the rollout is in step {step.name}, which is no longer there: put it back",
        action=_once(at, "Hold", "StepVanished"),
        waits_for=f"step {step.name} in spec",
    )


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
    return Move(
        phase="Progressing",
        reason="AwaitingDelivery",
        message=f"step {step.name} is decided; its clock starts when its users are seen to have the feature",
        waits_for="delivery",
    )


def hold(at: Situation) -> Move | None:
    """Time must pass, and nothing may speak against going on; what is unknown speaks against it."""
    ends_at = at.hold_ends_at
    bad = [(r, f) for r, f in at.judged if r.role in _SPEAKS_OF_USERS and f.verdict in ("breach", "pending")]
    if bad:
        return _hold(at, bad)
    if ends_at is not None and at.now < ends_at and at.status.step:
        planned = at.steps[at.status.step.index]
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
    return _hold(at, unproven) if unproven else None


def advance(at: Situation) -> Move | None:
    """Everything holds: the next step, or the end."""
    if at.status.step is None:
        return None
    following = at.status.step.index + 1
    if following < len(at.steps):
        return _enter(at, at.steps[following], "Advance")
    step = at.steps[-1]
    message = f"all {len(at.steps)} steps are done; step {step.name} stays in force"
    return Move("Completed", "Completed", message, "Complete", at_rest=True)


POLICIES: Sequence[Policy] = (
    release,
    stall,
    take_back,
    finish_rollback,
    start_over,
    rest,
    shed,
    pause,
    begin,
    find_step,
    restore,
    await_delivery,
    hold,
    advance,
)


def _once(at: Situation, action: Action, reason: str) -> Action | None:
    """The action, unless the last entry of the record already says so for this generation."""
    last = at.status.history[-1] if at.status.history else None
    return None if last and last.action == action and last.reason == reason else action


_REASONS = {
    "unavailable": "MetricsUnavailable",
    "no-data": "NoData",
    "breach": "CriteriaNotMet",
    "pending": "CriteriaPending",
}
_WORST = ("breach", "unavailable", "no-data", "pending")


def _hold(at: Situation, against: Sequence[tuple[Rule, Finding]], phase: Phase = "Holding") -> Move:
    rule, found = min(against, key=lambda pair: _WORST.index(pair[1].verdict))
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


def _why(at: Situation, step: PlannedStep) -> str:
    """What the step before has shown, by the last value of each indicator."""
    if step.index == 0:
        return f"the first of {len(at.steps)} steps; nothing speaks against it"
    values = dict.fromkeys(
        f"{rule.indicator} {found.value}"
        for rule, found in at.judged
        if found.value and rule.role in ("objective", "go")
    )
    return f"all criteria hold: {', '.join(values)}" if values else "its time is over, and nothing is judged"


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
            action=_once(at, "Hold", admission.reason),
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
