"""Safety: the policies that keep users where they are, shed or exclude them, or end a rollout, before all growth."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from pilotage.resources.rollout import PilotRolloutSpec
from pilotage.resources.status import PilotRolloutStatus
from pilotage.rollout.asking import edited_step
from pilotage.rollout.force import lasts, say_lost
from pilotage.rollout.situation import NOBODY, Move, Situation, once


def release(at: Situation) -> Move | None:
    """The resource is being deleted: leave the stated final state."""
    if not at.seen.deleting:
        return None
    choice = "off" if at.seen.delivered.taken_back else at.spec.on_delete.exposure
    keep = choice == "keep" or (choice == "auto" and at.status.phase == "Completed")
    phase = at.status.phase or "Pending"
    left = "users keep what they have" if keep else "the feature is taken from everybody"
    obstacle = at.seen.delivered.held_back
    done = any(entry.action == "Release" for entry in at.status.history)
    return Move(
        phase=phase,
        reason="Deleted",
        message=f"being deleted, but {obstacle}"[:1024] if obstacle else f"being deleted: {left}",
        action=None if done else "Release",
        update={} if keep else {"exposure": NOBODY},
        waits_for="delivery",
        at_rest=True,
    )


def digest_of(keys: Sequence[str]) -> str:
    """A short text that tells one list of users from another, in any order; empty for nobody."""
    return hashlib.sha256("\n".join(sorted(keys)).encode()).hexdigest()[:16] if keys else ""


def exclude(at: Situation) -> Move | None:
    """The list of the excluded was edited: that comes alone, because it is forced, and growth never is.

    Where growth waits for another writer, users keep what was in force before it until the exclusion is.
    """
    cohort, delivery = at.status.cohort, at.status.delivery
    if cohort is None or cohort.excluded == digest_of(at.spec.audience.exclude):
        return None
    move = Move(
        phase=at.status.phase or "Pending",
        reason="Excluded",
        message="spec.audience.exclude was edited: it takes effect at once",
        waits_for="delivery",
        at_once=True,
    )
    step = at.status.step
    grows = delivery and delivery.direction == "forward" and delivery.revision != delivery.verified_revision
    if step is None or not grows or not at.shows_step:
        return move
    before = at.status.trail[step.index - 1] if step.index else NOBODY
    detail = f"spec.audience.exclude was edited before step {step.name} was in force: it takes effect first"
    return replace(move, action="Hold", detail=detail, update={"exposure": before})


def stall(at: Situation) -> Move | None:
    """The spec can't be carried out: keep what is, and say which field. What can be read still guards the users."""
    if at.plan.problem is None:
        return None
    return Move(
        phase="Holding" if at.exposed else "Pending",
        reason="InvalidSpec",
        message=str(at.plan.problem),
        action=once(at, "Stall", "InvalidSpec"),
        waits_for="a valid spec",
        at_rest=not at.exposed,
    )


def start_over(at: Situation) -> Move | None:
    """The feature has a new revision: begin again with the first step, on purpose."""
    if at.status.revision == 0 or at.spec.feature.revision <= at.status.revision:
        return None
    return Move(
        phase="Pending",
        reason="NewRevision",
        message=f"spec.feature.revision is {at.spec.feature.revision}: starting over",
        action="Restart",
        update={
            "revision": at.spec.feature.revision,
            "step": None,
            "trail": (),
            "exposure": NOBODY,
            "rollback": None,
            "retries": 0,
            "throttled": False,
        },
        waits_for="the first step",
        at_once=True,
    )


def is_ended(spec: PilotRolloutSpec, status: PilotRolloutStatus) -> bool:
    """Whether all steps are done: steps that were appended since go on from the last one."""
    step = status.step
    appended = step and len(spec.steps) > step.index + 1 and spec.steps[step.index].name == step.name
    return status.phase == "Completed" and not appended


def say_completed(at: Situation) -> str:
    """That all steps are done, and which of them stays."""
    step, steps = at.status.step, at.spec.steps
    if step is None:
        return "all steps are done"
    if step.index < len(steps) and steps[step.index].name == step.name:
        edited = (
            f" as it was: its change in spec.steps[{step.index}] is not taken; add a step" if edited_step(at) else ""
        )
        return f"all {step.index + 1} steps are done; step {step.name} stays in force{edited}"
    moved = f"it is no longer spec.steps[{step.index}]: raise spec.feature.revision to start over"
    return f"step {step.name} stays in force; {moved}"


def rest(at: Situation) -> Move | None:
    """Completed stays so."""
    status = at.status
    if is_ended(at.spec, status):
        if lasts(status, at.now):
            return Move("Completed", "NotInForce", say_lost(status), waits_for="delivery", at_rest=True)
        return Move("Completed", "Completed", say_completed(at), at_rest=True)
    return None


def shed(at: Situation) -> Move | None:
    """Load is too high: shed users to the last proven step, also while paused."""
    broken = next(((r, f) for r, f in at.judged if r.role == "throttle" and f.verdict == "breach"), None)
    if broken is None or at.status.throttled or not at.exposed or at.status.step is None:
        return None
    rule, found = broken
    index = at.status.step.index
    back = at.status.trail[index - 1] if index >= 1 else NOBODY
    return Move(
        phase="Holding",
        reason="Throttled",
        message=f"{rule.field} applies: {found.rule}; users are shed to {back.step or 'nobody'}",
        action="Throttle",
        detail=f"{found.message or found.rule}; shed to {back.step or 'nobody'}",
        update={"throttled": True, "exposure": back},
        waits_for=f"throttle: {found.rule}",
    )


def pause(at: Situation) -> Move | None:
    """A person has stopped it: nothing grows."""
    by = at.status.pause
    if not at.spec.paused and by is None:
        return None
    said = f"paused by {by.by}: {by.reason}"[:1024] if by else ""
    return Move(
        phase="Paused",
        reason="Paused",
        message="spec.paused is set: users keep what they have" if at.spec.paused else said,
        action="Pause" if at.status.phase != "Paused" else None,
        waits_for="spec.paused: false" if at.spec.paused else "a decision to resume",
    )
