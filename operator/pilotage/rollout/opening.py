"""Opening: what lets users in waits for the calendar. What takes them back, keeps them or ends a rollout never does."""

from pilotage.resources.status import Phase
from pilotage.rollout.situation import Move, Situation, begins_to_wait, once


def await_opening(at: Situation) -> Move | None:
    """Users could be let in, but not now; None if the calendar is open."""
    closure = at.plan.calendar.closure(at.now)
    if closure is None:
        return None
    phase: Phase = "Holding" if at.status.step else "Pending"
    if closure.opens_at is None:
        action = once(at, "Stall", closure.reason)
    else:
        action = "Hold" if begins_to_wait(at, phase) else None
    return Move(phase, closure.reason, closure.message, action, waits_for=closure.waits_for, until=closure.opens_at)
