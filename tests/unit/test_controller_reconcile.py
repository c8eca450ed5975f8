"""One run: the order of its effects, and what it does when a part fails."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pilotage.controller.elector import NotLeadingError
from pilotage.controller.resting import RESYNC_SECONDS, SLOT_SECONDS, resync_after
from pilotage.controller.rollouts import FINALIZER
from pilotage.controller.schedule import Key, Urgency
from pilotage.delivery.target import DeliveryConflictError, DeliveryError, DeliveryRefusedError, Way
from pilotage.kube import KubeError
from pilotage.resources.indicators import IndicatorTemplateSpec
from pilotage.rollout.cadence import on_grid, phase_of
from pilotage.rollout.plan import read_plan
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
    assert 1 <= world.queue.asked[0][1] <= 601


def test_a_namespaces_resyncs_are_ten_minutes_apart_and_never_twice_at_once() -> None:
    for now in (0.0, 7.3, 599.999, 600.0, 1e6):
        due = now + resync_after("shop", now)
        assert 1 <= due - now <= 601
        assert resync_after("shop", due) == pytest.approx(600)
        assert resync_after("shop", due - 0.01) == pytest.approx(600.01)
    slots = Counter(resync_after(f"team-{number}", 0.0) for number in range(1_000))
    assert len(slots) == RESYNC_SECONDS / SLOT_SECONDS
    assert max(slots.values()) < 2 * 1_000 / len(slots), "they are spread"
    assert all(seconds % SLOT_SECONDS == 0 for seconds in slots), "those of a slot share a turn"


async def resync(world: World) -> None:
    world.queue.asked.clear()
    await world.reconciler.run(Key(world.key.namespace, ""))
    if (Urgency.RESYNC, 0.0) in world.queue.asked:
        await world.run()


async def test_a_resync_of_what_rests_compares_and_runs_nothing() -> None:
    world = World(make_rollout().step("all", percent=100).obj())
    await world.run(5)
    assert world.phase == "Completed"
    assert world.queue.asked[0][0] is Urgency.RESYNC
    world.target.verified = 0
    await resync(world)
    assert (world.target.verified, world.queue.asked[0][0]) == (0, Urgency.RESYNC)


async def test_a_namespace_is_looked_at_by_one_call_however_many_rest_there() -> None:
    world = World(make_rollout().step("all", percent=100).obj())
    await world.run(5)
    rest = world.reconciler._resting.of("shop")[world.key]
    world.reconciler._resting.put(Key("shop", "other"), rest)
    world.reconciler._resting.leave(Key("shop", "unseen"))
    world.queue.asked.clear()
    await world.reconciler.run(Key("shop", ""))
    assert world.target.asked == [2]
    assert [urgency for urgency, after in world.queue.asked if not after] == [Urgency.RESYNC] * 2, (
        "other is in no store, unseen was never seen at rest"
    )


async def test_where_nothing_rests_any_more_no_resync_is_asked_for() -> None:
    world = World(make_rollout().step("all", percent=100).obj())
    await world.run(5)
    world.reconciler.forget(world.key)
    world.queue.asked.clear()
    await world.reconciler.run(Key("shop", ""))
    assert world.queue.asked == []


async def test_a_resync_mends_what_somebody_undid() -> None:
    world = World(make_rollout().step("all", percent=100).obj())
    await world.run(5)
    wanted = world.target.served
    world.target.served = None
    await resync(world)
    assert world.target.served == wanted


async def test_a_resync_runs_where_the_rollout_has_changed_or_nobody_can_tell_what_is_served() -> None:
    world = World(make_rollout().step("all", percent=100).obj())
    await world.run(5)
    world.target.unknown = True
    world.target.verified = 0
    await resync(world)
    assert world.target.verified == 1
    world.target.unknown = False
    await world.run()
    world.edit(paused=True)
    world.target.verified = 0
    await resync(world)
    assert world.target.verified == 1


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
    assert [entry.action for entry in world.rollout.status.history][-2:] == ["RollBack", "RolledBack"]
    assert world.phase == "RolledBack"


async def test_everybody_is_taken_back_before_that_is_written() -> None:
    world = judged()
    await break_it(world)
    order: list[str] = []
    kill, patch = world.target.kill, world.kube.patch

    async def killing(ways: Sequence[Way]) -> str:
        order.append("kill")
        return await kill(ways)

    async def patching(path: str, body: dict[str, Any], *, content_type: str, field_manager: str) -> dict[str, Any]:
        order.append("write")
        return await patch(path, body, content_type=content_type, field_manager=field_manager)

    world.target.kill = killing  # type: ignore[method-assign]
    world.kube.patch = patching  # type: ignore[method-assign]
    await world.run()
    assert order == ["kill", "write"]


async def test_a_rollback_whose_record_was_lost_is_taken_up_though_nothing_is_broken_any_more() -> None:
    """Nobody has the feature now, so nothing shows its fault: the flag is all that is left of the decision."""
    world = judged()
    await break_it(world)
    world.kube.failures = [KubeError(500, "InternalError")]
    await world.run()
    assert (world.phase, world.target.served and world.target.served.kind) == ("Progressing", "off")
    answer_with(world, 0.001)
    world.reconciler._tools.effects.forget_all()  # somebody else leads
    await world.run()
    assert world.phase == "RolledBack"
    entries = world.rollout.status.history[-2:]
    assert [(entry.action, entry.reason) for entry in entries] == [
        ("RollBack", "TakenBack"),
        ("RolledBack", "TakenBack"),
    ]
    await world.run(3)
    assert world.target.served is not None
    assert world.target.served.kind == "off"


async def test_who_was_taken_back_stays_so_when_the_rollout_is_deleted_before_that_was_written() -> None:
    world = judged()
    await break_it(world)
    world.kube.failures = [KubeError(500, "InternalError")]
    world.edit(onDelete={"exposure": "keep"})
    await world.run()
    world.delete()
    await world.run()
    assert [final.kind for final in world.target.released] == ["off"]


async def test_an_older_off_of_another_rollout_is_no_rollback_of_this_one() -> None:
    """Before its own decision was seen in force, what is served may be what the flag's last user has left there."""
    world = judged()
    world.target.follows = False
    await world.run()
    assert world.target.writes
    left = world.target.writes[-1][1]
    world.target.served = replace(left, kind="off", revision=left.revision + 7)
    await world.run(2)
    assert world.phase == "Progressing"
    assert [entry.action for entry in world.rollout.status.history] == ["Start"]


async def test_users_are_taken_back_even_if_the_decision_can_not_be_written() -> None:
    world = judged()
    await break_it(world)
    world.kube.failures = [KubeError(500, "InternalError")]
    await world.run()
    assert world.target.writes[-1][0] == "kill"
    assert world.phase == "Progressing"
    await world.run()
    assert world.phase == "RolledBack"
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
    world = two_steps()
    write_status = world.reconciler._tools.rollouts.write_status

    async def write_and_lose(*arguments: Any, **options: Any) -> object:
        written = await write_status(*arguments, **options)
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
    world.target.write_failures = [DeliveryError("no"), DeliveryError("no")]
    await world.run()
    assert world.rollout.status.message == "being deleted: the feature is taken from everybody"
    await world.run()
    assert world.rollout.status.message == "being deleted, but no"
    assert FINALIZER in world.rollout.metadata.finalizers
    await world.run()
    assert [final.kind for final in world.target.released] == ["off"]
    assert FINALIZER not in world.rollout.metadata.finalizers


async def test_a_deletion_that_keeps_users_in_says_what_blocks_it_although_all_is_in_force() -> None:
    world = World(make_rollout().with_spec(onDelete={"exposure": "keep"}).step("few", percent=10, hold="1h").obj())
    await world.run(2)
    world.delete()
    world.target.write_failures = [DeliveryRefusedError("not enrolled")] * 2
    await world.run(2)
    assert world.rollout.status.message == "being deleted, but not enrolled"
    assert world.rollout.status.summary
    assert world.rollout.status.summary.waits_for == "delivery"
    assert FINALIZER in world.rollout.metadata.finalizers


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


TEMPLATES = {
    "errors": IndicatorTemplateSpec.model_validate(
        {"errors": "errors{$matcher}", "total": "requests{$matcher}", "groupBy": {"label": "flag", "value": "$flag"}}
    )
}


def test_namespaces_are_judged_at_different_moments() -> None:
    plan = read_plan(judged().rollout, {})
    phases = [phase_of(f"team-{number}", plan) for number in range(500)]
    assert set(phases) == {float(second) for second in range(10)}
    assert min(phases.count(phase) for phase in set(phases)) > 25
    assert on_grid(1013.0, 1004.0, 10.0, 3.0) == 1013.0
    assert on_grid(1012.0, 1002.0, 10.0, 3.0) == 1003.0


def test_who_asks_what_others_ask_is_judged_with_them() -> None:
    rollout = (
        make_rollout()
        .step("all")
        .with_spec(indicators=[{"name": "error_ratio", "templateRef": "errors"}], rollback=["error_ratio > 1%"])
    )
    plan = read_plan(rollout.obj(), TEMPLATES)
    assert plan.rules
    assert {phase_of(f"team-{number}", plan) for number in range(9)} == {0.0}


async def test_a_clock_that_is_stepped_back_during_a_run_delays_the_next_one_by_an_interval_at_most() -> None:
    world = two_steps()
    now, patch = world.clock.now, world.kube.patch

    async def patch_and_step(*arguments: Any, **options: Any) -> dict[str, Any]:
        world.clock.now = lambda: now() - timedelta(hours=1)  # type: ignore[method-assign]
        return await patch(*arguments, **options)

    world.kube.patch = patch_and_step  # type: ignore[method-assign]
    await world.run()
    urgency, pause = world.queue.asked[-1]
    assert urgency is Urgency.TIMER
    assert pause <= 15.0
