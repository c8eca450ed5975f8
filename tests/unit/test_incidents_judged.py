"""Rules on incidents: what they say, since when, when they can be met, and what they don't know."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.judging.evidence import Evidence
from pilotage.judging.incident_rule import IncidentRule
from pilotage.judging.incidents import Incident
from pilotage.judging.questions import RuleError
from pilotage.judging.reading import readable_rules
from pilotage.resources.rollout import PilotRolloutSpec
from pilotage.resources.status import Finding

NOW = datetime(2026, 3, 20, 9, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def read(criterion: str, role: str = "go") -> tuple[IncidentRule, ...]:
    said: dict[str, Any] = {"feature": {"flag": "f"}, "steps": [{"name": "one", "percent": 1}], role: [criterion]}
    rules, wrong = readable_rules(PilotRolloutSpec.model_validate(said), {}, namespace="shop", name="f")
    if wrong:
        raise wrong[0]
    found = tuple(rule for rule in rules if isinstance(rule, IncidentRule))
    assert len(found) == len(rules) == 1
    return found


def incident(began: float, ended: float | None = None, severity: Any = "critical", name: str = "") -> Incident:
    """One that began and ended so many days ago."""
    return Incident(severity, NOW - began * DAY, None if ended is None else NOW - ended * DAY, name)


def judged(criterion: str, *incidents: Incident, role: str = "go", recorded: float | None = None) -> Finding:
    (rule,) = read(criterion, role)
    since = None if recorded is None else NOW - recorded * DAY
    return rule.judge(Evidence({}, incidents=incidents, recorded_since=since), NOW)


def days_ago(moment: datetime | None) -> float | None:
    return None if moment is None else (NOW - moment) / DAY


OPEN_FOR = "incidents(critical, open) == 0 for 7d"


@pytest.mark.parametrize(
    ("incidents", "verdict", "since", "earliest", "message"),
    [
        ([], "pass", None, None, "incidents(critical, open) 0 == 0 for 7d"),
        ([incident(12, 9)], "pass", 9, None, "incidents(critical, open) 0 == 0 for 7d"),
        ([incident(12, 7)], "pass", 7, None, "incidents(critical, open) 0 == 0 for 7d"),
        ([incident(12, 2)], "pending", 2, -5, "incidents(critical, open) 0 == 0 (for 2d of 7d)"),
        ([incident(30, 29), incident(3, 1), incident(6, 4)], "pending", 1, -6, "(for 1d of 7d)"),
        ([incident(3, 3)], "pending", 3, -4, "(for 3d of 7d)"),
        ([incident(3, name="db-down")], "breach", 3, None, "1 != 0: db-down since 2026-03-17 09:00 UTC"),
        ([incident(3), incident(5, 4)], "breach", 3, None, "incidents(critical, open) 1 != 0"),
        ([incident(3, severity="major")], "pass", None, None, "0 == 0 for 7d"),
        ([incident(-1)], "pass", None, None, "0 == 0 for 7d"),
        ([incident(3, -1)], "breach", 3, None, "incidents(critical, open) 1 != 0"),
    ],
)
def test_no_critical_incident_for_a_week_holds_since_the_last_was_resolved(
    incidents: list[Incident], verdict: str, since: float | None, earliest: float | None, message: str
) -> None:
    found = judged(OPEN_FOR, *incidents)
    assert (found.verdict, days_ago(found.since), days_ago(found.earliest)) == (verdict, since, earliest)
    assert message in found.message


@pytest.mark.parametrize(
    ("recorded", "verdict", "since", "earliest"), [(9, "pass", 9, None), (7, "pass", 7, None), (3, "pending", 3, -4)]
)
def test_the_time_before_the_rollout_was_made_is_no_time_without_incidents(
    recorded: float, verdict: str, since: float, earliest: float | None
) -> None:
    found = judged(OPEN_FOR, recorded=recorded)
    assert (found.verdict, days_ago(found.since), days_ago(found.earliest)) == (verdict, since, earliest)


def test_what_is_not_listed_yet_is_unavailable() -> None:
    for role in ("go", "noGo", "rollback", "throttle"):
        (rule,) = read(OPEN_FOR, role)
        assert rule.judge(Evidence({}), NOW).verdict == "unavailable"


@pytest.mark.parametrize(
    ("criterion", "value"),
    [
        ("incidents(open) == 0", "3"),
        ("incidents(critical, open) == 0", "1"),
        ("incidents(open, major) == 0", "2"),
        ("incidents(minor, open) == 0", "0"),
        ("incidents(resolved) == 0", "1"),
        ("incidents(critical) == 0", "2"),
        ("incidents(any) == 0", "4"),
        ("incidents(critical) == 0 in 5d", "1"),
        ("incidents(open) == 0 in 5d", "2"),
        ("incidents(resolved) == 0 in 5d", "1"),
        ("incidents(resolved) == 0 in 1d", "0"),
    ],
)
def test_severity_and_state_choose_what_is_counted(criterion: str, value: str) -> None:
    found = judged(criterion, incident(9, 2), incident(4), incident(6, severity="major"), incident(1, severity="major"))
    assert found.value == value


@pytest.mark.parametrize(
    ("criterion", "role", "incidents", "verdict"),
    [
        ("incidents(critical, open) > 0", "rollback", [], "pass"),
        ("incidents(critical, open) > 0", "rollback", [incident(0.1)], "breach"),
        ("incidents(critical, open) > 0", "rollback", [incident(0.1, 0.05)], "pass"),
        ("incidents(critical, open) > 0 for 1d", "noGo", [incident(0.5)], "pending"),
        ("incidents(critical, open) > 0 for 1d", "noGo", [incident(2)], "breach"),
        ("incidents(critical, open) > 0 for 1d", "throttle", [incident(2, 1), incident(1)], "breach"),
        ("incidents(critical, open) > 0 for 1d", "throttle", [incident(2, 0.9), incident(0.8)], "pending"),
        ("incidents(any) > 2 in 7d", "noGo", [incident(9), incident(5), incident(4)], "pass"),
        ("incidents(any) > 2 in 7d", "noGo", [incident(6), incident(5), incident(4)], "breach"),
    ],
)
def test_what_must_not_apply_breaks_after_its_whole_time(
    criterion: str, role: str, incidents: list[Incident], verdict: str
) -> None:
    assert judged(criterion, *incidents, role=role).verdict == verdict


def test_blockers_warnings_and_the_go_of_a_step_count_incidents_too() -> None:
    said: dict[str, Any] = {
        "feature": {"flag": "f"},
        "steps": [{"name": "one", "percent": 1, "go": ["incidents(minor, open) < 3"]}],
        "readiness": {
            "blockers": ["incidents(critical, open) > 0 for 7d"],
            "warnings": ["incidents(any) > 5 in 7d"],
        },
    }
    rules, wrong = readable_rules(PilotRolloutSpec.model_validate(said), {}, namespace="shop", name="f")
    assert not wrong
    evidence = Evidence({}, incidents=(incident(8), incident(2)))
    found = {rule.role: rule.judge(evidence, NOW).verdict for rule in rules}
    assert found == {"go": "pass", "blocker": "breach", "readinessWarning": "pass"}


def test_a_count_within_a_time_says_when_it_can_be_met() -> None:
    found = judged("incidents(any) <= 1 in 7d", incident(6, 6), incident(4, 3), incident(2, 2))
    assert (found.verdict, days_ago(found.earliest)) == ("breach", -3)
    assert found.message == "incidents(any) 3 > 1 in 7d"
    assert judged("incidents(any) >= 1 in 7d").earliest is None


@pytest.mark.parametrize(
    ("criterion", "role", "count", "verdict"),
    [
        ("incidents(any) < 2 in 7d", "go", 1, "pending"),
        ("incidents(any) < 2 in 7d", "go", 2, "breach"),
        ("incidents(any) == 0 in 7d", "go", 0, "pending"),
        ("incidents(any) >= 1 in 7d", "go", 1, "pass"),
        ("incidents(any) > 2 in 7d", "noGo", 0, "pass"),
        ("incidents(any) > 2 in 7d", "noGo", 3, "breach"),
        ("incidents(any) == 0 in 7d", "rollback", 0, "pending"),
    ],
)
def test_where_the_record_is_shorter_than_the_time_only_what_more_could_not_change_is_said(
    criterion: str, role: str, count: int, verdict: str
) -> None:
    found = judged(criterion, *[incident(1)] * count, role=role, recorded=2)
    assert found.verdict == verdict
    if verdict == "pending":
        assert days_ago(found.earliest) == -5
        assert found.message.endswith("in 7d (recorded for 2d of it)")


def test_the_oldest_open_incidents_are_named() -> None:
    found = judged("incidents(open) == 0", *(incident(day, name=f"day-{day}") for day in (1, 2, 3, 4)))
    assert found.message == (
        "incidents(open) 4 != 0: day-4 since 2026-03-16 09:00 UTC, day-3 since 2026-03-17 09:00 UTC and 2 more"
    )


@pytest.mark.parametrize(
    ("criterion", "message"),
    [
        ("incidents(open) < 0.5", "0.5 is no number of incidents: write a whole one, such as 0 or 5"),
        ("incidents(open) == -1", "-1 is no number of incidents"),
        ("incidents(open) == 0 in 0d", "`in 0d` is no time: write one such as 7d, or leave it out"),
        ("incidents(open) == 0%", "write a plain number"),
    ],
)
def test_what_can_not_be_counted_is_refused_with_its_field(criterion: str, message: str) -> None:
    with pytest.raises(RuleError) as caught:
        read(criterion)
    assert caught.value.field == "spec.go[0]"
    assert message in str(caught.value)


# Counts of now that don't forget (`any`, `resolved`) are left out: they count what exists, whenever it was recorded.
CRITERIA = st.sampled_from(
    [
        f"incidents({words}) {op} {number}{mode}"
        for words, modes in (
            ("open", ("", " for 3d", " in 3d")),
            ("critical, open", (" for 3d",)),
            ("any", (" in 3d",)),
        )
        for op in ("<", "<=", ">", ">=", "==", "!=")
        for number in (0, 2)
        for mode in modes
    ]
)
INCIDENTS = st.lists(
    st.builds(
        lambda began, lasted, severity: incident(began, None if lasted is None else began - lasted, severity),
        st.integers(-1, 8),
        st.none() | st.integers(0, 5),
        st.sampled_from(["critical", "minor"]),
    ),
    max_size=5,
)


@given(CRITERIA, INCIDENTS, st.integers(0, 6), INCIDENTS)
def test_what_is_affirmed_holds_whatever_else_had_been_recorded_before(
    criterion: str, known: list[Incident], recorded: float, missed: list[Incident]
) -> None:
    """What may have been missed began, and was over, before the record."""
    earlier = [each for each in missed if each.resolved_at is not None and each.resolved_at < NOW - recorded * DAY]
    for role, affirmed in (("go", "pass"), ("noGo", "breach")):
        if judged(criterion, *known, role=role, recorded=recorded).verdict == affirmed:
            assert judged(criterion, *known, *earlier, role=role).verdict == affirmed
