"""Health scores: what the points are, what missing data does to them, and what criteria make of them."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.judging.criteria import parse_bound
from pilotage.judging.evidence import Answer, Answered, Evidence, NoData, Question, Series, Unavailable
from pilotage.judging.questions import RuleError
from pilotage.judging.reading import readable_rules
from pilotage.judging.score import Score
from pilotage.judging.score_rule import ScoreRule
from pilotage.judging.score_spec import readable_scores
from pilotage.judging.weighing import Input, weigh, weigh_series
from pilotage.resources.durations import DAY, HOUR
from pilotage.resources.rollout import PilotRollout
from tests.builders import make_rollout

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)

CUSTOMER: dict[str, Any] = {
    "name": "customer",
    "template": "customer",
    "inputs": [
        {"indicator": "satisfaction", "worst": 0, "best": 10},
        {"indicator": "retention", "worst": "80%", "best": "100%"},
        {"indicator": "adoption", "worst": 0, "best": 1},
        {"indicator": "task_completion", "as": "completion", "worst": "50%", "best": "100%", "critical": "< 60%"},
    ],
}
"""Weights 30, 30, 20, 20; acceptable from 8, excellent from 9."""

FINE = {"satisfaction": 9.0, "retention": 0.98, "adoption": 0.8, "task_completion": 0.9}
"""Worth 9, 9, 8 and 8: 8.6 in all."""


def pilot(*scores: Mapping[str, Any], **criteria: Any) -> PilotRollout:
    made = make_rollout().step(users=1).with_spec(scores=list(scores or [CUSTOMER]), **criteria)
    made.indicator("satisfaction", query="avg(satisfaction)", unit="score")
    for name in ("retention", "adoption", "task_completion"):
        made.indicator(name, query=f"avg({name}_ratio)", unit="ratio")
    made.indicator("p95", query="p95", unit="seconds").indicator("errors")
    return made.obj()


def scores_of(rollout: PilotRollout) -> tuple[Score, ...]:
    return readable_scores(rollout.spec, {}, namespace="shop", name="search")


def rules_of(rollout: PilotRollout) -> tuple[Any, ...]:
    rules, wrong = readable_rules(rollout.spec, {}, namespace="shop", name="search")
    if wrong:
        raise wrong[0]
    return rules


def rule(text: str, role: str = "go") -> ScoreRule:
    (made,) = rules_of(pilot(**{role: [text]}))
    assert isinstance(made, ScoreRule)
    return made


def flat(question: Question, value: float, *, until: datetime = NOW) -> Answer:
    step = question.step_seconds
    times = tuple(until.timestamp() - place * step for place in range(question.steps, -1, -1))
    return Answered((("on", Series(times, (value,) * len(times))),))


def evidence(score: Score, values: Mapping[str, float | Answer]) -> Evidence:
    """What is said of each input; nothing of those that are not named."""
    answers: dict[Question, Answer] = {}
    for each, question in zip(score.inputs, score.questions, strict=True):
        said = values.get(each.indicator, NoData("Prometheus has no data"))
        answers[question] = flat(question, said) if isinstance(said, float) else said
    return Evidence(answers)


def test_a_score_is_the_mean_of_its_points_by_weight() -> None:
    (score,) = scores_of(pilot())
    seen = score.present(evidence(score, FINE), NOW)
    assert (seen.value, seen.rating, seen.message) == ("8.6", "acceptable", "")
    assert [(each.value, each.points, each.weight) for each in seen.inputs] == [
        ("9", "9", "30%"),
        ("98%", "9", "30%"),
        ("80%", "8", "20%"),
        ("90%", "8", "20%"),
    ]


@pytest.mark.parametrize(
    ("satisfaction", "rating"), [(10.0, "acceptable"), (7.0, "acceptable"), (6.9, "poor"), (0.0, "poor")]
)
def test_the_rating_follows_the_templates_thresholds(satisfaction: float, rating: str) -> None:
    (score,) = scores_of(pilot())
    assert score.present(evidence(score, {**FINE, "satisfaction": satisfaction}), NOW).rating == rating


def test_excellent_begins_at_its_threshold() -> None:
    (score,) = scores_of(pilot())
    assert [score.rating(value) for value in (7.99, 8.0, 8.99, 9.0, 10.0, None)] == [
        *("poor", "acceptable", "acceptable", "excellent", "excellent", "unknown"),
    ]


def test_less_is_better_where_best_is_below_worst() -> None:
    latency = Input("p95", "seconds", 1, worst=0.5, best=0.05)
    assert [latency.points(value) for value in (0.01, 0.05, 0.275, 0.5, 3.0)] == pytest.approx([10, 10, 5, 0, 0])


def test_a_broken_critical_input_makes_it_zero_however_good_the_rest_is() -> None:
    (score,) = scores_of(pilot())
    seen = score.present(evidence(score, {**FINE, "task_completion": 0.59}), NOW)
    assert (seen.value, seen.rating) == ("0", "poor")
    assert seen.message == "task_completion 59% is critical (< 60%): the score is 0"
    alone = score.present(evidence(score, {"task_completion": 0.59}), NOW)
    assert alone.value == "0"  # whatever the others are


def test_a_missing_critical_input_gives_no_score() -> None:
    (score,) = scores_of(pilot())
    seen = score.present(evidence(score, {name: FINE[name] for name in ("satisfaction", "retention", "adoption")}), NOW)
    assert (seen.value, seen.rating, seen.message) == ("", "unknown", "no data for task_completion, which is critical")


def test_half_of_the_weight_is_enough_and_the_rest_is_named() -> None:
    (score,) = scores_of(pilot())
    seen = score.present(evidence(score, {"satisfaction": 9.0, "task_completion": 0.9}), NOW)  # 30 and 20 of 100
    assert (seen.value, seen.rating) == ("8.6", "acceptable")  # (30 x 9 + 20 x 8) / 50
    assert seen.message == "no data for retention, adoption; the others count for the whole"
    assert [each.weight for each in seen.inputs] == ["60%", "", "", "40%"]
    less = score.present(evidence(score, {"adoption": 0.8, "task_completion": 0.9}), NOW)
    assert less.rating == "unknown"
    assert less.message == "no data for satisfaction, retention, which is more than half of the weight"


def test_an_old_value_is_no_data() -> None:
    (score,) = scores_of(pilot())
    old = flat(score.questions[3], 0.9, until=NOW - timedelta(minutes=5))
    assert score.present(evidence(score, {**FINE, "task_completion": old}), NOW).rating == "unknown"


def test_a_criterion_on_a_score_compares_it_now() -> None:
    made = rule("score(customer) >= 8.0")
    found = made.judge(evidence(made.score, FINE), NOW)
    assert (found.verdict, found.value, found.message) == ("pass", "8.6", "score(customer) 8.6 >= 8")
    poor = made.judge(evidence(made.score, {**FINE, "satisfaction": 2.0}), NOW)
    assert (poor.verdict, poor.message) == ("breach", "score(customer) 6.5 < 8")


def test_a_criterion_on_a_score_says_what_is_missing() -> None:
    made = rule("score(customer) >= 8.0")
    found = made.judge(evidence(made.score, {**FINE, "retention": NoData("empty")}), NOW)
    assert found.verdict == "pass"
    assert found.message == "score(customer) 8.43 >= 8; no data for retention; the others count for the whole"
    nothing = made.judge(evidence(made.score, {}), NOW)
    assert nothing.verdict == "no-data"
    assert nothing.message == "score(customer): no data for task_completion, which is critical"
    out = made.judge(evidence(made.score, {**FINE, "task_completion": Unavailable("can't be reached")}), NOW)
    assert (out.verdict, out.message) == ("unavailable", "score(customer): can't be reached")


def test_a_score_has_to_hold_for_days_without_a_break() -> None:
    made = rule("score(customer) >= 8.0 for 7d")
    held = made.judge(evidence(made.score, FINE), NOW)
    assert (held.verdict, held.message) == ("pass", "score(customer) 8.6 >= 8 (held 7d)")
    question = made.score.questions[0]
    assert question.step_seconds == HOUR
    steps = range(question.steps, -1, -1)
    times = tuple(NOW.timestamp() - place * HOUR for place in steps)
    bad_days = tuple(2.0 if 3 * DAY < place * HOUR < 5 * DAY else 9.0 for place in steps)
    broken = Answered((("on", Series(times, bad_days)),))
    found = made.judge(evidence(made.score, {**FINE, "satisfaction": broken}), NOW)
    assert found.verdict == "pending"
    assert "held 2d of 7d" in found.message
    assert found.earliest == datetime(2026, 3, 7, tzinfo=UTC)


def test_steps_of_inputs_on_different_grids_meet() -> None:
    made = rule("score(customer) >= 8.0 for 5m")
    answers = dict(evidence(made.score, FINE).answers)
    for question in made.score.questions[1:]:
        answers[question] = flat(question, FINE["retention"], until=NOW - timedelta(seconds=9))  # steps of 10 s
    series = made.score.series(Evidence(answers), NOW)
    assert len(series.times) == made.score.questions[0].steps + 1


@pytest.mark.parametrize("role", ["rollback", "throttle"])
def test_no_score_takes_users_away(role: str) -> None:
    with pytest.raises(RuleError, match=rf"spec\.{role}\[0\]: score\(customer\) can't take users away"):
        rules_of(pilot(**{role: ["score(customer) < 5"]}))


@pytest.mark.parametrize("role", ["noGo", "go"])
def test_a_score_may_hold_a_rollout(role: str) -> None:
    assert rule("score(customer) >= 3", role).on_breach == "hold"


def test_a_template_can_be_changed_input_by_input() -> None:
    weights = [{**CUSTOMER["inputs"][0], "weight": 70}, {**CUSTOMER["inputs"][1], "as": "retention"}]
    (score,) = scores_of(pilot({**CUSTOMER, "inputs": weights, "acceptable": "6.5", "excellent": 7}))
    assert [each.weight for each in score.inputs] == [70, 30]
    assert (score.acceptable, score.excellent) == (6.5, 7.0)


def _with(**changes: Any) -> dict[str, Any]:
    return {**CUSTOMER, "inputs": [{**CUSTOMER["inputs"][0], **changes}]}


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (_with(indicator="nps"), "inputs[0].indicator: names the indicator 'nps', which is not defined"),
        (_with(**{"as": "joy"}), "inputs[0].as: the template has no input joy: write `as:` with one of satisfaction,"),
        (_with(worst=5, best="5.0"), "inputs[0].best: is the same as worst"),
        (_with(worst="0ms"), "inputs[0].worst: compares seconds with a score"),
        (_with(best="ten"), "inputs[0].best: 'ten' is no value: write a number with its unit"),
        (_with(critical="< 50%"), "inputs[0].critical: compares percent with a score"),
        ({**CUSTOMER, "acceptable": 11}, "acceptable: 11 is not between 0 and 10"),
        ({**CUSTOMER, "acceptable": "9.5"}, "excellent: 9 is less than acceptable 9.5"),
        ({**_with(), "template": None, "acceptable": 8}, "inputs[0].as: without a template, give it a weight"),
        ({**_with(weight=1), "template": None}, "acceptable: say from how many points on it is acceptable"),
    ],
)
def test_a_score_that_makes_no_sense_is_refused_with_its_field(score: dict[str, Any], message: str) -> None:
    with pytest.raises(RuleError) as raised:
        rules_of(pilot(score))
    assert str(raised.value).startswith(f"spec.scores[0].{message}")


def test_a_criterion_on_an_unknown_score_is_refused() -> None:
    with pytest.raises(RuleError, match=r"spec.go\[0\]: names the score 'technical', .* \(defined: customer\)"):
        rules_of(pilot(go=["score(technical) >= 8"]))


_INPUTS = st.builds(
    Input,
    indicator=st.sampled_from("abcdef"),
    unit=st.none(),
    weight=st.integers(1, 1000).map(float),
    worst=st.floats(-1e6, 0),
    best=st.floats(1, 1e6),
    critical=st.none() | st.just(parse_bound("< -5")),
)
_LISTS = st.lists(_INPUTS, min_size=1, max_size=6, unique_by=lambda each: each.indicator)
_VALUES = st.dictionaries(st.sampled_from("abcdef"), st.floats(-1e7, 1e7))


@given(_LISTS, _VALUES)
def test_a_score_is_between_its_worst_and_its_best_input(inputs: list[Input], values: dict[str, float]) -> None:
    weighed = weigh(inputs, values)
    points = [each.points(values[each.indicator]) for each in inputs if each.indicator in values]
    if weighed.broken:
        assert weighed.value == 0
    elif weighed.value is not None:
        assert min(points) - 1e-6 <= weighed.value <= max(points) + 1e-6


@given(_LISTS, _VALUES)
def test_a_score_needs_half_of_its_weight_and_all_that_is_critical(
    inputs: list[Input], values: dict[str, float]
) -> None:
    known = [each for each in inputs if each.indicator in values]
    if weigh(inputs, values).value is None:
        critical = any(each.critical and each not in known for each in inputs)
        assert critical or 2 * sum(each.weight for each in known) < sum(each.weight for each in inputs)


@given(_LISTS, _VALUES, st.floats(0, 1e6))
def test_a_better_input_never_lowers_a_score(inputs: list[Input], values: dict[str, float], more: float) -> None:
    name = inputs[0].indicator
    if name not in values:
        return
    before, after = weigh(inputs, values), weigh(inputs, {**values, name: values[name] + more})
    if before.value is not None and after.value is not None:
        assert after.value >= before.value - 1e-6


@given(_LISTS, _VALUES, st.floats(1, 100))
def test_only_the_relation_of_weights_counts(inputs: list[Input], values: dict[str, float], factor: float) -> None:
    scaled = [replace(each, weight=each.weight * factor) for each in inputs]
    one, other = weigh(inputs, values), weigh(scaled, values)
    assert one.missing == other.missing
    if one.value is not None:
        assert other.value == pytest.approx(one.value, abs=1e-6)


@given(*[st.text(max_size=12) | st.integers()] * 4)
def test_whatever_is_written_is_read_or_told(
    worst: int | str, best: int | str, low: int | str, high: int | str
) -> None:
    inputs = [{"indicator": "satisfaction", "worst": worst, "best": best}]
    rollout = pilot({**CUSTOMER, "inputs": inputs, "acceptable": low, "excellent": high})
    made = scores_of(rollout)
    _, wrong = readable_rules(rollout.spec, {}, namespace="shop", name="search")
    assert len(made) + len(wrong) == 1
    assert all(error.field.startswith("spec.scores[0].") for error in wrong)


@given(_LISTS, st.lists(_VALUES, min_size=1, max_size=5))
def test_a_series_of_scores_is_the_score_of_each_step(inputs: list[Input], steps: list[dict[str, float]]) -> None:
    names = {each.indicator for each in inputs}
    found = {
        name: Series(tuple(at for at, _ in known), tuple(value for _, value in known))
        for name in names
        if (known := [(10.0 * place, step[name]) for place, step in enumerate(steps) if name in step])
    }
    series = weigh_series(inputs, found, 10.0)
    expected = [
        (10.0 * place, value) for place, step in enumerate(steps) if (value := weigh(inputs, step).value) is not None
    ]
    assert series.times == tuple(at for at, _ in expected)
    assert series.values == pytest.approx(tuple(value for _, value in expected))
