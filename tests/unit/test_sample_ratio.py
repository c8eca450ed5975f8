"""Sample-ratio mismatch: sound assignments are left alone however often one looks, broken ones are found."""

from itertools import pairwise
from math import inf, log, nan
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.judging.inference.mismatch import BROKEN, sample_ratio_evidence

shares = st.floats(0.01, 0.99)
users = st.integers(0, 10**6)


def greatest(random: Random, *, count: int, true_share: float, share: float) -> float:
    """The greatest evidence over all looks, one after each user."""
    treatment, most = 0, 0.0
    for at in range(1, count + 1):
        treatment += random.random() < true_share
        most = max(most, sample_ratio_evidence(treatment, at - treatment, share))
    return most


@pytest.mark.parametrize("share", [0.01, 0.25, 0.5, 0.9])
def test_a_sound_assignment_is_never_called_broken_by_looking_after_every_user(share: float) -> None:
    random = Random(1)
    found = [greatest(random, count=1500, true_share=share, share=share) for _ in range(40)]
    assert max(found) < BROKEN
    assert sum(most > 10 for most in found) <= 4  # of 40: Ville's inequality allows 1 in 10 on average


@pytest.mark.parametrize(("true_share", "count"), [(0.45, 4000), (0.4, 1500), (0.25, 500)])
def test_an_assignment_that_loses_users_is_found(true_share: float, count: int) -> None:
    random = Random(2)
    found = [greatest(random, count=count, true_share=true_share, share=0.5) for _ in range(20)]
    assert sum(most > BROKEN for most in found) >= 15


@given(shares)
def test_nobody_is_no_evidence(share: float) -> None:
    assert sample_ratio_evidence(0, 0, share) == pytest.approx(1)


@given(users, users, shares)
def test_the_arms_may_change_places(treatment: int, control: int, share: float) -> None:
    one, other = sample_ratio_evidence(treatment, control, share), sample_ratio_evidence(control, treatment, 1 - share)
    if 0 < one < inf:
        assert log(one) == pytest.approx(log(other), rel=1e-6, abs=1e-4)


@given(shares, st.integers(1, 60))
def test_the_evidence_is_1_on_average(share: float, count: int) -> None:
    """It is an e-value: under the expected share its mean over all outcomes is 1."""
    probabilities = [1.0]
    for _ in range(count):
        padded = [0.0, *probabilities, 0.0]
        probabilities = [share * fewer + (1 - share) * same for fewer, same in pairwise(padded)]
    mean = sum(
        probability * sample_ratio_evidence(treatment, count - treatment, share)
        for treatment, probability in enumerate(probabilities)
    )
    assert mean == pytest.approx(1, rel=1e-6)


def test_evidence_beyond_floats_is_infinite() -> None:
    assert sample_ratio_evidence(10**6, 0, 0.5) == inf


@pytest.mark.parametrize("count", [-1, nan, inf])
def test_a_count_that_is_none_is_refused_by_name(count: float) -> None:
    with pytest.raises(ValueError, match=r"^treatment_users: "):
        sample_ratio_evidence(count, 1, 0.5)
    with pytest.raises(ValueError, match=r"^control_users: "):
        sample_ratio_evidence(1, count, 0.5)


@pytest.mark.parametrize("share", [0, 1, -0.5, nan])
def test_a_share_that_leaves_no_second_arm_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match=r"^expected_share: "):
        sample_ratio_evidence(1, 1, share)
