"""The peers' rules decide on hand-made series exactly as their documentation says."""

from collections.abc import Iterable

import numpy as np

from bench.decisions.clock import STEPS
from bench.decisions.rules.burn_rate import burn_rate
from bench.decisions.rules.confidence import confidence_sequence
from bench.decisions.rules.failure_limit import failure_limit
from bench.decisions.rules.mann_whitney import is_high, mann_whitney
from bench.decisions.rules.strikes import strikes
from bench.decisions.worlds import NEVER, Counts, Runs


def rollout(
    *,
    errors: float = 0,
    bad: Iterable[int] = (),
    requests: int = 1000,
    silent: Iterable[int] = (),
    idle: Iterable[int] = (),
    control_errors: float = 0,
) -> Runs:
    """One run: so many errors in the bad minutes (from 0), none before; lost scrapes and scrapes without requests."""
    present = np.ones((1, STEPS), dtype=np.bool_)
    present[0, list(silent)] = False
    asked = np.full((1, STEPS), requests) * present
    asked[0, list(idle)] = 0
    failed = np.zeros((1, STEPS), dtype=np.int64)
    for minute in bad:
        failed[0, 4 * minute : 4 * minute + 4] = round(errors * requests)
    control = np.full((1, STEPS), requests) * present
    return Runs(
        requests=asked,
        errors=np.minimum(failed, asked),
        control_requests=control,
        control_errors=(control * control_errors).astype(np.int64),
        seen=present,
        onsets=np.full(1, NEVER),
    )


def scrapes(*minutes: int) -> list[int]:
    return [4 * minute + scrape for minute in minutes for scrape in range(4)]


def minute_after(step: Counts) -> float:
    """Minutes from the start to the end of the step."""
    return float(step[0] + 1) / 4


def test_flagger_rolls_back_at_the_tick_after_the_fifth_strike() -> None:
    assert minute_after(strikes(rollout(errors=0.02, bad=range(10, 15)))) == 16


def test_flagger_forgives_four_strikes_and_a_ratio_at_the_limit() -> None:
    assert strikes(rollout(errors=0.02, bad=range(10, 14)))[0] == NEVER
    assert strikes(rollout(errors=0.01, bad=range(60)))[0] == NEVER


def test_flagger_never_takes_a_strike_back() -> None:
    assert minute_after(strikes(rollout(errors=0.02, bad=[0, 12, 24, 36, 48]))) == 50


def test_flagger_counts_lost_metrics_and_idle_minutes_as_strikes() -> None:
    assert minute_after(strikes(rollout(silent=scrapes(5, 6, 7, 8, 9)))) == 11
    assert minute_after(strikes(rollout(idle=scrapes(5, 6, 7, 8, 9)))) == 11


def test_flagger_has_no_tick_after_the_hour() -> None:
    assert strikes(rollout(errors=0.02, bad=range(55, 60)))[0] == NEVER


def test_argo_aborts_at_the_fourth_failed_measurement_with_a_failure_limit_of_three() -> None:
    assert minute_after(failure_limit(rollout(errors=0.02, bad=[3, 20, 40, 50]), minutes=1)) == 51
    assert failure_limit(rollout(errors=0.02, bad=[3, 20, 40]), minutes=1)[0] == NEVER


def test_argo_at_five_minutes_averages_a_bad_minute_away() -> None:
    assert failure_limit(rollout(errors=0.04, bad=range(0, 60, 5)), minutes=5)[0] == NEVER
    assert minute_after(failure_limit(rollout(errors=0.04, bad=range(10, 60)), minutes=5)) == 30


def test_argo_fails_a_measurement_without_requests() -> None:
    assert minute_after(failure_limit(rollout(idle=scrapes(5, 6, 7, 8)), minutes=1)) == 9


def test_argo_aborts_after_five_errors_in_forty_seconds_without_metrics() -> None:
    assert minute_after(failure_limit(rollout(silent=scrapes(5, 6)), minutes=1)) == 6.75
    assert failure_limit(rollout(silent=scrapes(5)), minutes=1)[0] == NEVER
    assert failure_limit(rollout(silent=scrapes(5, 6, 7)), minutes=5)[0] == NEVER


def test_the_burn_rate_needs_both_windows_to_burn() -> None:
    hot, warm = 0.05, 0.0144
    assert minute_after(burn_rate(rollout(errors=hot, bad=range(60)))) == 0.5
    assert burn_rate(rollout(errors=warm, bad=range(60)))[0] == NEVER
    # 5 % for 5 minutes after 30 good ones: the short window burns, the long one has 0.7 %
    assert burn_rate(rollout(errors=hot, bad=range(30, 35)))[0] == NEVER
    assert minute_after(burn_rate(rollout(errors=hot, bad=range(10, 60)))) == 14.5


def test_the_burn_rate_is_silent_about_lost_metrics() -> None:
    assert burn_rate(rollout(silent=range(STEPS)))[0] == NEVER


def test_kayenta_judges_after_ten_minutes_at_the_earliest() -> None:
    assert minute_after(mann_whitney(rollout(errors=0.02, bad=range(60), control_errors=0.001))) == 10
    assert mann_whitney(rollout(control_errors=0.001))[0] == NEVER


def test_kayenta_is_blind_to_a_fault_in_the_last_quarter() -> None:
    assert mann_whitney(rollout(errors=0.5, bad=range(45, 60), control_errors=0.001))[0] == NEVER


def test_kayenta_tolerates_a_quarter_of_the_shift() -> None:
    control = np.arange(30.0) / 1000
    assert is_high(control + 0.1, control)
    assert not is_high(control + 0.002, control)
    assert not is_high(control - 0.1, control)


def test_kayenta_without_points_has_no_verdict() -> None:
    assert not is_high(np.array([np.nan] * 10), np.arange(10.0))
    assert mann_whitney(rollout(silent=range(STEPS)))[0] == NEVER


def test_the_shift_interval_is_that_of_the_rank_sum_test() -> None:
    # of 100 ordered differences the lower bound is the 19th (50 - 2.3263 * sqrt(10 * 10 * 21 / 12) = 19.2): with a
    # shift of 6 it is 2 and more than 6 / 4, with a shift of 5 it is 1 and less than 5 / 4
    control = np.arange(10.0)
    assert is_high(control + 6, control)
    assert not is_high(control + 5, control)


def test_the_confidence_sequence_rolls_back_for_any_certain_harm() -> None:
    assert minute_after(confidence_sequence(rollout(errors=0.02, bad=range(60), control_errors=0.001))) < 1
    assert confidence_sequence(rollout(errors=0.001, bad=range(60), control_errors=0.001))[0] == NEVER


def test_the_confidence_sequence_has_the_published_width() -> None:
    # 1,000 requests in each arm, 2 % and 0.1 %: standard error 0.004538, 2,000 rho^2 = 3.174; the width is
    # 0.004538 * sqrt(2 * 4.174 / 3.174 * ln(sqrt(4.174) / 0.05)) = 0.0142 < 0.019; at 1.2 % it's 0.0112 > 0.011
    assert confidence_sequence(rollout(errors=0.02, bad=range(60), control_errors=0.001))[0] == 0
    assert confidence_sequence(rollout(errors=0.014, bad=range(60), control_errors=0.001))[0] == 0
    assert confidence_sequence(rollout(errors=0.012, bad=range(60), control_errors=0.001))[0] == 1
