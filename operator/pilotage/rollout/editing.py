"""Editing: the spec of the step that users are in was changed while it runs.

How long it lasts and what it is judged by is read anew at every decision. Whom it lets in was decided when it was
entered: a step that asks for more gets more at once, where that is safe, and its time begins anew, because who has just
come in has proven nothing. Every other change is not taken: the rollout holds and says why, the users keep what they
have, and all that guards them goes on.
"""

from collections.abc import Sequence

from pilotage.resources.status import AskedStatus, ExposureStatus
from pilotage.rollout.admission import Admission, Obstacle, PlannedStep, asked_by
from pilotage.rollout.asking import edited_step
from pilotage.rollout.growth import admission_of, alarms, counted_since, hold_for
from pilotage.rollout.opening import await_opening
from pilotage.rollout.situation import Move, Situation, begins_to_wait, once
from pilotage.rollout.tenant_gate import await_room
from pilotage.rollout.turns import await_turn, has_turn

_UNKNOWN = ("DirectoryUnread", "PopulationUnknown")
"""Obstacles that may pass by themselves: whether the change is safe is not known yet."""


def take_edit(at: Situation) -> Move | None:
    """The step asks for other users than it did when it was entered: take that, or say why not."""
    planned = edited_step(at)
    cohort = at.status.cohort
    if planned is None or cohort is None:
        return None
    shown = at.status.trail[planned.index]
    admission = _refusal(at, planned, shown) or admission_of(at, planned, cohort)
    if isinstance(admission, Obstacle):
        return _not_taken(at, planned, admission)
    against = [(rule, found) for rule, found in at.judged if found.verdict == "unavailable" or alarms(rule, found)]
    if against:
        return hold_for(at, against)
    turn = None if has_turn(at.status) else await_turn(at)
    room = await_room(at, planned.index, admission.exposure, widens=True)
    return await_opening(at) or turn or room or _widen(at, planned, admission)


def _refusal(at: Situation, planned: PlannedStep, shown: ExposureStatus) -> Obstacle | None:
    """Why the change can't be safe, whoever exists."""
    lost = _left_out(planned.cohorts, shown.cohorts)
    asked = shown.asked or AskedStatus()
    if lost:
        return Obstacle("CohortLeftOut", f"it leaves out {lost}, whose users are in")
    if _is_less(asked_by(planned), asked):
        return Obstacle("StepShrinks", f"it asks for {_say(asked_by(planned))}, less than the {_say(asked)} let in")
    if at.spec.steps[planned.index].gates:
        why = f"people approved it for {_say(asked)}: put more users into a later step with that gate"
        return Obstacle("Approved", why)
    return None


def _left_out(wanted: Sequence[str], entered: Sequence[str]) -> str:
    if not wanted:
        return ""
    if not entered:
        return "users of no cohort"
    lost = [name for name in entered if name not in wanted]
    return f"cohort {lost[0]}" if lost else ""


def _is_less(wanted: AskedStatus, before: AskedStatus) -> bool:
    """Whether it asks for less in the same words; other words are compared by whom they let in."""
    if wanted.users is not None and before.users is not None:
        return wanted.users < before.users
    return bool(wanted.percent and before.percent) and float(wanted.percent or 0) < float(before.percent or 0)


def _say(asked: AskedStatus) -> str:
    return f"{asked.users} users" if asked.users is not None else f"{asked.percent}%"


def _not_taken(at: Situation, planned: PlannedStep, why: Obstacle) -> Move:
    if why.reason in _UNKNOWN:
        return Move(
            phase="Holding",
            reason=why.reason,
            message=why.message,
            action="Hold" if begins_to_wait(at, "Holding") else None,
            waits_for=f"step {planned.name}: {why.reason}",
        )
    said = why.message.removeprefix(f"spec.steps[{planned.index}]").removeprefix(".users").removeprefix(": ")
    message = f"spec.steps[{planned.index}]: the change of step {planned.name} is not taken: {said}"
    return Move(
        phase="Holding",
        reason="EditNotTaken",
        message=f"{message}; undo it, or raise spec.feature.revision to start over"[:1024],
        action=once(at, "Stall", "EditNotTaken"),
        waits_for=f"step {planned.name} as it was",
    )


def _widen(at: Situation, planned: PlannedStep, admission: Admission) -> Move | None:
    step, cohort, index = at.status.step, at.status.cohort, planned.index
    if step is None or cohort is None:
        return None
    again = {"entered_time": at.now, "verified_time": None, "counted_time": counted_since(step), "skip": None}
    return Move(
        phase="Progressing",
        reason="StepEdited",
        message=f"step {planned.name} lets in more users; its clock starts when they are seen to have the feature",
        action="Widen",
        detail=f"spec asks for {_say(asked_by(planned))} now: step {planned.name} begins anew with them",
        update={
            "step": step.model_copy(update=again),
            "exposure": admission.exposure,
            "trail": (*at.status.trail[:index], admission.exposure),
            "cohort": admission.into(cohort),
            "population": at.crowd.population,
        },
        waits_for="delivery",
    )
