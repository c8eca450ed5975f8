"""Argo Rollouts: a metric of an AnalysisRun with `failureLimit: 3`, over the whole rollout.

Follows the analysis controller: a measurement every interval, over a window of the same length; it is Failed when
`successCondition: result[0] >= 0.99` is false, which NaN (no requests) makes it too. The run fails when failed
measurements are *more* than the limit, counted over the run, so with 3 it takes four. A query that answers nothing
makes `result[0]` an error; an error is repeated after 10 s, and five in a row (`consecutiveErrorLimit: 4`) abort as
well.
"""

import numpy as np

from bench.decisions.clock import STEPS, steps_of
from bench.decisions.noises import Flags
from bench.decisions.rules.windows import OBJECTIVE, first, per_window, ratio
from bench.decisions.worlds import Counts, Runs

RETRIED_STEPS = 3
"""Scrape steps until the fifth try, 40 s after the first, rounded up; two of them are over by then."""


def failure_limit(runs: Runs, minutes: int, limit: int = 3) -> Counts:
    """Step at which the AnalysisRun fails or errs."""
    ends = np.arange(1, STEPS // steps_of(minutes) + 1) * steps_of(minutes) - 1
    bad = ratio(per_window(runs.errors, minutes), per_window(runs.requests, minutes))
    answered = per_window(runs.seen, minutes) > 0
    failed = answered & ~(bad <= OBJECTIVE)
    return np.minimum(
        first(np.cumsum(failed, axis=1) > limit, ends),
        first(~answered & still_silent(runs, ends), ends + RETRIED_STEPS),
    )


def still_silent(runs: Runs, ends: Counts) -> Flags:
    """Whether the scrapes between the first and the last try were lost too; the end of the hour ends the run."""
    padded = np.pad(runs.seen, ((0, 0), (0, RETRIED_STEPS)), constant_values=True)
    silent: Flags = ~padded[:, ends + 1] & ~padded[:, ends + 2]
    return silent
