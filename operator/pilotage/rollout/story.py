"""Story: the status in words and conditions, for people, `kubectl wait`, kstatus and Argo CD."""

from datetime import datetime

from pilotage.resources.base import Condition
from pilotage.resources.status import WORST_FIRST, ExposureStatus, Finding, PilotRolloutStatus, RollbackStatus, Summary
from pilotage.rollout.exposure import SHARE_TOTAL
from pilotage.rollout.force import Truth, delivered_condition
from pilotage.rollout.lease import lease_condition
from pilotage.rollout.outlook import provable_condition
from pilotage.rollout.plan import PlanError
from pilotage.rollout.retry import retries_by_itself
from pilotage.rollout.situation import NEEDS_A_PERSON, Move, Situation


def describe_admitted(status: PilotRolloutStatus) -> str:
    """Who is admitted, in words: `20 users`, `900 users (30%)`, `nobody`, `everybody`."""
    exposure = status.exposure
    if exposure is None or exposure.kind == "off":
        return "nobody"
    if exposure.kind == "full":
        return f"everybody but {_percent(exposure.held_back)} held back" if exposure.held_back else "everybody"
    if exposure.kind == "users":
        return f"{exposure.users} users"
    if exposure.users is None:
        return _share_of(exposure)
    return f"{exposure.users} users ({_percent_of(status, exposure)})"


def _percent_of(status: PilotRolloutStatus, exposure: ExposureStatus) -> str:
    """The percent of all users where they are counted; else the share, and of whom."""
    if exposure.users is not None and status.population and not exposure.cohorts:
        return f"{exposure.users * 100 / status.population:.4g}%"
    return _share_of(exposure)


def _share_of(exposure: ExposureStatus) -> str:
    of = f" of {', '.join(exposure.cohorts)}" if exposure.cohorts else ""
    return f"{_percent(exposure.share)}{of}"


def _percent(share: int) -> str:
    return f"{share * 100 / SHARE_TOTAL:.4g}%"


def summarise(status: PilotRolloutStatus, at: Situation, move: Move) -> Summary:
    """The line that `kubectl get pilots` prints."""
    exposure = status.exposure
    users = exposure.users if exposure else 0
    percent = "0%"
    if exposure and users is not None and status.population:
        percent = f"{users * 100 / status.population:.4g}%"
    elif exposure and exposure.kind != "off":
        percent = _percent(exposure.share) if exposure.share else "?"
    step = f"{status.step.index + 1}/{len(at.plan.steps) or '?'} {status.step.name}" if status.step else "-"
    if status.mode == "observe":
        users, percent = 0, "0%"
    return Summary(
        step=step,
        users="?" if users is None else str(users),
        percent=percent,
        verdict=worst_of(tuple(found for found in status.criteria if _counts(found))),
        waits_for=move.waits_for[:253],
    )


def _counts(found: Finding) -> bool:
    return found.role != "readinessWarning" and found.mode != "observe"


def worst_of(findings: tuple[Finding, ...]) -> str:
    """The worst verdict of all; empty if nothing is judged."""
    return min((found.verdict for found in findings), key=WORST_FIRST.index, default="")


def conditions_of(status: PilotRolloutStatus, at: Situation, move: Move) -> tuple[Condition, ...]:
    """Ready and Completed at the end; Reconciling on the way; Stalled where a person is needed; Healthy by verdicts."""
    completed = status.phase == "Completed"
    lost = completed and status.delivery is not None and status.delivery.lost_time is not None
    needs_a_person = status.phase == "RolledBack" and not retries_by_itself(at.spec, status)
    stalled = move.reason in NEEDS_A_PERSON or needs_a_person
    done = (completed and not lost) or stalled
    healthy, health_reason, health_message = _health(status, at.plan.unread)
    made: list[tuple[str, Truth, str, str]] = [
        ("Ready", _truth(completed and not lost), move.reason, move.message),
        ("Reconciling", _truth(not done), move.reason, move.message),
        ("Stalled", _truth(stalled), move.reason, move.message if stalled else ""),
        ("Healthy", healthy, health_reason, health_message),
        ("Completed", _truth(completed and not at.observes), move.reason, move.message if completed else ""),
    ]
    if (delivered := delivered_condition(status, at.now)) is not None and status.mode != "observe":
        made.append(("Delivered", *delivered))
    if (bucketing := bucketing_condition(status)) is not None:
        made.append(("BucketingConsistent", *bucketing))
    if (leased := lease_condition(status, at)) is not None:
        made.append(("LeaseHeld", *leased))
    if (provable := provable_condition(status.outlook)) is not None:
        made.append(("StepsProvable", *provable))
    if status.rollback is not None:
        made.append(("Acknowledged", *_acknowledged(status.rollback)))
    before = {condition.type: condition for condition in status.conditions}
    return tuple(
        Condition(
            type=kind,
            status=truth,
            observed_generation=status.observed_generation,
            last_transition_time=_since(before.get(kind), truth, at),
            reason=reason,
            message=message,
        )
        for kind, truth, reason, message in made
    )


def bucketing_condition(status: PilotRolloutStatus) -> tuple[Truth, str, str] | None:
    """Whether all evaluators hash alike, with reason and message; None where nobody asks."""
    found = next((found for found in status.criteria if found.role == "bucketing"), None)
    if found is None:
        return None
    if found.verdict == "pass":
        return "True", "Consistent", ""
    if found.verdict == "breach":
        return "False", "GenerationsDiffer", found.message
    return "Unknown", "MetricsUnavailable" if found.verdict == "unavailable" else "NoData", found.message


def _acknowledged(rollback: RollbackStatus) -> tuple[Truth, str, str]:
    if rollback.acknowledged_time is not None:
        return "True", rollback.reason, rollback.message
    how = f"set spec.acknowledgedRollback to {rollback.sequence}"
    return "False", rollback.reason, f"{rollback.message}; when that is looked into, {how}"[:1024]


def _since(before: Condition | None, truth: Truth, at: Situation) -> datetime:
    return before.last_transition_time if before and before.status == truth else at.now


def _truth(value: bool) -> Truth:  # noqa: FBT001 - it is the value itself
    return "True" if value else "False"


def _health(status: PilotRolloutStatus, unread: PlanError | None) -> tuple[Truth, str, str]:
    if status.phase in ("RollingBack", "RolledBack") and status.rollback:
        return "False", status.rollback.reason, status.rollback.message
    harmful = [found for found in status.criteria if found.role != "go" and _counts(found)]
    worst = worst_of(tuple(harmful))
    named = next((found.rule for found in harmful if found.verdict == worst), "")
    if worst == "breach":
        return "False", "Breach", f"{named}: breach"
    if unread and status.phase != "Completed":  # what is completed is judged no more
        return "Unknown", "InvalidSpec", str(unread)[:1024]
    if worst in ("unavailable", "no-data"):
        return "Unknown", "NoData" if worst == "no-data" else "MetricsUnavailable", f"{named}: {worst}"
    return "True", "AsExpected" if worst != "pending" else "Watching", f"{named}: pending" if worst == "pending" else ""
