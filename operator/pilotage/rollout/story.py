"""Story: the status in words and conditions, for people, `kubectl wait`, kstatus and Argo CD."""

from datetime import datetime
from typing import Literal

from pilotage.resources.base import Condition
from pilotage.resources.status import WORST_FIRST, ExposureStatus, Finding, PilotRolloutStatus, Summary
from pilotage.rollout.exposure import SHARE_TOTAL
from pilotage.rollout.situation import Move, Situation

Truth = Literal["True", "False", "Unknown"]


def describe_admitted(status: PilotRolloutStatus) -> str:
    """Who is admitted, in words: `20 users`, `900 users (30%)`, `nobody`, `everybody`."""
    exposure = status.exposure
    if exposure is None or exposure.kind == "off":
        return "nobody"
    if exposure.kind == "full":
        return "everybody"
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
    return Summary(
        step=step,
        users="?" if users is None else str(users),
        percent=percent,
        verdict=worst_of(status.criteria),
        waits_for=move.waits_for[:253],
    )


def worst_of(findings: tuple[Finding, ...]) -> str:
    """The worst verdict of all; empty if nothing is judged."""
    return min((found.verdict for found in findings), key=WORST_FIRST.index, default="")


def conditions_of(status: PilotRolloutStatus, at: Situation, move: Move) -> tuple[Condition, ...]:
    """Ready and Completed at the end; Reconciling on the way; Stalled where a person is needed; Healthy by verdicts."""
    completed = status.phase == "Completed"
    stalled = move.reason == "InvalidSpec" or status.phase == "RolledBack"
    done = completed or stalled
    healthy, health_reason, health_message = _health(status)
    made: list[tuple[str, Truth, str, str]] = [
        ("Ready", _truth(completed), move.reason, move.message),
        ("Reconciling", _truth(not done), move.reason, move.message),
        ("Stalled", _truth(stalled), move.reason, move.message if stalled else ""),
        ("Healthy", healthy, health_reason, health_message),
        ("Completed", _truth(completed), move.reason, move.message if completed else ""),
    ]
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


def _since(before: Condition | None, truth: Truth, at: Situation) -> datetime:
    return before.last_transition_time if before and before.status == truth else at.now


def _truth(value: bool) -> Truth:  # noqa: FBT001 - it is the value itself
    return "True" if value else "False"


def _health(status: PilotRolloutStatus) -> tuple[Truth, str, str]:
    if status.phase in ("RollingBack", "RolledBack") and status.rollback:
        return "False", status.rollback.reason, status.rollback.message
    harmful = [found for found in status.criteria if found.role != "go"]
    worst = worst_of(tuple(harmful))
    named = next((found.rule for found in harmful if found.verdict == worst), "")
    if worst == "breach":
        return "False", "Breach", f"{named}: breach"
    if worst in ("unavailable", "no-data"):
        return "Unknown", "NoData" if worst == "no-data" else "MetricsUnavailable", f"{named}: {worst}"
    return "True", "AsExpected" if worst != "pending" else "Watching", f"{named}: pending" if worst == "pending" else ""
