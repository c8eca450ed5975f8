"""Flagger: five failed checks, cumulative, one check a minute.

Follows Flagger's scheduler and its documentation (`analysis.interval: 1m`, `threshold: 5`, success rate at least 99 %
over the metric's window of 1 minute): every tick first compares the strikes so far with the threshold and rolls back
when they have reached it, then asks the metric. A ratio out of range is a strike; so is an answer with no value (NaN
or empty), that is no data and no requests alike. A success takes no strike back.
"""

import numpy as np

from bench.decisions.clock import STEPS, steps_of
from bench.decisions.rules.windows import OBJECTIVE, first, per_window, ratio
from bench.decisions.worlds import Counts, Runs


def strikes(runs: Runs, threshold: int = 5) -> Counts:
    """Step at which the tick after the last strike rolls back."""
    failed = ratio(per_window(runs.errors, 1), per_window(runs.requests, 1))
    strike = ~(failed <= OBJECTIVE)  # NaN fails the check
    reached = np.cumsum(strike, axis=1) >= threshold
    next_tick = np.arange(1, strike.shape[1] + 1) * steps_of(1) + steps_of(1) - 1
    return first(reached, np.where(next_tick < STEPS, next_tick, STEPS))
