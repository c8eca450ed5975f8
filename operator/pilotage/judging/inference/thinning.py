"""Thins counts of events to the share that an arm would have had of them; the same history is always thinned alike.

Of k events a binomial number stays. Scaling instead (k times the share) would take away the counting noise of a small
arm. Draws come from a fixed multiplicative generator (Park, Miller and Stockmeyer, CACM 36, 1993): the judge is pure,
and two processes that learn from one history must learn the same.
"""

from collections.abc import Callable
from math import floor, sqrt
from statistics import NormalDist
from typing import Final

_MODULUS: Final = 2**31 - 1
_MULTIPLIER: Final = 48271
_SEED: Final = 1_618_033_988

_NORMAL: Final = NormalDist()
_INVERSION_MEAN: Final = 12.0
"""Below that mean the binomial is inverted by summing; above, its normal approximation errs by less than 0.1 events."""

_WHOLE: Final = 1e-9


def thinner(share: float) -> Callable[[float], float]:
    """A function that thins one count after the other.

    A fraction of an event (Prometheus' `increase` extrapolates) stays or goes as one event of that worth, so that the
    mean is the share of the count in any case.

    Args:
        share: of the events that stay, in (0, 1]; 1 keeps the counts as they are.
    """
    seed = _SEED

    def uniform() -> float:
        nonlocal seed
        seed = seed * _MULTIPLIER % _MODULUS
        return seed / _MODULUS

    def thin(count: float) -> float:
        if count <= 0:
            return 0.0
        whole = floor(count + _WHOLE)
        rest = count - whole
        kept = float(_binomial(whole, share, uniform())) if whole else 0.0
        return kept + rest if rest > _WHOLE and uniform() < share else kept

    return thin if share < 1 else float


def thinned_at(count: float, share: float, uniform: float) -> float:
    """What stays of a count at one quantile: counts that overlap, thinned at the same, stay as alike as they are.

    Args:
        count: of events; between two whole numbers the result lies between theirs.
        share: of the events that stay, in (0, 1).
        uniform: the quantile, in (0, 1).
    """
    whole = floor(max(count, 0.0) + _WHOLE)
    rest = max(count - whole, 0.0)
    kept = float(_binomial(whole, share, uniform)) if whole else 0.0
    return kept + rest * (_binomial(whole + 1, share, uniform) - kept) if rest > _WHOLE else kept


def _binomial(trials: int, share: float, uniform: float) -> int:
    """The quantile of Binomial(trials, share) at `uniform`."""
    if share > 1 / 2:
        return trials - _binomial(trials, 1 - share, 1 - uniform)
    mean = trials * share
    return _summed(trials, share, uniform) if mean < _INVERSION_MEAN else _approximated(trials, share, uniform)


def _summed(trials: int, share: float, uniform: float) -> int:
    """By adding up the probabilities from 0 on (Kachitvichyanukul and Schmeiser 1988, BINV)."""
    odds = share / (1 - share)
    probability = (1 - share) ** trials
    kept = 0
    while uniform > probability and kept < trials:
        uniform -= probability
        kept += 1
        probability *= odds * (trials - kept + 1) / kept
    return kept


def _approximated(trials: int, share: float, uniform: float) -> int:
    """By the normal quantile with Cornish and Fisher's correction for skewness (1938)."""
    normal = _NORMAL.inv_cdf(uniform)
    deviation = sqrt(trials * share * (1 - share))
    skewed = (1 - 2 * share) * (normal * normal - 1) / 6
    return min(max(round(trials * share + deviation * normal + skewed), 0), trials)
