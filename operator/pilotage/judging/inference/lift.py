"""Lift: by what part the treatment's rate of events (conversions, say) lies above control's, with an honest interval.

The interval is valid at all times at once: the probability that it ever excludes the true lift is at most alpha,
however often one looks and whenever one stops. So a lift whose interval lies above 0 is significant without a planned
sample.

Of the events of both arms, treatment has a part that depends on the ratio of the rates and on the split of the traffic
alone; time of day and season cancel. The interval holds the ratios that a beta-binomial mixture doesn't refute. Source:
Lindon and Malek, "Anytime-valid inference for multinomial count data" (NeurIPS 2022), section on conversion rates;
mixtures as confidence sequences: Robbins (1970).
"""

from collections.abc import Callable
from math import exp, inf, isfinite, log, log1p
from typing import Final

from pilotage.judging.inference.mismatch import log_beta

CONCENTRATION: Final = 10.0
"""Of the mixture about "no lift". 100 would narrow the interval of 1,100 against 1,000 events by a twentieth, but find
the end of all conversions (0 against 30) hardly at all."""

_BISECTIONS: Final = 50


def lift_interval(
    treatment_events: float,
    treatment_total: float,
    control_events: float,
    control_total: float,
    *,
    alpha: float = 0.05,
) -> tuple[float, float] | None:
    """The lifts p_T / p_C - 1 that the counts don't refute.

    With a and b events of n and m, a of a + b is binomial with the odds (p_T / p_C) n / m. This is exact for events of
    users who were assigned at random, as long as the split stays: counts are those of one stage of the rollout. For
    rates that aren't small it is valid but wide (the events of an arm vary less than is assumed): count the rarer of
    success and failure.

    Args:
        treatment_events: a, such as users who converted.
        treatment_total: n, such as all users of the treatment.
        control_events: b.
        control_total: m.
        alpha: probability that the interval ever excludes the true lift, in (0, 1).

    Returns:
        Low and high end, -1 <= low < high; high is `inf` while control has no events. None where nothing can be said:
        an arm is empty, or there are no events at all.

    Raises:
        ValueError: a count is negative or no number, or alpha is not between 0 and 1.
    """
    a, n, b, m = treatment_events, treatment_total, control_events, control_total
    if not all(isfinite(count) and count >= 0 for count in (a, n, b, m)):
        raise ValueError(f"counts: {a} of {n} and {b} of {m} are not counts")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha: {alpha} is not between 0 and 1 (both excluded)")
    if not (n > 0 and m > 0 and a + b > 0):
        return None
    prior = CONCENTRATION * n / (n + m), CONCENTRATION * m / (n + m)
    most = log(1 / alpha) + log_beta(*prior) - log_beta(prior[0] + a, prior[1] + b)

    def refuted(log_odds: float) -> bool:
        return a * _softplus(-log_odds) + b * _softplus(log_odds) >= most

    likeliest = log((a + 1 / 2) / (b + 1 / 2))
    low = exp(_edge(refuted, likeliest, -1.0)) * m / n - 1 if a > 0 else -1.0
    high = exp(_edge(refuted, likeliest, 1.0)) * m / n - 1 if b > 0 else inf
    return low, high


def _softplus(x: float) -> float:
    """ln(1 + e^x), for great x too: the logarithm of a probability by its log odds."""
    return x + log1p(exp(-x)) if x > 0 else log1p(exp(x))


def _edge(refuted: Callable[[float], bool], inside: float, step: float) -> float:
    """The outermost point on one side of `inside` that isn't refuted; far out everything is."""
    outside = inside + step
    while not refuted(outside):
        inside, step = outside, 2 * step
        outside += step
    for _ in range(_BISECTIONS):
        middle = (inside + outside) / 2
        inside, outside = (inside, middle) if refuted(middle) else (middle, outside)
    return outside
