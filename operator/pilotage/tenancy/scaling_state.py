"""How a scaling policy stands: its bounds by what rollouts and quotas ask, and what is told of it when that changes.

Numbers that move by themselves are no change: a policy at rest writes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pilotage.resources.tenant_scaling import ScalingPolicy, ScalingStatus
from pilotage.tenancy.happening import Happened
from pilotage.tenancy.scaling import Changes, Wanted
from pilotage.tenancy.scaling_demands import Demand, is_left, minimum_of

FREEZES = ("MetricLost", "UsersLeaving")
"""Reasons of the rule for which replicas stay as they are, whatever they should be."""

_LONGEST_MESSAGE = 1024


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is in force beside the policy.

    Attributes:
        minimum: replicas at least: the policy's, or what a rollout's step has asked for.
        maximum: replicas at most: the policy's, or those there are while a quota forbids more.
        leaving: users are being taken back: nothing is scaled in.
    """

    minimum: int
    maximum: int
    leaving: bool = False


def bounds_of(
    policy: ScalingPolicy, before: ScalingStatus | None, demands: Sequence[Demand], *, capped: bool
) -> Bounds:
    """The bounds in force.

    Args:
        policy: as the spec has it.
        before: how it stood last.
        demands: of the rollouts in the target's namespace.
        capped: whether the action `scale` is in force: nothing is added, above the minimum.
    """
    kind, name = policy.target.kind, policy.target.name
    minimum = min(max(policy.min, minimum_of(demands, kind, name)), policy.max)
    maximum = policy.max
    if capped and before is not None and before.replicas is not None:
        maximum = max(minimum, min(policy.max, before.replicas))
    leaving = is_left(demands, kind, name)
    if leaving and before is not None and before.maximum is not None:
        maximum = max(maximum, before.maximum)  # frozen: an autoscaler would take what is above it at once
    return Bounds(minimum, maximum, leaving=leaving)


def title_of(policy: ScalingPolicy) -> str:
    """Such as `shop/Deployment/vector-search`."""
    return f"{policy.target.namespace}/{policy.target.kind}/{policy.target.name}"


def fresh(policy: ScalingPolicy, before: ScalingStatus | None, bounds: Bounds) -> ScalingStatus:
    """The status to fill in: with the times of before, unless the policy was pointed at something else."""
    same = before is not None and before.target == title_of(policy)
    kept = before if same and before is not None else ScalingStatus(name=policy.name)
    return kept.model_copy(
        update={
            "name": policy.name,
            "target": title_of(policy),
            "engine": policy.engine,
            "minimum": bounds.minimum,
            "maximum": bounds.maximum,
            "value": "",
            "desired": None,
        }
    )


def changes_of(status: ScalingStatus) -> Changes:
    """What was changed last, as the rule reads it."""
    return Changes(status.scaled_up_time, status.scaled_down_time, status.risen_time, status.risen_from or 0)


def scaled(status: ScalingStatus, wanted: Wanted, *, value: str, replicas: int, ready: int) -> ScalingStatus:
    """The status after a decision of the rule.

    Args:
        status: from `fresh`.
        wanted: the decision.
        value: of the metric, in words; empty if unknown.
        replicas: that are asked for now: those wanted where they were written.
        ready: that are ready.
    """
    frozen = wanted.reason in FREEZES
    return status.model_copy(
        update={
            "value": value,
            "replicas": replicas,
            "desired": wanted.replicas,
            "state": "Frozen" if frozen else "Scaling" if ready < replicas else "Steady",
            "reason": wanted.reason,
            "message": wanted.message,
            "scaled_up_time": wanted.changes.up_at,
            "scaled_down_time": wanted.changes.down_at,
            "risen_time": wanted.changes.rise_at,
            "risen_from": wanted.changes.rise_from or None,
        }
    )


def metered(status: ScalingStatus, now: datetime, *, lost: bool) -> ScalingStatus:
    """The status with when the metric was lost, or came back."""
    if lost == (status.metric_lost_time is not None):
        return status
    found = now if not lost else status.metric_found_time
    return status.model_copy(update={"metric_lost_time": now if lost else None, "metric_found_time": found})


def stopped(status: ScalingStatus, *, refused: bool, reason: str, message: str) -> ScalingStatus:
    """The status of a policy that can't be carried out: for good, or until the next try."""
    update = {"state": "Refused" if refused else "Unknown", "reason": reason, "message": message[:_LONGEST_MESSAGE]}
    return status.model_copy(update=update)


def settled(before: ScalingStatus | None, made: ScalingStatus) -> ScalingStatus:
    """The status to write: the one before where nothing has happened."""
    return before if before is not None and _sense(before) == _sense(made) else made


def happened(before: ScalingStatus | None, made: ScalingStatus, *, wrote: bool) -> tuple[Happened, ...]:
    """What people are told: each change of replicas, and when a policy stops and goes on."""
    was, told = before.state if before else "Steady", []
    text = f"scaling policy {made.name} ({made.target}): {made.message}"
    if wrote:
        told.append(Happened("Scale", made.reason, text))
    elif made.state != was and made.state in ("Frozen", "Refused"):
        told.append(Happened("Freeze" if made.state == "Frozen" else "RefuseScaling", made.reason, text))
    elif was in ("Frozen", "Refused") and made.state in ("Steady", "Scaling"):
        told.append(Happened("ResumeScaling", made.reason, text))
    return tuple(told)


def _sense(status: ScalingStatus) -> ScalingStatus:
    """What counts: not the value, nor why nothing changes."""
    blank: dict[str, object] = {"value": ""}
    if status.state in ("Steady", "Scaling"):
        blank |= {"reason": "", "message": "", "state": "Steady"}
        if status.engine == "scale":
            blank["desired"] = None
    return status.model_copy(update=blank)
