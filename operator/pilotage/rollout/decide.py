"""Decide: what happens next to one rollout. A pure function of the resource, what was seen, and a given clock.

The shell writes the decision's status first and then brings about `exposure_of` it; whatever is interrupted is decided
again from that status with the same end.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pilotage.resources.rollout import PilotRollout
from pilotage.resources.status import (
    HISTORY_LIMIT,
    Action,
    DeliveryStatus,
    Finding,
    HistoryEntry,
    PilotRolloutStatus,
)
from pilotage.rollout.exposure import Exposure, Grant
from pilotage.rollout.plan import Plan
from pilotage.rollout.policies import POLICIES
from pilotage.rollout.situation import NOBODY, Move, Seen, Situation
from pilotage.rollout.story import conditions_of, describe_admitted, summarise

REFRESH = timedelta(minutes=5)
"""Values in status are renewed when a verdict changes, else so seldom: status is no time series."""

_EVIDENCE_LIMIT = 16

_TAKE_BACK: tuple[Action, ...] = ("RollBack", "Throttle", "Restart", "Release")


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided.

    Attributes:
        status: to be written if it differs from the one that was read.
        wake_at: when to decide again at the latest; None if only a change of the resource can matter.
        released: the resource is being deleted and this status is final: leave its exposure and let it go.
    """

    status: PilotRolloutStatus
    wake_at: datetime | None
    released: bool = False


def decide(plan: Plan, rollout: PilotRollout, seen: Seen, now: datetime) -> Decision:
    """The next decision.

    Args:
        plan: what the spec means.
        rollout: the resource, with the status that was decided last.
        seen: what was observed; its findings are those of the plan's rules, in their order.
        now: the time of the decision.
    """
    noticed = _notice(rollout.status, seen, now)
    at = Situation(plan, rollout.spec, rollout.metadata.namespace, rollout.metadata.name, noticed, seen, now)
    move = next(answer for policy in POLICIES if (answer := policy(at)) is not None)
    status = _carry_out(at, move, rollout)
    return Decision(status, _wake_at(at, move, status), released=seen.deleting)


def _wake_at(at: Situation, move: Move, status: PilotRolloutStatus) -> datetime | None:
    if move.at_once:
        return at.now
    if move.at_rest and is_delivered(status):
        return None
    next_judgement = at.now + timedelta(seconds=at.plan.interval_seconds)
    return move.until if move.until and at.now < move.until < next_judgement else next_judgement


def exposure_of(rollout: PilotRollout, status: PilotRolloutStatus) -> Exposure | None:
    """What delivery has to bring about; None while nothing was ever decided."""
    cohort, exposure = status.cohort, status.exposure
    if cohort is None or exposure is None:
        return None
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
        kept=tuple(Grant(kept.share, kept.criteria) for kept in exposure.kept),
        bucket_by=cohort.bucket_by,
        seed=cohort.seed,
        revision=status.delivery.revision if status.delivery else 0,
    )


def needs_judging(rollout: PilotRollout) -> bool:
    """Whether findings can matter: not at the end, and not where nobody is left to protect."""
    status = rollout.status
    ended = status.phase == "Completed" or (status.phase == "RolledBack" and (status.exposure or NOBODY).kind == "off")
    again = rollout.spec.feature.revision > status.revision
    return rollout.metadata.deletion_timestamp is None and (again or not ended)


def is_delivered(status: PilotRolloutStatus) -> bool:
    """Whether the last decision was seen in force, or there was none to bring about."""
    return status.delivery is None or status.delivery.revision == status.delivery.verified_revision


def _notice(status: PilotRolloutStatus, seen: Seen, now: datetime) -> PilotRolloutStatus:
    """What delivery found, taken into status: the clocks of steps and rollbacks start with it."""
    if status.delivery is None:
        return status
    found = seen.delivered
    update: dict[str, object] = {}
    in_force = found.revision_in_force == status.delivery.revision
    update["delivery"] = status.delivery.model_copy(
        update={
            "target": found.target or status.delivery.target,
            "verified_revision": found.revision_in_force if in_force else status.delivery.verified_revision,
            "message": "" if in_force else found.message,
        }
    )
    if in_force and not status.throttled and status.step and status.step.verified_time is None:
        update["step"] = status.step.model_copy(update={"verified_time": now})
    if in_force and status.rollback and status.rollback.verified_time is None:
        update["rollback"] = status.rollback.model_copy(update={"verified_time": now})
    return status.model_copy(update=update)


def _carry_out(at: Situation, move: Move, rollout: PilotRollout) -> PilotRolloutStatus:
    old = at.status
    findings = tuple(found for _, found in at.judged) if at.seen.findings else ()
    criteria, judged_at = _keep_findings(old, findings, at.now, changed=move.action is not None)
    status = old.model_copy(
        update={
            **move.update,
            "observed_generation": rollout.metadata.generation,
            "phase": move.phase,
            "message": move.message,
            "next_check_time": move.until,
            "criteria": criteria,
            "judged_time": judged_at,
        }
    )
    status = _with_revision(status, old, move.action, excluded=_digest(at.spec.audience.exclude))
    if move.action:
        status = status.model_copy(update={"history": _recorded(at, move, status)})
    return status.model_copy(
        update={
            "summary": summarise(status, at, move),
            "conditions": conditions_of(status, at, move),
        }
    )


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


def _digest(keys: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(sorted(keys)).encode()).hexdigest()[:16] if keys else ""


def _keep_findings(
    old: PilotRolloutStatus, findings: tuple[Finding, ...], now: datetime, *, changed: bool
) -> tuple[tuple[Finding, ...], datetime | None]:
    """The new findings where a verdict changed or the old ones are old; else the old ones: nothing is written."""
    if not findings:
        return old.criteria, old.judged_time
    same = [(f.rule, f.role, f.verdict) for f in old.criteria] == [(f.rule, f.role, f.verdict) for f in findings]
    if same and not changed and old.judged_time and now - old.judged_time < REFRESH:
        return old.criteria, old.judged_time
    return findings, now


def _recorded(at: Situation, move: Move, status: PilotRolloutStatus) -> tuple[HistoryEntry, ...]:
    last = at.status.history[-1].sequence if at.status.history else 0
    step = status.step or at.status.step
    worst_first = sorted(at.judged, key=lambda pair: pair[1].verdict == "pass")
    evidence = tuple(f"{found.rule}: {found.verdict} {found.value}".strip()[:253] for _, found in worst_first)
    entry = HistoryEntry(
        time=at.now,
        sequence=last + 1,
        action=move.action or "Hold",
        step=step.name if step else "",
        reason=move.reason,
        message=(move.detail or move.message)[:1024],
        admitted=describe_admitted(status),
        evidence=evidence[:_EVIDENCE_LIMIT],
    )
    return (*at.status.history, entry)[-HISTORY_LIMIT:]
