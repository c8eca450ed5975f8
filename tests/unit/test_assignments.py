"""Assignments: the users of each variant against the admitted share; a mismatch holds, and takes nobody back."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pilotage.judging.assignment import AssignmentRule
from pilotage.judging.evidence import Answer, Answered, Evidence, NoData, Series, Stage, Unavailable
from pilotage.judging.questions import RuleError
from pilotage.judging.reading import readable_rules
from pilotage.resources.status import Finding
from tests.builders import RolloutBuilder, make_rollout

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=2)


def halves() -> RolloutBuilder:
    return make_rollout().step("half", percent=50).step("all", percent=100)


def rule(made: RolloutBuilder | None = None, control: str = "rest", **measure: Any) -> AssignmentRule:
    said = {"query": "count by (variant) (exposed_users[$window])", "unit": "count", "window": "1h", **measure}
    audience: dict[str, Any] = {"control": control, "assignment": {"indicator": "exposed"}}
    if control == "equal":
        audience["directory"] = {"configMap": "users"}
    made = (made or halves()).indicator("exposed", **said).with_spec(audience=audience)
    rules, wrong = readable_rules(made.obj().spec, {}, namespace="shop", name="search")
    if wrong:
        raise wrong[0]
    (found,) = rules
    assert isinstance(found, AssignmentRule)
    return found


def users(on: float, off: float, *, at: datetime = NOW) -> Answer:
    times = (at.timestamp(),)
    return Answered((("off", Series(times, (off,))), ("on", Series(times, (on,)))))


def judged(answer: Answer, stage: Stage | None = None, made: AssignmentRule | None = None) -> Finding:
    made = made or rule()
    return made.judge(Evidence({made.question: answer}, stage or Stage("half", LONG_AGO, 0.5)), NOW)


def test_users_who_fit_the_share_pass() -> None:
    found = judged(users(5030, 4970))
    assert (found.verdict, found.value) == ("pass", "50.3%")
    assert found.message == "5,030 of 10,000 users had on, 50.3%; 50% are admitted"


def test_users_who_do_not_fit_break_it() -> None:
    found = judged(users(5600, 4400))
    assert found.verdict == "breach"
    assert found.message.startswith("assignment broken: 5,600 of 10,000 users had on, 56%; 50% are admitted (evidence")


def test_a_small_share_is_compared_with_that_share() -> None:
    made = rule(make_rollout().step("tenth", percent=10).step("all", percent=100))
    assert judged(users(1000, 9000), Stage("tenth", LONG_AGO, 0.1), made).verdict == "pass"
    assert judged(users(5000, 5000), Stage("tenth", LONG_AGO, 0.1), made).verdict == "breach"


def test_it_holds_and_takes_nobody_back() -> None:
    assert rule().on_breach == "hold"


def test_nothing_is_compared_before_the_window_lies_within_the_step() -> None:
    began = NOW - timedelta(minutes=59)
    found = judged(users(9000, 1000), Stage("half", began, 0.5))
    assert (found.verdict, found.earliest) == ("pending", began + timedelta(hours=1))
    assert not rule().is_pending_alarming
    assert judged(users(9000, 1000), Stage("half", NOW - timedelta(minutes=60), 0.5)).verdict == "breach"


def test_before_the_first_step_nothing_is_compared() -> None:
    assert judged(users(1, 1), Stage()).verdict == "pending"


def test_everybody_is_no_share() -> None:
    assert judged(users(10_000, 0), Stage("all", LONG_AGO, 1.0)).verdict == "pass"


def test_users_let_in_by_name_or_cohort_are_not_compared() -> None:
    made = make_rollout().step("named", percent=5).step("cohort", percent=10, cohorts=["vip"]).step("half", percent=50)
    found = rule(made)
    assert found.compared == {"named"}
    assert judged(users(9000, 1000), Stage("half", LONG_AGO, 0.5), found).verdict == "pass"
    assert judged(users(9000, 1000), Stage("named", LONG_AGO, 0.05), found).verdict == "breach"


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (NoData("Prometheus has no data"), "no-data"),
        (Unavailable("can't be reached"), "unavailable"),
        (users(9000, 1000, at=NOW - timedelta(minutes=5)), "no-data"),
        (users(0, 0), "no-data"),
        (Answered((("on", Series((NOW.timestamp(),), (9000.0,))),)), "no-data"),
        (Answered((("", Series((NOW.timestamp(),), (9000.0,))),)), "no-data"),
    ],
)
def test_missing_counts_are_no_verdict(answer: Answer, verdict: str) -> None:
    assert judged(answer).verdict == verdict


def test_an_unknown_share_is_no_verdict() -> None:
    assert judged(users(9000, 1000), Stage("half", LONG_AGO, None)).verdict == "no-data"


def test_an_indicator_that_counts_no_users_is_refused() -> None:
    with pytest.raises(RuleError, match=r"spec\.audience\.assignment\.indicator: exposed is in seconds"):
        rule(unit="seconds")


def test_equal_arms_are_compared_with_each_other_in_every_step() -> None:
    made = make_rollout().step("named", users=10).step("few", percent=5)
    found = rule(made, control="equal")
    assert found.compared == {"named", "few"}
    for count, verdict in ((1000, "pass"), (1500, "breach")):
        assert judged(users(count, 1000), Stage("few", LONG_AGO, 0.05, None, 0.5), found).verdict == verdict
    assert judged(users(1000, 1000), Stage("few", LONG_AGO, 0.05), found).verdict == "no-data"
    assert judged(users(1000, 0), Stage("few", LONG_AGO, 1.0, None, 1.0), found).verdict == "pass"
