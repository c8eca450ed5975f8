"""Precedence: who comes first of several rollouts. A flag has one of them; and one can begin after others.

Both keep the first users out, and nothing else: a rollout that has begun is never held by another that came later.
"""

from pilotage.rollout.several import Predecessor
from pilotage.rollout.situation import Move, Situation, begins_to_wait, once


def await_flag(at: Situation) -> Move | None:
    """Another rollout has claimed the flag before: this one begins when that is gone."""
    rival = at.seen.several.rival
    if at.status.step is not None or not rival or at.observes:
        return None
    flag, document = at.spec.feature.flag, at.spec.delivery.flags.name
    return Move(
        phase="Pending",
        reason="FlagClaimed",
        message=f"spec.feature.flag: rollout {rival} has claimed {flag} in {document} before: delete that, or this one",
        action="Hold" if begins_to_wait(at, "Pending") else None,
        waits_for=f"rollout {rival} to be gone",
    )


def await_others(at: Situation) -> Move | None:
    """The rollouts of spec.after are completed first."""
    if at.status.step is not None or not at.spec.after:
        return None
    cycle = at.seen.several.cycle
    if cycle:
        return Move(
            phase="Pending",
            reason="AfterCycle",
            message=f"spec.after: {' waits for '.join(cycle)}: take one of them out"[:1024],
            action=once(at, "Stall", "AfterCycle"),
            waits_for="an end of the cycle in spec.after",
        )
    unmet = [said for each in at.seen.several.predecessors if (said := _say_unmet(each, observes=at.observes))]
    if not unmet:
        return None
    return Move(
        phase="Pending",
        reason="AwaitingOthers",
        message=f"spec.after: {'; '.join(unmet)}"[:1024],
        action="Hold" if begins_to_wait(at, "Pending") else None,
        waits_for=f"after: {', '.join(at.spec.after)}"[:253],
    )


def _say_unmet(other: Predecessor, *, observes: bool) -> str:
    if not other.exists:
        return f"there is no rollout {other.name}"
    if other.phase != "Completed":
        return f"rollout {other.name} is not completed"
    if other.observes and not observes:
        return f"rollout {other.name} is completed, but only observes"
    return ""
