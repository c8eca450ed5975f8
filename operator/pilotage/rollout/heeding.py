"""Heeding: what people decided is carried out, each decision once, or refused with the reason, and both are recorded.

Decisions are taken in the order in which the API server took them; only a rollback comes before all others. What is
done is remembered by uid, and what is no longer remembered by its time: a restart repeats nothing, and a PilotDecision
that is deleted undoes nothing.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from pilotage.resources.decision import DecisionAction
from pilotage.resources.durations import format_duration, parse_duration
from pilotage.resources.gates import Gate
from pilotage.resources.status import (
    APPROVALS_LIMIT,
    DECISIONS_LIMIT,
    Action,
    Approval,
    DecisionsStatus,
    DoneDecision,
    PauseStatus,
    Skip,
)
from pilotage.rollout.gates import missing_in, next_step
from pilotage.rollout.people import HumanDecision
from pilotage.rollout.returning import return_to
from pilotage.rollout.rollback import go_back, target_of
from pilotage.rollout.safety import is_ended
from pilotage.rollout.situation import Move, Situation

_LONGEST_EXTENSION = timedelta(days=366)


class _RefusedError(Exception):
    """A decision that can't be followed; the text says why."""


def heed_rollback(at: Situation) -> Move | None:
    """Somebody decided to roll back: that waits for nothing, not even for decisions that came before."""
    found = next((each for each in _waiting(at) if each.spec.action == "rollback"), None)
    return _follow(at, found) if found else None


def heed(at: Situation) -> Move | None:
    """The next thing that somebody decided."""
    found = next(iter(_waiting(at)), None)
    return _follow(at, found) if found else None


def new_attempt(at: Situation, move: Move) -> Mapping[str, Any]:
    """What else changes in status with a move after which approvals have to be given anew: nothing, for most moves."""
    old, new = at.status.step, move.update.get("step", at.status.step)
    same = (old and (old.index, old.entered_time)) == (new and (new.index, new.entered_time))
    if same and move.action != "Restart":
        return {}
    # The API server's clock may be ahead of ours: what is there already is old, whatever its time says.
    newest = max((each.created_at for each in at.seen.decisions), default=at.now)
    decisions = move.update.get("decisions", at.status.decisions) or DecisionsStatus()
    return {
        "approvals": (),
        "decisions": decisions.model_copy(update={"attempt_time": max(at.now, newest)}),
    }


def _waiting(at: Situation) -> list[HumanDecision]:
    """What was not carried out yet, oldest first."""
    known = at.status.decisions or DecisionsStatus()
    done = {each.uid for each in known.done}
    found = [
        each
        for each in at.seen.decisions
        if each.uid not in done
        and (known.since is None or each.created_at > known.since)
        and (at.born_at is None or each.created_at >= at.born_at)
    ]
    return sorted(found, key=lambda each: (each.created_at, each.name, each.uid))


def _follow(at: Situation, decision: HumanDecision) -> Move:
    try:
        move = _FOLLOW[decision.spec.action](at, decision)
    except _RefusedError as refused:
        spec = decision.spec
        text = (
            f"{spec.by} decided to {_words(decision)}, which is not followed: {refused} (reason given: {spec.reason})"
        )
        move = _note(at, "Refuse", "Refused", text)
    return replace(move, update={**move.update, "decisions": _with_done(at, decision)}, at_once=True)


def _with_done(at: Situation, decision: HumanDecision) -> DecisionsStatus:
    known = at.status.decisions or DecisionsStatus()
    mine = DoneDecision(uid=decision.uid, time=decision.created_at)
    done = sorted((*known.done, mine), key=lambda each: each.time)
    dropped, kept = done[:-DECISIONS_LIMIT], done[-DECISIONS_LIMIT:]
    since = max((each.time for each in dropped), default=known.since)
    return known.model_copy(update={"done": tuple(kept), "since": since})


def _words(decision: HumanDecision) -> str:
    spec = decision.spec
    gate = f" gate {spec.gate}{'.' if spec.role else ''}{spec.role or ''}" if spec.gate else ""
    return {"proceed": f"approve{gate}", "rollback": "roll back"}.get(spec.action, spec.action)


def _note(at: Situation, action: Action, reason: str, text: str, update: Mapping[str, Any] | None = None) -> Move:
    """A move that leaves the rollout where it is; what follows from it is decided at once."""
    return Move(at.status.phase or "Pending", reason, text[:1024], action, update=update or {})


def _check_underway(at: Situation) -> None:
    if is_ended(at.spec, at.status):
        raise _RefusedError("the rollout is completed")
    if at.status.phase == "RolledBack":
        raise _RefusedError("the rollout is rolled back")


def _check_gate(at: Situation, decision: HumanDecision) -> Gate:
    """The gate that is decided about.

    Raises:
        _RefusedError: it is no gate of the next step, or not this role's.
    """
    _check_underway(at)
    spec, step = decision.spec, next_step(at)
    gate = next((each for each in at.spec.gates if each.name == spec.gate), None)
    if step is None or gate is None or gate.name not in step.gates:
        where = f"the next step, {step.name}" if step else "the last step, after which there is none"
        raise _RefusedError(f"gate {spec.gate} is not a gate of {where}")
    roles = [each.role for each in gate.quorum]
    if roles and spec.role not in roles:
        raise _RefusedError(f"gate {gate.name} is approved in a role: {' or '.join(roles)}")
    if not roles and spec.role:
        raise _RefusedError(f"gate {gate.name} has no roles")
    began_at = at.status.decisions.attempt_time if at.status.decisions else None
    if began_at and decision.created_at < began_at:
        raise _RefusedError(f"it was made before {began_at:%Y-%m-%d %H:%M:%S} UTC, when the present attempt began")
    return gate


def _proceed(at: Situation, decision: HumanDecision) -> Move:
    spec, gate = decision.spec, _check_gate(at, decision)
    if gate.forbid_author and not at.author:
        raise _RefusedError("who changed spec last is not known, and this gate forbids the author")
    if gate.forbid_author and spec.by == at.author:
        raise _RefusedError(f"{spec.by} changed spec last, and nobody approves their own change here")
    others = tuple(each for each in at.status.approvals if each.generation == at.generation)
    if any((each.gate, each.role, each.by) == (gate.name, spec.role or "", spec.by) for each in others):
        raise _RefusedError(f"{spec.by} has approved it already")
    if len(others) >= APPROVALS_LIMIT:
        raise _RefusedError(f"no more than {APPROVALS_LIMIT} approvals are kept")
    mine = Approval(
        gate=gate.name,
        role=spec.role or "",
        by=spec.by,
        generation=at.generation,
        time=decision.created_at,
        decision=decision.name,
    )
    missing = missing_in(gate, (*others, mine), generation=at.generation, author=at.author)
    left = f"it still needs {missing}" if missing else "it is open"
    text = f"{spec.by} approved gate {gate.name}{f' as {spec.role}' if spec.role else ''}; {left}: {spec.reason}"
    return _note(at, "Approve", "Approved", text, {"approvals": (*others, mine)})


def _extend(at: Situation, decision: HumanDecision) -> Move:
    _check_underway(at)
    spec, step = decision.spec, at.status.step
    if spec.gate:
        _check_gate(at, decision)
    if step is None:
        raise _RefusedError("no step has begun that could be extended")
    seconds = parse_duration(spec.extend_by or "0s")
    if seconds > _LONGEST_EXTENSION.total_seconds():
        raise _RefusedError("a step can't be extended by more than 366d at once")
    over = (at.now - at.hold_ends_at).total_seconds() if at.hold_ends_at else 0.0
    extended = math.ceil(step.extended_seconds + max(over, 0.0) + seconds)
    text = f"{spec.by} extended step {step.name} by {format_duration(seconds)}: {spec.reason}"
    update = {"step": step.model_copy(update={"extended_seconds": extended, "skip": None}), "approvals": ()}
    move = _note(at, "Extend", "Extended", text, update)
    return replace(move, phase="Progressing" if move.phase == "AwaitingApproval" else move.phase)


def _return(at: Situation, decision: HumanDecision) -> Move:
    _check_underway(at)
    spec, step = decision.spec, at.status.step
    if spec.gate:
        _check_gate(at, decision)
    if step is None or step.index == 0:
        raise _RefusedError("there is no earlier step: roll back instead")
    names = [shown.step for shown in at.status.trail[: step.index]]
    target = spec.to_step or names[-1]
    if target not in names:
        raise _RefusedError(f"{target} is no earlier step; those are {', '.join(names)}")
    text = f"{spec.by} decided to return: {spec.reason}"
    return return_to(at, names.index(target), reason="Returned", message=text)


def _skip(at: Situation, decision: HumanDecision) -> Move:
    _check_underway(at)
    spec, step = decision.spec, at.status.step
    if step is None:
        raise _RefusedError("no step has begun that could be left")
    later = [each.name for each in at.spec.steps[step.index + 1 :]]
    target = spec.to_step or next(iter(later), "")
    if target not in later:
        raise _RefusedError(f"{target} is no later step" if target else f"{step.name} is the last step")
    text = f"{spec.by} skipped what is left of step {step.name}, on to {target}: {spec.reason}"
    skip = Skip(to_step=target, by=spec.by)
    return _note(at, "Skip", "Skipped", text, {"step": step.model_copy(update={"skip": skip})})


def _pause(at: Situation, decision: HumanDecision) -> Move:
    _check_underway(at)
    if at.status.pause is not None:
        raise _RefusedError(f"{at.status.pause.by} has paused it already")
    spec = decision.spec
    pause = PauseStatus(by=spec.by, reason=spec.reason, time=decision.created_at)
    move = _note(at, "Pause", "Paused", f"paused by {spec.by}: {spec.reason}", {"pause": pause})
    return replace(move, phase="Paused", detail=f"{spec.by} paused it: {spec.reason}")


def _resume(at: Situation, decision: HumanDecision) -> Move:
    if at.status.pause is None:
        spec_says = "spec.paused pauses it: set that to false" if at.spec.paused else "it is not paused"
        raise _RefusedError(spec_says)
    text = f"{decision.spec.by} resumed it: {decision.spec.reason}"
    move = _note(at, "Resume", "Resumed", text, {"pause": None})
    if move.phase != "Paused" or at.spec.paused:
        return move
    return replace(move, phase="Progressing" if at.status.step else "Pending")


def _roll_back(at: Situation, decision: HumanDecision) -> Move:
    if at.status.phase == "RollingBack":
        raise _RefusedError("users are being taken back already")
    if not at.exposed:
        raise _RefusedError("nobody has the feature")
    text = f"{decision.spec.by} rolled back: {decision.spec.reason}"[:1024]
    return go_back(at, target_of(at), reason="Decided", message=text, why=text)


def _acknowledge(at: Situation, decision: HumanDecision) -> Move:
    spec, rollback = decision.spec, at.status.rollback
    if rollback is None or rollback.acknowledged_time is not None:
        raise _RefusedError("there is no rollback that was not acknowledged yet")
    known = rollback.model_copy(update={"acknowledged_time": at.now, "acknowledged_by": spec.by})
    text = f"{spec.by} acknowledged the rollback ({rollback.message}): {spec.reason}"
    move = _note(
        at, "Acknowledge", "Acknowledged", text, {"rollback": known if at.status.phase == "RolledBack" else None}
    )
    return replace(move, message=at.status.message, detail=move.message)


_FOLLOW: Mapping[DecisionAction, Callable[[Situation, HumanDecision], Move]] = {
    "proceed": _proceed,
    "extend": _extend,
    "return": _return,
    "pause": _pause,
    "resume": _resume,
    "skip": _skip,
    "rollback": _roll_back,
    "acknowledge": _acknowledge,
}
