"""Kayenta: the Mann-Whitney classifier of its judge, on everything so far, every 10 minutes.

Follows `NetflixACAJudge`: for one critical metric (errors of requests, a point a minute, direction "increase"), the
98 % confidence interval of the shift between canary and baseline is compared with 0.25 of its Hodges-Lehmann
estimate: "High" if all of the interval lies above, and then the canary fails. Minutes without requests are removed
(`nanStrategy: remove`); without points there is no verdict. The interval is made of order statistics of the pairwise
differences, with the normal approximation for their ranks (Hollander and Wolfe, "Nonparametric Statistical Methods",
4.3).
"""

import math

import numpy as np

from bench.decisions.clock import STEPS, steps_of
from bench.decisions.noises import Floats
from bench.decisions.rules.windows import first, per_window, ratio
from bench.decisions.worlds import Counts, Runs

TOLERANCE = 0.25
QUANTILE_98 = 2.3263
"""Standard normal quantile for a two-sided interval of 98 %."""


def mann_whitney(runs: Runs, every_minutes: int = 10) -> Counts:
    """Step of the first judgement that finds the treatment's errors high."""
    treatment = ratio(per_window(runs.errors, 1), per_window(runs.requests, 1))
    control = ratio(per_window(runs.control_errors, 1), per_window(runs.control_requests, 1))
    looks = np.arange(every_minutes, STEPS // steps_of(1) + 1, every_minutes)
    high = [[is_high(x[:look], y[:look]) for look in looks] for x, y in zip(treatment, control, strict=True)]
    return first(np.array(high, dtype=np.bool_), looks * steps_of(1) - 1)


def is_high(treatment: Floats, control: Floats) -> bool:
    """Whether the shift from control to treatment is upward beyond doubt and beyond the tolerance."""
    treatment, control = treatment[~np.isnan(treatment)], control[~np.isnan(control)]
    x, y = len(treatment), len(control)
    rank = math.floor(x * y / 2 - QUANTILE_98 * math.sqrt(x * y * (x + y + 1) / 12))
    if rank < 1 or treatment.mean() <= control.mean():
        return False
    shifts = np.subtract.outer(treatment, control).ravel()
    shifts.partition((rank - 1, x * y // 2))
    estimate = abs(float(np.median(shifts)))
    return bool(shifts[rank - 1] > TOLERANCE * estimate)
