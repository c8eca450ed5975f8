"""Force: whether what was decided is in force, and what follows while it is not.

A step's clock counts the time in which its users had the feature, and no other. Where something else undoes the
decision, the clock stands still and goes on from there: it does not begin anew, for else an edit of a second would cost
a step its fourteen days, and whoever can write the flag could keep a rollout from ever ending.

An outage of the flag service undoes nothing: applications keep their last rules, and that time counts. But unknown
never advances.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal

from pilotage.resources.durations import format_duration
from pilotage.resources.status import Action, DeliveryStatus, PilotRolloutStatus, StepStatus
from pilotage.rollout.situation import NOBODY, Delivered, Move, Situation, shows_step

MENDING = timedelta(seconds=5)
"""What is mended within this time is no transition: that something else lasts is what people have to know."""

LAPSED = "its lease ran out, because nobody knew how it fared: users are back in the step before"

Truth = Literal["True", "False", "Unknown"]

TOLD: tuple[Action, ...] = ("NotInForce", "InForce")
"""Actions that change nothing about the decision; they are their own reasons."""


def notice(status: PilotRolloutStatus, found: Delivered, now: datetime) -> PilotRolloutStatus:
    """What delivery found, taken into status: clocks start with it, stand still and go on."""
    delivery = status.delivery
    if delivery is None:
        return status
    lapsed = has_lapsed(status, now)
    in_force = found.revision_in_force == delivery.revision and not lapsed
    lost_time = delivery.lost_time or (now if found.contradicted else None)
    if lapsed and delivery.lease:
        lost_time = delivery.lost_time or delivery.lease.time
    update: dict[str, object] = {
        "delivery": delivery.model_copy(
            update={
                "target": found.target or delivery.target,
                "verified_revision": found.revision_in_force if in_force else delivery.verified_revision,
                "message": "" if in_force else found.message or (LAPSED if lapsed else ""),
                "lost_time": None if in_force else lost_time,
            }
        )
    }
    if in_force and status.step and shows_step(status):
        update["step"] = _with_clock(status.step, delivery.lost_time, found, now)
    if (back := status.rollback) and in_force and back.verified_time is None:
        update["rollback"] = back.model_copy(update={"verified_time": _first_seen(found, back.decided_time, now)})
    return status.model_copy(update=update)


def _first_seen(found: Delivered, decided: datetime, now: datetime) -> datetime:
    """When it was seen in force: before it is written down, but not before it was decided, whatever clocks do."""
    return max(decided, min(now, found.seen_at or now))


def _with_clock(step: StepStatus, lost_time: datetime | None, found: Delivered, now: datetime) -> StepStatus:
    if step.verified_time is None:
        return step.model_copy(update={"verified_time": _first_seen(found, step.entered_time, now)})
    if lost_time is None:
        return step
    return step.model_copy(update={"verified_time": step.verified_time + (now - lost_time), "regained_time": now})


def has_lapsed(status: PilotRolloutStatus, now: datetime) -> bool:
    """Whether the lease has run out: users have fallen back, whatever is written down."""
    lease = status.delivery.lease if status.delivery else None
    return lease is not None and lease.time <= now


def is_delivered(status: PilotRolloutStatus) -> bool:
    """Whether the last decision was seen in force and nothing else since, or there was none to bring about."""
    delivery = status.delivery
    return delivery is None or (delivery.revision == delivery.verified_revision and delivery.lost_time is None)


def lasts(status: PilotRolloutStatus, now: datetime) -> bool:
    """Whether something else is in force for longer than it takes to mend it, or users have fallen back."""
    delivery = status.delivery
    if delivery is None or delivery.lost_time is None:
        return False
    return has_lapsed(status, now) or now - delivery.lost_time >= MENDING


def say_lost(status: PilotRolloutStatus) -> str:
    """That the decision is not in force, and why."""
    why = status.delivery.message if status.delivery else ""
    what = f"step {_step_of(status)} is not in force" if _step_of(status) else "the feature is not off for everybody"
    return f"{what}: {why or 'something else is served'}"[:1024]


def _say_regained(status: PilotRolloutStatus) -> str:
    return f"step {_step_of(status)} is in force" if _step_of(status) else "the feature is off for everybody"


def _step_of(status: PilotRolloutStatus) -> str:
    return (status.exposure or NOBODY).step


def await_delivery(at: Situation) -> Move | None:
    """The step's clock starts when its users are seen to have the feature, and runs while nothing else is in force."""
    step, delivery = at.status.step, at.status.delivery
    if step is None:
        return None
    if lasts(at.status, at.now):
        return Move("Holding", "NotInForce", say_lost(at.status), waits_for="delivery")
    lost = delivery is not None and delivery.lost_time is not None
    if step.verified_time is not None and not lost:
        return None
    waiting = f"step {step.name} is decided; its clock starts when its users are seen to have the feature"
    return Move(
        phase="Holding" if step.verified_time and at.status.phase == "Holding" else "Progressing",
        reason="AwaitingDelivery",
        message=say_lost(at.status) if delivery and delivery.message else waiting,
        waits_for="delivery",
    )


def await_sight(at: Situation) -> Move | None:
    """The step's time is over, but nobody can tell whether it is in force: the unknown never advances."""
    step, delivery = at.status.step, at.status.delivery
    if step is None or delivery is None or at.seen.delivered.revision_in_force == delivery.revision:
        return None
    return Move(
        phase="Holding" if at.status.phase == "Holding" else "Progressing",
        reason="AwaitingDelivery",
        message=f"step {step.name} is over, but whether it is in force is not known: {delivery.message}"[:1024],
        waits_for="delivery",
    )


def tell(at: Situation, move: Move, *, lost_time: datetime | None) -> Move:
    """The move, which also tells that the decision is not in force, or is again, where it tells nothing else.

    Args:
        at: what is known.
        move: what was decided.
        lost_time: since when something else was in force before this look.
    """
    was_told = any(each.type == "Delivered" and each.reason == "NotInForce" for each in at.status.conditions)
    was_told = was_told or (bool(at.status.history) and at.status.history[-1].action == "NotInForce")
    if lasts(at.status, at.now) and not was_told and move.action is None:
        return replace(move, action="NotInForce", detail=say_lost(at.status))
    if not (was_told and is_delivered(at.status) and move.action in (None, "Resume")):
        return move
    detail, step = _say_regained(at.status), at.status.step
    if lost_time and step and step.verified_time and step.verified_time < at.now:
        detail += f" again; its clock stood still for {format_duration((at.now - lost_time).total_seconds())}"
    return replace(move, action="InForce", detail=detail)


def delivered_condition(status: PilotRolloutStatus, now: datetime) -> tuple[Truth, str, str] | None:
    """Status, reason and message of the condition Delivered; None while there is nothing to deliver."""
    delivery = status.delivery
    if delivery is None:
        return None
    if lasts(status, now):
        return "False", "NotInForce", delivery.message
    return _shortly(delivery)


def _shortly(delivery: DeliveryStatus) -> tuple[Truth, str, str]:
    if delivery.revision != delivery.verified_revision:
        return "Unknown", "AwaitingDelivery", delivery.message
    if delivery.lost_time is not None:
        return "False", "Mending", delivery.message
    if delivery.message:
        return "Unknown", "NotKnown", delivery.message
    return "True", "InForce", ""
