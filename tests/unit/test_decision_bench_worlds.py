"""The simulated rollouts have the shares, rates, bursts and gaps that the page about decision quality says."""

import numpy as np
import pytest

from bench.decisions.cells import all_worlds, asked
from bench.decisions.clock import STAGES, STEPS
from bench.decisions.noises import Flags, Paths, calm_paths
from bench.decisions.worlds import EVENTS, NEVER, NOISES, World, draw, draw_history

BASELINE = 0.005


def paths_of(name: str, runs: int = 400) -> Paths:
    paths = calm_paths(runs, BASELINE)
    for noise in NOISES.get(name, EVENTS.get(name, ())):
        noise(np.random.default_rng(1), paths)
    return paths


def longest_streak(flags: Flags) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.astype(int), [0]))))
    return int(max(edges[1::2] - edges[::2], default=0))


def test_the_treatment_gets_ten_then_twenty_five_then_fifty_percent_of_the_traffic() -> None:
    runs = draw(World("independent", 500), 200, seed=1)
    share = runs.requests / (runs.requests + runs.control_requests)
    start = 0
    for expected, steps in STAGES:
        assert share[:, start : start + steps].mean() == pytest.approx(expected, rel=0.01)
        start += steps
    assert start == STEPS


@pytest.mark.parametrize("rate", [1, 20, 500])
def test_traffic_has_its_rate_and_a_season_of_thirty_percent(rate: float) -> None:
    runs = draw(World("independent", rate), 400, seed=2)
    per_second = (runs.requests + runs.control_requests) / 15
    assert per_second.mean() == pytest.approx(rate, rel=0.02)
    if rate == 500:
        assert per_second.max() == pytest.approx(1.3 * rate, rel=0.06)
        assert per_second.min() == pytest.approx(0.7 * rate, rel=0.06)


@pytest.mark.parametrize("name", ["independent", "over-dispersed", "slow1", "slow5", "ar1"])
def test_noise_that_wanders_keeps_the_baseline_in_the_long_run(name: str) -> None:
    paths = paths_of(name, runs=2000)
    for arm in paths.arms:
        assert arm.mean() == pytest.approx(BASELINE, rel=0.05)


@pytest.mark.parametrize(("name", "steps", "variation"), [("slow1", 4, 2**0.5), ("slow5", 20, 1.0)])
def test_slow_noise_redraws_the_level_of_each_arm_by_itself(name: str, steps: int, variation: float) -> None:
    paths = paths_of(name, runs=2000)
    for arm in paths.arms:
        blocks = arm.reshape(len(arm), -1, steps)
        assert np.all(blocks == blocks[:, :, :1])
        assert arm.std() / arm.mean() == pytest.approx(variation, rel=0.05)
    assert abs(np.corrcoef(paths.treatment.ravel(), paths.control.ravel())[0, 1]) < 0.02


def test_over_dispersed_scrapes_vary_by_more_than_their_mean() -> None:
    paths = paths_of("over-dispersed")
    assert paths.treatment.std() / paths.treatment.mean() == pytest.approx(2**0.5, rel=0.05)
    assert abs(np.corrcoef(paths.treatment[:, 1:].ravel(), paths.treatment[:, :-1].ravel())[0, 1]) < 0.02


def test_levels_of_ar1_noise_are_correlated_over_three_minutes() -> None:
    logs = np.log(paths_of("ar1", runs=2000).treatment)
    assert logs.std() == pytest.approx(0.8, rel=0.05)
    assert np.corrcoef(logs[:, 12:].ravel(), logs[:, :-12].ravel())[0, 1] == pytest.approx(np.exp(-1), abs=0.03)


def test_drift_stays_within_a_third_and_thrice_the_baseline() -> None:
    paths = paths_of("drift")
    assert BASELINE / 3 <= paths.treatment.min() < BASELINE / 2.5
    assert 2.5 * BASELINE < paths.treatment.max() <= 3 * BASELINE


def test_a_shared_burst_lifts_both_arms_for_three_minutes_in_half_of_the_runs() -> None:
    paths = paths_of("shared-burst")
    lifted = paths.treatment > BASELINE
    assert np.array_equal(lifted, paths.control > BASELINE)
    assert set(paths.treatment[lifted]) == {0.05}
    assert {longest_streak(run) for run in lifted} == {0, 12}
    assert lifted.any(axis=1).mean() == pytest.approx(0.5, abs=0.08)


def test_a_burst_of_one_arm_is_two_scrapes_of_the_treatment() -> None:
    paths = paths_of("arm-burst")
    lifted = paths.treatment > BASELINE
    assert np.all(paths.control == BASELINE)
    assert set(paths.treatment[lifted]) == {0.2}
    assert {int(count) for count in lifted.sum(axis=1)} == {0, 2}


def test_brown_outs_come_to_both_arms_at_times_of_their_own() -> None:
    paths = paths_of("brown-outs")
    for arm in paths.arms:
        assert {longest_streak(run) for run in arm > BASELINE} == {8}
        assert arm.max() == 0.02
    assert not np.array_equal(paths.treatment, paths.control)


def test_missing_scrapes_are_five_percent_and_three_minutes_in_half_of_the_runs() -> None:
    runs = draw(World("missing", 20), 400, seed=3)
    lost = ~runs.seen
    assert (runs.requests[lost] == 0).all()
    assert (runs.control_requests[lost] == 0).all()
    assert np.mean([longest_streak(run) >= 12 for run in lost]) == pytest.approx(0.5, abs=0.08)
    assert lost.mean() == pytest.approx(0.05 + 0.95 * 0.5 * 12 / STEPS, abs=0.01)


def test_a_gap_hides_both_arms_for_ten_minutes() -> None:
    runs = draw(World("independent", 20, event="gap"), 50, seed=4)
    assert {longest_streak(run) for run in ~runs.seen} == {40}
    assert {int(count) for count in (~runs.seen).sum(axis=1)} == {40}


@pytest.mark.parametrize(
    ("event", "steps", "least", "most"),
    [("incident-5%", 20, 0.05, 0.05), ("incident-20%", 20, 0.2, 0.2), ("incident-unequal", 24, 0.07, 0.14)],
)
def test_a_shared_incident_hits_both_arms_at_once(event: str, steps: int, least: float, most: float) -> None:
    paths = paths_of(event)
    lifted = paths.treatment > BASELINE
    assert np.array_equal(lifted, paths.control > BASELINE)
    assert {longest_streak(run) for run in lifted} == {steps}
    for arm in paths.arms:
        assert least <= arm[lifted].min() <= arm[lifted].max() <= most


def test_the_first_minute_of_each_stage_is_five_times_as_bad_while_warming_up() -> None:
    worse = np.flatnonzero(paths_of("warm-up").treatment[0] > BASELINE)
    assert worse.tolist() == [0, 1, 2, 3, 60, 61, 62, 63, 120, 121, 122, 123]
    assert paths_of("warm-up").treatment.max() == pytest.approx(5 * BASELINE)


@pytest.mark.parametrize("fault", [0.02, 0.05, 0.2, 1.0])
@pytest.mark.parametrize("noise", ["independent", "all", "slow5"])
def test_a_fault_brings_the_treatment_to_its_size_from_the_onset_on(noise: str, fault: float) -> None:
    runs = draw(World(noise, 500, BASELINE, fault=fault), 300, seed=5)
    assert runs.onsets.min() >= 20
    assert runs.onsets.max() <= 160
    assert runs.onsets.mean() == pytest.approx(90, rel=0.1)
    faulty = np.arange(STEPS) >= runs.onsets[:, None]
    ratio = runs.errors[faulty].sum() / runs.requests[faulty].sum()
    assert ratio == pytest.approx(fault, rel=0.15 if noise == "all" else 0.05)  # its bursts come on top
    assert runs.errors[~faulty].sum() / runs.requests[~faulty].sum() < 0.01
    assert runs.control_errors.sum() / runs.control_requests.sum() < 0.01


def test_a_healthy_run_has_no_onset() -> None:
    assert set(draw(World("all", 20), 10, seed=6).onsets) == {NEVER}


def test_a_seed_draws_the_same_again_and_each_part_and_seed_others() -> None:
    world = World("all", 20)
    same, other_part, other_seed = draw(world, 5, 7), draw(world, 5, 7, part=1), draw(world, 5, 8)
    assert np.array_equal(draw(world, 5, 7).requests, same.requests)
    assert not np.array_equal(other_part.requests, same.requests)
    assert not np.array_equal(other_seed.requests, same.requests)


def test_a_history_is_three_days_of_the_noise_of_one_arm() -> None:
    history = draw_history(World("missing", 20, BASELINE), seed=9, index=0)
    seen = [step for step in history if step is not None]
    assert len(history) == 72 * STEPS
    assert 0.9 < len(seen) / len(history) < 0.95
    assert sum(n for n, _ in seen) / len(seen) == pytest.approx(20 * 15, rel=0.02)
    assert sum(a for _, a in seen) / sum(n for n, _ in seen) == pytest.approx(BASELINE, rel=0.02)


def test_a_long_incident_of_the_past_is_in_the_history_only() -> None:
    world = World("after-incident", 20)
    hours = np.array([step[1] for step in draw_history(world, seed=9, index=0) if step]).reshape(72, STEPS).sum(axis=1)
    assert np.flatnonzero(hours > 0.2 * 20 * 3600).tolist() == [10, 11, 12]
    runs = draw(world, 20, seed=9)
    assert runs.errors.sum() / runs.requests.sum() < 0.002


def test_a_brown_out_of_the_treatment_leaves_control_alone() -> None:
    paths = paths_of("arm-brown-out")
    assert {longest_streak(run) for run in paths.treatment > BASELINE} == {8}
    assert np.all(paths.control == BASELINE)


def test_what_happens_in_the_rollout_only_is_not_in_the_history() -> None:
    with_event = draw_history(World("independent", 20, event="incident-20%", fault=0.5), seed=9, index=0)
    assert with_event == draw_history(World("independent", 20), seed=9, index=0)


def test_only_chooses_worlds_by_noise_event_rate_and_fault() -> None:
    worlds = all_worlds()
    assert len(set(worlds)) == len(worlds)
    assert {w.event for w in asked(worlds, {"event": ["gap"]})} == {"gap"}
    healthy = {"noise": ["slow5"], "rate": ["500"], "fault": ["0"]}
    assert asked(worlds, healthy) == [World("slow5", 500, 0.001), World("slow5", 500, 0.005)]
    with pytest.raises(ValueError, match="unknown key 'rps'; use noise"):
        asked(worlds, {"rps": ["1"]})
