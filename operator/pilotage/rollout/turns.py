"""Turns: how many rollouts advance at once, in a tenant and in the cluster.

A rollout has its turn from when a step of it is decided until that step is proven (its time is over, and all of its
criteria hold), or its users are taken back: while users are in a step that is not proven. Then the next one in line
has it: who waits longest comes first. What takes users back, restores or keeps them never waits for a turn.
"""

from typing import Literal

from pilotage.resources.status import PilotRolloutStatus, TurnStatus
from pilotage.rollout.several import Line
from pilotage.rollout.situation import Move, Situation, begins_to_wait

_TAKE: tuple[str, ...] = ("Start", "Advance", "Widen")
_GIVE_UP: tuple[str, ...] = ("Return", "Restart", "Release")
_PROVEN_OR_BACK: tuple[str, ...] = ("RolledBack", "Completed", "AwaitingApproval")


def await_turn(at: Situation) -> Move | None:
    """The next step could begin, but as many as may advance at once do so already, or others wait for longer."""
    if at.observes:
        return None
    several = at.seen.several
    if several.tenant.is_closed:
        return _wait(at, several.tenant, "tenant")
    return _wait(at, several.cluster, "cluster") if several.cluster.is_closed else None


def has_turn(status: PilotRolloutStatus) -> bool:
    """Whether it is this rollout's turn."""
    return status.turn is not None and status.turn.state == "Taken"


def turn_after(at: Situation, move: Move, phase: str) -> TurnStatus | None:
    """Whose turn it is after a move: this rollout's, or it stands in line, or neither.

    Args:
        at: what is known.
        move: what was decided.
        phase: of the rollout then.
    """
    turn, step = move.update.get("turn"), move.update.get("step", at.status.step)
    if isinstance(turn, TurnStatus):
        return turn
    if at.observes or move.action in _GIVE_UP or phase in _PROVEN_OR_BACK:
        return None
    if move.action in _TAKE:
        return at.status.turn if has_turn(at.status) and move.action == "Widen" else TurnStatus(since=at.now)
    held = has_turn(at.status) and (step is not None or phase == "RollingBack")
    return at.status.turn if held else None


def _wait(at: Situation, line: Line, limit: Literal["tenant", "cluster"]) -> Move:
    known = at.status.turn if at.status.turn is not None and at.status.turn.state == "Awaited" else None
    phase: Literal["Pending", "Holding"] = "Holding" if at.status.step else "Pending"
    return Move(
        phase=phase,
        reason="AwaitingTurn",
        message=f"no more than {line.limit} rollouts advance at once in {line.where}, and others come first",
        action="Hold" if begins_to_wait(at, phase) else None,
        update={"turn": TurnStatus(state="Awaited", since=known.since if known else at.now, limit=limit)},
        waits_for=f"its turn in {line.where}"[:253],
    )
