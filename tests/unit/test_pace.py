"""Pace: what the sequential judge would need to change its mind, by the requests that came so far."""

from datetime import UTC, datetime, timedelta

import pytest

from pilotage.judging.evidence import Answered, Evidence, Series, Stage
from pilotage.judging.objective import SequentialRule
from pilotage.judging.pace import pace_of
from pilotage.judging.progress import Progress
from pilotage.judging.reading import readable_rules
from pilotage.resources.status import Finding
from tests.builders import make_rollout

SINCE = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
STEP = 15.0


def sequential() -> SequentialRule:
    """An objective on errors that is judged every 15 s."""
    rollout = (
        make_rollout()
        .with_spec(interval="15s", objectives=[{"indicator": "errors", "objective": "< 1%", "onBreach": "rollback"}])
        .indicator("errors", errors="e[$window]", total="t[$window]")
        .step("few", percent=10, hold="1h")
        .obj()
    )
    [rule], wrong = readable_rules(rollout.spec, {}, namespace="shop", name="search")
    assert isinstance(rule, SequentialRule)
    assert not wrong
    return rule


def counted(rule: SequentialRule, steps: int, **arms: tuple[float, float]) -> Answered:
    """So many steps from SINCE on; by variant requests of a step, and their error ratio."""
    first = SINCE.timestamp() + rule.tail.window_seconds + STEP - 1
    times = tuple(first + place * STEP for place in range(steps))
    return Answered(
        tuple(
            (variant, Series(times, (ratio,) * steps, (requests / rule.arms.scale,) * steps))
            for variant, (requests, ratio) in arms.items()
        )
    )


def followed(rule: SequentialRule, answer: Answered) -> tuple[Progress, datetime]:
    stage = Stage("few", SINCE, 0.1)
    steps = len(answer.by_variant[0][1].times)
    now = SINCE + timedelta(seconds=rule.tail.window_seconds + steps * STEP)
    progress = rule.started(stage, rule.profile(Evidence({})), None)
    assert progress is not None
    return rule.caught_up(progress, rule.more(progress, now), answer, answer, now), now


def found(steps: int, **arms: tuple[float, float]) -> Finding:
    rule = sequential()
    answer = counted(rule, steps, **arms)
    progress, now = followed(rule, answer)
    return rule.judge(Evidence({rule.tail: answer}, progress={rule.name: progress}), now)


def test_the_pace_is_what_was_counted() -> None:
    rule = sequential()
    progress, _ = followed(rule, counted(rule, 20, on=(6, 0), off=(54, 0)))
    pace = pace_of(progress)
    assert pace is not None
    assert pace.treatment == pytest.approx(0.4, rel=0.05)
    assert pace.control == pytest.approx(3.6, rel=0.05)


def test_after_few_scrapes_the_pace_is_not_known() -> None:
    rule = sequential()
    progress, _ = followed(rule, counted(rule, 3, on=(6, 0), off=(54, 0)))
    assert pace_of(progress) is None


def test_too_few_requests_say_how_many_more_and_how_long_they_take() -> None:
    finding = found(20, on=(6, 0), off=(54, 0))
    assert (finding.bound, finding.evidence, finding.distance) == ("< 1%", "0%", "1 percentage point below")
    assert finding.remedy == "98 more requests (about 5m)", "218 are needed, 6 come in 15 s, 120 came"


def test_enough_requests_need_nothing_more() -> None:
    finding = found(40, on=(6, 0), off=(54, 0))
    assert (finding.verdict, finding.remedy) == ("pass", None)


def test_what_holds_says_for_how_long_errors_must_stay_away() -> None:
    finding = found(5, on=(60, 0.05), off=(540, 0))
    assert finding.verdict == "pending"
    assert finding.evidence
    assert finding.evidence.startswith("83%, against control 100%")
    assert finding.distance == "4 percentage points above"
    assert finding.remedy
    assert finding.remedy.startswith("errors back to 0% for ")


def test_what_rolls_back_has_all_of_the_evidence() -> None:
    finding = found(30, on=(60, 0.2), off=(540, 0))
    assert (finding.verdict, finding.evidence) == ("breach", "100%, against control 100%")


def test_a_shared_incident_waits_for_control() -> None:
    finding = found(30, on=(60, 0.05), off=(540, 0.05))
    assert finding.remedy == "errors of control back to what it was"
