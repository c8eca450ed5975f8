"""Observing: a rollout that touches nothing, and criteria on trial that decide nothing."""

from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY

from pilotage.resources.rollout import PilotRollout
from pilotage.resources.status import PilotRolloutStatus
from pilotage.rollout.decide import exposure_of
from tests.builders import RolloutBuilder, edited, make_rollout
from tests.simulation import Simulation
from tests.unit.controller_world import World, answer_with

HOUR = timedelta(hours=1)


def two_steps() -> RolloutBuilder:
    return (
        make_rollout()
        .indicator("error_ratio")
        .step("few", percent=10, hold="1h")
        .step("all", percent=100, hold="1h")
        .with_spec(rollback=["error_ratio > 1% for 1m"])
    )


def observing() -> RolloutBuilder:
    return two_steps().with_spec(mode="observe")


def fine(_: str, __: float) -> float:
    return 0.001


def breaks_after(seconds: float) -> Any:
    return lambda _, at: 0.5 if at > seconds else 0.001


def story(simulation: Simulation) -> list[tuple[str, str]]:
    return [(entry.action, entry.admitted) for entry in simulation.record]


def status_of(simulation: Simulation) -> PilotRolloutStatus:
    return simulation.replay.rollout.status


def condition(status: PilotRolloutStatus, kind: str) -> str | None:
    return next((each.status for each in status.conditions if each.type == kind), None)


def test_its_clock_runs_as_if_all_were_delivered_and_nobody_is_in() -> None:
    simulation = Simulation(observing().obj(), fine).run(3 * HOUR)
    assert story(simulation) == [
        ("Start", "nobody (would be 10%)"),
        ("Advance", "nobody (would be everybody)"),
        ("Complete", "nobody (would be everybody)"),
    ]
    enforced = Simulation(two_steps().obj(), fine).run(3 * HOUR)
    late = [one.time - other.time for one, other in zip(enforced.record, simulation.record, strict=True)]
    assert all(timedelta(0) <= each <= timedelta(seconds=30) for each in late)


def test_it_says_so_wherever_one_looks() -> None:
    simulation = Simulation(observing().obj(), fine).run(HOUR / 2)
    status = status_of(simulation)
    assert status.message == "observing, nobody is let in: step few is held for 1h"
    assert status.mode == simulation.record[0].mode == "observe"
    assert simulation.record[0].message.startswith("would let the first users in: ")
    assert status.summary is not None
    assert (status.summary.users, status.summary.percent) == ("0", "0%")
    assert status.summary.waits_for == "observing: hold 1h"
    assert condition(status, "Delivered") is None
    ended = status_of(simulation.run(3 * HOUR))
    assert (ended.phase, condition(ended, "Completed"), condition(ended, "Ready")) == ("Completed", "False", "True")


def test_there_is_nothing_to_bring_about_at_any_time() -> None:
    simulation = Simulation(observing().obj(), breaks_after(1800))
    for _ in range(30):
        simulation.run(timedelta(minutes=3))
        assert exposure_of(simulation.replay.rollout, status_of(simulation)) is None


def test_a_rollback_is_told_with_its_evidence_and_takes_nobody_back() -> None:
    simulation = Simulation(observing().obj(), breaks_after(1800)).run(HOUR)
    assert [entry.action for entry in simulation.record] == ["Start", "Hold", "RollBack", "RolledBack"]
    told = simulation.record[2]
    assert told.admitted == "nobody"
    assert told.message.startswith("would take users back: breach: ")
    assert told.evidence == ("error_ratio > 1% for 1m: breach 50%",)


def carried_on(simulation: Simulation, **spec: Any) -> Simulation:
    """The same rollout after an edit."""
    rollout = edited(simulation.replay.rollout, **spec)
    fresh = Simulation(rollout, simulation.signal, now=simulation.replay.now)
    fresh.replay.rollout = rollout
    return fresh


def test_with_enforce_it_starts_with_the_first_step_whatever_it_would_have_reached() -> None:
    observed = Simulation(observing().obj(), fine).run(1.5 * HOUR)
    assert observed.record[-1].action == "Advance"
    simulation = carried_on(observed, mode="enforce").run(HOUR / 2)
    restart, start = simulation.record
    assert (restart.action, restart.reason, restart.mode) == ("Restart", "ModeChanged", None)
    assert "nobody was let in while it observed" in restart.message
    assert (start.action, start.step, start.admitted, start.mode) == ("Start", "few", "10%", None)
    status = status_of(simulation)
    assert (status.mode, status.phase) == ("enforce", "Progressing")
    exposure = exposure_of(simulation.replay.rollout, status)
    assert exposure is not None
    assert (exposure.kind, exposure.revision) == ("percent", 1)


def test_with_enforce_after_a_rollback_that_was_only_observed_it_starts_as_well() -> None:
    observed = Simulation(observing().obj(), breaks_after(1800)).run(HOUR)
    simulation = carried_on(observed, mode="enforce")
    simulation.signal = fine
    simulation.run(HOUR / 2)
    assert [entry.action for entry in simulation.record] == ["Restart", "Start"]
    assert status_of(simulation).rollback is None


def test_back_to_observe_while_users_are_in_they_keep_what_they_have_and_stay_guarded() -> None:
    enforced = Simulation(two_steps().obj(), breaks_after(5400)).run(HOUR / 2)
    before = exposure_of(enforced.replay.rollout, status_of(enforced))
    simulation = carried_on(enforced, mode="observe").run(HOUR / 2)
    status = status_of(simulation)
    assert (status.phase, condition(status, "Stalled")) == ("Holding", "True")
    assert status.message.startswith("spec.mode: users may be in already: they keep what they have")
    assert exposure_of(simulation.replay.rollout, status) == before
    status = status_of(simulation.run(2 * HOUR))
    after = exposure_of(simulation.replay.rollout, status)
    assert after is not None
    assert (status.phase, after.kind) == ("RolledBack", "off")


def test_before_the_first_step_the_mode_may_change_at_will() -> None:
    rollout = two_steps().with_spec(paused=True).obj()
    waiting = Simulation(rollout, fine).run(HOUR / 2)
    simulation = carried_on(waiting, mode="observe", paused=False).run(HOUR / 2)
    assert simulation.record[-1].mode == "observe"


async def test_the_shell_writes_status_and_events_and_nothing_else() -> None:
    world = World(observing().obj())
    for _ in range(10):
        answer_with(world, 0.001)
        await world.run(2)
        await world.clock.advance(900.0)
    assert world.phase == "Completed"
    assert not world.target.writes
    assert not world.target.released
    assert {path.removeprefix(world.path) for path in world.kube.paths("PATCH")} == {"/status"}
    assert world.kube.paths("GET") == []
    assert not world.rollout.metadata.finalizers
    assert REGISTRY.get_sample_value("pilotage_admitted_users", {"namespace": "shop", "rollout": "search"}) == 0


async def test_its_clock_starts_without_waiting_for_the_next_judgement() -> None:
    world = World(observing().obj())
    answer_with(world, 0.001)
    await world.run()
    assert [after for _, after in world.queue.asked] == [0.0]
    await world.run()
    step = world.rollout.status.step
    assert step is not None
    assert step.verified_time == step.entered_time


# Criteria on trial


def on_trial(role: str, criterion: str) -> RolloutBuilder:
    return two_steps().with_spec(rollback=[], observe=[{"role": role, "criterion": criterion}])


@pytest.mark.parametrize(
    ("role", "criterion"),
    [
        ("rollback", "error_ratio > 1% for 1m"),
        ("throttle", "error_ratio > 1% for 1m"),
        ("noGo", "error_ratio > 1%"),
        ("go", "error_ratio < 0.01%"),
    ],
)
def test_a_criterion_on_trial_decides_nothing(role: str, criterion: str) -> None:
    rollout = on_trial(role, criterion).obj()
    simulation = Simulation(rollout, breaks_after(600)).run(3 * HOUR)
    actions = [entry.action for entry in simulation.record if entry.action != "Observe"]
    assert actions == ["Start", "Advance", "Complete"]
    [found] = status_of(simulation).criteria
    assert (found.role, found.verdict, found.mode) == (role, "breach", "observe")
    assert condition(status_of(simulation), "Healthy") == "True"
    assert simulation.record[-1].evidence == (f"{criterion} (observed): breach 50%",)


def test_what_it_would_do_is_recorded_once() -> None:
    rollout = on_trial("rollback", "error_ratio > 1% for 1m").obj()
    simulation = Simulation(rollout, breaks_after(600)).run(HOUR / 2)
    start, told = simulation.record
    assert start.action == "Start"
    assert (told.action, told.reason, told.admitted) == ("Observe", "Observe", "10%")
    assert told.message.startswith("spec.observe[0].criterion would take users back: error_ratio > 1% for 1m: ")
    assert told.mode is None


def test_what_it_would_do_from_the_beginning_is_told_when_somebody_is_in() -> None:
    rollout = on_trial("rollback", "error_ratio > 1% for 1m").obj()
    simulation = Simulation(rollout, breaks_after(-7200)).run(HOUR / 2)
    assert [entry.action for entry in simulation.record] == ["Start", "Observe"]


def test_one_that_comes_and_goes_fills_no_history() -> None:
    def flaps(_: str, at: float) -> float:
        return 0.5 if int(at // 300) % 2 else 0.001

    rollout = on_trial("rollback", "error_ratio > 1% for 1m").obj()
    simulation = Simulation(rollout, flaps).run(timedelta(minutes=55))
    assert [entry.action for entry in simulation.record] == ["Start", "Observe"]


@pytest.mark.parametrize("judge", ["threshold", "sequential"])
def test_an_objective_on_trial_decides_nothing_with_all_of_its_bounds(judge: str) -> None:
    objective = {
        "indicator": "error_ratio",
        "objective": "< 1%",
        "critical": "> 5%",
        "onBreach": "rollback",
        "mode": "observe",
        "judge": judge,
    }
    counted = {part: f"sum(increase({part}[$window]))" for part in ("errors", "total")}
    rollout = two_steps().with_spec(
        rollback=[], objectives=[objective], indicators=[{"name": "error_ratio", **counted}]
    )
    simulation = Simulation(rollout.obj(), breaks_after(600)).run(3 * HOUR)
    assert "RollBack" not in [entry.action for entry in simulation.record]
    assert [entry.action for entry in simulation.record][-1] == "Complete"
    assert {found.mode for found in status_of(simulation).criteria} == {"observe"}


def test_readiness_is_told_without_it() -> None:
    rollout = on_trial("noGo", "error_ratio > 1%").with_spec(readiness={}).obj()
    status = status_of(Simulation(rollout, breaks_after(0)).run(HOUR / 2))
    assert status.readiness is not None
    assert (status.readiness.state, status.readiness.blockers, status.readiness.warnings) == ("Ready", (), ())


def test_one_that_makes_no_sense_is_told_with_its_field() -> None:
    rollout = on_trial("rollback", "error_ratio > 3s").obj()
    status = status_of(Simulation(rollout, fine).run(timedelta(minutes=1)))
    assert status.message.startswith("spec.observe[0].criterion: ")
    assert PilotRollout.model_validate(rollout.to_wire()).spec.observe[0].role == "rollback"
