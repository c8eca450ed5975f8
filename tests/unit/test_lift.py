"""Lift: an interval that holds the true lift at all looks at once, and says nothing where there is nothing to say."""

from math import inf, lgamma, log, nan
from random import Random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pilotage.judging.inference.lift import lift_interval

LOOKS = [round(10 * 1.12**power) for power in range(55)]
"""From 10 to 4,500 users."""

Interval = tuple[float, float] | None


def looked_at(random: Random, *, ratio: float, lift: float, share: float) -> list[Interval]:
    """The intervals of one experiment, at all looks."""
    counts = {True: [0, 0], False: [0, 0]}
    found: list[Interval] = []
    users = 0
    for look in LOOKS:
        while users < look:
            treated = random.random() < share
            counts[treated][0] += random.random() < ratio * (1 + lift if treated else 1)
            counts[treated][1] += 1
            users += 1
        found.append(lift_interval(*counts[True], *counts[False]))
    return found


@pytest.mark.parametrize("ratio", [0.02, 0.3])
@pytest.mark.parametrize("share", [0.1, 0.5])
@pytest.mark.parametrize("lift", [-0.5, 0.0, 0.4])
def test_few_experiments_ever_exclude_their_true_lift(ratio: float, share: float, lift: float) -> None:
    """5% are promised; with 60 experiments 8 would come by chance in 1 of 500 runs if it were 5%."""
    random = Random(f"{ratio} {share} {lift}")
    missed = 0
    for _ in range(60):
        intervals = [one for one in looked_at(random, ratio=ratio, lift=lift, share=share) if one]
        missed += any(not low <= lift <= high for low, high in intervals)
    assert missed <= 4


@pytest.mark.parametrize(("lift", "significant"), [(-0.6, True), (0.0, False), (0.9, True)])
def test_lifts_of_both_directions_are_found_and_none_is_not(lift: float, significant: bool) -> None:
    random = Random(3)
    last = [looked_at(random, ratio=0.1, lift=lift, share=0.5)[-1] for _ in range(20)]
    found = sum(one is not None and (one[1] < 0 if lift < 0 else one[0] > 0) for one in last)
    assert found >= 18 if significant else found == 0


def test_the_end_of_all_conversions_is_significant_after_some_dozen_events() -> None:
    interval = lift_interval(0, 1000, 30, 1000)
    assert interval is not None
    assert interval[0] == -1
    assert -0.6 < interval[1] < -0.5


counts = st.integers(0, 10**6)


@given(counts, counts, counts, counts, st.floats(0.001, 0.5))
def test_the_interval_holds_the_measured_lift_and_grows_with_the_confidence(
    a: int, n: int, b: int, m: int, alpha: float
) -> None:
    interval = lift_interval(a, n, b, m, alpha=alpha)
    if not (n and m and a + b):
        assert interval is None
        return
    assert interval is not None
    low, high = interval
    assert -1 <= low < high
    # One event against thousands is so near to a loss of everything that a float says -1.
    assert a > 0 or low == -1
    assert (high == inf) == (b == 0)
    if a and b:
        assert low < a * m / (b * n) - 1 < high
    surer = lift_interval(a, n, b, m, alpha=alpha / 2)
    assert surer is not None
    assert surer[0] <= low
    assert surer[1] >= high


events = st.integers(20, 10**4)
totals = st.integers(10**3, 10**6)


@given(events, totals, events, totals)
def test_the_arms_may_change_places(a: int, n: int, b: int, m: int) -> None:
    assume(0.02 < a * m / (b * n) < 50)
    one, other = lift_interval(a, n, b, m), lift_interval(b, m, a, n)
    assert one is not None
    assert other is not None
    assert (1 + one[0]) * (1 + other[1]) == pytest.approx(1, rel=1e-4)
    assert (1 + one[1]) * (1 + other[0]) == pytest.approx(1, rel=1e-4)


@given(events, totals, events, totals)
def test_the_ends_are_where_the_mixture_refutes(a: int, n: int, b: int, m: int) -> None:
    """Written out once more: Beta mixture over binomial likelihood is 1/alpha at both ends."""
    assume(0.02 < a * m / (b * n) < 50)  # 1 + lift is exact only where it isn't tiny
    interval = lift_interval(a, n, b, m)
    assert interval is not None
    first, second = 10 * n / (n + m), 10 * m / (n + m)
    mixture = lgamma(first + a) + lgamma(second + b) - lgamma(10 + a + b)
    mixture -= lgamma(first) + lgamma(second) - lgamma(10)
    for lift in interval:
        part = (1 + lift) * n / ((1 + lift) * n + m)
        evidence = mixture - a * log(part) - b * log(m / ((1 + lift) * n + m))
        assert evidence == pytest.approx(log(20), abs=1e-4)


@pytest.mark.parametrize("wrong", [-1, nan, inf])
def test_counts_that_are_none_are_refused(wrong: float) -> None:
    for place in range(4):
        with pytest.raises(ValueError, match=r"^counts: "):
            lift_interval(*[wrong if place == at else 5.0 for at in range(4)])


@pytest.mark.parametrize("alpha", [0, 1, nan])
def test_an_alpha_that_is_no_probability_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match=r"^alpha: "):
        lift_interval(1, 2, 3, 4, alpha=alpha)
