"""Lifts: what counts of both variants prove since the step began, in both directions, and what they leave open."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pilotage.judging.comparison import HOLDS, MOST_STEPS, LiftRule
from pilotage.judging.evidence import Answer, Answered, Evidence, NoData, Series, Stage, Unavailable
from pilotage.judging.inference.lift import lift_interval
from pilotage.judging.questions import RuleError
from pilotage.judging.reading import readable_rules
from pilotage.judging.rules import Rule
from pilotage.resources.durations import DAY, HOUR
from pilotage.resources.status import Finding
from tests.builders import make_rollout

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
COUNTED = {
    "good": "sum by (variant) (increase(orders[$window]))",
    "total": "sum by (variant) (increase(visits[$window]))",
}


def rules_of(text: str, role: str = "go", *, hold: str = "14d", **measure: str) -> tuple[Rule, ...]:
    made = make_rollout().step(percent=10, hold="1d").step(percent=50, hold=hold).step(percent=100)
    made.indicator("conversions", **(measure or COUNTED)).with_spec(**{role: [text]})
    rules, wrong = readable_rules(made.obj().spec, {}, namespace="shop", name="search")
    if wrong:
        raise wrong[0]
    return rules


def rule(text: str = "lift(conversions) > 10% significant", role: str = "go", **more: str) -> LiftRule:
    (made,) = rules_of(text, role, **more)
    assert isinstance(made, LiftRule)
    return made


def counts(made: LiftRule, per_step: dict[str, tuple[float, float]], *, steps: int, now: datetime = NOW) -> Answer:
    """So many events and totals in each of the last steps, by variant; each window overlaps the one before."""
    question = made.question
    end, step = question.end_at(now.timestamp()), question.step_seconds
    times = tuple(end - place * step for place in range(steps - 1, -1, -1))
    overlap = question.window_seconds / step

    def arms() -> Iterator[tuple[str, Series]]:
        for variant, (events, total) in per_step.items():
            yield variant, Series(times, (events / total,) * steps, (total * overlap,) * steps)

    return Answered(tuple(arms()))


def judged(made: LiftRule, answer: Answer, *, since: datetime | None = NOW - timedelta(days=40)) -> Finding:
    return made.judge(Evidence({made.question: answer}, Stage("second", since, 0.5)), NOW)


def seen(made: LiftRule, treatment: float, control: float) -> Finding:
    """After 100 steps with 10,000 visits of each variant in all, and so many orders."""
    return judged(made, counts(made, {"on": (treatment / 100, 100), "off": (control / 100, 100)}, steps=100))


CERTAIN, DOUBTFUL, NONE, LOSS = 1600.0, 1250.0, 1000.0, 600.0
"""Orders of treatment where control has 1,000: lifts of 60%, 25%, 0%, -40%."""


def interval(orders: float) -> tuple[float, float]:
    found = lift_interval(orders, 10_000, 1000, 10_000)
    assert found is not None
    return found


def test_the_numbers_of_these_tests_are_what_they_are_called() -> None:
    assert interval(CERTAIN)[0] > 0.1
    assert 0 < interval(DOUBTFUL)[0] < 0.1 < interval(DOUBTFUL)[1]
    assert interval(NONE)[0] < -0.05 < interval(NONE)[1]
    assert interval(LOSS)[1] < -0.05


@pytest.mark.parametrize(
    ("text", "role", "orders", "verdict"),
    [
        ("lift(conversions) > 10% significant", "go", CERTAIN, "pass"),
        ("lift(conversions) >= 10% significant", "go", CERTAIN, "pass"),
        ("lift(conversions) > 10% significant", "go", DOUBTFUL, "pending"),
        ("lift(conversions) > 10% significant", "go", LOSS, "breach"),
        ("lift(conversions) > -5% significant", "go", CERTAIN, "pass"),
        ("lift(conversions) < -5% significant", "rollback", LOSS, "breach"),
        ("lift(conversions) < -5% significant", "noGo", LOSS, "breach"),
        ("lift(conversions) < -5% significant", "rollback", NONE, "pending"),
        ("lift(conversions) < -5% significant", "rollback", CERTAIN, "pass"),
        ("lift(conversions) <= -5% significant", "rollback", CERTAIN, "pass"),
        ("lift(conversions) > 10% significant", "noGo", CERTAIN, "breach"),
        ("lift(conversions) > 10% significant", "noGo", LOSS, "pass"),
    ],
)
def test_only_what_is_certain_decides(text: str, role: str, orders: float, verdict: str) -> None:
    assert seen(rule(text, role), orders, 1000.0).verdict == verdict


def test_it_tells_the_interval_and_the_counts() -> None:
    found = seen(rule(), DOUBTFUL, 1000.0)
    assert found.value == "25%"
    low, high = (f"{100 * end:.2f}%" for end in interval(DOUBTFUL))
    assert found.message == (
        f"lift(conversions) 25%, certainly between {low} and {high} (1,250 of 10,000 with on, 1,000 of 10,000 with off)"
    )


def test_where_control_has_no_events_yet_there_is_no_upper_end() -> None:
    found = seen(rule(), 100.0, 0.0)
    assert (found.verdict, found.value) == ("pass", "?")
    assert "certainly above" in found.message


def test_what_happened_before_the_step_does_not_count() -> None:
    made = rule()
    answer = counts(made, {"on": (16, 100), "off": (10, 100)}, steps=100)
    assert judged(made, answer).verdict == "pass"
    step = timedelta(seconds=made.question.step_seconds)
    late = judged(made, answer, since=NOW - 3 * step)
    assert "(32 of 200 with on, 20 of 200 with off)" in late.message  # the step in which it began is left out
    assert late.verdict == "pending"
    unseen = judged(made, answer, since=NOW - step / 2)
    assert (unseen.verdict, unseen.message) == ("no-data", "conversions: no data for the variant on in this step yet")


def test_before_the_first_step_there_is_nothing_to_compare() -> None:
    made = rule()
    found = judged(made, counts(made, {"on": (16, 100), "off": (10, 100)}, steps=100), since=None)
    assert found.verdict == "pending"


def test_a_begun_step_is_not_counted() -> None:
    made = rule()
    question = made.question
    assert question.aligned
    assert NOW.timestamp() - question.end_at(NOW.timestamp()) <= question.step_seconds


@pytest.mark.parametrize(
    ("arms", "message"),
    [
        ({"on": (16, 100)}, "conversions: no data for the variant off"),
        ({"off": (10, 100)}, "conversions: no data for the variant on"),
        ({"": (10, 100)}, "conversions: no data for the variant on"),
        ({"on": (0, 100), "off": (0, 100)}, "conversions: there were no events in this step yet"),
    ],
)
def test_without_both_variants_there_is_no_verdict(arms: dict[str, tuple[float, float]], message: str) -> None:
    made = rule()
    found = judged(made, counts(made, arms, steps=10))
    assert (found.verdict, found.message) == ("no-data", message)


def test_a_variant_that_is_no_longer_counted_is_no_data() -> None:
    made = rule()
    old = counts(made, {"on": (16, 100), "off": (10, 100)}, steps=50, now=NOW - timedelta(days=10))
    found = judged(made, old)
    assert (found.verdict, found.message) == ("no-data", "conversions: no data for the variant on of late")


def test_what_was_not_answered_is_said() -> None:
    made = rule()
    assert judged(made, NoData("Prometheus has no data")).verdict == "no-data"
    assert judged(made, Unavailable("can't be reached")).verdict == "unavailable"


@pytest.mark.parametrize(
    ("hold", "step"), [("14d", 3 * HOUR), ("90d", DAY), ("1d", 15 * 60), ("10s", 15 * 60)]
)  # the longest hold counts: the first step has 1d
def test_one_coarse_range_covers_more_than_the_longest_hold(hold: str, step: float) -> None:
    question = rule(hold=hold).question
    assert question.step_seconds == step
    assert question.window_seconds == step + 10  # one interval more
    assert question.steps <= MOST_STEPS
    assert question.span_seconds >= min(HOLDS * DAY, 90 * DAY)


@pytest.mark.parametrize(
    ("role", "measure", "message"),
    [
        ("throttle", {}, "spec.throttle[0]: lift(conversions) says nothing about load"),
        (
            "go",
            {"query": "x"},
            "spec.go[0]: lift(conversions) compares counts, and conversions is a value: give it good",
        ),
        ("go", {"good": "g", "total": "t"}, "spec.go[0]: lift(conversions) counts in steps, but the queries of"),
    ],
)
def test_a_lift_that_makes_no_sense_is_refused(role: str, measure: dict[str, Any], message: str) -> None:
    with pytest.raises(RuleError) as raised:
        rules_of("lift(conversions) > 10% significant", role, **measure)
    assert str(raised.value).startswith(message)


def test_errors_can_be_compared_too() -> None:
    made = rule("lift(conversions) > 20% significant", "rollback", errors="e[$window]", total="t[$window]")
    assert seen(made, CERTAIN, 1000.0).verdict == "breach"
