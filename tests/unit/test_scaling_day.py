"""The simulated day: the HPA in it does what Kubernetes documents, and ours keeps its goals on the days shown."""

import pytest

from bench.scaling.__main__ import goals, table
from bench.scaling.day import GAP_TICKS, TICKS, draw_day
from bench.scaling.hpa import DEFAULTS, Autoscaler
from bench.scaling.rules import OURS, PLAIN, RULES
from bench.scaling.running import Lived, live, score_of


def plain(**said: bool) -> Autoscaler:
    return Autoscaler(DEFAULTS, minimum=2, maximum=60, **said)


@pytest.mark.parametrize(
    ("metric", "wanted"),
    [(1000.0, 10), (1090.0, 10), (1110.0, 12), (910.0, 10), (5000.0, 20), (None, 10)],
)
def test_the_plain_hpa_scales_by_the_ratio_beyond_its_tolerance_and_doubles_at_most(
    metric: float | None, wanted: int
) -> None:
    assert plain().want(0, 10, 10, metric) == wanted


def test_the_plain_hpa_goes_down_by_the_highest_recommendation_of_five_minutes() -> None:
    scaler = plain()
    assert scaler.want(0, 10, 10, 1000.0) == 10
    for tick in range(1, 20):
        assert scaler.want(15 * tick, 10, 10, 300.0) == 10
    assert scaler.want(15 * 20, 10, 10, 300.0) == 3


def test_a_lost_metric_that_reads_zero_ends_at_the_minimum() -> None:
    assert plain(lost_reads_zero=True).want(0, 10, 10, None) == 2


def test_a_day_has_its_spike_and_its_gap_and_is_the_same_for_the_same_seed() -> None:
    day = draw_day(3)
    assert day == draw_day(3)
    assert day != draw_day(4)
    assert len(day.loads) == TICKS
    assert [tick for tick, value in enumerate(day.metric) if value is None] == list(range(day.gap, day.gap + GAP_TICKS))
    assert day.metric[day.gap_end] is not None


@pytest.fixture(scope="module")
def lived() -> dict[str, Lived]:
    """Give one day of the page, lived by ours and by a plain HPA: it takes seconds."""
    return {rule: live(RULES[rule](), draw_day(1)) for rule in (OURS, PLAIN)}


def test_ours_is_less_overloaded_than_a_plain_hpa_and_turns_back_in_no_gap(lived: dict[str, Lived]) -> None:
    ours, other = lived[OURS], lived[PLAIN]
    assert ours.over_percent < other.over_percent
    assert ours.replica_hours <= other.replica_hours * 1.01
    assert ours.gap_reversals == 0 < other.gap_reversals


def test_in_a_gap_ours_removes_nothing(lived: dict[str, Lived]) -> None:
    day = draw_day(1)
    during = lived[OURS].replicas[day.gap + 4 : day.gap_end]
    assert set(during) == {during[0]}


def test_the_page_says_of_each_goal_whether_it_is_met(lived: dict[str, Lived]) -> None:
    scores = [score_of(rule, [each]) for rule, each in lived.items()]
    assert table(scores).count("\n") == 3
    assert [line.split(": ")[1].split(" ")[0] for line in goals(scores).splitlines()][-1] == "met"
