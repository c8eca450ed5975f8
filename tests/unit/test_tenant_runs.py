"""Runs for a tenant in which any part can fail: the decision comes first, and is told once."""

import random
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

import pytest
from prometheus_client import REGISTRY

from pilotage.controller.events import EventPoster
from pilotage.controller.schedule import Key
from pilotage.controller.tenants.keeping import Kept, Seen
from pilotage.controller.tenants.measuring import Meter
from pilotage.controller.tenants.quotas import TenantQuotas
from pilotage.controller.tenants.run import TenantReconciler, TenantTools
from pilotage.controller.tenants.store import TenantStore
from pilotage.controller.tenants.telling import TenantTeller
from pilotage.controller.workqueue import WorkQueue
from pilotage.judging.evidence import Answer, Answered, NoData, Question, Series
from pilotage.kube import Kube, KubeError
from pilotage.resources.tenant import TenantQuota
from pilotage.tenancy.happening import Happened
from tests.unit.controller_world import FaultyKube
from tests.unit.manual_clock import ManualClock

PATH = "/apis/pilotage.dev/v1alpha1/tenantquotas/search"
SPEC: dict[str, Any] = {
    "resources": [{"name": "qps", "hard": 1000, "usage": {"query": "up"}, "maxAge": "100s"}],
    "namespaces": ["shop"],
}


@dataclass
class Source:
    """Answers with one number, or with nothing."""

    value: float | None = 500.0
    asked: int = 0

    async def ask(self, questions: Collection[Question], now: datetime) -> dict[Question, Answer]:
        self.asked += 1
        if self.value is None:
            return {question: NoData("Prometheus has no data") for question in questions}
        series = Series((now.timestamp(),), (self.value,))
        return {question: Answered((("", series),)) for question in questions}


@dataclass
class Recording:
    """A keeper that remembers what it saw, and does as it is told."""

    kept: Kept = field(default_factory=Kept)
    refusal: KubeError | None = None
    saw: list[Seen] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    name: str = "recording"

    async def keep(self, seen: Seen, now: datetime) -> Kept:  # noqa: ARG002 - as keepers are
        self.saw.append(seen)
        if self.refusal is not None:
            raise self.refusal
        return self.kept

    def forget(self, tenant: str) -> None:
        self.forgotten.append(tenant)


@dataclass
class Queue:
    """Remembers when the next run was asked for."""

    pauses: list[float] = field(default_factory=list)
    retries: int = 0

    def add(self, _key: Key, _urgency: object, *, after_seconds: float = 0.0) -> None:
        self.pauses.append(after_seconds)

    def retry(self, _key: Key) -> None:
        self.retries += 1

    def succeeded(self, _key: Key) -> None:
        return

    def forget(self, _key: Key) -> None:
        return


@dataclass
class Poster:
    """Keeps the names of Events."""

    names: list[str] = field(default_factory=list)

    def put(self, event: dict[str, Any]) -> None:
        self.names.append(event["metadata"]["name"])


class Leads:
    guard_seconds = 5.0

    def require(self) -> None:
        return


class World:
    """One TenantQuota, and one replica after the other."""

    def __init__(self, **spec: Any) -> None:
        self.kube, self.clock, self.source = FaultyKube(), ManualClock(), Source()
        metadata = {"name": "search", "uid": "u", "resourceVersion": "1", "generation": 1}
        self.kube.objects[PATH] = {"metadata": metadata, "spec": {**SPEC, **spec}}
        self.first, self.second = Recording(), Recording()
        self.poster, self.queue = Poster(), Queue()
        self.restart()

    def restart(self) -> None:
        """Another replica, that knows what the API server knows."""
        self.store = TenantStore()
        self.store.put(self.kube.objects[PATH])
        kube = cast("Kube", self.kube)
        teller = TenantTeller(cast("EventPoster", self.poster), self.clock, instance="test")
        self.runner = TenantReconciler(
            TenantTools(
                store=self.store,
                quotas=TenantQuotas(kube, self.store, Leads()),
                meter=Meter(self.source, {}),
                keepers=(self.first, self.second),
                teller=teller,
                queue=cast("WorkQueue", self.queue),
                clock=self.clock,
                chance=random.Random(1),
            )
        )

    async def run(self, value: float | None = 500.0, *, after: float = 10.0) -> TenantQuota:
        self.source.value = value
        await self.clock.advance(after)
        await self.runner.run(Key("", "search"))
        tenant = self.store.get("search")
        assert tenant is not None
        return tenant

    @property
    def writes(self) -> int:
        return len(self.kube.paths("PATCH"))

    def ready(self) -> tuple[str, str]:
        tenant = self.store.get("search")
        assert tenant is not None
        (found,) = [each for each in tenant.status.conditions if each.type == "Ready"]
        return found.status, found.reason


async def test_keepers_see_what_was_decided_and_written() -> None:
    world = World()
    await world.run(1200)
    (seen,) = world.first.saw
    assert seen.tenant.status.resources[0].level == "hard"
    written = TenantQuota.model_validate(world.kube.objects[PATH])
    assert written.status.resources[0].level == "hard"
    assert seen.tenant.metadata.resource_version == "101"


async def test_what_one_keeper_finds_out_the_next_one_knows() -> None:
    world = World()
    enrolled = TenantQuota.model_validate(
        {"metadata": {"name": "a"}, "spec": {}, "status": {"namespaces": [{"name": "shop", "state": "Enrolled"}]}}
    )
    world.first.kept = Kept(status={"namespaces": enrolled.status.namespaces})
    await world.run()
    assert world.first.saw[0].namespaces == ("shop",)
    assert world.second.saw[0].namespaces == ("shop",)
    world.first.kept = Kept(status={"namespaces": ()})
    world.restart()
    await world.run()
    assert world.second.saw[-1].namespaces == ()


async def test_a_keeper_that_is_refused_stops_no_other_and_is_asked_again() -> None:
    world = World(namespaces=[])
    world.first.refusal = KubeError(403, "Forbidden")
    tenant = await world.run()
    assert len(world.second.saw) == 1
    assert world.ready() == ("False", "Failed")
    assert "recording: the API server answered 403 Forbidden" in tenant.status.conditions[0].message
    world.first.refusal = None
    await world.run()
    assert len(world.first.saw) == 2
    assert world.ready() == ("True", "Kept")


async def test_at_rest_nothing_is_written_and_drift_is_looked_for_now_and_then() -> None:
    world = World()
    await world.run()
    await world.run()
    writes, looks = world.writes, len(world.first.saw)
    for _ in range(8):
        await world.run()
    assert world.writes == writes
    assert 2 <= len(world.first.saw) - looks <= 3


async def test_a_conflict_is_decided_anew_on_what_is_there() -> None:
    world = World()
    await world.run()
    found = world.kube.objects[PATH]
    found["status"]["reservations"] = [
        {
            "id": "r",
            "namespace": "shop",
            "rollout": "search",
            "step": "few",
            "amounts": [{"resource": "qps", "amount": "100"}],
            "reservedTime": "2030-01-01T00:00:00Z",
            "expiresTime": "2031-01-01T00:00:00Z",
        }
    ]
    found["metadata"]["resourceVersion"] = "999"
    world.kube.version = 999
    tenant = await world.run(1200)
    assert tenant.status.resources[0].level == "hard"
    assert tenant.status.resources[0].reserved == "100"
    assert len(tenant.status.reservations) == 1


async def test_a_transition_is_told_once_and_again_only_by_who_may_be_the_first_to_tell_it() -> None:
    world = World()
    await world.run(1200)
    told = list(world.poster.names)
    assert len(told) == len(set(told)) == 3  # Warn, ExceedHard, Hold
    await world.run(1200)
    assert world.poster.names == told
    world.restart()  # its predecessor may have died before it told
    await world.run(1200)
    assert world.poster.names == told + told
    world.restart()
    await world.run(1200, after=120)
    assert world.poster.names == told + told


async def test_what_keepers_tell_is_numbered_with_the_rest() -> None:
    world = World()
    world.first.kept = Kept(happened=(Happened("Repair", "DriftRepaired", "a RoleBinding was missing"),))
    tenant = await world.run(900)
    assert [(each.sequence, each.action) for each in tenant.status.transitions] == [(1, "Warn"), (2, "Repair")]


async def test_an_outage_of_the_api_server_is_tried_again() -> None:
    world = World()
    world.kube.failures.append(KubeError(0, "Unreachable"))
    await world.run()
    assert (world.queue.retries, world.first.saw) == (1, [])
    await world.run()
    assert len(world.first.saw) == 1


@pytest.mark.parametrize(("max_age", "least", "most"), [("100s", 9, 10), ("1h", 27, 30), ("2s", 0.9, 1)])
async def test_usage_is_looked_at_ten_times_while_a_sample_is_young(max_age: str, least: float, most: float) -> None:
    world = World(resources=[{**SPEC["resources"][0], "maxAge": max_age}])
    await world.run()
    assert least <= world.queue.pauses[-1] <= most


async def test_a_keeper_is_asked_when_it_wants_to_be() -> None:
    world = World()
    await world.run()
    world.first.kept = Kept(wake_at=world.clock.now() + timedelta(seconds=13))
    world.restart()
    await world.run(after=10)
    assert world.queue.pauses[-1] == pytest.approx(3)
    looks = len(world.first.saw)
    await world.run(after=3)
    assert len(world.first.saw) == looks + 1


async def test_a_tenant_that_is_gone_is_forgotten_by_all() -> None:
    world = World()
    await world.run(400)
    shown = {"tenant": "search", "resource": "qps"}
    assert REGISTRY.get_sample_value("pilotage_tenant_quota_used", shown) == 400
    world.store.remove("search", 1000)
    await world.runner.run(Key("", "search"))
    assert world.first.forgotten == ["search"]
    assert REGISTRY.get_sample_value("pilotage_tenant_quota_used", shown) is None


async def test_all_actions_in_force_are_shown() -> None:
    world = World(resources=[{**SPEC["resources"][0], "soft": 800, "onSoft": "hold", "onHard": "throttle"}])
    await world.run(1200)

    def shown(action: str) -> float | None:
        labels = {"tenant": "search", "resource": "qps", "action": action}
        return REGISTRY.get_sample_value("pilotage_tenant_enforcement_active", labels)

    assert [shown(action) for action in ("alert", "hold", "throttle", "scale")] == [1, 1, 1, None]
    await world.run(900)
    assert [shown(action) for action in ("alert", "hold", "throttle")] == [1, 1, None]
    world.runner.forget_all()
    assert shown("hold") is None


async def test_what_is_unknown_has_no_sample() -> None:
    world = World()
    await world.run(400)
    await world.run(None)
    shown = {"tenant": "search", "resource": "qps"}
    assert REGISTRY.get_sample_value("pilotage_tenant_quota_used", shown) is None
    assert REGISTRY.get_sample_value("pilotage_tenant_quota_unknown", shown) == 1
    assert REGISTRY.get_sample_value("pilotage_tenant_quota_limit", shown) == 1000
    world.runner.forget_all()
    assert REGISTRY.get_sample_value("pilotage_tenant_quota_limit", shown) is None
