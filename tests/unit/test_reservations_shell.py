"""Promises at the API server: who gets one when fifty ask at once, what a fault leaves behind, who is woken."""

import asyncio
import json
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any, cast

import pytest

from pilotage.controller.elector import NotLeadingError
from pilotage.controller.schedule import Key, Urgency
from pilotage.controller.store import RolloutStore
from pilotage.controller.tenants.quotas import TenantQuotas
from pilotage.controller.tenants.reserving import ReservingParts
from pilotage.controller.tenants.reserving_gate import TenantGate
from pilotage.controller.tenants.store import TenantStore
from pilotage.kube import Kube, KubeError
from pilotage.resources.rollout import PilotRollout
from pilotage.rollout.tenant_seen import TenantSeen
from pilotage.tenancy.reserving import UNTAKEN_SECONDS, Claim, claim_id
from tests.builders import make_rollout
from tests.unit.controller_world import FaultyKube, ImpatientClock, Lead, WatchedQueue, merge

PATH = "/apis/pilotage.dev/v1alpha1/tenantquotas/search-prod"


class SlowKube(FaultyKube):
    """Answers after a turn of the event loop, and may lose an answer after it has written."""

    lose_answers = 0

    async def patch(self, path: str, body: dict[str, Any], *, content_type: str, field_manager: str) -> dict[str, Any]:
        await asyncio.sleep(0)
        answer = await super().patch(path, body, content_type=content_type, field_manager=field_manager)
        if self.lose_answers:
            self.lose_answers -= 1
            raise KubeError(0, "Timeout")
        return answer


class TenantWorld:
    """One tenant with 100 qps, of which 40 are used, and its rollouts."""

    def __init__(self) -> None:
        self.clock = ImpatientClock()
        self.kube, self.lead = SlowKube(), Lead()
        self.tenants, self.store, self.queue = TenantStore(), RolloutStore(), WatchedQueue(self.clock)
        self.refreshed: list[Key] = []
        kube = cast("Kube", self.kube)
        self.known = True
        parts = ReservingParts(
            tenants=self.tenants,
            quotas=TenantQuotas(kube, self.tenants, self.lead),
            store=self.store,
            ask=lambda key: self.queue.add(key, Urgency.CHANGE),
            clock=self.clock,
            measured=lambda _name: self.known,
        )
        self.gate = TenantGate(parts, self._refresh)
        self.gate.begin()
        self.kube.objects[PATH] = {
            "metadata": {"name": "search-prod", "uid": "t1", "generation": 1, "resourceVersion": "1"},
            "spec": {
                "namespaces": ["shop"],
                "resources": [{"name": "qps", "hard": 100, "usage": {"query": "qps"}}],
            },
        }
        self.observe("40")

    async def _refresh(self, key: Key) -> None:
        self.refreshed.append(key)

    def change(self, **parts: Any) -> None:
        """Somebody writes the TenantQuota, and the watch brings it."""
        before = self.tenants.get("search-prod")
        merge(self.kube.objects[PATH], parts)
        self.kube.version += 1
        self.kube.objects[PATH]["metadata"]["resourceVersion"] = str(self.kube.version)
        self.tenants.put(self.kube.objects[PATH])
        self.gate.on_tenant(before, "search-prod")

    def observe(self, used: str) -> None:
        told = {"name": "qps", "used": used, "observedTime": self.clock.now().isoformat(timespec="seconds")}
        self.change(status={"resources": [told]})

    def rollout(self, name: str) -> PilotRollout:
        rollout = make_rollout(name).step("half", percent=50).obj()
        body = rollout.to_wire()
        self.kube.version += 1
        body["metadata"] |= {"resourceVersion": str(self.kube.version)}
        self.store.put(body)
        found = self.store.get(Key("shop", name))
        assert found is not None
        return found

    async def claim(self, name: str, amount: int) -> TenantSeen:
        wanted = Claim(claim_id(f"uid-{name}", "half", 1), f"shop/{name}", "half", {"qps": Decimal(amount)})
        return await self.gate.reserve(self.rollout(name), wanted)

    @property
    def reserved(self) -> dict[str, Decimal]:
        """What the API server has, by rollout."""
        told = self.kube.objects[PATH]["status"].get("reservations", [])
        return {each["rollout"]: Decimal(each["amounts"][0]["amount"]) for each in told}

    def enter(self, name: str, *, verified: bool = False) -> None:
        """The rollout has taken its step."""
        found = self.store.get(Key("shop", name))
        assert found is not None
        now = self.clock.now().isoformat(timespec="seconds")
        step: Mapping[str, Any] = {"index": 0, "name": "half", "enteredTime": now}
        step = {**step, "verifiedTime": now} if verified else step
        exposure = {"kind": "percent", "step": "half", "share": 500_000_000}
        body = found.to_wire() | {"status": {"phase": "Progressing", "step": step, "exposure": exposure}}
        body["status"]["trail"] = [exposure]
        self._put(body)

    def _put(self, body: dict[str, Any]) -> None:
        self.kube.version += 1
        body["metadata"]["resourceVersion"] = str(self.kube.version)
        self.store.put(json.loads(json.dumps(body)))


def granted(seen: TenantSeen) -> bool:
    assert seen.answer is not None
    return seen.answer.granted


@pytest.fixture
def world() -> TenantWorld:
    return TenantWorld()


async def test_of_fifty_that_ask_at_once_only_those_who_fit_get_a_promise_by_a_few_writes(world: TenantWorld) -> None:
    answers = await asyncio.gather(*(world.claim(f"r{number}", 7) for number in range(50)))
    assert sum(granted(answer) for answer in answers) == 8, "8 x 7 fit into 60"
    assert sum(world.reserved.values()) == 56
    assert len(world.kube.paths("PATCH")) <= 3


async def test_a_write_that_somebody_else_came_before_is_answered_anew_by_what_is_there_then(
    world: TenantWorld,
) -> None:
    world.kube.objects[PATH]["metadata"]["resourceVersion"] = "999"
    world.kube.objects[PATH]["status"]["resources"][0]["used"] = "95"
    assert not granted(await world.claim("late", 10))
    assert world.reserved == {}


async def test_a_failed_write_lets_nobody_through_who_waited_for_it(world: TenantWorld) -> None:
    world.kube.failures = [KubeError(500, "InternalError")]
    answers = await asyncio.gather(*(world.claim(f"r{n}", 7) for n in range(3)), return_exceptions=True)
    assert sum(isinstance(answer, KubeError) for answer in answers) >= 1
    assert sum(world.reserved.values()) == 7 * sum(isinstance(answer, TenantSeen) for answer in answers)


async def test_an_answer_that_is_lost_leaves_one_promise_and_the_next_try_finds_it(world: TenantWorld) -> None:
    world.kube.lose_answers = 1
    with pytest.raises(KubeError):
        await world.claim("one", 50)
    assert world.reserved == {"one": 50}
    assert granted(await world.claim("one", 50))
    assert world.reserved == {"one": 50}
    assert not granted(await world.claim("two", 20))


async def test_a_replica_that_does_not_lead_promises_nothing(world: TenantWorld) -> None:
    world.lead.leads = False
    with pytest.raises(NotLeadingError):
        await world.claim("one", 5)
    assert world.reserved == {}


async def test_usage_that_was_not_measured_since_this_replica_leads_is_not_known(world: TenantWorld) -> None:
    world.known = False
    seen = await world.claim("one", 5)
    assert seen.answer is not None
    assert [short.available for short in seen.answer.shortages] == [None]


async def test_a_promise_in_hand_is_not_taken_away_however_late_it_is_by_the_clock(world: TenantWorld) -> None:
    ends = world.gate.ends
    await world.claim("one", 50)
    await world.clock.advance(10 * UNTAKEN_SECONDS)
    await ends.tend("search-prod")
    assert world.reserved == {"one": 50}
    world.gate.finished(Key("shop", "one"))
    await ends.tend("search-prod")
    assert world.reserved == {}
    assert world.refreshed == [Key("shop", "one")]


async def test_a_step_that_was_taken_keeps_its_promise_until_it_shows_in_usage(world: TenantWorld) -> None:
    ends = world.gate.ends
    await world.claim("one", 50)
    world.enter("one", verified=True)
    world.gate.finished(Key("shop", "one"))
    await world.clock.advance(2 * UNTAKEN_SECONDS)
    await ends.tend("search-prod")
    assert world.reserved == {"one": 50}
    world.observe("90")
    await ends.tend("search-prod")
    assert world.reserved == {}


async def test_a_rollout_that_is_let_go_gives_back_at_once(world: TenantWorld) -> None:
    await world.claim("one", 50)
    await world.gate.left(world.rollout("one"))
    assert world.reserved == {}


async def test_whoever_waits_is_woken_when_there_is_more_room_and_not_when_there_is_less(world: TenantWorld) -> None:
    waiting = world.rollout("one")
    standing = {"tenant": {"name": "search-prod", "answer": "Held"}}
    world.gate.written(PilotRollout.model_validate(waiting.to_wire() | {"status": standing}))
    world.queue.asked.clear()
    world.observe("60")
    assert world.queue.asked == []
    world.observe("30")
    assert len(world.queue.asked) == 1
    world.gate.written(waiting)
    world.observe("20")
    assert len(world.queue.asked) == 1, "it waits no longer"


async def test_another_state_of_the_tenant_wakes_also_who_does_not_wait(world: TenantWorld) -> None:
    world.rollout("one")
    world.queue.asked.clear()
    world.change(spec={"state": "suspended"}, metadata={"generation": 2})
    assert len(world.queue.asked) == 1


async def test_a_namespace_belongs_to_who_lists_it_whatever_the_rollout_says(world: TenantWorld) -> None:
    seen = world.gate.see(world.rollout("one"))
    assert seen is not None
    assert seen.name == "search-prod"
    world.change(spec={"namespaces": ["other"]}, metadata={"generation": 2})
    assert world.gate.see(world.rollout("one")) is None
    named = make_rollout("one").with_spec(tenant="search-prod").step("half", percent=50).obj()
    assert world.gate.see(named) == TenantSeen(())


async def test_a_grant_counts_until_it_expires_and_not_a_second_longer(world: TenantWorld) -> None:
    end = world.clock.now() + timedelta(hours=1)
    grant = {"resource": "qps", "amount": 20, "expiresTime": end.isoformat(timespec="seconds"), "reason": "launch"}
    world.change(spec={"grants": [grant]}, metadata={"generation": 2})
    assert granted(await world.claim("one", 80))
    await world.gate.left(world.rollout("one"))
    await world.clock.advance(3601)
    assert not granted(await world.claim("two", 80))
    assert granted(await world.claim("three", 60))
