"""Asking: whether the step that users are in asks for the users that it let in, or was edited since."""

from pilotage.rollout.admission import PlannedStep, asked_by
from pilotage.rollout.situation import Situation


def edited_step(at: Situation) -> PlannedStep | None:
    """The step that the rollout is in, where spec asks for others than it let in; None where it does not."""
    step = at.status.step
    if step is None or step.index >= min(len(at.plan.steps), len(at.status.trail)):
        return None
    planned, shown = at.plan.steps[step.index], at.status.trail[step.index]
    if planned.name != step.name or shown.asked is None:  # of what an older version decided, nothing is known
        return None
    same = asked_by(planned) == shown.asked and set(planned.cohorts) == set(shown.cohorts)
    return None if same else planned
