"""Rules: what a spec wants judged, and what is refused with its field and the remedy."""

from typing import Any

import pytest

from pilotage.judging.questions import RuleError, indicator_question
from pilotage.judging.reading import readable_rules
from pilotage.judging.threshold import ThresholdRule
from pilotage.resources.indicators import IndicatorTemplateSpec
from pilotage.resources.rollout import PilotRolloutSpec
from tests.builders import make_rollout, read_rules

INDICATORS = [
    {"name": "errors", "errors": "e[$window]", "total": "t[$window]"},
    {"name": "p95", "query": "h[$window]", "unit": "seconds"},
    {"name": "satisfaction", "query": "s", "unit": "score"},
    {"name": "tickets", "query": "increase(t[$window])", "unit": "count"},
    {"name": "plain", "query": "x"},
]


def spec(**fields: Any) -> PilotRolloutSpec:
    said = {"feature": {"flag": "f"}, "indicators": INDICATORS, "steps": [{"name": "one", "users": 1}], **fields}
    return PilotRolloutSpec.model_validate(said)


def rules(**fields: Any) -> tuple[ThresholdRule, ...]:
    templates = fields.pop("templates", {})
    return read_rules(spec(**fields), templates, namespace="shop", name="search")


def refused(**fields: Any) -> RuleError:
    with pytest.raises(RuleError) as caught:
        rules(**fields)
    return caught.value


def test_rules_come_in_the_order_of_the_spec_with_their_fields() -> None:
    made = rules(
        objectives=[
            {"indicator": "errors", "objective": "< 1%", "judge": "threshold", "warning": "> 0.5%", "critical": "> 5%"}
        ],
        go=["satisfaction >= 8.5 for 60d"],
        steps=[{"name": "one", "users": 1, "go": ["tickets < 50 in 1h"]}, {"name": "two", "users": 2}],
        noGo=["satisfaction < 8"],
        rollback=["errors > 1% for 10m"],
        throttle=["p95 > 3s"],
    )
    assert [(rule.role, rule.field, rule.step) for rule in made] == [
        ("objective", "spec.objectives[0].objective", None),
        ("warning", "spec.objectives[0].warning", None),
        ("critical", "spec.objectives[0].critical", None),
        ("go", "spec.go[0]", None),
        ("go", "spec.steps[0].go[0]", "one"),
        ("noGo", "spec.noGo[0]", None),
        ("rollback", "spec.rollback[0]", None),
        ("throttle", "spec.throttle[0]", None),
    ]
    assert [rule.text for rule in made][:3] == ["errors < 1%", "errors > 0.5%", "errors > 5%"]
    assert [rule.on_breach for rule in made] == [
        *("hold", "hold", "rollback"),
        *("hold", "hold", "hold", "rollback", "throttle"),
    ]


def test_an_objective_that_breaks_does_what_on_breach_says() -> None:
    (rule,) = rules(
        objectives=[{"indicator": "errors", "objective": "< 1%", "judge": "threshold", "onBreach": "rollback"}]
    )
    assert rule.on_breach == "rollback"


def test_values_are_in_base_units() -> None:
    (objective,) = rules(objectives=[{"indicator": "p95", "objective": "< 50ms"}])
    (ratio,) = rules(rollback=["errors > 1%"])
    assert (objective.threshold, ratio.threshold) == (0.05, 0.01)


@pytest.mark.parametrize(
    ("rule", "bad", "good"),
    [
        (rules(objectives=[{"indicator": "errors", "objective": "< 1%", "judge": "threshold"}])[0], 0.01, 0.0099),
        (rules(go=["satisfaction >= 8"])[0], 7.9, 8.0),
        (rules(rollback=["errors > 1%"])[0], 0.011, 0.01),
        (rules(noGo=["plain == 3"])[0], 3.0, 2.0),
        (rules(go=["plain == 3"])[0], 2.0, 3.0),
    ],
)
def test_bad_means_missed_for_what_must_hold_and_met_for_what_must_not_apply(
    rule: ThresholdRule, bad: float, good: float
) -> None:
    assert rule.is_bad(bad)
    assert not rule.is_bad(good)


@pytest.mark.parametrize(
    ("criterion", "message"),
    [
        ("p95 > 3%", "compares seconds with percent: p95 is in seconds; write 3s or 3000ms"),
        ("p95 > 3", "compares seconds with a plain number: p95 is in seconds; write 3s or 3000ms"),
        ("errors > 3s", "compares seconds with percent: errors is a ratio; write a percentage such as 1%"),
        ("errors > 1", "1 may mean 1% or 100%: errors is a ratio; write the %"),
        ("satisfaction > 8%", "compares percent with a score: satisfaction is a score; write a plain number such as 8"),
        ("tickets > 5s", "compares seconds with a count: tickets is a count; write a plain number such as 5"),
        (
            "plain > 3s",
            (
                "compares seconds with an indicator that declares no unit: add `unit: seconds` to plain, or write a"
                " plain number"
            ),
        ),
        (
            "latency > 3s",
            (
                "names the indicator 'latency', which is not defined: add it to spec.indicators"
                " (defined: errors, p95, satisfaction, tickets, plain)"
            ),
        ),
        (
            "satisfaction > 8 in 5m",
            "sets a window, but the queries of satisfaction don't use $window: write it there",
        ),
        (
            "tickets > 50 in 20s",
            (
                "the window 20s is shorter than two intervals: events would fall between two judgements; write at least"
                " 30s, or shorten spec.interval"
            ),
        ),
        ("errors > 1% for 5s", "`for 5s` is shorter than spec.interval: write at least 15s"),
        ("errors > 1% for 500d", "500d is longer than 400d: shorten it"),
    ],
)
def test_a_criterion_that_makes_no_sense_names_its_field_and_the_remedy(criterion: str, message: str) -> None:
    error = refused(rollback=["errors > 5%", criterion])
    assert (error.field, error.message) == ("spec.rollback[1]", message)


@pytest.mark.parametrize("criterion", ["errors > 0", "p95 > 0", "errors > 0.05", "plain > 7", "tickets > 0"])
def test_zero_fits_every_unit_and_a_ratio_may_be_a_fraction(criterion: str) -> None:
    assert rules(rollback=[criterion])


@pytest.mark.parametrize(
    ("objective", "field", "message"),
    [
        (
            {"objective": "< 50ms", "warning": "< 40ms"},
            "warning",
            "warning says when it is violated, and < 40ms is what the objective calls good: write `>= 40ms`",
        ),
        (
            {"objective": "< 50ms", "critical": "> 40ms"},
            "critical",
            "critical > 40ms would roll back while the objective < 50ms still holds: put it beyond the objective",
        ),
        (
            {"objective": "< 50ms", "warning": "> 80ms", "critical": "> 60ms"},
            "warning",
            "warning > 80ms would show only after critical > 60ms rolled back: put it before critical",
        ),
        (
            {"objective": "< 50"},
            "objective",
            "compares seconds with a plain number: p95 is in seconds; write 50s or 50000ms",
        ),
        ({"objective": "< 50ms", "window": "15s"}, "window", None),
        ({"objective": "< 50ms", "for": "1s"}, "for", None),
    ],
)
def test_an_objective_that_makes_no_sense_names_its_field(
    objective: dict[str, str], field: str, message: str | None
) -> None:
    error = refused(objectives=[{"indicator": "p95", **objective}])
    assert error.field == f"spec.objectives[0].{field}"
    assert message is None or error.message == message


def test_an_unknown_template_is_named() -> None:
    error = refused(indicators=[{"name": "errors", "templateRef": "gone"}], rollback=["errors > 1%"])
    assert error.field == "spec.indicators[0].templateRef"
    assert error.message == "there is no IndicatorTemplate 'gone': create it, or correct the name"


def test_a_template_brings_queries_unit_and_window() -> None:
    template = IndicatorTemplateSpec(query="rate(x[$window])", unit="seconds", window="5m", variant_label="arm")
    (rule,) = rules(
        indicators=[{"name": "p95", "templateRef": "latency"}], rollback=["p95 > 3s"], templates={"latency": template}
    )
    assert (rule.unit, rule.question.window_seconds) == ("seconds", 300.0)
    assert (rule.question.measurement.query, rule.question.measurement.variant_label) == ("rate(x[$window])", "arm")


def test_an_indicator_that_contradicts_its_template_is_refused() -> None:
    template = IndicatorTemplateSpec(query="x", unit="seconds")
    error = refused(
        indicators=[{"name": "p95", "templateRef": "latency", "unit": "score"}], templates={"latency": template}
    )
    assert error.field == "spec.indicators[0].unit"


def test_errors_and_total_make_a_ratio_whatever_is_declared() -> None:
    assert rules(rollback=["errors > 1%"])[0].unit == "ratio"
    wrong = [{"name": "errors", "errors": "e", "total": "t", "unit": "count"}]
    error = refused(indicators=wrong)
    assert error.message == "says count, but errors and total make a ratio: leave unit away"


def test_the_population_is_asked_for_as_it_is_now() -> None:
    question = indicator_question(spec(), {}, "plain", namespace="shop", name="search")
    assert (question.measurement.query, question.span_seconds) == ("x", 0.0)
    with pytest.raises(RuleError, match=r"^spec.audience.population.indicator: names the indicator 'users'"):
        indicator_question(spec(), {}, "users", namespace="shop", name="search")


def test_a_mistaken_warning_costs_neither_the_objective_nor_critical() -> None:
    said = {"indicator": "p95", "objective": "< 50ms", "warning": "> 80ms", "critical": "> 60ms"}
    builder = make_rollout().indicator("p95", query="p95[$window]", unit="seconds").step(percent=100)
    made, wrong = readable_rules(builder.with_spec(objectives=[said]).obj().spec, {}, namespace="shop", name="search")
    assert [rule.role for rule in made] == ["objective", "warning", "critical"]
    assert [error.field for error in wrong] == ["spec.objectives[0].warning"]


@pytest.mark.parametrize(
    ("unit", "objective", "warning", "critical"),
    [
        ("seconds", "< 50ms", "> 45ms", "> 60ms"),  # warns before the objective is missed
        ("ratio", ">= 99.9%", "< 99.8%", "< 99.5%"),  # warns after it is
        ("ratio", "< 0.1%", "> 0.5%", "> 1%"),
        ("count", "== 0", "> 0", "> 2"),
    ],
)
def test_a_warning_may_come_before_the_objective_is_missed_or_after(
    unit: str, objective: str, warning: str, critical: str
) -> None:
    said = {"indicator": "x", "objective": objective, "warning": warning, "critical": critical, "window": "5m"}
    builder = make_rollout().indicator("x", query="x[$window]", unit=unit).step(percent=100)
    made = read_rules(builder.with_spec(objectives=[said]).obj().spec, {})
    assert [(rule.role, rule.on_breach) for rule in made] == [
        ("objective", "hold"),
        ("warning", "hold"),
        ("critical", "rollback"),
    ]
    assert {rule.question.window_seconds for rule in made} == {300.0}
