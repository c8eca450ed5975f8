"""Observing: what a rollout would do, judged and recorded in full, while nothing of it reaches anybody.

With `spec.mode: observe` the rollout is decided like any other, as if each decision were in force at once; only that
there is nothing to bring about. What was decided so was decided of nobody: with `enforce` it starts anew.

A criterion under `spec.observe`, or an objective in this mode, is the same in small: it is judged, shown and told, and
decides nothing.
"""

from dataclasses import replace

from pilotage.judging.rules import Consequence, Rule
from pilotage.resources.status import Action, Finding, PilotRolloutStatus
from pilotage.rollout.situation import Delivered, Move, Seen, Situation
from pilotage.rollout.story import describe_admitted

_WOULD: dict[Action, str] = {
    "Start": "let the first users in",
    "Advance": "go on to the next step",
    "Hold": "hold",
    "Resume": "go on",
    "Throttle": "shed users",
    "Restore": "let users back in",
    "Widen": "let more users into the step",
    "Retry": "try again",
    "RollBack": "take users back",
    "Return": "take users back a step",
    "RolledBack": "have taken users back",
    "Complete": "be complete",
}
"""What actions that reach users would do; others are as real in this mode as in the other."""

_TRIED: dict[Consequence, str] = {"rollback": "take users back", "throttle": "shed users"}


def as_observed(status: PilotRolloutStatus, seen: Seen) -> Seen:
    """What was seen, with the last decision in force where there is nothing to bring about."""
    if status.mode != "observe" or status.delivery is None:
        return seen
    return replace(seen, delivered=Delivered(revision_in_force=status.delivery.revision))


def enforce(at: Situation) -> Move | None:
    """The rollout has only observed, and shall let users in: it starts with the first step, with nobody in."""
    if at.status.mode != "observe" or at.spec.mode == "observe":
        return None
    forgotten = ("mode", "step", "exposure", "cohort", "delivery", "population", "rollback")
    return Move(
        phase="Pending",
        reason="ModeChanged",
        message="spec.mode is enforce: it starts with the first step; nobody was let in while it observed",
        action="Restart",
        update={
            **dict.fromkeys(forgotten),
            "revision": at.spec.feature.revision,
            "trail": (),
            "retries": 0,
            "throttled": False,
            "noise": (),
        },
        waits_for="the first step",
        at_once=True,
    )


def in_words(at: Situation, move: Move) -> Move:
    """The move as people should read it while the rollout only observes."""
    if not at.observes:
        return move
    detail = move.detail or move.message
    if move.action in _WOULD:
        detail = f"would {_WOULD[move.action]}: {detail}"
    return replace(
        move,
        message=f"observing, nobody is let in: {move.message}"[:1024],
        detail=detail,
        waits_for=": ".join(filter(None, ("observing", move.waits_for))),
    )


def admitted_by(status: PilotRolloutStatus) -> str:
    """Who is admitted, in words; while it only observes nobody is, and it is told who would be."""
    admitted = describe_admitted(status)
    return f"nobody (would be {admitted})" if status.mode == "observe" and admitted != "nobody" else admitted


def tell_trials(at: Situation, move: Move) -> Move:
    """The move, which also tells what a criterion on trial would do now, where it tells nothing else."""
    if move.action is not None or not at.exposed or at.seen.deleting:
        return move
    for rule, found in at.shown:
        if rule.on_trial and rule.on_breach in _TRIED and found.verdict == "breach" and not _is_told(at, rule):
            return replace(move, action="Observe", detail=f"{_says(rule)}: {_why(found)}")
    return move


def _is_told(at: Situation, rule: Rule) -> bool:
    """Whether it was told since it broke, or nothing happened since: one that comes and goes fills no history."""
    told = [entry.action == "Observe" and entry.message.startswith(_says(rule)) for entry in at.status.history]
    still = any(old.verdict == "breach" and _is_of(old, rule) for old in at.status.criteria)
    return any(told) if still else told[-1:] == [True]


def _is_of(found: Finding, rule: Rule) -> bool:
    return found.mode == "observe" and (found.rule, found.role) == (rule.text, rule.role)


def _says(rule: Rule) -> str:
    return f"{rule.field} would {_TRIED[rule.on_breach]}"


def _why(found: Finding) -> str:
    return f"{found.rule}: {found.message}" if found.message else found.rule
