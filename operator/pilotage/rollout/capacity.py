"""Capacity: on the way up before the users, on the way back after them. A rollback never waits for it.

A step with `scale` is entered when its replicas are ready. What it asks for is written down first: whatever scales the
workload then (a tenant's autoscaler, or the operator itself) keeps that minimum until the users have left.
"""

from pilotage.resources.capacity import CapacityStatus
from pilotage.resources.rollout import PilotRollout, PilotRolloutSpec
from pilotage.resources.status import Phase, PilotRolloutStatus
from pilotage.rollout.admission import PlannedStep
from pilotage.rollout.capacity_seen import CapacitySeen
from pilotage.rollout.force import is_delivered
from pilotage.rollout.situation import Move, Situation, begins_to_wait
from pilotage.tenancy.scaling_demands import Demand

REASON = "AwaitingCapacity"


def needed(spec: PilotRolloutSpec, index: int) -> int:
    """The replicas that a step needs: no fewer than any step before it; 0 if none asks."""
    return max((step.scale.min_replicas for step in spec.steps[: index + 1] if step.scale), default=0)


def await_capacity(at: Situation, step: PlannedStep) -> Move | None:
    """The capacity that a step needs is not there yet: ask for it, and let nobody in before it is ready."""
    need, workload = needed(at.spec, step.index), at.spec.delivery.workload
    if need == 0 or workload is None or at.observes:
        return None
    seen, asked = at.seen.capacity, at.status.capacity
    if seen is None:
        return _hold(at, step, f"{workload.title} was not seen yet", None)
    if asked is None or asked.target != workload.title or asked.minimum < need:
        known = asked if asked is not None and asked.target == workload.title else None
        return _hold(at, step, _say(at, need, seen), _asked(at, step, need, seen, known))
    if seen.ready >= need:
        return None
    return _hold(at, step, _say(at, need, seen), None)


def _asked(
    at: Situation, step: PlannedStep, need: int, seen: CapacitySeen, known: CapacityStatus | None
) -> CapacityStatus:
    workload = at.spec.delivery.workload
    assert workload is not None
    return CapacityStatus(
        target=workload.title,
        minimum=need,
        step=step.name,
        asked_time=at.now,
        before=known.before if known and known.raised is not None else seen.replicas,
        raised=need if seen.replicas < need else known.raised if known else None,
    )


def _hold(at: Situation, step: PlannedStep, message: str, asked: CapacityStatus | None) -> Move:
    phase: Phase = "Holding" if at.status.step else "Pending"
    return Move(
        phase=phase,
        reason=REASON,
        message=f"step {step.name} waits for capacity: {message}"[:1024],
        action="Hold" if begins_to_wait(at, phase) else None,
        update={"capacity": asked} if asked else {},
        waits_for=f"capacity for step {step.name}",
    )


def _say(at: Situation, need: int, seen: CapacitySeen) -> str:
    workload = at.spec.delivery.workload
    title = workload.title if workload else ""
    said = f"it needs {need} ready replicas of {title}, and {seen.ready} are ready"
    return f"{said}; {seen.obstacle}" if seen.obstacle else said


def with_capacity(status: PilotRolloutStatus, at: Situation) -> PilotRolloutStatus:
    """The status with the capacity that is still needed: less only after users were seen to have left."""
    capacity, workload = status.capacity, at.spec.delivery.workload
    if capacity is None:
        return status
    if workload is None or workload.title != capacity.target:
        return status.model_copy(update={"capacity": None})
    update: dict[str, object] = {}
    if status.phase == "RolledBack" and is_delivered(status):
        least = needed(at.spec, status.step.index) if status.step else 0
        if least < capacity.minimum:
            update = {"minimum": least}
    elif capacity.ready_time is None and at.seen.capacity and at.seen.capacity.ready >= capacity.minimum > 0:
        update = {"ready_time": at.now}
    return status.model_copy(update={"capacity": capacity.model_copy(update=update)}) if update else status


def replicas_to_write(capacity: CapacityStatus, replicas: int) -> int | None:
    """What the workload's replicas have to become where nothing else scales it; None if they stay as they are.

    On the way back only what was raised is taken away again, and only if nobody has scaled it since.
    """
    if replicas == 0:
        return None  # somebody has switched it off
    if replicas < capacity.minimum:
        return capacity.minimum
    if capacity.raised is not None and replicas == capacity.raised > capacity.minimum:
        least = max(capacity.before, capacity.minimum, 1)
        return least if least < replicas else None
    return None


def demand_of(rollout: PilotRollout) -> Demand | None:
    """What the rollout asks of whatever scales its workload; None if nothing."""
    status, workload = rollout.status, rollout.spec.delivery.workload
    back = status.delivery is not None and status.delivery.direction == "back" and not is_delivered(status)
    leaving = status.phase == "RollingBack" or back
    minimum = status.capacity.minimum if status.capacity else 0
    if not leaving and minimum == 0:
        return None
    named = (workload.kind, workload.name) if workload else None
    return Demand(rollout.metadata.name, named, minimum if named else 0, leaving=leaving)
