"""One run: the order of its effects, and what it does when a part fails."""

import asyncio

import pytest

from pilotage.controller.elector import NotLeadingError
from pilotage.controller.reconcile import on_grid
from pilotage.controller.rollouts import FINALIZER
from pilotage.controller.schedule import Urgency
from pilotage.delivery.target import DeliveryConflictError, DeliveryError, DeliveryRefusedError
from pilotage.kube import KubeError
from tests.builders import make_rollout
from tests.unit.controller_world import World, answer_with, break_it, judged, two_steps


async def test_a_decision_is_written_before_it_is_carried_out() -> None:
    world = two_steps()
    world.kube.failures = [KubeError(500, "InternalError")]
    await world.run()
    assert world.kube.calls == [("PATCH", f"{world.path}/status")]
    assert world.target.writes == []
    [(urgency, pause)] = world.queue.asked
    assert urgency is Urgency.TIMER
    assert 0.2 < pause <= 0.5


async def test_the_finalizer_is_there_before_the_first_user_is() -> None:
    world = two_steps()
    await world.run()
    assert world.kube.calls == [("PATCH", f"{world.path}/status"), ("PATCH", world.path)]
    assert world.rollout.metadata.finalizers == (FINALIZER,)
    assert [how for how, _ in world.target.writes] == ["apply"]


async def test_without_the_finalizer_nobody_is_let_in() -> None:
    world = two_steps()

    async def refuse(*_: object, **__: object) -> None:
        raise KubeError(403, "Forbidden")

    world.reconciler._tools.rollouts.hold = refuse  # type: ignore[method-assign, assignment]
    await world.run()
    assert world.target.writes == []


async def test_a_steps_clock_starts_at_once_when_its_users_have_the_feature() -> None:
    world = two_steps()
    await world.run()
    assert world.queue.asked[0] == (Urgency.FOLLOW_UP, 0.0)
    step = world.rollout.status.step
    assert step is not None
    assert step.verified_time is None
    await world.run()
    step = world.rollout.status.step
    assert step is not None
    assert step.verified_time == world.clock.now()
    assert len(world.target.writes) == 1


async def test_nothing_is_written_while_nothing_changes() -> None:
    world = two_steps()
    await world.run(2)
    before = len(world.kube.calls)
    for _ in range(20):
        await world.clock.advance(15.0)
        await world.run()
    assert len(world.kube.calls) == before
    assert len(world.target.writes) == 1


async def test_at_rest_no_call_is_made_and_prometheus_is_not_asked() -> None:
    rollout = make_rollout().indicator("ratio").with_spec(rollback=["ratio > 1%"])
    world = World(rollout.step("all", percent=100).obj())
    for _ in range(40):
        answer_with(world, 0.0)
        await world.run()
        await world.clock.advance(10.0)
    assert world.phase == "Completed"
    calls, asked = len(world.kube.calls), len(world.source.asked)
    await world.run(5)
    assert (len(world.kube.calls), len(world.source.asked)) == (calls, asked)
    assert world.queue.asked[0][0] is Urgency.RESYNC
    assert 450 <= world.queue.asked[0][1] <= 750


async def test_an_outage_of_the_flag_service_writes_nothing_into_what_rests() -> None:
    world = World(make_rollout().step("all", percent=100).obj())
    await world.run(4)
    assert world.phase == "Completed"
    calls, writes = len(world.kube.calls), len(world.target.writes)
    world.target.unknown = True
    await world.run(3)
    assert (len(world.kube.calls), len(world.target.writes)) == (calls, writes)


async def test_what_somebody_undid_is_brought_about_again_but_not_in_a_hot_loop() -> None:
    world = World(make_rollout().step("all", percent=100).obj())
    await world.run(4)
    world.target.served = None
    await world.run()
    assert len(world.target.writes) == 2
    urgency, pause = world.queue.asked[0]
    assert urgency is Urgency.TIMER
    assert pause > 0.2


async def test_what_was_written_is_not_written_again_while_nobody_can_tell() -> None:
    world = two_steps()
    world.target.unknown = True
    await world.run()
    await world.run(3)
    assert len(world.target.writes) == 1
    delivery = world.rollout.status.delivery
    assert delivery is not None
    assert delivery.message == "the flag service can't be reached"


async def test_a_breach_is_judged_recorded_carried_out_and_verified_in_one_run() -> None:
    world = judged()
    await break_it(world)
    world.kube.calls.clear()
    await world.run()
    assert world.kube.calls == [("PATCH", f"{world.path}/status")]
    how, want = world.target.writes[-1]
    assert (how, want.kind) == ("kill", "off")
    assert world.queue.asked[0] == (Urgency.FOLLOW_UP, 0.0)
    await world.run()
    rollback = world.rollout.status.rollback
    assert world.phase == "RolledBack"
    assert rollback is not None
    assert rollback.verified_time is not None


async def test_users_are_taken_back_even_if_the_decision_can_not_be_written() -> None:
    world = judged()
    await break_it(world)
    world.kube.failures = [KubeError(500, "InternalError")]
    await world.run()
    assert world.target.writes[-1][0] == "kill"
    assert world.phase == "Progressing"
    await world.run()
    assert world.phase == "RollingBack"
    assert [entry.action for entry in world.rollout.status.history].count("RollBack") == 1


async def test_a_kill_that_fails_is_tried_again_within_a_second_for_ever() -> None:
    world = judged()
    await break_it(world)
    world.target.write_failures = [DeliveryError("no")] * 20
    for _ in range(20):
        await world.run()
        urgency, pause = world.queue.asked[0]
        assert urgency is Urgency.FOLLOW_UP
        assert pause <= 1.0
    await world.run()
    assert world.target.writes[-1][0] == "kill"


async def test_a_rollout_that_never_had_its_flag_takes_nobody_back() -> None:
    world = judged()
    world.target.others = ("pilotage/first",)
    world.target.write_failures = [DeliveryConflictError("pilotage/first also writes this flag")] * 9
    await break_it(world)
    world.target.write_failures = []
    await world.run(2)
    assert world.phase == "RollingBack"
    assert world.target.writes == []
    world.target.others = ()
    await world.run(2)
    assert world.phase == "RolledBack"


async def test_an_exclusion_takes_no_flag_from_another_rollout() -> None:
    world = two_steps()
    world.target.others = ("pilotage/first",)
    world.target.write_failures = [DeliveryConflictError("pilotage/first also writes this flag")]
    await world.run()
    world.edit(audience={"exclude": ["anna"]})
    await world.run(2)
    assert world.target.writes == []


async def test_a_finalizer_that_somebody_took_away_is_put_back() -> None:
    world = two_steps()
    await world.run(2)
    world.remove_finalizers()
    await world.run()
    assert world.rollout.metadata.finalizers == (FINALIZER,)


async def test_a_growth_that_fails_waits_longer_each_time_and_says_why() -> None:
    world = two_steps()
    world.target.write_failures = [DeliveryConflictError("argo also writes this flag")] * 6
    pauses = []
    for _ in range(6):
        await world.run()
        pauses.append(world.queue.asked[0][1])
    assert pauses[5] > 4 * pauses[0]
    delivery = world.rollout.status.delivery
    assert delivery is not None
    assert delivery.message == "argo also writes this flag"
    await world.run(2)
    delivery = world.rollout.status.delivery
    assert delivery is not None
    assert (delivery.message, delivery.verified_revision) == ("", 1)


async def test_a_conflict_is_answered_by_reading_anew_and_deciding_again() -> None:
    world = two_steps()
    stale = world.store.peek(world.key)
    world.kube.objects[world.path]["metadata"]["resourceVersion"] = "777"
    await world.run()
    assert world.store.peek(world.key) != stale
    assert world.queue.asked[0][0] is Urgency.FOLLOW_UP
    assert world.target.writes == []
    world.kube.version = 777
    await world.run()
    assert len(world.target.writes) == 1


async def test_a_rollout_that_is_gone_is_forgotten() -> None:
    world = two_steps()
    del world.kube.objects[world.path]
    await world.run()
    assert world.key not in world.store
    await world.run()
    assert world.queue.asked == []


async def test_who_does_not_lead_writes_nothing() -> None:
    world = two_steps()
    world.lead.leads = False
    with pytest.raises(NotLeadingError):
        await world.run()
    assert world.kube.calls == []
    assert world.target.writes == []


async def test_who_loses_the_lead_between_decision_and_effect_stops() -> None:
    world = judged()
    await break_it(world)
    write_status = world.reconciler._tools.rollouts.write_status

    async def write_and_lose(*arguments: object) -> object:
        written = await write_status(*arguments)  # type: ignore[arg-type]
        world.lead.leads = False
        return written

    world.reconciler._tools.rollouts.write_status = write_and_lose  # type: ignore[method-assign, assignment]
    writes = len(world.target.writes)
    with pytest.raises(NotLeadingError):
        await world.run()
    assert len(world.target.writes) == writes


async def test_a_write_that_hangs_ends_before_another_replica_can_lead() -> None:
    world = two_steps()
    world.lead.guard_seconds = 0.05

    async def hang(*_: object, **__: object) -> None:
        await asyncio.sleep(60)

    world.kube.patch = hang  # type: ignore[method-assign, assignment]
    async with asyncio.timeout(5):
        await world.run()
    assert world.queue.asked[0][0] is Urgency.TIMER


async def test_deletion_leaves_the_stated_final_state_before_the_finalizer_goes() -> None:
    world = two_steps()
    await world.run(2)
    world.delete()
    world.target.write_failures = [DeliveryError("no")]
    await world.run()
    assert FINALIZER in world.rollout.metadata.finalizers
    await world.run()
    assert [final.kind for final in world.target.released] == ["off"]
    assert FINALIZER not in world.rollout.metadata.finalizers


@pytest.mark.parametrize("delivered", [False, True])
async def test_a_place_that_refuses_us_keeps_only_what_was_delivered_there(delivered: bool) -> None:
    world = two_steps()
    refused = DeliveryRefusedError("not enrolled")
    world.target.write_failures = [] if delivered else [refused]
    await world.run(2 if delivered else 1)
    world.delete()
    world.target.write_failures = [refused]
    await world.run()
    assert (FINALIZER in world.rollout.metadata.finalizers) == delivered


async def test_a_rollout_that_never_had_its_flag_leaves_it_alone_when_it_is_deleted() -> None:
    world = two_steps()
    world.target.others = ("pilotage/first",)
    world.target.write_failures = [DeliveryConflictError("pilotage/first also writes this flag")]
    await world.run()
    world.delete()
    await world.run()
    assert world.target.released == []
    assert FINALIZER not in world.rollout.metadata.finalizers


async def test_a_rollout_whose_users_never_came_in_is_deleted_without_ado() -> None:
    world = two_steps()
    world.delete()
    await world.run()
    assert world.kube.calls == []
    assert world.queue.asked == []


async def test_the_directory_is_read_only_when_a_step_begins() -> None:
    rollout = make_rollout().step("ten", users=1, hold="1h").with_spec(audience={"directory": {"configMap": "users"}})
    world = World(rollout.obj())
    path = "/api/v1/namespaces/shop/configmaps/users"
    await world.run()
    assert "create it, with the key users.json" in world.rollout.status.message
    world.kube.objects[path] = {"data": {"users.json": '[{"key": "anna"}]'}}
    await world.run(2)
    assert world.target.writes[0][1].enrolled == ("anna",)
    reads = world.kube.paths("GET").count(path)
    await world.run(5)
    assert world.kube.paths("GET").count(path) == reads


async def test_a_new_revision_of_the_spec_does_not_touch_what_is_in_force() -> None:
    world = two_steps()
    await world.run(2)
    writes = len(world.target.writes)
    world.edit(paused=True)
    await world.run()
    assert world.phase == "Paused"
    assert len(world.target.writes) == writes


@pytest.mark.parametrize(
    ("wake_at", "now", "meant"),
    [(1010.0, 995.0, 1005.0), (1005.0, 995.0, 1005.0), (1003.0, 995.0, 1003.0), (1004.9, 989.9, 990.0)],
)
def test_judgements_fall_on_multiples_of_the_interval_and_never_too_late(
    wake_at: float, now: float, meant: float
) -> None:
    assert on_grid(wake_at, now, 15.0) == meant
