"""The SRE workbook's fastest burn-rate alert, asked of the cohort alone.

Follows "Alerting on SLOs": fire when the error ratio is more than 14.4 times the budget of 99.9 % over 1 hour *and*
over 5 minutes. An hour of the cohort's life is all that there is, so the long window is what there was so far. A
window without requests is NaN, and compares as false: it neither fires nor is told. Evaluated every 30 s.
"""

import numpy as np

from bench.decisions.clock import STEPS, steps_of
from bench.decisions.rules.windows import first, ratio, trailing
from bench.decisions.worlds import Counts, Runs

FACTOR, BUDGET = 14.4, 0.001


def burn_rate(runs: Runs) -> Counts:
    """Step of the evaluation at which both windows burn."""
    looks = np.arange(1, STEPS, 2)
    burning = np.ones((len(runs), len(looks)), dtype=np.bool_)
    for steps in (steps_of(60), steps_of(5)):
        windowed = ratio(trailing(runs.errors, steps), trailing(runs.requests, steps))
        burning &= windowed[:, looks] > FACTOR * BUDGET
    return first(burning, looks)
