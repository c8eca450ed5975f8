"""Sums over the windows that a rule of a peer asks its metrics for, and the first step at which something is true."""

import numpy as np

from bench.decisions.clock import steps_of
from bench.decisions.noises import Flags, Floats
from bench.decisions.worlds import NEVER, Counts

OBJECTIVE = 0.01
"""Ratio of failed requests that the rules tolerate: success of at least 99 %."""


def per_window(counts: Counts | Flags, minutes: int) -> Counts:
    """Sum disjoint windows that begin at step 0; shape (runs, windows)."""
    runs, steps = counts.shape
    sums: Counts = counts.astype(np.int64).reshape(runs, steps // steps_of(minutes), -1).sum(axis=2)
    return sums


def trailing(counts: Counts, steps: int) -> Counts:
    """Sum the last so many steps at every step; at the beginning those that there are."""
    sums = np.cumsum(counts, axis=1)
    sums[:, steps:] = sums[:, steps:] - sums[:, :-steps]
    return sums


def ratio(part: Counts, whole: Counts) -> Floats:
    """Part of the whole; NaN where there is nothing, as in PromQL."""
    shares: Floats = np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)
    return shares


def first(flags: Flags, steps: Counts) -> Counts:
    """Step that belongs to the first true column of each row; `NEVER` if there is none.

    Args:
        flags: Shape (runs, looks).
        steps: Step at which each look acts, shape (looks,).
    """
    found: Counts = np.where(flags.any(axis=1), steps[flags.argmax(axis=1)], NEVER)
    return np.minimum(found, NEVER)
