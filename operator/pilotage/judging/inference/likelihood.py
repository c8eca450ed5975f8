"""The likelihood ratios that the sequential judge adds up, and the settings that say against which null.

Evidence for a fault of r times the null ratio p is the log-likelihood ratio of a step's counts under r p and under p.
Its exponential has a mean of at most 1 while the true ratio is at most p (an e-value); damping and capping what is
positive keeps that, so the sums may be looked at after every step. Sources: Shin, Ramdas and Rinaldo, "E-detectors: a
nonparametric framework for sequential change detection" (2023); Lindon and Malek, "Anytime-valid inference for
multinomial count data" (2022).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import log
from typing import Final, Literal, TypeAlias

GRID: Final = (1.5, 2.0, 3.0, 5.0, 10.0, 25.0, 80.0)
"""Fault sizes that are looked for, as multiples of the null ratio."""

ENOUGH: Final = 9.0
"""Evidence that decides where nothing was learned: 8,100 to 1. Measured on the null: at most 0.11 % false an hour."""

CORRELATION: Final = 0.02
"""Errors of one step are taken to be this correlated: k of them count as k / (1 + 0.02 (k - 1))."""

LEAST_SUCCESS: Final = 0.02
"""Share of the null's successes that a fault leaves at least: no likelihood is 0."""

GREATEST_NULL: Final = 0.95
"""A null above that leaves no room for a fault."""

LONG_RUN_FACTOR: Final = 1.5
"""A fault is what is worse than this multiple of the service's long-run ratio."""

Weights: TypeAlias = tuple[tuple[float, float], ...]
"""By fault size: what an error adds to the evidence (>= 0), and what a request adds (<= 0)."""

Sensitivity: TypeAlias = Literal["strict", "balanced"]
_DEFENDED: Final[dict[Sensitivity, float]] = {"strict": 1.0, "balanced": 0.5}


@dataclass(frozen=True, slots=True)
class Settings:
    """What a rollout wants of the judge.

    Attributes:
        objective_ratio: the error ratio that the objective allows: 0.01 for 99 %.
        least_steps: the objective's `for` in scrape steps; no fewer can roll back, however bad they are.
        sensitivity: `strict` defends the objective alone, `balanced` half of it: a feature that uses up more than half
            of what the objective allows is a fault.

    Raises:
        ValueError: a field is out of its range; the message names it.
    """

    objective_ratio: float
    least_steps: int = 6
    sensitivity: Sensitivity = "balanced"

    def __post_init__(self) -> None:
        """Refuse what no null can be made of."""
        if not 0 < self.objective_ratio < 1:
            raise ValueError(
                f"objective_ratio: {self.objective_ratio} is not between 0 and 1 (both excluded):"
                " set an objective below 100% that allows some errors"
            )
        if self.least_steps < 1:
            raise ValueError(f"least_steps: {self.least_steps} is not at least 1")

    @property
    def cap(self) -> float:
        """The most evidence of one step: `least_steps` of them are enough, fewer never."""
        return ENOUGH / self.least_steps

    @property
    def defended(self) -> float:
        """Share of the objective's ratio that is the null's floor."""
        return _DEFENDED[self.sensitivity]


def fault_ratio(size: float, null: float) -> float:
    """Error ratio of a fault of `size` times the null, kept below 1."""
    return min(size * null, 1 - LEAST_SUCCESS * (1 - null))


def each_weight(null: float) -> Iterator[tuple[float, float]]:
    """Weights of the binomial log-likelihood ratio by fault size: a ln(x1/x) + (n-a) ln((1-x1)/(1-x)).

    Args:
        null: error ratio x of the null, in (0, 1); x1 is the fault's.
    """
    success = 1 - null
    for size in GRID:
        ratio = fault_ratio(size, null)
        request = log((1 - ratio) / success)
        yield log(ratio / null) - request, request


@lru_cache(maxsize=4096)
def known_weights(null: float) -> Weights:
    """`each_weight`, for nulls that come again with every step: not those that control raises."""
    return tuple(each_weight(null))


def grow(  # noqa: PLR0917 called for every step: keywords cost
    sums: list[float],
    active: int,
    errors: float,
    requests: float,
    ratios: Weights,
    limits: Sequence[float],
    cap: float,
) -> int:
    """Add a step to the cumulative sums, in place: A = max(0, A + l) per fault size, at most its limit.

    The likelihood ratio is concave in the fault's ratio and 0 at the null: where it isn't positive for one size, it is
    negative for all greater ones. So sums that are 0 needn't be looked at beyond that size.

    Args:
        sums: so far, per fault size.
        active: how many of the sums, from the first on, may be above 0.
        errors: of the step.
        requests: of the step.
        ratios: weights of the null.
        limits: greatest sums.
        cap: the most that one step adds.

    Returns:
        `active` after the step.
    """
    damped = damping(errors)
    risen = 0
    for index, (by_error, by_request) in enumerate(ratios):
        added = errors * by_error + requests * by_request
        if added > 0:
            added /= damped
            if added > cap:  # noqa: PLR1730 min() costs three times as much
                added = cap
        elif index >= active:
            break
        total = sums[index] + added
        if total > 0:
            limit = limits[index]
            sums[index] = min(limit, total)
            risen = index + 1
        else:
            sums[index] = 0.0
    return risen


def damping(errors: float) -> float:
    """What positive evidence of a step with that many errors is divided by: its errors are correlated."""
    return 1 + CORRELATION * (errors - 1) if errors > 1 else 1.0


def divergence(ratio: float, null: float) -> float:
    """Kullback-Leibler divergence in nats of one request with error ratio `ratio` from one with `null`, both in (0, 1).

    It is the evidence that a request gives on average (Wald 1945: a test needs ln(1/alpha) / divergence requests).
    """
    return ratio * log(ratio / null) + (1 - ratio) * log((1 - ratio) / (1 - null))
