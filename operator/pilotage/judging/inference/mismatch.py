"""Sample-ratio mismatch: do the arms have the users that the admitted share should give them?

If they don't, the assignment is broken (users lost, redirected, counted twice), and no comparison of the arms means
anything. The test is a Bayes factor, which may be looked at after every user. Source: Lindon and Malek, "Anytime-valid
inference for multinomial count data" (NeurIPS 2022), for two arms.
"""

from math import exp, inf, isfinite, lgamma, log
from typing import Final

BROKEN: Final = 1e4
"""Greater evidence says that the assignment is broken; a sound one ever gets there with a probability of at most 1e-4
(Ville's inequality), however often it is asked."""

CONCENTRATION: Final = 1000.0
"""Of the alternative: shares that differ by about 1.5 percentage points from the expected one, where that is a half."""

_GREATEST_EXPONENT: Final = 700.0


def sample_ratio_evidence(treatment_users: float, control_users: float, expected_share: float) -> float:
    """How much more likely the counts are if the share of treatment is another than the expected one.

    B(ks + T, k(1-s) + C) / B(ks, k(1-s)) / (s^T (1-s)^C) with k = 1000: the likelihood under a Beta mixture about the
    expected share, over that under the share itself. It is 1 without users.

    Args:
        treatment_users: distinct users who were given the treatment while the share was this one; not requests, of
            which a few users make many.
        control_users: distinct users who could have been given it and were not.
        expected_share: that the rollout admits, in (0, 1).

    Returns:
        A Bayes factor, above 0; `inf` where it is too great for a float.

    Raises:
        ValueError: a count is negative or no number, or the share is not between 0 and 1: with no or with all users
            admitted there is nothing to compare.
    """
    for name, users in (("treatment_users", treatment_users), ("control_users", control_users)):
        if not (isfinite(users) and users >= 0):
            raise ValueError(f"{name}: {users} is not a count of users")
    if not 0 < expected_share < 1:
        raise ValueError(f"expected_share: {expected_share} is not between 0 and 1 (both excluded)")
    treatment, control = CONCENTRATION * expected_share, CONCENTRATION * (1 - expected_share)
    mixed = log_beta(treatment + treatment_users, control + control_users) - log_beta(treatment, control)
    expected = treatment_users * log(expected_share) + control_users * log(1 - expected_share)
    exponent = mixed - expected
    return exp(exponent) if exponent < _GREATEST_EXPONENT else inf


def log_beta(first: float, second: float) -> float:
    """The logarithm of the beta function, both arguments > 0."""
    return lgamma(first) + lgamma(second) - lgamma(first + second)
