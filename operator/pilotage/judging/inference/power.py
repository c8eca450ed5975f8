"""Power: how long the judge takes to see an error ratio of a given size, by the traffic that there is. Pure.

A sum of evidence gains mu on average with each step, with a variance of sigma^2, and has to reach h. Both moments are
taken over the counts that a step may see, with the cap and the damping of the judge itself. The mean time of a sum that
starts anew at 0 is (exp(-2 mu b / sigma^2) + 2 mu b / sigma^2 - 1) sigma^2 / (2 mu^2) steps with b = h + 1.166 sigma
(Siegmund, "Sequential Analysis", 1985), which is h / (rate x KL) where neither cap nor noise matter. Its spread is that
of a first passage, h sigma^2 / mu^3; quantiles are those of a gamma distribution with both (Wilson and Hilferty 1931).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import exp, expm1, inf, log, sqrt
from typing import Final, TypeAlias

from pilotage.judging.inference.likelihood import GRID, Settings, damping, each_weight, known_weights
from pilotage.judging.inference.noise import NoiseProfile
from pilotage.judging.inference.sequential import GUARD_ENOUGH, GUARD_MARGIN, State

MEDIAN: Final = 0.0
NINE_OF_TEN: Final = 1.2816
"""Standard normal quantiles of 50 % and 90 %."""

OVERSHOOT: Final = 1.166
"""Of a sum of normal steps over what it has to reach, both ends together, in standard deviations (Siegmund 1985)."""

GREATEST_RATIO: Final = 0.98

_MANY: Final = 12.0
"""From so many events a step on their number is taken for normal, and five points stand for it."""

_RARE: Final = 1e-7
_NEGLIGIBLE: Final = 1e-4
"""Of all scrapes with errors: what is rarer changes no estimate."""

_FLAT: Final = 1e-9
_HERMITE: Final = (
    (-2.8569700, 0.0112574),
    (-1.3556262, 0.2220759),
    (0.0, 8 / 15),
    (1.3556262, 0.2220759),
    (2.8569700, 0.0112574),
)
"""Gauss-Hermite quadrature by five points: distance in standard deviations, weight (Abramowitz and Stegun, 25.10)."""

Counts: TypeAlias = tuple[tuple[float, float], ...]
"""What a step may count, each with its probability."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests per second of treatment and of control."""

    treatment: float
    control: float


@dataclass(frozen=True, slots=True)
class Detection:
    """How long it takes to see a fault, in seconds from when it begins; infinite if it is never seen.

    Attributes:
        median_seconds: half of such faults are seen by then.
        nine_of_ten_seconds: nine of ten are.
    """

    median_seconds: float
    nine_of_ten_seconds: float


NEVER: Final = Detection(inf, inf)


def time_to_see(
    settings: Settings, profile: NoiseProfile, traffic: Traffic, ratio: float, *, step_seconds: float
) -> Detection:
    """How long the sequential judge takes to be certain that treatment's error ratio is one of `ratio`.

    Certain is what rolls back, or holds for good where the profile lets faults of that size only hold. It takes one
    step more than the sums need: what happens after a scrape is counted by the next one.

    Args:
        settings: of the judge.
        profile: the service's noise; control is taken to have its long-run ratio.
        traffic: while the fault lasts. Without control nothing can be compared: `NEVER`.
        ratio: of errors, in (0, 1).
        step_seconds: between two scrapes.
    """
    requests, control = traffic.treatment * step_seconds, traffic.control * step_seconds
    if requests <= 0 or control <= 0 or ratio <= 0:
        return NEVER
    ratio = min(ratio, GREATEST_RATIO)
    null = profile.null_ratio(settings)
    evidence = _evidence_steps(requests, ratio, null, profile.limits, settings.cap)
    guard = _guard_steps(requests, ratio, control, min(profile.baseline_ratio, ratio), settings.cap)
    # Both sums are moved by the same errors: the slower one decides.
    median, late = (max(pair) + 1 for pair in zip(evidence, guard, strict=True))
    return Detection(median * step_seconds, late * step_seconds)


def time_to_breach(for_seconds: float, *, window_seconds: float, step_seconds: float) -> float:
    """How long a threshold rule takes to breach, in seconds from when the fault begins.

    Its window has to fill with what is bad, all of `for` has to pass, and the next scrape has to come.
    """
    return window_seconds + for_seconds + step_seconds


def seconds_to_forget(
    settings: Settings, profile: NoiseProfile, state: State, ratio: float, requests_per_second: float
) -> float:
    """How long it takes on average until less than half of the evidence is left, which is what holds.

    Args:
        settings: of the judge.
        profile: of the noise.
        state: the evidence now.
        ratio: treatment's error ratio from now on; above the null evidence is never forgotten: infinite.
        requests_per_second: of treatment.
    """
    null = max(state.null_ratio, profile.null_ratio(settings))
    longest = 0.0
    for (by_error, by_request), found, limit in zip(each_weight(null), state.evidence, profile.limits, strict=True):
        excess = found - limit / 2
        if excess >= 0:
            lost = -(ratio * by_error + by_request) * requests_per_second
            longest = max(longest, excess / lost if lost > 0 else inf)
    return longest


Passage: TypeAlias = tuple[float, float]
"""Steps by which half, and nine of ten, have arrived."""


@lru_cache(maxsize=4096)
def _evidence_steps(requests: float, ratio: float, null: float, limits: tuple[float, ...], cap: float) -> Passage:
    """Of the fault size that is soonest certain."""
    errors = _counts(requests * ratio)
    found: list[Passage] = []
    for (by_error, by_request), limit in zip(known_weights(null), limits, strict=True):
        gains = [
            (chance, _counted(a * by_error + requests * by_request, damped=damping(a), cap=cap)) for a, chance in errors
        ]
        found.append(_passage(gains, limit, cap))
    return min(found, key=_late)


@lru_cache(maxsize=4096)
def _guard_steps(requests: float, ratio: float, control: float, calm: float, cap: float) -> Passage:
    """Of the fault size by which treatment's part of the errors is soonest too great."""
    met = tuple(_meetings(requests, ratio, control, calm))
    found: list[Passage] = []
    for size in GRID:
        log_size = log(size)
        gains = [
            (
                chance,
                _counted(a * log_size + both * log((1 + odds) / (1 + size * odds)), damped=damping(both), cap=cap),
            )
            for chance, a, both, odds in met
        ]
        found.append(_passage(gains, GUARD_ENOUGH, cap))
    return min(found, key=_late)


def _meetings(
    requests: float, ratio: float, control: float, calm: float
) -> Iterator[tuple[float, float, float, float]]:
    """What the guard may see in a step: its chance, treatment's errors, the errors of both, and the odds.

    It sees nothing without requests of both: where control has few, most of treatment's errors don't count.
    """
    errors = _counts(requests * ratio)
    least = _NEGLIGIBLE * (1 - errors[0][1] if errors[0][0] == 0 else 1.0)
    for m, chance_of_m in _counts(control) if control < _MANY else ((control, 1.0),):
        if m <= 0:
            continue
        for b, chance_of_b in _counts(m * calm):
            for a, chance_of_a in errors:
                chance = chance_of_m * chance_of_b * chance_of_a
                if a + b > 0 and chance >= least:
                    yield chance, a, a + b, GUARD_MARGIN * (a + requests * (1 - ratio)) / m


def _counted(gain: float, *, damped: float, cap: float) -> float:
    """What a gain counts for, by the judge's damping and cap."""
    return min(gain / damped, cap) if gain > 0 else gain


def _late(passage: Passage) -> float:
    return passage[1]


def _passage(gains: Sequence[tuple[float, float]], height: float, cap: float) -> Passage:
    """When a sum that never falls below 0 has reached the height; its gains come with their chances, else it is 0."""
    mean = sum(chance * gain for chance, gain in gains)
    if mean <= 0 or height == inf:
        return inf, inf
    variance = sum(chance * gain**2 for chance, gain in gains) - mean**2
    least = height / cap
    if variance <= _FLAT * mean**2:
        return max(height / mean, least), max(height / mean, least)
    reach = height + OVERSHOOT * min(sqrt(variance), cap)
    slope = 2 * mean * reach / variance
    steps = (slope + expm1(-slope)) * variance / (2 * mean**2)
    # Without a drift worth the name it is a reflected walk that ends by chance: nearly exponential, a shape of 1.
    shape = max(steps**2 * mean**3 / (reach * variance), 1.0)
    return max(steps * _quantile(shape, MEDIAN), least), max(steps * _quantile(shape, NINE_OF_TEN), least)


def _quantile(shape: float, normal: float) -> float:
    """Quantile of a gamma distribution with a mean of 1 (Wilson and Hilferty)."""
    ninth = 1 / (9 * shape)
    return max(1 - ninth + normal * sqrt(ninth), 0.0) ** 3


def _counts(mean: float) -> Counts:
    """What a Poisson number of events may be."""
    if mean >= _MANY:
        spread = sqrt(mean)
        return tuple((mean + place * spread, weight) for place, weight in _HERMITE)
    made = [(0.0, exp(-mean))]
    while made[-1][0] < mean or made[-1][1] >= _RARE:
        count, chance = made[-1]
        made.append((count + 1, chance * mean / (count + 1)))
    return tuple(made)
