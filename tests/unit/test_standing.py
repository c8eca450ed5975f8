"""Standing: each finding says its bound, what it has of what decides, how far it is, and what would change it."""

from datetime import timedelta

import pytest

from pilotage.judging.evidence import Answer, Evidence, NoData, Unavailable
from pilotage.judging.incidents import Incident
from pilotage.judging.reading import readable_rules
from pilotage.judging.standing import Standing, distance_of, held_of, roughly
from pilotage.resources.indicators import Unit
from pilotage.resources.status import Finding
from tests.builders import judge, make_rollout
from tests.unit.test_judge import NOW, rule, seen

ONE_MINUTE = "x > 1% for 1m"  # four steps


def stands(finding: Finding) -> tuple[str | None, str | None, str | None, str | None]:
    return finding.bound, finding.evidence, finding.distance, finding.remedy


@pytest.mark.parametrize(
    ("values", "evidence", "distance", "remedy"),
    [
        ([0.001] * 5, "0s of 1m", "0.9 percentage points below", None),
        ([0.001, 0.03, 0.03], "30s of 1m", "2 percentage points above", "x <= 1% within 30s, or it breaches"),
        ([0.03] * 5, "1m of 1m", "2 percentage points above", "x <= 1%"),
    ],
)
def test_a_rule_that_must_not_apply_says_how_long_it_did(
    values: list[float | None], evidence: str, distance: str, remedy: str | None
) -> None:
    assert stands(judge(rule(ONE_MINUTE), seen(*values), NOW)) == ("> 1%", evidence, distance, remedy)


@pytest.mark.parametrize(
    ("values", "evidence", "distance", "remedy"),
    [
        ([9.0] * 5, "1m of 1m", "0.5 above", None),
        ([8.0, 9.0, 9.0], "30s of 1m", "0.5 above", "x >= 8.5 for 30s more"),
        ([9.0, 9.0, 8.2], "0s of 1m", "0.3 below", "x >= 8.5 for 1m"),
        ([None, 9.0, 9.0], "30s of 1m", "0.5 above", "data for the variant on over all of 1m"),
    ],
)
def test_a_criterion_that_must_hold_says_how_long_it_has(
    values: list[float | None], evidence: str, distance: str, remedy: str | None
) -> None:
    finding = judge(rule("x >= 8.5 for 1m", "go", unit="score"), seen(*values), NOW)
    assert stands(finding) == (">= 8.5", evidence, distance, remedy)


@pytest.mark.parametrize(
    ("answer", "remedy"),
    [
        (NoData("the query returned nothing"), "data for the variant on"),
        (seen(0.03, variant="off"), "data for the variant on"),
        (seen(0.03, end=NOW - timedelta(minutes=5)), "data for the variant on"),
        (Unavailable("Prometheus does not answer"), "an answer of Prometheus"),
        (Unavailable("Prometheus rejects the query: bad_data"), "queries that Prometheus accepts"),
    ],
)
def test_without_data_only_data_change_it(answer: Answer, remedy: str) -> None:
    assert stands(judge(rule(ONE_MINUTE), answer, NOW)) == ("> 1%", None, None, remedy)


def incident(name: str, began_hours_ago: float, ended_hours_ago: float | None = None) -> Incident:
    ended = None if ended_hours_ago is None else NOW - timedelta(hours=ended_hours_ago)
    return Incident("critical", NOW - timedelta(hours=began_hours_ago), ended, name)


@pytest.mark.parametrize(
    ("incidents", "evidence", "distance", "remedy"),
    [
        ([], "1d of 1d", "at the bound", None),
        ([incident("db", 30, 6)], "6h of 1d", "at the bound", "incidents(critical, open) == 0 for 18h more"),
        ([incident("db", 3)], "0s of 1d", "1 above", "resolve db"),
        (
            [incident("db", 3), incident("disk", 2), incident("net", 1)],
            "0s of 1d",
            "3 above",
            "resolve db, disk and 1 more",
        ),
    ],
)
def test_incidents_say_which_ones_to_resolve(
    incidents: list[Incident], evidence: str, distance: str, remedy: str | None
) -> None:
    rollout = make_rollout().with_spec(go=["incidents(critical, open) == 0 for 1d"]).step(percent=10).obj()
    [guard], _ = readable_rules(rollout.spec, {}, namespace="shop", name="search")
    finding = guard.judge(Evidence({}, incidents=tuple(incidents)), NOW)
    assert stands(finding) == ("== 0", evidence, distance, remedy)


def test_what_has_nothing_to_say_is_left_out_of_status() -> None:
    wire = judge(rule("x > 1%"), seen(0.001), NOW).to_wire()
    assert "evidence" not in wire
    assert "remedy" not in wire
    assert wire["distance"] == "0.9 percentage points below"


def test_what_is_too_long_is_cut_to_what_status_takes() -> None:
    fields = Standing(bound="b" * 300, remedy="r" * 2000).as_fields()
    assert {name: len(text) for name, text in fields.items()} == {"bound": 253, "remedy": 1024}
    Finding(rule="x", role="go", verdict="pass", **fields)


@pytest.mark.parametrize(
    ("value", "bound", "unit", "text"),
    [
        (0.031, 0.01, "ratio", "2.1 percentage points above"),
        (0.004, 0.01, "ratio", "0.6 percentage points below"),
        (0.048, 0.06, "seconds", "12ms below"),
        (125.0, 60.0, "seconds", "1m5s above"),
        (53.0, 50.0, "count", "3 above"),
        (8.5, 8.5, "score", "at the bound"),
        (float("inf"), 8.5, "score", ""),
    ],
)
def test_distances_are_said_with_their_unit(value: float, bound: float, unit: Unit, text: str) -> None:
    assert distance_of(value, bound, unit) == text


def test_where_no_time_is_needed_none_is_told() -> None:
    assert held_of(30, 0) == ""
    assert held_of(90, 60) == "1m of 1m"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1, "5s"), (61, "1m5s"), (150, "3m"), (7000, "1h57m"), (14_900, "4h10m"), (50_000, "14h"), (300_000, "4d")],
)
def test_estimates_are_rounded_up_to_what_they_can_tell(seconds: float, text: str) -> None:
    assert roughly(seconds) == text
