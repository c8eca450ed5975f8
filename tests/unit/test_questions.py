"""Questions: windows, spans and steps, so that nothing falls between two judgements and Prometheus can answer."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.judging.evidence import Group, Measurement, Question
from pilotage.judging.questions import LONGEST_SECONDS, Resolved, resolve_indicators, step_for
from pilotage.resources.indicators import IndicatorTemplateSpec
from pilotage.resources.rollout import PilotRolloutSpec
from tests.builders import read_rules

MOST_POINTS = 11_000
DAY = 86400.0


def question_of(criterion: str = "", *, role: str = "rollback", **fields: Any) -> Question:
    query = fields.pop("query", "rate(x[$window])")
    indicator = {"name": "x", "query": query, **fields.pop("indicator", {})}
    said = {"feature": {"flag": "new.search"}, "indicators": [indicator], "steps": [{"name": "one", "users": 1}]}
    if criterion:
        said[role] = [criterion]
    spec = PilotRolloutSpec.model_validate({**said, **fields})
    (rule,) = read_rules(spec, {}, namespace="shop", name="search")
    return rule.question


@pytest.mark.parametrize(
    ("criterion", "window", "span", "step"),
    [
        ("x > 1", 60, 0, 15),
        ("x > 1 for 10m", 60, 600, 15),
        ("x > 1 for 100s", 60, 105, 15),
        ("x > 1 for 6h", 75, 21600, 60),
        ("x > 1 for 1d", 3615, 86400, 3600),
        ("x > 1 for 36h", 3615, 129600, 3600),
        ("x > 1 for 14d", 3615, 15 * 86400 + 3600, 3600),
        ("x > 1 in 1h", 3600, 0, 15),
    ],
)
def test_a_criterion_asks_for_window_span_and_step(criterion: str, window: float, span: float, step: float) -> None:
    asked = question_of(criterion)
    assert (asked.window_seconds, asked.span_seconds, asked.step_seconds) == (window, span, step)


def test_a_go_criterion_over_a_window_asks_whether_data_reach_back_over_it() -> None:
    asked = question_of("x < 1 in 7d", role="go")
    assert asked.window_seconds == 7 * DAY
    assert asked.span_seconds == pytest.approx(7 * DAY)
    assert asked.span_seconds / asked.step_seconds == pytest.approx(20)


@given(st.floats(1, LONGEST_SECONDS), st.sampled_from([1.0, 5.0, 15.0, 60.0, 600.0, 3600.0]))
def test_no_span_asks_for_more_points_than_prometheus_gives(span: float, interval: float) -> None:
    step = step_for(span, interval)
    assert span / step <= MOST_POINTS
    assert span >= DAY or span / step <= 500
    assert step >= interval or span >= DAY


def test_a_window_is_the_indicators_unless_an_objective_names_its_own() -> None:
    objective = {"indicator": "x", "objective": "< 1"}
    assert question_of(objectives=[objective]).window_seconds == 60
    assert question_of(objectives=[objective], indicator={"window": "5m"}).window_seconds == 300
    assert question_of(objectives=[{**objective, "window": "2m"}], indicator={"window": "5m"}).window_seconds == 120


def test_an_objective_is_watched_for_six_intervals_if_nothing_is_said() -> None:
    asked = question_of(objectives=[{"indicator": "x", "objective": "< 1"}])
    assert asked.span_seconds == 6 * 15


def test_the_default_window_holds_two_intervals_where_these_are_long() -> None:
    assert question_of("x > 1", interval="5m").window_seconds == 600


def test_names_are_filled_in_and_the_window_is_left_open() -> None:
    query = 'rate(x{namespace="$namespace",rollout="$rollout",flag=~"$flag",other="$rollouts",end=~"a$"}[$window])'
    filled = 'rate(x{namespace="shop",rollout="search",flag=~"new.search",other="$rollouts",end=~"a$"}[$window])'
    assert question_of("x > 1", query=query).measurement.query == filled


def test_bounds_of_one_objective_share_one_question() -> None:
    objective = {"indicator": "x", "objective": "< 1", "warning": "> 0.5", "critical": "> 2"}
    spec = PilotRolloutSpec.model_validate(
        {
            "feature": {"flag": "f"},
            "indicators": [{"name": "x", "query": "x"}],
            "steps": [{"name": "one", "users": 1}],
            "objectives": [objective],
        }
    )
    assert len({rule.question for rule in read_rules(spec, {}, namespace="shop", name="search")}) == 1


@pytest.mark.parametrize(
    ("step", "now", "end"),
    [
        (1, 1003.9, 1003),
        (15, 1003.9, 1003),
        (60, 1003.9, 1000),
        (3600, 7300, 7200),
        (86400, 7300, 7200),
    ],
)
def test_rollouts_that_are_due_together_ask_on_one_grid(step: float, now: float, end: float) -> None:
    assert Question(Measurement(query="x"), 60, 0, step).end_at(now) == end


@given(st.sampled_from([1.0, 15.0, 60.0, 3600.0]), st.floats(1e9, 2e9), st.floats(0, 1e6))
def test_steps_of_an_aligned_question_are_the_same_stretches_whenever_it_is_asked(
    step: float, now: float, later: float
) -> None:
    asked = Question(Measurement(query="x"), 60, 600, step, aligned=True)
    first, second = asked.end_at(now), asked.end_at(now + later)
    assert (second - first) / step == pytest.approx(round((second - first) / step), abs=1e-6)
    assert 0 <= now - first <= step + 1.1  # the newest step whose scrape is stored


@pytest.mark.parametrize(("step", "now", "end"), [(15, 1019.9, 1005), (60, 1079, 1020), (600, 1079, 1020)])
def test_a_grouped_question_is_the_same_for_all_who_ask_in_an_interval(step: float, now: float, end: float) -> None:
    assert Question(Measurement(query="x", group=Group("flag", "a")), 60, 0, step).end_at(now) == end


def measured_by(template: dict[str, Any], *, flag: str = "new.search", name: str = "search") -> Measurement:
    spec = PilotRolloutSpec.model_validate(
        {
            "feature": {"flag": flag},
            "indicators": [{"name": "x", "templateRef": "t"}],
            "steps": [{"name": "one", "users": 1}],
        }
    )
    templates = {"t": IndicatorTemplateSpec.model_validate(template)}
    resolved = resolve_indicators(spec, templates, namespace="shop", name=name)["x"]
    assert isinstance(resolved, Resolved)
    return resolved.measurement


def test_a_grouped_query_is_the_same_for_all_rollouts_but_for_their_value() -> None:
    template = {
        "errors": 'sum by (flag) (e{flag=~"$flag",ns="$namespace"}[$window])',
        "total": "sum by (flag) (t[$window])",
        "groupBy": {"label": "flag", "value": "$flag"},
    }
    one, other = measured_by(template), measured_by(template, flag="cart")
    assert (
        one.queries
        == other.queries
        == (
            'sum by (flag) (e{flag=~"$group",ns="shop"}[$window])',
            "sum by (flag) (t[$window])",
        )
    )
    assert (one.group, other.group) == (Group("flag", "new.search"), Group("flag", "cart"))


def test_a_group_may_be_told_by_several_names() -> None:
    template = {"query": 'x{r=~"$namespace/$rollout"}', "groupBy": {"label": "r", "value": "$namespace/$rollout"}}
    measured = measured_by(template, name="a")
    assert (measured.query, measured.group) == ('x{r=~"$group"}', Group("r", "shop/a"))
