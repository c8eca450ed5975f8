"""Pace: how many requests come, as far as a step's counts tell, and what they would change with time. Pure."""

import math

from pilotage.judging.inference.likelihood import Settings
from pilotage.judging.inference.power import Traffic, seconds_to_forget
from pilotage.judging.inference.sequential import Verdict
from pilotage.judging.progress import Progress
from pilotage.judging.standing import roughly
from pilotage.judging.units import format_value

LEAST_STEPS = 4
"""With fewer scrapes nobody can say how many requests come."""


def pace_of(progress: Progress) -> Traffic | None:
    """Requests per second of treatment since the step began, and of control over the last scrapes; None if too early.

    A step that is longer than what is judged anew has requests that are not counted yet: until then it is unknown too.
    """
    tail, tally, stage = progress.basis[0], progress.newest, progress.stage
    assert stage.since is not None
    # The first window that counts begins up to a scrape after the rollout's step, and stands for its last scrape.
    seconds = tally.until - stage.since.timestamp() - tail.window_seconds + tail.step_seconds / 2
    control = tally.state.control
    if seconds < LEAST_STEPS * tail.step_seconds or len(control) <= LEAST_STEPS or progress.uncounted_until:
        return None
    of_control = (control[-1][0] - control[0][0]) / ((len(control) - 1) * tail.step_seconds)
    return Traffic(tally.requests / seconds, of_control)


def remedy_of(indicator: str, settings: Settings, progress: Progress, verdict: Verdict, *, missing: float) -> str:
    """What would change what the sequential judge says; empty if it passes.

    Args:
        indicator: its name.
        settings: of the judge.
        progress: of the step.
        verdict: what the judge says.
        missing: requests of treatment that the step still has to see.
    """
    pace = pace_of(progress)
    rate = pace.treatment if pace else 0.0
    if verdict.outcome == "pass":
        about = f" (about {roughly(missing / rate)})" if rate and missing > 0 else ""
        return f"{math.ceil(missing)} more requests{about}" if missing > 0 else ""
    calm = progress.profile.baseline_ratio
    seconds = seconds_to_forget(settings, progress.profile, progress.newest.state, calm, rate)
    lasting = f" for {roughly(seconds)}" if 0 < seconds < math.inf else ""
    return f"{indicator} back to {format_value(calm, 'ratio')}{lasting}"
