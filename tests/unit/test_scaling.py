"""The scaling rule: thresholds, steps, cooldowns, and what a lost metric means."""

import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage.tenancy.scaling import (
    GROW_SHARE,
    LOST_SECONDS,
    RISE_FACTOR,
    RISE_PODS,
    Changes,
    Load,
    Targets,
    Wanted,
    load_of,
    scale,
)

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
TARGETS = Targets(value=100.0, minimum=3, maximum=20)
TICK = 15
QUICK = settings(max_examples=30)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def constant(total: float, seconds: float = 900) -> list[Load]:
    """Readings of the last so many seconds, the newest one now."""
    return [Load(at(-age), total) for age in range(int(seconds), -1, -TICK)]


def asked(replicas: int, loads: list[Load], last: Changes | None = None, **said: bool) -> Wanted:
    return scale(TARGETS, replicas, loads, last or Changes(), NOW, **said)


def test_beyond_the_upper_threshold_replicas_rise_by_the_ratio_at_once() -> None:
    wanted = asked(4, [Load(NOW, 4 * 130.0)])
    assert (wanted.replicas, wanted.reason) == (6, "Rising")
    assert wanted.message == "at 130% of the value: 4 to 6 replicas"
    assert wanted.changes == Changes(up_at=NOW, rise_at=NOW, rise_from=4)


def test_at_the_upper_threshold_nothing_rises() -> None:
    assert asked(4, [Load(NOW, 4 * 120.0)]).reason == "Steady"


def test_a_rise_that_has_begun_is_completed_within_its_cooldown_down_to_the_value() -> None:
    begun = Changes(up_at=at(-15), rise_at=at(-15), rise_from=4)
    assert asked(6, [Load(NOW, 6 * 115.0)], begun).replicas == 7
    assert asked(6, [Load(NOW, 6 * 115.0)]).reason == "Steady"


def test_within_a_cooldown_replicas_rise_to_three_times_at_most() -> None:
    first = asked(5, [Load(NOW, 100_000.0)])
    assert first.replicas == 15
    assert asked(15, [Load(NOW, 100_000.0)], first.changes).reason == "Steady"
    later = scale(TARGETS, 15, [Load(at(300), 100_000.0)], first.changes, at(300))
    assert (later.replicas, later.changes.rise_from) == (20, 15)


def test_few_replicas_may_rise_by_four_at_once() -> None:
    targets = Targets(value=100.0, minimum=1, maximum=20)
    assert scale(targets, 1, [Load(NOW, 1000.0)], Changes(), NOW).replicas == 5


def test_between_the_thresholds_one_step_per_cooldown_follows_the_mean_of_a_whole_cooldown() -> None:
    grown = asked(10, constant(10 * 105.0))
    assert (grown.replicas, grown.reason) == (11, "Growing")
    assert asked(10, constant(10 * 105.0, seconds=240)).reason == "Steady"
    assert asked(10, constant(10 * 105.0), Changes(up_at=at(-299))).reason == "Steady"
    assert asked(10, constant(10 * 105.0), Changes(up_at=at(-300))).replicas == 11


def test_below_the_lower_threshold_replicas_are_shed_by_half_and_between_them_by_a_quarter() -> None:
    shed = asked(16, constant(16 * 40.0))
    assert (shed.replicas, shed.reason, shed.changes.down_at) == (8, "Shedding", NOW)
    shrunk = asked(16, constant(16 * 60.0))
    assert (shrunk.replicas, shrunk.reason) == (12, "Shrinking")


def test_replicas_are_removed_only_where_the_highest_load_of_the_window_fits_the_rest() -> None:
    loads = constant(500.0)
    peak = [*loads[:-30], Load(loads[-30].at, 1500.0), *loads[-29:]]
    assert asked(16, loads).replicas < 15
    assert asked(16, peak).replicas >= 15


def test_after_a_change_in_either_direction_the_cooldown_of_the_way_down_must_pass() -> None:
    for last in (Changes(up_at=at(-599)), Changes(down_at=at(-599))):
        assert asked(16, constant(300.0), last).reason == "Cooling"
    assert asked(16, constant(300.0), Changes(up_at=at(-600), down_at=at(-600))).replicas == 8


def test_a_lost_metric_freezes() -> None:
    old = [Load(at(-LOST_SECONDS - 1 - age), 50.0) for age in range(600, -1, -TICK)]
    for loads in ([], old):
        wanted = asked(10, loads)
        assert (wanted.replicas, wanted.reason, wanted.changes) == (10, "MetricLost", Changes())


@pytest.mark.parametrize("average", [None, float("nan"), float("inf"), -1.0])
def test_a_value_that_says_nothing_is_no_load(average: float | None) -> None:
    assert load_of(average, 5, NOW) is None


def test_an_average_over_nothing_is_no_load() -> None:
    assert load_of(100.0, 0, NOW) is None
    assert load_of(100.0, 3, NOW) == Load(NOW, 300.0)


def test_after_a_gap_scale_in_stays_frozen_for_one_window() -> None:
    before = [Load(load.at - timedelta(seconds=1200), load.total) for load in constant(300.0)]
    back = constant(300.0, seconds=585)
    assert asked(10, [*before, *back]).reason == "WindowOpen"
    assert asked(10, [*before, *constant(300.0, seconds=600)]).replicas == 5


def test_while_the_metric_is_silent_nothing_is_removed_though_it_is_not_lost_yet() -> None:
    loads = [Load(load.at - timedelta(seconds=TICK + 1), load.total) for load in constant(300.0)]
    wanted = asked(8, loads)
    assert (wanted.replicas, wanted.reason) == (8, "WindowOpen")
    assert wanted.message == "3 would do, but the metric is silent: nothing is removed"
    assert asked(8, constant(300.0)).replicas < 8


def test_after_a_gap_the_way_up_is_open_at_once() -> None:
    assert asked(10, [Load(NOW, 1300.0)]).replicas == 13


def test_the_bounds_hold_whatever_the_metric_says() -> None:
    assert asked(1, []).replicas == 3
    assert asked(25, []).replicas == 20
    assert asked(2, constant(5000.0)).reason == "Bounded"


def test_nothing_is_taken_away_while_users_are_being_taken_back() -> None:
    for replicas, loads in ((16, constant(300.0)), (25, [])):
        wanted = asked(replicas, loads, leaving=True)
        assert (wanted.replicas, wanted.reason, wanted.changes) == (replicas, "UsersLeaving", Changes())
    assert asked(10, [Load(NOW, 1500.0)], leaving=True).replicas == 15


def test_what_somebody_scaled_to_zero_stays_there() -> None:
    assert asked(0, constant(5000.0)).replicas == 0


loads_of_a_day = st.lists(st.one_of(st.none(), st.floats(min_value=0, max_value=5000)), min_size=60, max_size=160)


def lived(totals: list[float | None], targets: Targets = TARGETS) -> list[tuple[datetime, int, Wanted]]:
    """Each tick with the replicas before it and what was wanted."""
    replicas, loads, changes, told = targets.minimum, [], Changes(), []
    for tick, total in enumerate(totals):
        now = at(tick * TICK)
        if total is not None:
            loads.append(Load(now, total))
        wanted = scale(targets, replicas, loads, changes, now)
        told.append((now, replicas, wanted))
        replicas, changes = wanted.replicas, wanted.changes
    return told


@QUICK
@given(loads_of_a_day)
def test_never_outside_the_bounds(totals: list[float | None]) -> None:
    assert all(TARGETS.minimum <= wanted.replicas <= TARGETS.maximum for _, _, wanted in lived(totals))


@QUICK
@given(loads_of_a_day)
def test_nothing_changes_without_a_metric(totals: list[float | None]) -> None:
    silent = int(LOST_SECONDS / TICK) + 1
    for tick, (_, before, wanted) in enumerate(lived(totals)):
        if tick >= silent and all(total is None for total in totals[tick - silent + 1 : tick + 1]):
            assert wanted.replicas == before


@QUICK
@given(loads_of_a_day)
def test_two_steps_down_are_a_cooldown_apart_and_need_a_window_without_a_gap(totals: list[float | None]) -> None:
    days = lived(totals)
    downs = [now for now, before, wanted in days if wanted.replicas < before]
    assert all(later - earlier >= timedelta(seconds=TARGETS.down_seconds) for earlier, later in pairwise(downs))
    for now in downs:
        tick = int((now - NOW).total_seconds()) // TICK
        first = tick - int(TARGETS.down_seconds) // TICK
        assert first >= 0
        window = totals[max(0, first - 4) : tick + 1]
        known = [place for place, total in enumerate(window) if total is not None]
        assert all(later - earlier <= LOST_SECONDS / TICK for earlier, later in pairwise(known))


@QUICK
@given(loads_of_a_day)
def test_within_a_cooldown_of_the_way_up_replicas_at_most_triple_and_grow_once(totals: list[float | None]) -> None:
    days = lived(totals)
    for index, (now, before, wanted) in enumerate(days):
        if wanted.reason == "Rising":
            begun = wanted.changes.rise_at
            assert begun is not None
            assert now - begun < timedelta(seconds=TARGETS.up_seconds)
            base = wanted.changes.rise_from
            assert wanted.replicas <= max(base * RISE_FACTOR, base + RISE_PODS)
        if wanted.reason == "Growing":
            assert wanted.replicas - before <= max(1, before * GROW_SHARE)
            recent = [each for each in days[:index] if now - each[0] < timedelta(seconds=TARGETS.up_seconds)]
            assert all(each[2].replicas <= each[1] for each in recent)


@QUICK
@given(st.floats(min_value=50, max_value=1900), st.floats(min_value=0, max_value=0.05), st.integers())
def test_a_load_that_only_trembles_makes_nothing_go_back_and_forth(mean: float, noise: float, seed: int) -> None:
    chance = random.Random(seed)
    changes = [
        wanted.replicas - before
        for _, before, wanted in lived([mean * (1 + chance.uniform(-noise, noise)) for _ in range(240)])
    ]
    directions = [change > 0 for change in changes if change]
    assert sum(first != second for first, second in pairwise(directions)) <= 1


@QUICK
@given(st.floats(min_value=1, max_value=2500), st.integers(min_value=3, max_value=20))
def test_a_constant_load_ends_at_replicas_that_carry_it_and_stays_there(total: float, start: int) -> None:
    targets = Targets(value=100.0, minimum=1, maximum=30)
    replicas, changes, loads, seen = start, Changes(), [], []
    for tick in range(300):
        loads.append(Load(at(tick * TICK), total))
        wanted = scale(targets, replicas, loads[-60:], changes, at(tick * TICK))
        replicas, changes = wanted.replicas, wanted.changes
        seen.append(replicas)
    assert 0.0 < total / (100.0 * replicas) <= 1.0 + 1e-9
    assert replicas - 1 < total / 100.0 + 1e-6
    assert len(set(seen[-40:])) == 1
