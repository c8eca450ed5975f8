"""Latency as errors: a bound on a quantile bounds the share of slow requests, and every kind of rule can use it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from pilotage.judging.evidence import Answered, NoData, Series
from pilotage.judging.objective import SequentialRule
from pilotage.judging.questions import RuleError
from pilotage.judging.reading import readable_rules
from pilotage.judging.rules import Rule
from pilotage.judging.threshold import ThresholdRule
from pilotage.resources.indicators import IndicatorTemplateSpec
from tests.builders import judge, make_rollout, read_rules

BUCKETS = "sum by (variant, le) (increase(seconds_bucket[$window]))"
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


def spec(objective: dict[str, Any] | None = None, **fields: Any) -> Any:
    builder = make_rollout().indicator("latency", **{"buckets": BUCKETS, **fields.pop("indicator", {})})
    objectives = [{"indicator": "latency", **objective}] if objective else []
    return builder.indicator("errors").step(percent=100).with_spec(objectives=objectives, **fields).obj().spec


def rules(objective: dict[str, Any] | None = None, **fields: Any) -> tuple[Rule, ...]:
    made, wrong = readable_rules(spec(objective, **fields), {}, namespace="shop", name="search")
    if wrong:
        raise wrong[0]
    return made


def refused(objective: dict[str, Any] | None = None, **fields: Any) -> RuleError:
    with pytest.raises(RuleError) as caught:
        rules(objective, **fields)
    return caught.value


def test_an_objective_on_a_quantile_is_judged_like_errors_by_the_sequential_judge() -> None:
    (rule,) = rules({"quantile": 95, "objective": "< 500ms"})
    assert isinstance(rule, SequentialRule)
    assert rule.text == "latency p95 < 500ms"
    assert rule.bound == pytest.approx(0.05)
    assert (rule.tail.measurement.buckets, rule.tail.measurement.above) == (BUCKETS, 0.5)
    assert rule.history.measurement == rule.tail.measurement


def test_warning_and_critical_have_bounds_of_their_own_and_the_same_share() -> None:
    said = {"quantile": "99.5", "objective": "< 50ms", "warning": "> 45ms", "critical": ">= 60ms", "window": "5m"}
    made = rules(said)
    assert all(isinstance(rule, ThresholdRule) for rule in made)
    found = [(r.text, r.op, r.threshold, r.question.measurement.above) for r in made if isinstance(r, ThresholdRule)]
    assert found == [
        ("latency p99.5 < 50ms", "<=", 0.005, 0.05),
        ("latency p99.5 > 45ms", ">", 0.005, 0.045),
        ("latency p99.5 >= 60ms", ">", 0.005, 0.06),
    ]
    assert len({rule.question.measurement.queries for rule in made if isinstance(rule, ThresholdRule)}) == 1


def test_the_finding_names_the_share_and_the_bound() -> None:
    said = {"quantile": 95, "objective": "< 500ms", "window": "5m", "judge": "threshold"}
    (rule,) = read_rules(spec(said), {})
    times = tuple(NOW.timestamp() - 10 * back for back in reversed(range(7)))
    finding = judge(rule, Answered((("on", Series(times, (0.061,) * 7, (100.0,) * 7)),)), NOW)
    assert (finding.verdict, finding.message) == ("breach", "latency over 500ms 6.1% > 5% for 1m")
    missing = NoData("0.3 is no boundary of the histogram's buckets: take 0.25 or 0.5, or add the bucket")
    assert judge(rule, missing, NOW).verdict == "no-data"


def test_an_indicator_above_a_bound_is_a_ratio_for_every_rule() -> None:
    indicator = {"above": "500ms"}
    inputs = [{"indicator": "latency", "weight": 1, "worst": "10%", "best": "0%"}]
    score = {"name": "speed", "inputs": inputs, "acceptable": 8, "excellent": 9}
    made = rules(
        {"objective": "< 5%"},
        indicator=indicator,
        rollback=["latency > 20% for 10m"],
        go=["latency <= 5% for 14d", "lift(latency) < -5% significant", "score(speed) >= 8"],
        scores=[score],
        burnRates=[{"indicator": "latency", "budget": "5%"}],
    )
    assert isinstance(made[0], SequentialRule)
    assert len(made) == 6
    error = refused(indicator=indicator, rollback=["latency > 1s"])
    assert error.message == "compares seconds with percent: latency is a ratio; write a percentage such as 1%"


def test_a_template_may_bring_the_buckets_and_the_rollout_the_bound() -> None:
    template = IndicatorTemplateSpec(buckets=BUCKETS, above="1s")
    builder = make_rollout().indicator("latency", templateRef="latency", above="250ms").step(percent=100)
    (rule,) = read_rules(builder.with_spec(rollback=["latency > 5%"]).obj().spec, {"latency": template})
    assert rule.question.measurement.above == 0.25


@pytest.mark.parametrize(
    ("objective", "fields", "field", "message"),
    [
        (
            None,
            {"rollback": ["latency > 1s"]},
            "spec.rollback[0]",
            "latency is a histogram, which has no single value: give the indicator `above`, or bound it by",
        ),
        (
            {"objective": "< 1s"},
            {},
            "spec.objectives[0].indicator",
            "latency is a histogram, which has no single value",
        ),
        (
            {"indicator": "errors", "quantile": 95, "objective": "< 1%"},
            {},
            "spec.objectives[0].quantile",
            "is for histograms: give errors buckets, or leave quantile away",
        ),
        (
            {"quantile": 95, "objective": "< 1%"},
            {"indicator": {"above": "1s"}},
            "spec.objectives[0].quantile",
            "latency is already the share above a bound: leave quantile or above away",
        ),
        (
            {"quantile": 95, "objective": "> 1s"},
            {},
            "spec.objectives[0].quantile",
            "bounds what is slow: write the objective as an upper limit, not > 1s",
        ),
        (
            {"quantile": 95, "objective": "< 1s", "critical": "== 5s"},
            {},
            "spec.objectives[0].critical",
            "== 5s can't bound a quantile: write < for what is good, > for what is bad",
        ),
        (
            {"quantile": 95, "objective": "< 1%"},
            {},
            "spec.objectives[0].objective",
            "compares seconds with percent: latency is in seconds; write 1s or 1000ms",
        ),
        (
            None,
            {"indicator": {"above": "5%"}},
            "spec.indicators[0].above",
            "compares seconds with percent: latency is in seconds; write 5s or 5000ms",
        ),
        (None, {"indicator": {"above": "quick"}}, "spec.indicators[0].above", "'quick' is no value with its unit"),
        (None, {"indicator": {"unit": "ratio"}}, "spec.indicators[0].unit", "says ratio, but unit is that of the"),
        (
            None,
            {"indicator": {"history": {"errors": "e", "total": "t"}}},
            "spec.indicators[0].history",
            "is for errors and total: a histogram learns from its own buckets",
        ),
        (
            None,
            {"indicator": {"buckets": None, "query": "x", "above": "1s"}},
            "spec.indicators[0].above",
            "is for histograms: give buckets, or leave above away",
        ),
    ],
)
def test_what_makes_no_sense_names_its_field_and_the_remedy(
    objective: dict[str, Any] | None, fields: dict[str, Any], field: str, message: str
) -> None:
    error = refused(objective, **fields)
    assert error.field == field
    assert error.message.startswith(message)


def test_sizes_are_bounded_by_plain_numbers() -> None:
    (rule,) = rules({"quantile": 99, "objective": "<= 4096"}, indicator={"unit": "count"})
    assert isinstance(rule, SequentialRule)
    assert rule.tail.measurement.above == 4096
