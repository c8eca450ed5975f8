"""What follows from runs: what is told, what is left alone, and when the next one comes."""

import asyncio

import pytest
from prometheus_client import REGISTRY

from pilotage.controller.events import event_of
from pilotage.controller.schedule import Urgency
from pilotage.delivery.target import DeliveryConflictError, DeliveryError
from pilotage.judging.evidence import Unavailable
from pilotage.kube import KubeError
from tests.builders import make_rollout
from tests.unit.controller_world import World, answer_with, break_it, judged, two_steps


async def completed() -> World:
    world = World(make_rollout().step("all", percent=100).obj())
    await world.run(4)
    assert world.phase == "Completed"
    return world


async def test_each_transition_is_told_once_as_an_event() -> None:
    world = await completed()
    posting = asyncio.create_task(world.poster.run())
    await world.poster.drain()
    posting.cancel()
    events = [body["reason"] for path, body in world.kube.objects.items() if "/events/" in path]
    assert events == [entry.reason for entry in world.rollout.status.history]
    assert len(events) == 2


async def test_the_time_of_a_way_back_counts_from_its_decision_over_all_attempts() -> None:
    world = judged()
    await break_it(world)
    before = [REGISTRY.get_sample_value(f"pilotage_kill_seconds_{part}") or 0.0 for part in ("count", "sum")]
    world.target.write_failures = [DeliveryError("no")]
    await world.run()
    await world.clock.advance(5.0)
    await world.run(3)
    after = [REGISTRY.get_sample_value(f"pilotage_kill_seconds_{part}") or 0.0 for part in ("count", "sum")]
    assert after[0] - before[0] == 1
    assert 5.0 <= after[1] - before[1] < 6.0


async def test_a_way_back_that_crosses_another_write_is_carried_out_and_decided_anew() -> None:
    world = judged()
    await break_it(world)
    world.kube.version = 777
    world.kube.objects[world.path]["metadata"]["resourceVersion"] = "777"
    await world.run()
    assert [how for how, _ in world.target.writes] == ["apply", "kill"]
    assert world.phase == "Progressing"
    await world.run()
    assert world.phase == "RolledBack"
    assert [entry.action for entry in world.rollout.status.history] == ["Start", "RollBack", "RolledBack"]


async def test_a_new_leader_writes_nothing_for_what_rests_while_nobody_can_tell_what_is_served() -> None:
    world = await completed()
    world.reconciler._tools.effects.forget_all()
    world.target.unknown = True
    await world.run(3)
    assert len(world.target.writes) == 1


async def test_an_exclusion_after_the_end_is_tried_again_while_nobody_can_tell_what_is_served() -> None:
    world = await completed()
    world.target.unknown = True
    world.target.write_failures = [DeliveryError("no")]
    world.edit(audience={"exclude": ["anna"]})
    await world.run()
    assert len(world.target.writes) == 1
    await world.run()
    assert world.target.writes[-1][1].deny == ("anna",)


async def test_after_a_success_the_next_failure_is_the_first() -> None:
    world = two_steps()
    world.kube.failures = [KubeError(500, "InternalError")] * 5
    await world.run(5)
    assert world.queue.asked[0][1] > 2
    await world.run(2)
    world.edit(paused=True)
    world.kube.failures = [KubeError(500, "InternalError")]
    await world.run()
    assert world.queue.asked == [(Urgency.TIMER, world.queue.asked[0][1])]
    assert world.queue.asked[0][1] <= 0.5


async def test_a_final_state_that_can_not_be_left_is_tried_again_soon() -> None:
    world = two_steps()
    await world.run(2)
    world.delete()
    world.target.write_failures = [DeliveryError("no")] * 9
    for _ in range(9):
        await world.run()
        urgency, pause = world.queue.asked[0]
        assert urgency is Urgency.FOLLOW_UP  # users are still in
        assert pause <= 1
    await world.run()
    assert [final.kind for final in world.target.released] == ["off"]


async def test_a_flag_that_somebody_else_holds_is_told_as_a_warning_and_holds() -> None:
    world = two_steps()
    await world.run(2)
    world.target.served = None
    world.target.write_failures = [DeliveryConflictError("kubectl-patch also writes this flag")] * 3
    for _ in range(3):
        await world.run()
        await world.clock.advance(4.0)
    assert world.phase == "Holding"
    told = world.rollout.status.history[-1]
    assert told.message == "step few is not in force: kubectl-patch also writes this flag"
    assert event_of(world.rollout, told, instance="test")["type"] == "Warning"
    await world.run(2)
    assert (world.phase, world.rollout.status.history[-1].action) == ("Progressing", "InForce")


async def test_a_rejected_query_is_logged_once_for_each_rollout_with_its_name(caplog: pytest.LogCaptureFixture) -> None:
    world = judged()
    world.source.answer = Unavailable("Prometheus rejects the query; the operator's log has the reason")
    await world.run(3)
    [line] = [record for record in caplog.records if "rejects" in record.message]
    assert (line.namespace, line.rollout) == ("shop", "search")  # type: ignore[attr-defined]
    assert "error_ratio > 1% for 1m" in line.message
    answer_with(world, 0.001)
    await world.run()
    world.source.answer = Unavailable("Prometheus rejects the query; the operator's log has the reason")
    await world.run()
    assert len([record for record in caplog.records if "rejects" in record.message]) == 2, "it was mended in between"


async def test_an_outage_of_prometheus_is_not_logged_for_each_rollout(caplog: pytest.LogCaptureFixture) -> None:
    world = judged()
    world.source.answer = Unavailable("Prometheus can't be reached")
    await world.run(3)
    assert not [record for record in caplog.records if "Prometheus" in record.message and record.levelname == "WARNING"]
