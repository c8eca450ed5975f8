"""An always-valid confidence sequence for the difference of two ratios, as experiment platforms use it.

Follows GrowthBook's documentation of sequential testing and of Safe Rollouts: the asymptotic confidence sequence of
Waudby-Smith et al. ("Time-uniform central limit theory", eq. 8) around the difference in means, tuned to be narrowest
at 5,000 units, alpha 0.05; any harm that is certain (lower bound above zero) fails. Units are requests here, all that
were seen since the start, as both arms' totals. Looked at after every scrape.
"""

import math

import numpy as np

from bench.decisions.clock import STEPS
from bench.decisions.rules.windows import first, ratio
from bench.decisions.worlds import Counts, Runs

ALPHA, TUNED_TO = 0.05, 5_000
RHO_SQUARED = (-2 * math.log(ALPHA) + math.log(-2 * math.log(ALPHA) + 1)) / TUNED_TO


def confidence_sequence(runs: Runs) -> Counts:
    """Step at which the treatment is worse for certain."""
    n, m = np.cumsum(runs.requests, axis=1), np.cumsum(runs.control_requests, axis=1)
    treatment = ratio(np.cumsum(runs.errors, axis=1), n)
    control = ratio(np.cumsum(runs.control_errors, axis=1), m)
    with np.errstate(invalid="ignore", divide="ignore"):
        error_squared = treatment * (1 - treatment) / n + control * (1 - control) / m
        growth = (n + m) * RHO_SQUARED
        width = np.sqrt(2 * error_squared * (growth + 1) / growth * np.log(np.sqrt(growth + 1) / ALPHA))
        worse = (treatment - control > width) & (error_squared > 0)
    return first(worse, np.arange(STEPS))
