"""Foresight: what planned steps can prove, and how the resource says it without being written at each judgement."""

from datetime import timedelta
from typing import Any

import pytest

from pilotage.judging.evidence import Answered, Evidence, NoData, Series
from pilotage.judging.inference.noise import NoiseProfile
from pilotage.judging.objective import SequentialRule
from pilotage.resources.rollout import PilotRollout
from pilotage.resources.status import Finding, OutlookStatus, Verdict
from pilotage.rollout.decide import Decision, decide
from pilotage.rollout.foresight import Known, foresee, requests_per_second
from pilotage.rollout.plan import Plan, read_plan
from pilotage.rollout.situation import Delivered, Seen
from tests.builders import RolloutBuilder, edited, make_rollout
from tests.pilot import NOW
from tests.unit.test_pace import counted, followed, sequential

CALM = NoiseProfile(0.001, (9.0,) * 7, 72, learned=True, note="")
NAME = "errors < 1% for 1m30s"


def planned(**fields: Any) -> RolloutBuilder:
    objective = {"indicator": "errors", "objective": "< 1%", "onBreach": "rollback"}
    said = {"interval": "15s", "objectives": [objective], **fields}
    return make_rollout().with_spec(**said).indicator("errors", errors="e[$window]", total="t[$window]")


def outlook(
    builder: RolloutBuilder, per_second: float | None = None, *, profile: NoiseProfile = CALM
) -> tuple[OutlookStatus, ...]:
    plan = read_plan(builder.obj(), {})
    assert plan.problem is None
    population = builder.obj().spec.audience.population
    traffic = {} if per_second is None else {NAME: per_second}
    return foresee(plan.steps, plan.rules, Known(traffic, {NAME: profile}, population.users if population else None))


def test_ten_users_and_two_requests_a_minute_need_hours() -> None:
    few = planned(audience={"population": {"users": 1000}}).step("week-1", users=10, hold="15m")
    [found] = outlook(few, 2 / 60 * 100)
    assert found.proves == "TooLittle"
    assert (found.traffic, found.sees, found.needs) == ("2 requests a minute", "", "5h")
    assert found.message == (
        "spec.steps[0].hold: with 10 users and 2 requests a minute, a rise from 0.1% to 3% errors shows after about 5h"
        " (9 times of 10); it holds for 15m: hold at least 5h"
    )


def test_each_step_says_the_smallest_fault_that_it_sees() -> None:
    steps = planned().step(percent=1, hold="15m").step(percent=5, hold="15m").step(percent=50, hold="15m")
    found = outlook(steps, 20)
    assert [one.sees for one in found] == [
        "10% (10 times the objective)",
        "5% (5 times the objective)",
        "2% (2 times the objective)",
    ]
    assert [one.proves for one in found] == ["TooLittle", "Enough", "Enough"]


def test_who_holds_for_as_long_as_is_advised_is_warned_no_more() -> None:
    [short] = outlook(planned().step(percent=1, hold="15m"), 20)
    [long] = outlook(planned().step(percent=1, hold=short.needs), 20)
    [fewer] = outlook(planned().step(percent=1, hold=short.needs), 18)
    assert [one.proves for one in (short, long, fewer)] == ["TooLittle", "Enough", "Enough"]


def test_a_noisy_service_needs_longer() -> None:
    noisy = NoiseProfile(0.002, (60.0, 37.0, 20.0, 12.0, 9.0, 9.0, 9.0), 72, learned=True, note="")
    step = planned().step(percent=10, hold="1m")
    [calm], [loud] = outlook(step, 20), outlook(step, 20, profile=noisy)
    assert (calm.needs, loud.needs) == ("7m", "11m")


def test_where_the_service_is_that_bad_itself_no_hold_is_long_enough() -> None:
    bad = NoiseProfile(0.05, (9.0,) * 7, 72, learned=True, note="")
    [found] = outlook(planned().step(percent=10, hold="14d"), 20, profile=bad)
    assert (found.proves, found.needs) == ("TooLittle", "")
    assert "can't be told from what the service does itself" in found.message


def test_where_all_have_the_feature_the_for_of_the_objective_decides() -> None:
    short, long = planned().step(percent=100, hold="1m"), planned().step(percent=100, hold="10m")
    assert [outlook(one)[0].proves for one in (short, long)] == ["TooLittle", "Enough"]
    assert outlook(long)[0].needs == "3m", "30 s of window, 90 s of for, 15 s to the next scrape"


def test_a_last_step_without_hold_is_left_out() -> None:
    found = outlook(planned().step("some", percent=10, hold="1h").step("all", percent=100), 20)
    assert [one.step for one in found] == ["some"]


@pytest.mark.parametrize(
    ("builder", "per_second", "message"),
    [
        (planned().step(percent=10, hold="1h"), None, "its requests are not counted yet"),
        (
            planned(audience={"directory": {"configMap": "users"}}).step(users=10, hold="1h"),
            20,
            "nobody knows how many users there are",
        ),
        (
            planned(audience={"cohorts": [{"name": "early", "criteria": "orders > 10"}]}).step(
                cohorts=["early"], hold="1h"
            ),
            20,
            "nobody knows how much of the traffic its cohorts make",
        ),
    ],
)
def test_what_is_not_known_is_said_to_be_unknown(
    builder: RolloutBuilder, per_second: float | None, message: str
) -> None:
    [found] = outlook(builder, per_second)
    assert (found.proves, found.message, found.needs) == ("Unknown", message, "")


def test_rules_by_time_alone_foresee_nothing() -> None:
    rollout = planned(objectives=[], rollback=["errors > 1% for 10m"]).step(percent=10, hold="1m")
    assert outlook(rollout, 20) == ()


def test_of_several_objectives_the_one_that_needs_longest_is_told() -> None:
    objectives = [{"indicator": "errors", "objective": bound} for bound in ("< 5%", "< 1%")]
    builder = planned(objectives=objectives).step(percent=10, hold="1m")
    plan = read_plan(builder.obj(), {})
    [found] = foresee(plan.steps, plan.rules, Known(dict.fromkeys((NAME, "errors < 5% for 1m30s"), 20.0), {}))
    assert found.rule == "errors < 1%"


# --- traffic


def test_traffic_is_what_was_counted_rounded_to_two_digits() -> None:
    rule = sequential()
    answer = counted(rule, 40, on=(6.17, 0), off=(54, 0))
    progress, _ = followed(rule, answer)
    assert requests_per_second([rule], Evidence({}, progress={rule.name: progress})) == {rule.name: 4.0}


def test_before_the_first_step_the_last_answer_tells_the_traffic() -> None:
    rule = sequential()
    evidence = Evidence({rule.tail: counted(rule, 8, off=(60, 0))})
    assert requests_per_second([rule], evidence) == {rule.name: 4.0}


def test_traffic_that_nobody_counted_is_not_known() -> None:
    rule = sequential()
    assert requests_per_second([rule], Evidence({rule.tail: NoData("nothing")})) == {}
    short = Answered((("off", Series((1.0, 16.0), (0.0, 0.0), (10.0, 10.0))),))
    assert requests_per_second([rule], Evidence({rule.tail: short})) == {}


# --- the resource


class Piloted:
    """A rollout whose traffic is said; everything is in force at once."""

    def __init__(self, rollout: PilotRollout) -> None:
        self.rollout, self.now = rollout, NOW
        self.writes = 0
        self.verdict: Verdict = "pending"
        self.decision: Decision

    @property
    def plan(self) -> Plan:
        return read_plan(self.rollout, {})

    def decide(self, per_second: float | None, *, after: float = 15, value: str = "0%") -> "Piloted":
        self.now += timedelta(seconds=after)
        plan, delivery = self.plan, self.rollout.status.delivery
        findings = tuple(
            Finding(rule=rule.text, role=rule.role, verdict=self.verdict, value=value, remedy=f"{value} less")
            for rule in plan.rules
        )
        delivered = Delivered("ConfigMap/x", delivery.revision if delivery else None)
        names = [rule.name for rule in plan.rules if isinstance(rule, SequentialRule)]
        traffic = {} if per_second is None else dict.fromkeys(names, per_second)
        seen = Seen(findings, delivered=delivered, traffic=traffic)
        self.decision = decide(plan, self.rollout, seen, self.now)
        self.writes += self.decision.status != self.rollout.status
        self.rollout = self.rollout.model_copy(update={"status": self.decision.status})
        return self

    @property
    def condition(self) -> tuple[str, str, str] | None:
        found = [each for each in self.rollout.status.conditions if each.type == "StepsProvable"]
        return (found[0].status, found[0].reason, found[0].message) if found else None


@pytest.fixture
def short() -> Piloted:
    """In a step of 10 % for 1 m, which needs about 7 m at 20 requests a second; two steps follow."""
    builder = planned().step("some", percent=10, hold="1m").step("many", percent=50, hold="5m").step(percent=100)
    piloted = Piloted(builder.obj())
    piloted.verdict = "pass"
    piloted.decide(20).decide(20)
    piloted.verdict = "pending"
    return piloted.decide(20)


def test_a_step_that_is_too_short_is_said_on_the_resource(short: Piloted) -> None:
    assert short.condition is not None
    status, reason, message = short.condition
    assert (status, reason) == ("False", "StepTooShort")
    assert message.startswith("spec.steps[0].hold: with 10% and 2 requests a second, ")
    assert message.endswith("it holds for 1m: hold at least 7m")
    assert [one.step for one in short.rollout.status.outlook] == ["some", "many"]


def test_it_goes_away_at_once_when_the_hold_is_raised(short: Piloted) -> None:
    steps = [{"name": "some", "percent": 10, "hold": "7m"}, *short.rollout.spec.to_wire()["steps"][1:]]
    short.rollout = edited(short.rollout, steps=steps)
    assert short.decide(20).condition == ("True", "LongEnough", "")


def test_traffic_that_changes_at_each_judgement_writes_nothing(short: Piloted) -> None:
    before = short.writes
    for judgement in range(76):
        short.decide(20 + judgement % 7, value=f"0.{judgement}%")
    assert short.writes - before == 3, "19 minutes: findings are renewed every 5"


def test_traffic_that_comes_to_be_known_is_told_at_once() -> None:
    piloted = Piloted(planned().step(percent=10, hold="1h").step(percent=100).obj()).decide(None)
    assert piloted.condition == ("Unknown", "TrafficUnknown", "step step-1: its requests are not counted yet")
    assert piloted.decide(20).condition == ("True", "LongEnough", "")


def test_an_outage_does_not_take_back_what_was_known(short: Piloted) -> None:
    told = short.condition
    for _ in range(40):
        short.decide(None)
    assert short.condition == told


def test_only_this_step_and_the_later_ones_are_told(short: Piloted) -> None:
    short.verdict = "pass"
    short.decide(20, after=60)
    assert short.rollout.status.step
    assert short.rollout.status.step.name == "many"
    assert [one.step for one in short.rollout.status.outlook] == ["many"]


def test_at_the_end_nothing_is_foreseen(short: Piloted) -> None:
    short.verdict = "pass"
    for _ in range(10):
        short.decide(20, after=400)
    assert short.rollout.status.phase == "Completed"
    assert short.condition is None
    assert short.rollout.status.outlook == ()


def test_without_an_objective_that_is_judged_sequentially_there_is_no_condition() -> None:
    rollout = planned(objectives=[], rollback=["errors > 1% for 10m"]).step(percent=10, hold="1m").obj()
    assert Piloted(rollout).decide(None).condition is None


def test_it_goes_with_the_last_objective_that_was_judged_sequentially(short: Piloted) -> None:
    short.rollout = edited(short.rollout, objectives=[], rollback=["errors > 1% for 10m"])
    assert short.decide(None).condition is None
    assert short.rollout.status.outlook == ()
