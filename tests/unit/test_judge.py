"""The judge by tables: what each kind of rule says, and when it says nothing."""

from datetime import UTC, datetime, timedelta
from math import inf, nan
from typing import Any

import pytest

from pilotage.judging.evidence import Answer, Answered, NoData, Series, Unavailable
from pilotage.judging.threshold import ThresholdRule
from pilotage.resources.rollout import PilotRolloutSpec
from pilotage.resources.status import Finding
from tests.builders import judge, read_rules

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
STEP = 15.0
DAY = 86400.0


def rule(criterion: str = "", role: str = "rollback", *, unit: str = "ratio", **fields: Any) -> ThresholdRule:
    said = {
        "feature": {"flag": "f"},
        "indicators": [{"name": "x", "query": "x[$window]", "unit": unit}],
        "steps": [{"name": "one", "users": 1}],
        **fields,
    }
    if criterion:
        said[role] = [criterion]
    return read_rules(PilotRolloutSpec.model_validate(said), {}, namespace="shop", name="f")[0]


def objective(bound: str = "< 1%", **fields: str) -> ThresholdRule:
    return rule(objectives=[{"indicator": "x", "objective": bound, **fields}])


def seen(*values: float | None, step: float = STEP, end: datetime = NOW, variant: str = "") -> Answered:
    """The last values, oldest first; None is a step without data."""
    last = end.timestamp()
    found = [(last - (len(values) - 1 - i) * step, value) for i, value in enumerate(values) if value is not None]
    return Answered(((variant, Series(tuple(at for at, _ in found), tuple(value for _, value in found))),))


def told(rule: ThresholdRule, answer: Answer, now: datetime = NOW) -> tuple[str, str]:
    finding = judge(rule, answer, now)
    return finding.verdict, finding.message


ONE_MINUTE = "x > 1% for 1m"  # four steps


@pytest.mark.parametrize(
    ("criterion", "values", "verdict", "message"),
    [
        ("x > 1%", [0.031], "breach", "x 3.1% > 1%"),
        ("x > 1%", [0.01], "pass", "x 1% <= 1%"),
        (ONE_MINUTE, [0.001] * 5, "pass", "x 0.1% <= 1%"),
        (ONE_MINUTE, [0.03, 0.03, 0.03, 0.001], "pass", "x 0.1% <= 1%"),
        (ONE_MINUTE, [0.001, 0.001, 0.03], "pending", "x 3% > 1% (for 15s of 1m)"),
        (ONE_MINUTE, [0.001, 0.03, 0.03, 0.03], "pending", "x 3% > 1% (for 45s of 1m)"),
        (ONE_MINUTE, [0.001, 0.03, 0.03, 0.03, 0.03], "breach", "x 3% > 1% for 1m"),
        (ONE_MINUTE, [0.03, 0.03, 0.03], "pending", "x 3% > 1% (for 45s of 1m)"),
        ("x > 1% for 150s", [0.03] * 3 + [None] * 2 + [0.03] * 6, "breach", "x 3% > 1% for 2m30s"),
        ("x > 1% for 150s", [0.03] * 3 + [None] * 3 + [0.03] * 5, "pending", "x 3% > 1% (for 1m15s of 2m30s)"),
        ("x > 1% for 150s", [None, None] + [0.03] * 9, "pending", "x 3% > 1% (for 2m15s of 2m30s)"),
        (
            "x > 1% for 150s",
            [0.03, None, None, 0.03, None, 0.03, 0.03, 0.03, 0.03, 0.03],
            "no-data",
            "x 3% > 1% now, but no data for 45s of 2m30s",
        ),
    ],
)
def test_a_rule_breaks_only_after_its_whole_time(
    criterion: str, values: list[float | None], verdict: str, message: str
) -> None:
    assert told(rule(criterion), seen(*values)) == (verdict, message)


@pytest.mark.parametrize(
    ("criterion", "values", "verdict", "message"),
    [
        ("x >= 99%", [0.995], "pass", "x 99.5% >= 99%"),
        ("x >= 99%", [0.98], "breach", "x 98% < 99%"),
        ("x >= 99% for 1m", [0.995] * 4, "pass", "x 99.5% >= 99% (held 1m)"),
        ("x >= 99% for 1m", [0.995] * 4 + [0.98], "breach", "x 98% < 99%"),
        ("x >= 99% for 1m", [0.98] + [0.995] * 3, "pending", "x 99.5% >= 99% (held 45s of 1m)"),
        ("x >= 99% for 1m", [0.995] * 3, "no-data", "x 99.5% >= 99% now, but no data for 15s of 1m (held 45s of 1m)"),
        ("x >= 99% for 150s", [0.995] * 4 + [None] * 2 + [0.995] * 5, "pass", "x 99.5% >= 99% (held 2m30s)"),
        (
            "x >= 99% for 150s",
            [0.995] * 4 + [None] * 3 + [0.995] * 4,
            "no-data",
            "x 99.5% >= 99% now, but no data for 45s of 2m30s (held 1m of 2m30s)",
        ),
    ],
)
def test_what_must_hold_passes_only_after_its_whole_time(
    criterion: str, values: list[float | None], verdict: str, message: str
) -> None:
    assert told(rule(criterion, "go"), seen(*values)) == (verdict, message)


@pytest.mark.parametrize(
    ("values", "verdict", "message"),
    [
        ([0.002], "pass", "x 0.2% < 1%"),
        ([0.002, 0.03], "pending", "x 3% >= 1% (for 15s of 1m30s)"),
        ([0.002] + [0.03] * 5, "pending", "x 3% >= 1% (for 1m15s of 1m30s)"),
        ([0.03] * 6, "breach", "x 3% >= 1% for 1m30s"),
        ([0.03] * 6 + [0.002], "pass", "x 0.2% < 1%"),
    ],
)
def test_an_objective_breaks_when_it_was_missed_for_six_intervals(
    values: list[float], verdict: str, message: str
) -> None:
    assert told(objective(), seen(*values)) == (verdict, message)


@pytest.mark.parametrize("role", ["go", "noGo", "rollback", "throttle"])
@pytest.mark.parametrize(
    ("answer", "verdict", "message"),
    [
        (NoData("Prometheus has no data"), "no-data", "x: Prometheus has no data"),
        (Unavailable("Prometheus can't be reached"), "unavailable", "x: Prometheus can't be reached"),
        (Answered(()), "no-data", "x: no data for the variant on"),
        (seen(nan, inf), "no-data", "x: no data for the variant on"),
        (seen(0.5, variant="off"), "no-data", "x: no data for the variant on"),
        (
            seen(0.5, end=NOW - timedelta(minutes=3)),
            "no-data",
            "x: no data for 3m, since 2026-03-02 08:57:00 UTC",
        ),
    ],
)
def test_missing_data_is_its_own_verdict_and_says_why(role: str, answer: Answer, verdict: str, message: str) -> None:
    for criterion in ("x > 1%", "x < 1%", "x > 1% for 1m"):
        assert told(rule(criterion, role), answer) == (verdict, message)


def test_nan_neither_passes_nor_breaks_nor_counts_as_data() -> None:
    assert told(rule(ONE_MINUTE), seen(0.001, 0.03, 0.03, nan, 0.03))[0] == "pending"
    assert told(rule("x < 1% for 1m", "go"), seen(0.001, 0.001, nan, 0.001))[0] == "no-data"


def test_the_treatments_series_is_judged_and_controls_is_not() -> None:
    answer = Answered((("off", Series((NOW.timestamp(),), (0.5,))), ("on", Series((NOW.timestamp(),), (0.001,)))))
    assert told(rule("x > 1%"), answer) == ("pass", "x 0.1% <= 1%")


def test_an_unlabelled_answer_is_judged_as_it_is() -> None:
    assert told(rule("x > 1%"), seen(0.5)) == ("breach", "x 50% > 1%")


def test_an_unlabelled_rest_beside_variants_is_not_taken_for_the_treatment() -> None:
    one = Series((NOW.timestamp(),), (0.5,))
    answer = Answered((("", one), ("off", one)))
    assert told(rule("x > 1%"), answer) == ("no-data", "x: no data for the variant on")


def test_one_missing_step_at_the_end_is_borne_and_two_are_stale() -> None:
    late = NOW + timedelta(seconds=2 * STEP)
    assert told(rule("x > 1%"), seen(0.5), late)[0] == "breach"
    assert told(rule("x > 1%"), seen(0.5), late + timedelta(seconds=1))[0] == "no-data"


def test_over_a_long_window_data_are_stale_after_two_hours_and_not_after_two_of_its_steps() -> None:
    long = rule("x >= 99% in 40d", "go")
    assert long.question.step_seconds == 2 * DAY
    late = NOW + timedelta(hours=2)
    assert told(long, seen(*[0.995] * 21, step=2 * DAY), late)[0] == "pass"
    assert told(long, seen(*[0.995] * 21, step=2 * DAY), late + timedelta(seconds=1))[0] == "no-data"


def test_a_value_from_the_future_is_left_out_where_clocks_differ_by_more_than_five_seconds() -> None:
    assert told(rule("x > 1%"), seen(0.001, 0.5, end=NOW + timedelta(seconds=5)))[0] == "breach"
    assert told(rule("x > 1%"), seen(0.001, 0.5, end=NOW + timedelta(seconds=6)))[0] == "pass"


def test_since_and_earliest_tell_when_it_can_be_met() -> None:
    finding = judge(rule("x >= 99% for 1m", "go"), seen(0.98, 0.995, 0.995), NOW)
    assert finding.since == NOW - timedelta(seconds=30)
    assert finding.earliest == NOW + timedelta(seconds=30)
    broken = judge(rule(ONE_MINUTE), seen(0.03, 0.001, 0.03, 0.03, 0.03), NOW)
    assert (broken.since, broken.earliest) == (NOW - timedelta(seconds=45), NOW + timedelta(seconds=15))


@pytest.mark.parametrize(
    ("unit", "criterion", "value", "text"),
    [
        ("ratio", "x > 1%", 0.031, "3.1%"),
        ("ratio", "x > 1%", 0.9995, "99.95%"),
        ("ratio", "x > 1%", 0.0000123, "0.0012%"),
        ("ratio", "x > 1%", 0.010000001, "1.0000001%"),
        ("ratio", "x > 1%", 0.0, "0%"),
        ("seconds", "x > 1s", 0.048, "48ms"),
        ("seconds", "x > 1s", 0.0483, "48.3ms"),
        ("seconds", "x > 1s", 3.2, "3.2s"),
        ("seconds", "x > 1s", 125.0, "2m5s"),
        ("seconds", "x > 2m", 120.4, "120.4s"),
        ("score", "x > 1", 8.9, "8.9"),
        ("count", "x > 1", 3012.0, "3012"),
        ("count", "x > 1", -0.001, "-0.001"),
    ],
)
def test_values_are_written_for_people(unit: str, criterion: str, value: float, text: str) -> None:
    assert judge(rule(criterion, unit=unit), seen(value), NOW).value == text


def test_a_finding_names_its_rule_and_role() -> None:
    finding = judge(rule("x > 1% for 1m", "noGo"), seen(0.001), NOW)
    assert finding == Finding(
        rule="x > 1% for 1m",
        role="noGo",
        verdict="pass",
        value="0.1%",
        since=NOW - timedelta(seconds=15),
        message="x 0.1% <= 1%",
        bound="> 1%",
        evidence="0s of 1m",
        distance="0.9 percentage points below",
    )


def hours(*values: float | None, end: datetime = NOW, weights: float = 0.0) -> Answered:
    answer = seen(*values, step=3600.0, end=end)
    series = answer.by_variant[0][1]
    return Answered((("", Series(series.times, series.values, (weights,) * len(series.values) if weights else ())),))


def days(*values: float | None) -> list[float | None]:
    """Hourly values of whole days, and the nine hours of today."""
    return [value for value in values for _ in range(24)] + [values[-1]] * 9


def test_days_are_whole_utc_days_without_today() -> None:
    go = rule("x >= 8 for 14d", "go", unit="score")
    assert told(go, hours(*days(*[9.0] * 14))) == ("pass", "x 9 >= 8 (held 14d)")
    held = hours(*days(7.0, *[9.0] * 12))
    finding = judge(go, held, NOW)
    assert (finding.verdict, finding.message) == ("pending", "x 9 >= 8 (held 12d of 14d)")
    assert finding.since == datetime(2026, 2, 18, tzinfo=UTC)
    assert finding.earliest == datetime(2026, 3, 4, tzinfo=UTC)
    today_bad = [*days(*[9.0] * 14)[:-9], *[1.0] * 9]
    assert told(go, hours(*today_bad))[0] == "pass"
    late = NOW.replace(hour=23)  # all but a whole day, and still not one
    assert told(go, hours(*today_bad, *[1.0] * 14, end=late), late)[0] == "pass"


def test_a_criterion_over_more_days_than_prometheus_keeps_is_no_data() -> None:
    go = rule("x >= 99.9% for 60d", "go")
    finding = judge(go, hours(*days(*[0.9995] * 15)), NOW)
    assert finding.verdict == "no-data"
    assert (
        finding.message
        == "x 99.95% >= 99.9% now, but no data for 45 of 60 days: 2026-01-01 to 2026-02-14 (held 15d of 60d)"
    )
    assert finding.earliest == datetime(2026, 4, 16, tzinfo=UTC)


def test_a_missing_day_breaks_the_streak() -> None:
    go = rule("x >= 8 for 3d", "go", unit="score")
    assert (
        told(go, hours(*days(9, 9, None, 9)))[1]
        == "x 9 >= 8 now, but no data for 1 of 3 days: 2026-02-28 (held 1d of 3d)"
    )
    no_go = rule("x < 8 for 3d", "noGo", unit="score")
    assert told(no_go, hours(*days(7, 7, 7)))[0] == "breach"
    assert told(no_go, hours(*days(7, 7, None, 7)))[0] == "pending"


def test_a_day_needs_nine_tenths_of_its_hours() -> None:
    go = rule("x >= 8 for 2d", "go", unit="score")
    whole = days(9, 9)
    two_missing, three_missing = list(whole), list(whole)
    two_missing[25:27] = [None, None]
    three_missing[25:28] = [None, None, None]
    assert told(go, hours(*two_missing))[0] == "pass"
    assert told(go, hours(*three_missing)) == (
        "no-data",
        "x: yesterday, 2026-03-01 (UTC), has data for 21 of 24 hours only",
    )


def test_a_day_of_errors_and_total_is_weighed_by_its_events() -> None:
    busy, quiet = Series((0.0,), (0.001,), (9900.0,)), Series((0.0,), (0.1,), (100.0,))
    midnight = datetime(2026, 3, 2, tzinfo=UTC).timestamp()
    times = tuple(midnight - hour * 3600 for hour in reversed(range(48)))
    picked = [quiet if index % 24 == 3 else busy for index in range(48)]
    series = Series(times, tuple(s.values[0] for s in picked), tuple(s.weights[0] for s in picked))
    finding = judge(rule("x < 1% for 2d", "go"), Answered((("on", series),)), NOW - timedelta(hours=8))
    assert (finding.verdict, finding.value) == ("pass", "0.1%")  # the mean of the hours would be 0.51%


@pytest.mark.parametrize(
    ("values", "verdict"),
    [([5.0] * 21, "pass"), ([None] * 15 + [5.0] * 6, "no-data"), ([5.0] * 20 + [60.0], "breach")],
)
def test_a_go_criterion_over_a_window_needs_data_that_reach_back_over_it(
    values: list[float | None], verdict: str
) -> None:
    go = rule("x < 50 in 7d", "go", unit="count")
    assert told(go, seen(*values, step=7 * DAY / 20))[0] == verdict


def test_a_rollback_over_a_window_needs_only_the_present_value() -> None:
    assert told(rule("x > 50 in 1h", unit="count"), seen(51.0)) == ("breach", "x 51 > 50")
