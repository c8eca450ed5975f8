"""The report's go / no-go matrix and scores."""

from datetime import UTC, datetime
from typing import Any

import pytest

from pilotage.reports.matrix import matrix_of
from pilotage.reports.record import Report, RolloutRecord
from pilotage.reports.report import render
from pilotage.resources.rollout import PilotRollout
from pilotage.resources.status import PilotRolloutStatus
from tests.builders import make_rollout

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)

CRITERIA: list[dict[str, Any]] = [
    {"rule": "p95 < 50ms", "role": "objective", "verdict": "pass", "value": "41ms", "since": "2026-03-01T09:00:00Z"},
    {"rule": "lift(conversions) > 10% significant", "role": "go", "verdict": "pass", "value": "14%"},
    {
        "rule": "satisfaction > 4.0 for 7d",
        "role": "go",
        "verdict": "pending",
        "value": "4.3",
        "since": "2026-02-27T00:00:00Z",
        "earliest": "2026-03-06T00:00:00Z",
    },
    {"rule": "errors burns its budget of 0.1%", "role": "burnRate", "verdict": "pass", "value": "2x", "bound": "<= 6x"},
    {"rule": "satisfaction < 4.0", "role": "readinessWarning", "verdict": "pass", "value": "4.3"},
    {"rule": "error_ratio > 1% for 10m", "role": "rollback", "verdict": "pass", "value": "0%"},
]
SCORES = [
    {
        "name": "customer",
        "value": "8.43",
        "rating": "acceptable",
        "message": "no data for <adoption>",
        "inputs": [
            {"indicator": "satisfaction", "value": "9", "points": "9", "weight": "60%"},
            {"indicator": "adoption"},
        ],
    }
]


def status(**changes: Any) -> PilotRolloutStatus:
    return PilotRolloutStatus.model_validate({"phase": "Holding", "criteria": CRITERIA, "scores": SCORES, **changes})


def page(said: PilotRolloutStatus) -> str:
    rollout: PilotRollout = make_rollout().step(users=1).obj().model_copy(update={"status": said})
    return render(Report("Search", NOW, (RolloutRecord(rollout, NOW, NOW),)))


def test_the_matrix_has_what_says_whether_to_go_on() -> None:
    made = matrix_of(status())
    assert made is not None
    assert [(line.role, line.criterion, line.value, line.bound, line.verdict) for line in made.lines] == [
        ("go", "satisfaction", "4.3", "> 4.0 for 7d", "pending"),
        ("go", "lift(conversions)", "14%", "> 10% significant", "pass"),
        ("objective", "p95", "41ms", "< 50ms", "pass"),
        ("burn rate", "errors burns its budget of 0.1%", "2x", "<= 6x", "pass"),
        ("warning", "satisfaction", "4.3", "< 4.0", "pass"),
    ]
    assert made.lines[0].earliest == datetime(2026, 3, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("verdict", "role", "tone"),
    [
        *(("breach", "go", "bad"), ("pending", "go", "bad"), ("breach", "noGo", "bad")),
        *(("no-data", "go", "caution"), ("unavailable", "burnRate", "caution"), ("pass", "go", "good")),
        ("breach", "readinessWarning", "good"),
    ],
)
def test_without_an_assessment_the_criteria_answer(verdict: str, role: str, tone: str) -> None:
    made = matrix_of(status(criteria=[{"rule": "x > 1", "role": role, "verdict": verdict}]))
    assert made is not None
    assert made.tone == tone


def test_an_assessment_is_told_as_it_stands_in_status() -> None:
    readiness = {"state": "NotReady", "blockers": ["a: applies"], "warnings": ["b: applies"], "unknown": ["c: no-data"]}
    made = matrix_of(status(readiness=readiness))
    assert made is not None
    assert (made.tone, made.blockers, made.warnings, made.unknown) == (
        *("bad", ("a: applies",)),
        *(("b: applies",), ("c: no-data",)),
    )


def test_where_nothing_says_whether_to_go_on_there_is_no_matrix() -> None:
    assert matrix_of(status(criteria=CRITERIA[-1:])) is None
    assert "Go / no-go" not in page(status(criteria=CRITERIA[-1:], scores=[]))


def test_the_page_shows_matrix_and_scores_and_escapes_them() -> None:
    made = page(status(readiness={"state": "NotReady", "blockers": ["x: applies (<b>)"]}))
    for text in (
        *("Go / no-go", "No-go.", "x: applies (&lt;b&gt;)", "2026-03-06 00:00:00 UTC", "Health scores"),
        *("satisfaction 9: 9 points, 60%", "adoption no data", "no data for &lt;adoption&gt;"),
    ):
        assert text in made
    assert "<adoption>" not in made
