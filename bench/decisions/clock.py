"""The simulated hour: its scrapes and the stages of the rollout."""

from itertools import accumulate

STEP_SECONDS = 15
STEPS = 240
STAGES = ((0.10, 60), (0.25, 60), (0.50, 120))
"""Share of the requests that the treatment gets, and steps that the stage lasts: 15, 15 and 30 minutes."""
STAGE_STARTS = (0, *accumulate(steps for _, steps in STAGES[:-1]))


def steps_of(minutes: float) -> int:
    """Whole scrapes in that many minutes."""
    return round(minutes * 60 / STEP_SECONDS)


def stage_at(step: int) -> int:
    """Index of the stage to which a step belongs."""
    return sum(step >= start for start in STAGE_STARTS) - 1
