"""Burn-rate gates: the detection times of the SRE workbook, two windows, the whole service, and no data."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pilotage.judging.burn_rate import BurnRateRule
from pilotage.judging.evidence import Answer, Answered, Evidence, NoData, Question, Series, Unavailable
from pilotage.judging.questions import RuleError
from pilotage.judging.reading import readable_rules
from pilotage.resources.durations import DAY, HOUR, MINUTE
from pilotage.resources.rollout import PilotRollout
from pilotage.resources.status import Finding
from tests.builders import make_rollout

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
QUIET = 30 * DAY

COUNTED = {"errors": "sum(increase(e[$window]))", "total": "sum(increase(t[$window]))"}


def pilot(measure: dict[str, Any] | None = None, **said: Any) -> PilotRollout:
    rate = {"indicator": "errors", "budget": "0.1%", **said}
    return make_rollout().step(users=1).indicator("errors", **(measure or COUNTED)).with_spec(burnRates=[rate]).obj()


def gate(measure: dict[str, Any] | None = None, **said: Any) -> BurnRateRule:
    rules, wrong = readable_rules(pilot(measure, **said).spec, {}, namespace="shop", name="search")
    if wrong:
        raise wrong[0]
    (rule,) = rules
    assert isinstance(rule, BurnRateRule)
    return rule


def now_is(share: float, events: float = 1000.0, *, at: datetime = NOW) -> Answered:
    """One value: the share that the indicator tells, of so many events."""
    return Answered((("", Series((at.timestamp(),), (share,), (events,))),))


def judged(rule: BurnRateRule, *answers: Answer) -> Finding:
    """By the answers for the rule's windows, in their order: long, short, long, short."""
    return rule.judge(Evidence(dict(zip(rule.questions, answers, strict=True))), NOW)


def after(rule: BurnRateRule, seconds: float, ratio: float) -> Finding:
    """What it says so long after all the service's requests began to fail by this ratio, after quiet weeks."""

    def within(question: Question) -> Answer:
        return now_is(ratio * min(seconds, question.window_seconds) / question.window_seconds)

    return judged(rule, *(within(question) for question in rule.questions))


WORKBOOK = [
    # The time to an alert is (1 - SLO) / error ratio x window x factor: SRE workbook, chapter 5; at 99.9%.
    (1.0, "1h", "5m", "14.4", 51.84),
    (0.1, "1h", "5m", "14.4", 518.4),
    (0.05, "1h", "5m", "14.4", 17.28 * MINUTE),
    (0.02, "1h", "5m", "14.4", 43.2 * MINUTE),
    (0.01, "1h", "5m", "14.4", math.inf),
    (1.0, "6h", "30m", "6", 129.6),
    (0.1, "6h", "30m", "6", 21.6 * MINUTE),
    (0.01, "6h", "30m", "6", 3.6 * HOUR),
    (0.02, "3d", "6h", "1", 3.6 * HOUR),
    (0.005, "3d", "6h", "1", 14.4 * HOUR),
]


@pytest.mark.parametrize(("ratio", "long", "short", "factor", "seconds"), WORKBOOK)
def test_errors_are_seen_after_the_workbooks_time(
    ratio: float, long: str, short: str, factor: str, seconds: float
) -> None:
    rule = gate(windows=[{"long": long, "short": short, "factor": factor}])
    if math.isinf(seconds):
        assert after(rule, QUIET, ratio).verdict == "pass"
        return
    assert after(rule, seconds * 0.9999, ratio).verdict == "pass"
    assert after(rule, seconds * 1.0001, ratio).verdict == "breach"


@pytest.mark.parametrize(("ratio", "seconds"), [(1.0, 51.84), (0.1, 518.4), (0.01, 3.6 * HOUR), (0.005, math.inf)])
def test_the_first_of_the_usual_pairs_that_burns_is_enough(ratio: float, seconds: float) -> None:
    rule = gate()
    assert [(pair.long.window_seconds, pair.short.window_seconds, pair.factor) for pair in rule.pairs] == [
        (HOUR, 5 * MINUTE, 14.4),
        (6 * HOUR, 30 * MINUTE, 6.0),
    ]
    assert after(rule, min(seconds * 0.9999, QUIET), ratio).verdict == "pass"
    if not math.isinf(seconds):
        assert after(rule, seconds * 1.0001, ratio).verdict == "breach"


ONE = [{"long": "1h", "short": "5m", "factor": "14.4"}]


def test_it_opens_again_when_the_short_window_is_calm() -> None:
    rule = gate(windows=ONE)
    assert judged(rule, now_is(0.05), now_is(0.05)).verdict == "breach"
    assert judged(rule, now_is(0.05), now_is(0.0144)).verdict == "pass"
    assert judged(rule, now_is(0.0143), now_is(1.0)).verdict == "pass"


def test_it_says_both_rates_and_the_budget() -> None:
    found = judged(gate(windows=ONE), now_is(0.0225), now_is(0.031))
    assert (found.rule, found.role, found.value) == ("errors burns its budget of 0.1%", "burnRate", "22.5x")
    assert found.message == (
        "errors burns 22.5x over 1h and 31x over 5m of the rate that spends its budget of 0.1% in its period;"
        " more than 14.4x in both is too much"
    )


def test_the_variants_count_together_by_their_events() -> None:
    rule = gate(windows=ONE)
    at = (NOW.timestamp(),)
    arms = Answered((("off", Series(at, (0.0,), (900.0,))), ("on", Series(at, (0.1,), (100.0,)))))
    assert judged(rule, arms, arms).value == "10x"  # 10 of 1000 at a budget of 1 in 1000


def test_good_events_burn_by_what_they_lack() -> None:
    rule = gate({"good": "good", "total": "total[$window]"}, windows=ONE)
    assert judged(rule, now_is(0.98), now_is(0.98)).verdict == "breach"
    assert judged(rule, now_is(0.999), now_is(0.999)).value == "1x"


EMPTY, DOWN = NoData("no data: there were no events"), Unavailable("Prometheus can't be reached")


@pytest.mark.parametrize(
    ("long", "short", "verdict"),
    [
        (EMPTY, EMPTY, "no-data"),
        (now_is(1.0), EMPTY, "no-data"),  # it would burn, if it still goes on
        (EMPTY, now_is(1.0), "no-data"),
        (now_is(0.0), EMPTY, "pass"),  # whatever the short one is: both have to burn
        (EMPTY, now_is(0.0), "pass"),
        (now_is(1.0), now_is(1.0, at=NOW - timedelta(minutes=3)), "no-data"),  # too old
        (now_is(1.0), now_is(1.0, events=0.0), "no-data"),
        (DOWN, EMPTY, "unavailable"),
        (now_is(1.0), DOWN, "unavailable"),
    ],
)
def test_what_is_not_known_is_neither_peace_nor_breach(long: Answer, short: Answer, verdict: str) -> None:
    assert judged(gate(windows=ONE), long, short).verdict == verdict


def test_one_pair_that_burns_is_enough_where_the_other_is_unknown() -> None:
    assert judged(gate(), EMPTY, EMPTY, now_is(0.01), now_is(0.01)).verdict == "breach"
    assert judged(gate(), EMPTY, EMPTY, now_is(0.0), now_is(0.0)).verdict == "no-data"


def test_it_never_takes_users_back() -> None:
    assert gate().on_breach == "hold"


@pytest.mark.parametrize(
    ("measure", "said", "message"),
    [
        ({"query": "x"}, {}, "spec.burnRates[0].indicator: errors counts nothing"),
        (
            {"errors": "e", "total": "t"},
            {},
            "spec.burnRates[0].windows[0].long: sets a window, but the queries of errors",
        ),
        (None, {"indicator": "other"}, "spec.burnRates[0].indicator: names the indicator 'other'"),
        (
            None,
            {"windows": [{"long": "1h", "short": "1h", "factor": 1}]},
            "spec.burnRates[0].windows[0].short: is not shorter than long: write 5m",
        ),
        (
            None,
            {"windows": [{"long": "1h", "short": "10s", "factor": 1}]},
            "spec.burnRates[0].windows[0].short: the window 10s is shorter than two intervals",
        ),
        *(
            (
                None,
                {"windows": [{"long": "1h", "short": "5m", "factor": factor}]},
                f"spec.burnRates[0].windows[0].factor: {factor!r} is no number above 0",
            )
            for factor in ("fast", "nan", "inf", "-1", 0)
        ),
    ],
)
def test_a_gate_that_makes_no_sense_is_refused(
    measure: dict[str, Any] | None, said: dict[str, Any], message: str
) -> None:
    with pytest.raises(RuleError) as raised:
        gate(measure, **said)
    assert str(raised.value).startswith(message)
