"""Capacity before users on the way up, and after users on the way back; a rollback waits for none."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pilotage.backtest.history import History
from pilotage.backtest.observer import Records, Watcher
from pilotage.resources.capacity import CapacityStatus, StepScale
from pilotage.rollout.capacity import demand_of, needed, replicas_to_write
from pilotage.rollout.capacity_seen import AMPLE, CapacitySeen
from pilotage.rollout.decide import decide
from pilotage.rollout.situation import Seen
from pilotage.tenancy.scaling_demands import Demand, is_left, minimum_of
from tests.builders import RolloutBuilder, make_rollout
from tests.pilot import NOW, Pilot

WORKLOAD = {"name": "vector-search"}


class Scaled(Pilot):
    """A rollout with a workload, whose replicas a test plays."""

    def __init__(self, builder: RolloutBuilder) -> None:
        super().__init__(builder)
        self.capacity: CapacitySeen | None = CapacitySeen(replicas=1, ready=1)

    def look(self) -> Seen:
        return replace(super().look(), capacity=self.capacity)

    def has(self, ready: int, *, replicas: int | None = None, obstacle: str = "") -> "Scaled":
        self.capacity = CapacitySeen(ready if replicas is None else replicas, ready, obstacle)
        return self

    @property
    def asked(self) -> CapacityStatus:
        assert self.rollout.status.capacity
        return self.rollout.status.capacity


def breakable() -> RolloutBuilder:
    """A rollout of the workload that a rollback rule guards."""
    made = make_rollout().indicator("errors")
    return made.with_spec(rollback=["errors > 3% for 30s"], delivery={"workload": WORKLOAD})


def scaled(**said: object) -> Scaled:
    """Two steps of an hour; the second needs four replicas."""
    return Scaled(
        breakable()
        .step("few", percent=10, hold="1h")
        .step("many", percent=50, hold="1h", scale={"minReplicas": 4})
        .step("all", percent=100)
        .with_spec(**said)
    )


def waiting() -> Scaled:
    """The second step is due, and has asked for its replicas."""
    rollout = scaled()
    rollout.settle()
    rollout.decide(after=3601)
    return rollout


def test_a_step_with_scale_waits_until_its_replicas_are_ready() -> None:
    rollout = waiting()
    assert (rollout.step, rollout.phase) == ("few", "Holding")
    assert rollout.condition("Ready")[1] == "AwaitingCapacity"
    said = "step many waits for capacity: it needs 4 ready replicas of Deployment vector-search, and 1 are ready"
    assert rollout.rollout.status.message == said
    assert (rollout.asked.minimum, rollout.asked.before, rollout.asked.raised) == (4, 1, 4)
    rollout.has(3, replicas=4).decide(after=10)
    assert rollout.step == "few"
    rollout.has(4).decide(after=10)
    assert (rollout.step, rollout.actions[-1]) == ("many", "Advance")


def test_what_was_asked_for_is_written_before_the_step_is_entered_even_if_it_is_there() -> None:
    rollout = scaled()
    rollout.has(9).settle()
    rollout.decide(after=3601)
    assert (rollout.step, rollout.asked.minimum, rollout.asked.raised) == ("few", 4, None)
    rollout.decide(after=10)
    assert rollout.step == "many"
    assert rollout.asked.ready_time is not None


def test_an_unseen_workload_lets_nobody_in() -> None:
    rollout = scaled()
    rollout.settle()
    rollout.capacity = None
    rollout.decide(after=3601)
    assert rollout.step == "few"
    assert rollout.rollout.status.capacity is None
    assert "was not seen yet" in rollout.rollout.status.message


def test_what_is_in_the_way_of_capacity_is_said_with_the_remedy() -> None:
    rollout = waiting()
    rollout.has(1, obstacle="HorizontalPodAutoscaler search scales it: raise its minimum to 4").decide(after=10)
    assert rollout.rollout.status.message.endswith(
        "and 1 are ready; HorizontalPodAutoscaler search scales it: raise its minimum to 4"
    )


def test_a_first_step_may_ask_too() -> None:
    rollout = Scaled(
        make_rollout().step("few", percent=10, scale={"minReplicas": 2}).with_spec(delivery={"workload": WORKLOAD})
    )
    rollout.settle()
    assert (rollout.phase, rollout.step) == ("Pending", "-")
    rollout.has(2).settle(after=10)
    assert rollout.step == "few"


def test_a_later_step_keeps_what_the_ones_before_have_asked_for() -> None:
    spec = scaled().rollout.spec
    assert [needed(spec, index) for index in range(3)] == [0, 4, 4]


def test_a_rollback_is_decided_while_capacity_is_waited_for() -> None:
    rollout = waiting()
    rollout.decide(after=10, rollback="breach")
    assert (rollout.phase, rollout.actions[-1]) == ("RollingBack", "RollBack")


def test_capacity_goes_only_after_the_users_were_seen_to_have_left() -> None:
    rollout = waiting()
    rollout.has(4).decide(after=10)
    rollout.decide(after=1)
    rollout.in_force = False
    rollout.decide(after=10, rollback="breach")
    assert (rollout.phase, rollout.asked.minimum) == ("RollingBack", 4)
    assert demand_of(rollout.rollout) == Demand("search", ("Deployment", "vector-search"), 4, leaving=True)
    rollout.in_force = True
    rollout.decide(after=10)
    assert (rollout.phase, rollout.asked.minimum) == ("RolledBack", 0)
    assert replicas_to_write(rollout.asked, 4) == 1
    assert demand_of(rollout.rollout) is None


def test_users_who_go_back_a_step_keep_what_that_step_needs() -> None:
    rollout = Scaled(
        breakable()
        .step("few", percent=10, hold="1h", scale={"minReplicas": 2})
        .step("many", percent=50, hold="1h", scale={"minReplicas": 4})
        .with_spec(onRollback={"to": "previous"})
    )
    rollout.has(4).settle()
    rollout.settle(after=10)
    rollout.settle(after=3601)
    rollout.settle(after=10)
    assert (rollout.step, rollout.asked.minimum) == ("many", 4)
    rollout.settle(after=10, rollback="breach")
    assert (rollout.step, rollout.phase, rollout.asked.minimum) == ("few", "RolledBack", 2)


def test_a_rollout_that_only_observes_asks_for_no_capacity() -> None:
    rollout = scaled(mode="observe")
    rollout.heed()
    rollout.heed(after=3601)
    assert (rollout.step, rollout.rollout.status.capacity) == ("many", None)


def test_a_workload_that_is_taken_out_of_the_spec_is_asked_no_more() -> None:
    rollout = waiting()
    steps = [step.to_wire() for step in rollout.rollout.spec.steps]
    for step in steps:
        step.pop("scale", None)
    rollout.edit(delivery={}, steps=steps).decide(after=10)
    assert rollout.rollout.status.capacity is None
    assert rollout.step == "many"


def test_a_replay_of_a_history_waits_for_no_replicas() -> None:
    pilot = Pilot(
        make_rollout().step("few", percent=10, scale={"minReplicas": 4}).with_spec(delivery={"workload": WORKLOAD})
    )
    nothing_is_asked: Any = None
    observer = Watcher(Records(History(nothing_is_asked, NOW, NOW)))
    seen = observer.see(pilot.rollout, pilot.plan, NOW)
    assert seen.capacity == AMPLE
    decided = decide(pilot.plan, pilot.rollout, seen, NOW)
    again = decide(pilot.plan, pilot.rollout.model_copy(update={"status": decided.status}), seen, NOW)
    assert again.status.step is not None


ASKED = CapacityStatus(target="Deployment a", minimum=4, step="many", asked_time=NOW, before=2, raised=4)


@pytest.mark.parametrize(
    ("asked", "replicas", "wanted"),
    [
        (ASKED, 2, 4),
        (ASKED, 4, None),
        (ASKED, 9, None),
        (ASKED, 0, None),
        (ASKED.model_copy(update={"minimum": 0}), 4, 2),
        (ASKED.model_copy(update={"minimum": 3}), 4, 3),
        (ASKED.model_copy(update={"minimum": 0}), 7, None),
        (ASKED.model_copy(update={"minimum": 0, "raised": None}), 4, None),
        (ASKED.model_copy(update={"minimum": 0, "before": 0}), 4, 1),
    ],
)
def test_only_what_was_raised_is_taken_away_and_only_if_nobody_scaled_since(
    asked: CapacityStatus, replicas: int, wanted: int | None
) -> None:
    assert replicas_to_write(asked, replicas) == wanted


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 8), st.sampled_from(["pass", "breach"]), st.booleans()), min_size=1, max_size=25)
)
def test_users_never_have_a_step_whose_replicas_were_not_ready(turns: list[tuple[int, str, bool]]) -> None:
    rollout = scaled()
    for ready, verdict, in_force in turns:
        before = rollout.step
        rollout.in_force = in_force
        rollout.has(ready).decide(after=1801, rollback=verdict)  # type: ignore[arg-type]
        if rollout.step == "many" != before:
            assert ready >= 4
        if rollout.phase == "RollingBack" and rollout.rollout.status.capacity:
            assert rollout.asked.minimum == 4


def test_demands_on_one_workload_are_the_most_that_any_rollout_asks() -> None:
    demands = (
        Demand("a", ("Deployment", "x"), 3),
        Demand("b", ("Deployment", "x"), 5),
        Demand("c", None, leaving=True),
    )
    assert minimum_of(demands, "Deployment", "x") == 5
    assert minimum_of(demands, "Deployment", "y") == 0
    assert is_left(demands, "Deployment", "y")
    assert not is_left(demands[:2], "Deployment", "x")


def test_fewer_than_one_replica_is_no_capacity() -> None:
    with pytest.raises(ValidationError):
        StepScale(min_replicas=0)
