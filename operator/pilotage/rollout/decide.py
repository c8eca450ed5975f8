"""Decide: what happens next to one rollout. A pure function of the resource, what was seen, and a given clock.

The shell writes the decision's status first and then brings about `exposure_of` it; whatever is interrupted is decided
again from that status with the same end.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pilotage.resources.gates import CHANGED_BY
from pilotage.resources.rollout import PilotRollout
from pilotage.resources.status import (
    HISTORY_LIMIT,
    Action,
    CohortStatus,
    DeliveryStatus,
    ExposureStatus,
    Finding,
    HistoryEntry,
    PilotRolloutStatus,
)
from pilotage.rollout.calm import calm_update
from pilotage.rollout.capacity import with_capacity
from pilotage.rollout.exposure import Exposure, Grant
from pilotage.rollout.force import TOLD, is_delivered, notice, tell
from pilotage.rollout.heeding import new_attempt
from pilotage.rollout.keeping import judged_update
from pilotage.rollout.lease import fallback_of, seconds_of, with_lease
from pilotage.rollout.observing import admitted_by, as_observed, in_words, tell_trials
from pilotage.rollout.outlook import with_outlook
from pilotage.rollout.plan import Plan
from pilotage.rollout.policies import POLICIES
from pilotage.rollout.retry import retries_by_itself
from pilotage.rollout.safety import digest_of, is_ended
from pilotage.rollout.situation import NOBODY, Move, Seen, Situation
from pilotage.rollout.staging import with_profiles
from pilotage.rollout.story import conditions_of, summarise
from pilotage.rollout.tenant_state import standing_of
from pilotage.rollout.turns import turn_after
from pilotage.tenancy.reserving import Claim

_EVIDENCE_LIMIT = 16

_TAKE_BACK: tuple[Action, ...] = ("RollBack", "Throttle", "Restart", "Release", "Return")


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided.

    Attributes:
        status: to be written if it differs from the one that was read.
        wake_at: when to decide again at the latest; None if only a change of the resource can matter.
        released: the resource is being deleted and this status is final: leave its exposure and let it go.
        claim: what the tenant has to promise first: have it answered, and decide again with the answer.
    """

    status: PilotRolloutStatus
    wake_at: datetime | None
    released: bool = False
    claim: Claim | None = None


def decide(plan: Plan, rollout: PilotRollout, seen: Seen, now: datetime) -> Decision:
    """The next decision.

    Args:
        plan: what the spec means.
        rollout: the resource, with the status that was decided last.
        seen: what was observed; its findings are those of the plan's rules, in their order.
        now: the time of the decision.
    """
    seen = as_observed(rollout.status, seen)
    noticed = with_profiles(notice(rollout.status, seen.delivered, now), seen.profiles)
    at = _situation_of(plan, rollout, noticed, seen, now)
    move = next(answer for policy in POLICIES if (answer := policy(at)) is not None)
    move = tell(at, move, lost_time=rollout.status.delivery.lost_time if rollout.status.delivery else None)
    move = in_words(at, tell_trials(at, move))
    status = _carry_out(at, move, rollout)
    return Decision(status, _wake_at(at, move, status), released=seen.deleting, claim=move.claim)


def _situation_of(
    plan: Plan, rollout: PilotRollout, noticed: PilotRolloutStatus, seen: Seen, now: datetime
) -> Situation:
    meta = rollout.metadata
    return Situation(
        plan=plan,
        spec=rollout.spec,
        namespace=meta.namespace,
        name=meta.name,
        status=noticed,
        seen=seen,
        now=now,
        generation=meta.generation,
        author=meta.annotations.get(CHANGED_BY, ""),
        born_at=meta.creation_timestamp,
        uid=meta.uid,
    )


def _wake_at(at: Situation, move: Move, status: PilotRolloutStatus) -> datetime | None:
    if move.at_once or (status.mode == "observe" and not is_delivered(status)):
        return at.now
    if move.at_rest and is_delivered(status):
        return None
    next_judgement = at.now + timedelta(seconds=at.plan.interval_seconds)
    return move.until if move.until and at.now < move.until < next_judgement else next_judgement


def exposure_of(rollout: PilotRollout, status: PilotRolloutStatus) -> Exposure | None:
    """What delivery has to bring about; None while nothing was ever decided, and where it only observes."""
    cohort, exposure = status.cohort, status.exposure
    if cohort is None or exposure is None or status.mode == "observe":
        return None
    shown = _shown(rollout, status, cohort, exposure)
    lease = status.delivery.lease if status.delivery else None
    if lease is None:
        return shown
    fallback = _shown(rollout, status, cohort, fallback_of(status))
    return replace(shown, lease_until=seconds_of(lease.time), fallback=fallback)


def _shown(
    rollout: PilotRollout, status: PilotRolloutStatus, cohort: CohortStatus, exposure: ExposureStatus
) -> Exposure:
    treatment, control = cohort.order
    return Exposure(
        flag=rollout.spec.feature.flag,
        treatment=treatment,
        control=control,
        kind=exposure.kind,
        deny=rollout.spec.audience.exclude,
        enrolled=cohort.enrolled[: exposure.enrolled],
        share=exposure.share,
        criteria=exposure.criteria,
        kept=tuple(Grant(kept.share, kept.criteria, kept.control) for kept in exposure.kept),
        held_back=exposure.held_back,
        rest=cohort.rest,
        control_share=exposure.control,
        controls=cohort.controls[: exposure.controls],
        bucket_by=cohort.bucket_by,
        seed=cohort.seed,
        revision=status.delivery.revision if status.delivery else 0,
    )


def needs_judging(rollout: PilotRollout) -> bool:
    """Whether findings can matter: not at the end, and not where nobody is left to protect."""
    status = rollout.status
    back = status.phase == "RolledBack" and (status.exposure or NOBODY).kind == "off"
    back = back and not retries_by_itself(rollout.spec, status)
    ended = back or is_ended(rollout.spec, status)
    again = rollout.spec.feature.revision > status.revision
    return rollout.metadata.deletion_timestamp is None and (again or not ended)


def _carry_out(at: Situation, move: Move, rollout: PilotRollout) -> PilotRolloutStatus:
    old = at.status
    status = old.model_copy(
        update={
            "awaiting": old.awaiting if move.phase == "AwaitingApproval" else None,
            "tenant": standing_of(at),
            **move.update,
            **new_attempt(at, move),
            "observed_generation": rollout.metadata.generation,
            "phase": move.phase,
            "turn": turn_after(at, move, move.phase),
            "message": move.message,
            "next_check_time": move.until,
            **judged_update(at, changed=move.action is not None),
        }
    )
    status = _with_revision(_with_mode(status, at), old, move.action, excluded=digest_of(at.spec.audience.exclude))
    status = status.model_copy(update=calm_update(at, status))
    status = with_outlook(with_lease(status, at), at)
    status = with_capacity(status, at)
    if move.action:
        status = status.model_copy(update={"history": _recorded(at, move, status)})
    return status.model_copy(
        update={
            "summary": summarise(status, at, move),
            "conditions": conditions_of(status, at, move),
        }
    )


def _with_mode(status: PilotRolloutStatus, at: Situation) -> PilotRolloutStatus:
    """Who is in, or would be, was decided in the mode of the first decision about it."""
    begins = at.status.cohort is None and status.cohort is not None
    return status.model_copy(update={"mode": at.spec.mode}) if begins else status


def _with_revision(
    status: PilotRolloutStatus, old: PilotRolloutStatus, action: Action | None, *, excluded: str
) -> PilotRolloutStatus:
    """One revision more where delivery has something new to bring about."""
    if status.cohort is None:
        return status
    edited = status.cohort.excluded != excluded
    if (status.exposure or NOBODY) == (old.exposure or NOBODY) and not edited:
        return status
    delivery = old.delivery or DeliveryStatus()
    update = {
        "revision": delivery.revision + 1,
        "direction": "back" if action in _TAKE_BACK or (edited and old.cohort) else "forward",
        "message": "",
    }
    return status.model_copy(
        update={
            "delivery": delivery.model_copy(update=update),
            "cohort": status.cohort.model_copy(update={"excluded": excluded}),
        }
    )


def _say_found(found: Finding) -> str:
    trial = " (observed)" if found.mode == "observe" else ""
    return f"{found.rule}{trial}: {found.verdict} {found.value}".strip()[:253]


def _recorded(at: Situation, move: Move, status: PilotRolloutStatus) -> tuple[HistoryEntry, ...]:
    last = at.status.history[-1].sequence if at.status.history else 0
    step = status.step or at.status.step
    worst_first = sorted(at.judged, key=lambda pair: pair[1].verdict == "pass")
    evidence = tuple(_say_found(found) for _, found in (*worst_first, *at.on_trial))
    entry = HistoryEntry(
        time=at.now,
        sequence=last + 1,
        generation=status.observed_generation,
        action=move.action or "Hold",
        step=step.name if step else "",
        mode="observe" if at.observes else None,
        reason=move.action if move.action in (*TOLD, "Observe") else move.reason,
        message=(move.detail or move.message)[:1024],
        admitted=admitted_by(status),
        evidence=evidence[:_EVIDENCE_LIMIT],
    )
    return (*at.status.history, entry)[-HISTORY_LIMIT:]
