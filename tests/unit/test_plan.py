"""What the API server's schema can't see is found by the plan, with the field and the remedy."""

import pytest

from pilotage.resources.status import CohortStatus, ExposureStatus
from pilotage.rollout.admission import Crowd, Obstacle, admit
from pilotage.rollout.plan import read_plan
from tests.builders import RolloutBuilder, make_rollout

COHORTS = [{"name": "mobile", "criteria": "device == 'mobile'"}]
FROZEN = CohortStatus(seed="s:", order=("on", "off"), hash_generation="cbor", bucket_by="targetingKey")


def counted(**audience: object) -> RolloutBuilder:
    return make_rollout().with_spec(audience={"population": {"users": 1000}, "cohorts": COHORTS, **audience})


@pytest.mark.parametrize(
    ("builder", "field", "remedy"),
    [
        (make_rollout().step(users=10), "spec.steps[0].users", "add audience.directory"),
        (counted().step(users=10, cohorts=["mobile"]), "spec.steps[0].users", "add audience.directory"),
        (counted().step(users=2000), "spec.steps[0].users", "lower it or correct population"),
        (counted().step(users=500).step(percent=10), "spec.steps[1]", "raise it"),
        (counted().step(percent=10, cohorts=["desktop"]), "spec.steps[0].cohorts[0]", "add it to spec.audience"),
        (counted(include=["a"], exclude=["a"]).step(percent=10), "spec.audience.exclude", "remove it from one list"),
        (
            counted(cohorts=[{"name": "odd", "criteria": "orders > 'many'"}]).step(percent=10),
            "spec.audience.cohorts[0].criteria",
            "at character",
        ),
        (
            make_rollout()
            .step(percent=10)
            .indicator("p95", query="p95", unit="seconds")
            .with_spec(rollback=["p95 > 3%"]),
            "spec.rollback[0]",
            "seconds",
        ),
        (make_rollout().step(percent=10).with_spec(go=["speed > 3"]), "spec.go[0]", "speed"),
        (
            counted(population={"indicator": "active"}).step(percent=10),
            "spec.audience.population.indicator",
            "active",
        ),
    ],
)
def test_a_spec_that_cannot_be_carried_out_names_its_field_and_the_remedy(
    builder: RolloutBuilder, field: str, remedy: str
) -> None:
    problem = read_plan(builder.obj(), {}).problem
    assert problem is not None
    assert problem.field == field
    assert remedy in problem.message


def test_rules_that_ask_the_same_share_one_question() -> None:
    rollout = make_rollout().step(percent=10).indicator("e").with_spec(noGo=["e > 1%"], rollback=["e > 5%"]).obj()
    assert len(read_plan(rollout, {}).questions) == 1


def test_a_population_turns_users_into_a_share() -> None:
    rollout = counted().step(users=250).obj()
    admission = admit(read_plan(rollout, {}).steps[0], rollout.spec.audience, FROZEN, Crowd(None, 1000), None)
    assert not isinstance(admission, Obstacle)
    assert (admission.exposure.share, admission.exposure.users) == (250_000_000, 250)


@pytest.mark.parametrize(
    ("population", "reason"), [(None, "PopulationUnknown"), (200, "NotEnoughUsers"), (100_000, "StepShrinks")]
)
def test_a_population_that_does_not_fit_holds_with_its_reason(population: int | None, reason: str) -> None:
    rollout = counted(population={"indicator": "active"}).step(users=250).indicator("active", query="x").obj()
    before = ExposureStatus(kind="percent", share=100_000_000)
    step = read_plan(rollout, {}).steps[0]
    admission = admit(step, rollout.spec.audience, FROZEN, Crowd(None, population), before)
    assert isinstance(admission, Obstacle)
    assert admission.reason == reason


def test_shares_below_a_percent_are_exact() -> None:
    rollout = make_rollout().step(percent="0.000001").obj()
    admission = admit(read_plan(rollout, {}).steps[0], rollout.spec.audience, FROZEN, Crowd(None, None), None)
    assert not isinstance(admission, Obstacle)
    assert admission.exposure.share == 10
