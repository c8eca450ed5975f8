"""Thresholds learned from a service's past: equal to the oracle, bounded, honest about short histories."""

from itertools import pairwise
from math import inf
from random import Random

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from pilotage.judging.inference.likelihood import ENOUGH, GRID
from pilotage.judging.inference.noise import CEILINGS, NoiseProfile, fallback, learn
from pilotage.judging.inference.sequential import ScrapeStep, Settings, advance, verdict_of
from pilotage.judging.inference.thinning import thinner
from tests import oracle_judge

OBJECTIVE = Settings(objective_ratio=0.01)
HOUR = 240


def history(
    seed: int, hours: int, *, base: float = 0.005, noise: float = 0.0, block: int = 20
) -> list[tuple[int, int]]:
    """Requests and errors by step; `noise` is the sigma of the level, which is redrawn every `block` steps."""
    random = Random(seed)
    steps: list[tuple[int, int]] = []
    level = base
    for at in range(hours * HOUR):
        if at % block == 0:
            level = min(base * random.lognormvariate(-noise * noise / 2, noise), 1.0)
        requests = random.randrange(80, 120)
        mean = requests * level
        errors = min(requests, round(random.gammavariate(mean, 1))) if mean else 0
        steps.append((requests, errors))
    return steps


def learned(steps: list[tuple[int, int]], *, share: float = 1.0, settings: Settings = OBJECTIVE) -> NoiseProfile:
    return learn([*steps], share=share, settings=settings, steps_per_hour=HOUR)


@pytest.mark.parametrize("noise", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize(
    ("hours", "drop", "factor"),
    [(6, 0, 2.0), (23, 0, 2.0), (24, 0, 1.25), (47, 0, 1.25), (48, 1, 1.25), (72, 2, 1.25), (96, 2, 1.25)],
)
def test_thresholds_are_those_of_the_oracle(noise: float, hours: int, drop: int, factor: float) -> None:
    steps = history(hours, hours, noise=noise)
    base, thresholds = oracle_judge.learn([*steps], 1.0, 0.01, drop=drop, factor=factor)
    profile = learned(steps)
    assert profile.baseline_ratio == pytest.approx(base)
    assert profile.thresholds == pytest.approx(thresholds, abs=1e-9)
    assert (profile.hours, profile.learned) == (hours, True)


def test_thinned_histories_have_thresholds_like_those_of_the_oracle() -> None:
    """Other random numbers, the same law: on average over histories they agree."""
    pairs = [
        (learned(steps, share=0.25).thresholds, oracle_judge.learn([*steps], 0.25, 0.01, drop=0, factor=1.25)[1])
        for steps in (history(seed, 24, base=0.01, noise=1.0) for seed in range(8))
    ]
    ours, theirs = (
        [sum(column) / len(pairs) for column in zip(*rows, strict=True)] for rows in zip(*pairs, strict=True)
    )
    assert theirs[0] > 2 * ENOUGH
    assert ours == pytest.approx(theirs, rel=0.15)


@examples(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 3), st.sampled_from([6, 30]), st.sampled_from([0.0005, 0.005, 0.2]))
def test_thresholds_never_rise_with_the_size_and_keep_their_bounds(
    seed: int, noise: float, hours: int, base: float
) -> None:
    profile = learned(history(seed, hours, base=base, noise=noise), share=0.5)
    assert all(small >= great for small, great in pairwise(profile.thresholds))
    for threshold, ceiling in zip(profile.thresholds, CEILINGS, strict=True):
        assert ENOUGH <= threshold <= ceiling * ENOUGH


def test_a_calm_service_keeps_full_speed() -> None:
    profile = learned(history(1, 72, base=0.001), share=0.25)
    assert profile.thresholds == (ENOUGH,) * len(GRID)
    assert profile.note == "calm over 72 h"
    assert profile.worst_hour is None


def test_a_noisy_service_is_slow_for_small_faults_only_and_says_so() -> None:
    profile = learned(history(1, 72, noise=1.0))
    assert profile.thresholds[0] > 3 * ENOUGH
    assert profile.thresholds[-1] == ENOUGH
    assert profile.worst_hour is not None
    assert profile.note.startswith("faults of 1.5x need ")
    assert f"in hour {profile.worst_hour + 1} of the history" in profile.note


def test_two_bad_hours_of_72_are_forgiven_and_a_third_is_not() -> None:
    steps = history(2, 72, base=0.001)
    for bad, slowed in ((5, False), (20, False), (44, True)):
        steps[bad * HOUR : bad * HOUR + 40] = [(100, 20)] * 40
        profile = learned(steps)
        assert (profile.thresholds[1] > ENOUGH) is slowed
    assert profile.worst_hour in {5, 20, 44}


def test_an_incident_spoils_only_the_hours_that_it_lies_in() -> None:
    steps = history(2, 72, base=0.001)
    steps[10 * HOUR + 120 : 12 * HOUR] = [(100, 50)] * (HOUR + 120)
    assert learned(steps).thresholds == (ENOUGH,) * len(GRID)


def test_gaps_cost_the_hours_that_they_lie_in() -> None:
    steps: list[tuple[float, float] | None] = [*history(3, 8)]
    steps[0:24] = [None] * 24  # 90 % are left
    steps[HOUR : HOUR + 25] = [None] * 25
    steps[2 * HOUR : 3 * HOUR] = [(0, 0)] * HOUR
    profile = learn([*steps, *[(100.0, 90.0)] * 215], share=1, settings=OBJECTIVE, steps_per_hour=HOUR)
    assert profile.hours == 6
    assert profile.baseline_ratio < 0.02


@pytest.mark.parametrize("hours", [0, 1, 5])
def test_less_than_six_hours_teach_nothing(hours: int) -> None:
    profile = learned(history(4, hours))
    assert profile == fallback(OBJECTIVE, hours)
    assert not profile.learned
    assert f"{hours} h of history" in profile.note


def test_the_fallback_defends_the_objective_alone_and_rolls_back_from_five_times_on() -> None:
    profile = fallback(OBJECTIVE)
    assert profile.null_ratio(OBJECTIVE) == 0.01
    assert profile.thresholds == (inf, inf, inf, ENOUGH, ENOUGH, ENOUGH, ENOUGH)
    assert profile.limits == (ENOUGH,) * len(GRID)
    assert "error ratios above 2.5% roll back" in profile.note


def test_the_null_is_half_the_objective_or_above_the_long_run_ratio() -> None:
    profile = learned(history(5, 24, base=0.001))
    assert profile.null_ratio(OBJECTIVE) == 0.005
    assert profile.null_ratio(Settings(0.01, sensitivity="strict")) == 0.01
    assert NoiseProfile(0.01, (), 24, learned=True, note="").null_ratio(OBJECTIVE) == pytest.approx(0.015)
    assert NoiseProfile(0.9, (), 24, learned=True, note="").null_ratio(OBJECTIVE) == 0.95


@pytest.mark.parametrize(("share", "steps"), [(0, 240), (1.1, 240), (-1, 240), (0.5, 0)])
def test_a_share_or_an_hour_that_is_none_is_refused(share: float, steps: int) -> None:
    with pytest.raises(ValueError, match=r"^(share|steps_per_hour): "):
        learn([], share=share, settings=OBJECTIVE, steps_per_hour=steps)


def test_the_same_history_gives_the_same_profile() -> None:
    steps = history(6, 30, noise=1.0)
    assert learned(steps, share=0.3) == learned(steps, share=0.3)


def test_a_rollout_that_is_as_noisy_as_its_past_is_not_rolled_back() -> None:
    """Levels redrawn every 5 minutes around half the objective: unlearned it would be rolled back often."""
    profile = learned(history(7, 72, noise=1.0))
    calm = NoiseProfile(profile.baseline_ratio, (ENOUGH,) * len(GRID), 72, learned=True, note="")
    false = {id(calm): 0, id(profile): 0}
    for seed in range(100, 140):
        treatment, control = history(seed, 1, noise=1.0), history(seed + 1000, 1, noise=1.0)
        steps = [ScrapeStep(*one, *other) for one, other in zip(treatment, control, strict=True)]
        for known in (calm, profile):
            states = (advance(OBJECTIVE, known, steps[: at + 1]) for at in range(9, 240, 10))
            false[id(known)] += any(verdict_of(OBJECTIVE, known, state).outcome == "rollback" for state in states)
    assert false[id(calm)] >= 8
    assert false[id(profile)] <= 2


@pytest.mark.parametrize("count", [1, 7, 40, 400, 100_000])
@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.77, 0.999])
def test_thinned_counts_have_the_mean_and_the_variance_of_a_binomial(count: int, share: float) -> None:
    thin = thinner(share)
    kept = [thin(count) for _ in range(20_000)]
    mean = sum(kept) / len(kept)
    variance = sum((one - mean) ** 2 for one in kept) / len(kept)
    expected = count * share * (1 - share)
    assert mean == pytest.approx(count * share, abs=4 * (expected / 20_000) ** 0.5)
    assert variance == pytest.approx(expected, rel=0.05 + 4 * (1 / max(expected * 20_000, 1)) ** 0.5)
    assert all(0 <= one <= count and one == int(one) for one in kept)


def test_a_fraction_of_an_event_stays_whole_or_goes() -> None:
    thin = thinner(0.25)
    kept = [thin(0.5) for _ in range(20_000)]
    assert set(kept) == {0.0, 0.5}
    assert sum(kept) / len(kept) == pytest.approx(0.125, rel=0.05)
    assert thinner(1.0)(3.7) == 3.7
