"""Returning: users go back to an earlier step because people, or the lack of them, say so; that step begins anew."""

from pilotage.resources.status import StepStatus
from pilotage.rollout.situation import Move, Situation


def return_to(at: Situation, index: int, *, reason: str, message: str) -> Move:
    """Back to an earlier step that was entered: the same people as then, a new clock, and on from there.

    Args:
        at: what is known.
        index: of that step; it is in status.trail.
        reason: one CamelCase word.
        message: why.
    """
    back = at.status.trail[index]
    return Move(
        phase="Progressing",
        reason=reason,
        message=f"{message}; users are taken back to step {back.step}"[:1024],
        action="Return",
        update={
            "exposure": back,
            "step": StepStatus(index=index, name=back.step, entered_time=at.now),
            "trail": at.status.trail[: index + 1],
            "throttled": False,
        },
        waits_for="users to be taken back",
    )
