"""The backtest's pure parts: the replay's shortcut, plain verdicts, splits, proposals."""

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.backtest.arms import Split, change_of
from pilotage.backtest.healthy import Course, Healthy
from pilotage.backtest.proposal import propose
from pilotage.backtest.quick import plain_verdict
from pilotage.backtest.replay import DeliveredAfter, Replay, gist_of
from pilotage.judging.evidence import Answer, Answered, NoData, Series, Unavailable
from pilotage.resources.rollout import PilotRollout
from pilotage.resources.status import Finding, HistoryEntry, Verdict
from pilotage.rollout.admission import User
from pilotage.rollout.plan import Plan
from pilotage.rollout.situation import Seen
from tests.builders import judge, make_rollout, read_rules
from tests.pilot import guarded

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
USERS = tuple(User(f"user-{n}", {}) for n in range(200))
VERDICTS: tuple[Verdict, ...] = ("pass", "pass", "pass", "pending", "breach", "no-data", "unavailable")


@dataclass
class Script:
    """Verdicts by moment and rule; each begins when it is said first."""

    says: Callable[[int, int], Verdict]
    quick: bool = True

    def see(self, _rollout: PilotRollout, plan: Plan, now: datetime) -> Seen:
        tick = round((now - START).total_seconds() // 10)
        findings = tuple(
            Finding(rule=rule.text, role=rule.role, verdict=self.says(tick, index), since=START)
            for index, rule in enumerate(plan.rules)
        )
        return Seen(findings, None, USERS)

    def gist(self, rollout: PilotRollout, plan: Plan, now: datetime) -> Hashable:
        return gist_of(self.see(rollout, plan, now).findings, None) if self.quick else None


def story(rollout: PilotRollout, script: Script, *, thorough: bool, delay: float = 0.0) -> list[tuple[object, ...]]:
    replay = Replay(rollout, {}, script, START, DeliveredAfter(delay), thorough=thorough)
    replay.run(START + timedelta(minutes=20))
    return [(e.time, e.sequence, e.action, e.step, e.reason, e.message, e.admitted, e.evidence) for e in replay.record]


@given(
    changes=st.lists(st.tuples(st.integers(0, 110), st.integers(0, 7), st.sampled_from(VERDICTS)), max_size=12),
    delay=st.sampled_from([0.0, 3.0, 25.0]),
    to=st.sampled_from(["zero", "previous"]),
)
def test_what_is_skipped_would_have_changed_nothing(
    changes: list[tuple[int, int, Verdict]], delay: float, to: str
) -> None:
    said: dict[int, dict[int, Verdict]] = {}
    for tick, rule, verdict in changes:
        said.setdefault(rule, {})[tick] = verdict

    def says(tick: int, rule: int) -> Verdict:
        known = [(at, verdict) for at, verdict in said.get(rule, {}).items() if at <= tick]
        return max(known)[1] if known else "pass"

    rollout = guarded().with_spec(onRollback={"to": to}).obj()
    whole = story(rollout, Script(says), thorough=True, delay=delay)
    assert story(rollout, Script(says), thorough=False, delay=delay) == whole


def test_a_replay_advances_when_the_operator_would_and_skips_most_judgements() -> None:
    looks = 0

    @dataclass
    class Counting(Script):
        def see(self, rollout: PilotRollout, plan: Plan, now: datetime) -> Seen:
            nonlocal looks
            looks += 1
            return super().see(rollout, plan, now)

        def gist(self, *_: object) -> Hashable:
            return "always the same"

    replay = Replay(guarded().obj(), {}, Counting(lambda *_: "pass"), START, thorough=False)
    replay.run(START + timedelta(hours=1))
    told = [(e.action, e.step, (e.time - START).total_seconds()) for e in replay.record]
    assert told == [("Start", "few", 0), ("Advance", "some", 60), ("Advance", "all", 120), ("Complete", "all", 180)]
    assert looks < 15
    assert replay.seconds_by_phase["Progressing"] == 180


def test_a_step_s_clock_starts_when_delivery_has_come() -> None:
    told = story(guarded().obj(), Script(lambda *_: "pass"), thorough=True, delay=7.0)
    assert [(str(e[2]), (e[0] - START).total_seconds()) for e in told][:2] == [("Start", 0), ("Advance", 67)]  # type: ignore[operator]


VALUE = st.one_of(st.floats(0.0, 0.03), st.sampled_from([0.01, 0.02]))
POINTS = st.lists(st.one_of(st.none(), VALUE, VALUE, VALUE), min_size=1, max_size=12)
ROLES = [
    ({"rollback": ["errors > 1% for 1m"]}, "rollback"),
    ({"rollback": ["errors >= 1%"]}, "rollback"),
    ({"go": ["errors < 1% for 1m"]}, "go"),
    ({"go": ["errors <= 2%"]}, "go"),
    ({"noGo": ["errors < 1% for 30s"]}, "noGo"),
    ({"go": ["errors > 1% in 1m"]}, "go"),
    ({"rollback": ["errors == 1% for 30s"]}, "rollback"),
    ({"go": ["errors < 1% for 2d"]}, "go"),
]


@given(points=POINTS, rule=st.sampled_from(ROLES), variant=st.sampled_from(["on", "", "off"]), late=st.integers(0, 9))
def test_a_plain_verdict_is_the_rule_s(
    points: list[float | None], rule: tuple[dict[str, list[str]], str], variant: str, late: int
) -> None:
    errors = {"errors": "e[$window]", "total": "t[$window]"}
    [read] = read_rules(make_rollout().indicator("errors", **errors).step().with_spec(**rule[0]).obj().spec, {})
    now = START + timedelta(seconds=late)
    end, step = read.question.end_at(now.timestamp()), read.question.step_seconds
    kept = [(end - place * step, value) for place, value in enumerate(points) if value is not None][::-1]
    series = Series(tuple(at for at, _ in kept), tuple(v for _, v in kept), tuple(10.0 for _ in kept))
    answer: Answer = Answered(((variant, series),)) if kept else NoData("none")
    plain, found = plain_verdict(read, answer, now), judge(read, answer, now)
    if plain is not None:
        assert (plain, None) == (found.verdict, found.earliest)
    assert plain_verdict(read, Unavailable("down"), now) is None


def test_most_verdicts_are_plain() -> None:
    [rule] = read_rules(make_rollout().indicator("errors").step().with_spec(go=["errors < 1% for 1m"]).obj().spec, {})
    times = tuple(START.timestamp() - 10.0 * place for place in range(rule.question.steps, -1, -1))
    answer = Answered((("on", Series(times, tuple(0.001 for _ in times))),))
    assert plain_verdict(rule, answer, START) == "pass"


def counted(ratio: float, total: float, count: int = 2000) -> Answered:
    times = tuple(1e9 + 15.0 * n for n in range(count))
    return Answered((("off", Series(times, (ratio,) * count, (total,) * count)),))


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
def test_a_split_shares_the_counts_and_keeps_their_noise(share: float) -> None:
    split = change_of(Split("on", "off", share, 15.0))(counted(0.02, 500.0))
    treatment, control = split.series_of("on"), split.series_of("off")
    assert treatment is not None
    assert control is not None
    errors = [r * n for r, n in zip(treatment.values, treatment.weights, strict=True)]
    rest = [r * n for r, n in zip(control.values, control.weights, strict=True)]
    assert all(abs(a + b - 10.0) < 1e-6 for a, b in zip(errors, rest, strict=True))
    assert treatment.weights[0] == pytest.approx(500 * share)
    mean = sum(errors) / len(errors)
    assert mean == pytest.approx(10 * share, abs=4 * math.sqrt(10 * share * (1 - share) / 2000))
    variance = sum((e - mean) ** 2 for e in errors) / len(errors)
    assert variance == pytest.approx(10 * share * (1 - share), rel=0.2)


def test_windows_that_overlap_are_thinned_alike_and_always_the_same() -> None:
    change = change_of(Split("on", "off", 0.1, 60.0))
    series = change(counted(0.02, 500.0)).series_of("on")
    assert series is not None
    blocks: dict[int, set[float]] = {}
    for at, value in zip(series.times, series.values, strict=True):
        blocks.setdefault(int(at // 60), set()).add(value)
    assert all(len(values) == 1 for values in blocks.values())
    assert len({min(values) for values in blocks.values()}) > 3
    assert change(counted(0.02, 500.0)) == change(counted(0.02, 500.0))


def test_what_is_no_count_is_the_same_in_both_arms() -> None:
    answer = Answered((("", Series((1.0, 2.0), (5.0, 6.0))),))
    split = change_of(Split("on", "off", 0.1, 60.0))(answer)
    assert split.series_of("on") == split.series_of("off") == answer.series_of("")


def test_where_everybody_is_in_there_is_no_control() -> None:
    split = change_of(Split("on", "off", 1.0, 60.0))(counted(0.02, 500.0, 3))
    assert [variant for variant, _ in split.by_variant] == ["on"]


def healthy_if(enough: dict[str, float]) -> Callable[[PilotRollout], Healthy]:
    """Every rule breaks until it lasts for so long."""

    def attempt(rollout: PilotRollout) -> Healthy:
        rules = {rule.field: rule.for_seconds for rule in read_rules(rollout.spec, {})}
        broken = [field for field, seconds in enough.items() if rules[field] < seconds]
        entry = HistoryEntry(time=START, sequence=1, action="RollBack", reason="Breach", message="breach")
        return Healthy(
            tuple(Course(START, START, "RolledBack", entry, field, 0, 0, {}) for field in broken[:1])
            or (Course(START, START, "Completed", None, "", 0, 0, {}),),
            3600.0,
            3600.0,
        )

    return attempt


def noisy() -> PilotRollout:
    return (
        make_rollout()
        .with_spec(
            objectives=[{"indicator": "errors", "objective": "< 1%", "judge": "threshold", "onBreach": "rollback"}],
            rollback=["errors > 3% for 30s", "errors > 2% in 1m"],
        )
        .indicator("errors", errors="e[$window]", total="t[$window]")
        .step("all", percent=100)
        .obj()
    )


@pytest.mark.parametrize(("enough", "proposed"), [(40.0, "40s"), (70.0, "1m10s"), (150.0, "2m30s"), (480.0, "8m")])
def test_the_shortest_time_that_breaks_nothing_is_proposed(enough: float, proposed: str) -> None:
    attempt = healthy_if({"spec.rollback[0]": enough})
    found = propose(noisy(), attempt(noisy()), attempt)
    [change] = found.changes
    assert (change.field, change.written) == ("spec.rollback[0]", "errors > 3% for 30s")
    assert change.proposed == f"errors > 3% for {proposed}"


def test_several_rules_are_raised_together() -> None:
    attempt = healthy_if({"spec.objectives[0].objective": 100.0, "spec.rollback[0]": 60.0})
    found = propose(noisy(), attempt(noisy()), attempt)
    assert {change.field for change in found.changes} == {"spec.objectives[0].for", "spec.rollback[0]"}
    assert found.remaining == 0


@pytest.mark.parametrize("field", ["spec.rollback[0]", "spec.rollback[1]"])
def test_where_no_longer_time_helps_nothing_is_proposed(field: str) -> None:
    """One would have to last too long, the other has a window in place of a time."""
    attempt = healthy_if({field: 1e6})
    found = propose(noisy(), attempt(noisy()), attempt)
    assert found.changes == ()
    assert (found.remaining, found.hopeless) == (1, (field,))
