"""Writes for tenants, on a real API server: nobody's change of a status is lost, and nobody's object is touched."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from pilotage.controller.tenants.owned import NotOursError, Owned, OwnedObject
from pilotage.controller.tenants.quotas import TenantGoneError, TenantQuotas
from pilotage.controller.tenants.store import TenantStore
from pilotage.kube import Kube, KubeError
from pilotage.resources.tenant import TenantQuota
from pilotage.resources.tenant_reservations import Reservation
from pilotage.resources.tenant_status import TenantQuotaStatus

NOW = datetime(2026, 11, 22, tzinfo=UTC)


class Leads:
    """A replica that leads."""

    guard_seconds = 5.0

    def require(self) -> None:
        return


class Quotas:
    """One TenantQuota, as the operator's ServiceAccount may write it."""

    def __init__(self, kube: Kube, name: str) -> None:
        self.kube, self.name = kube, name
        self.store = TenantStore()
        self.quotas = TenantQuotas(kube, self.store, Leads())

    def other(self) -> "Quotas":
        """Another replica, with a store of its own."""
        return Quotas(self.kube, self.name)


@pytest.fixture
async def made(cluster: Any, operator_kube: Kube) -> AsyncIterator[Quotas]:
    name = f"tenant-{secrets.token_hex(4)}"
    cluster.apply(
        {"apiVersion": "pilotage.dev/v1alpha1", "kind": "TenantQuota", "metadata": {"name": name}, "spec": {}}
    )
    found = Quotas(operator_kube, name)
    await found.quotas.refresh(name)
    yield found
    cluster.kubectl("delete", "tq", name, "--ignore-not-found")


def reserving(number: int) -> Any:
    """Adds one reservation to what is there."""

    def change(tenant: TenantQuota) -> TenantQuotaStatus:
        made = Reservation(
            id=f"r-{number}", namespace="shop", rollout="search", step="few", reserved_time=NOW, expires_time=NOW
        )
        status = tenant.status
        return status.model_copy(update={"reservations": (*status.reservations, made)})

    return change


async def test_changes_at_once_are_all_kept_and_meet_no_conflict(made: Quotas) -> None:
    before = made.store.get(made.name)
    assert before is not None
    await asyncio.gather(*(made.quotas.change(made.name, reserving(number)) for number in range(30)))
    tenant = TenantQuota.model_validate(await made.kube.get(TenantQuota.path(name=made.name)))
    assert sorted(each.id for each in tenant.status.reservations) == sorted(f"r-{number}" for number in range(30))


async def test_two_replicas_that_write_at_once_lose_nothing(made: Quotas) -> None:
    others = [made, made.other(), made.other()]
    for each in others:
        await each.quotas.refresh(made.name)
    writes = [each.quotas.change(made.name, reserving(number)) for number, each in enumerate(others)]
    await asyncio.gather(*writes)
    tenant = TenantQuota.model_validate(await made.kube.get(TenantQuota.path(name=made.name)))
    assert {each.id for each in tenant.status.reservations} == {"r-0", "r-1", "r-2"}


async def test_a_change_that_changes_nothing_is_not_sent(made: Quotas) -> None:
    before = made.store.get(made.name)
    assert before is not None
    after = await made.quotas.change(made.name, lambda tenant: tenant.status)
    assert after.metadata.resource_version == before.metadata.resource_version


async def test_a_tenant_that_is_gone_is_told(made: Quotas, cluster: Any) -> None:
    cluster.kubectl("delete", "tq", made.name)
    with pytest.raises(TenantGoneError):
        await made.quotas.change(made.name, reserving(1))
    assert made.store.get(made.name) is None


def config_map(namespace: str, **data: str) -> OwnedObject:
    path = f"/api/v1/namespaces/{namespace}/configmaps/tenant-quota"
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "tenant-quota", "namespace": namespace}}
    return OwnedObject(path, {**body, "data": data})


@pytest.fixture
def owned(made: Quotas) -> Owned:
    return Owned(made.kube, Leads())


async def test_an_object_is_made_kept_repaired_and_taken_away(
    made: Quotas, owned: Owned, enrolled_tenant: str, cluster: Any
) -> None:
    tenant, wanted = made.store.get(made.name), config_map(enrolled_tenant, a="1")
    assert tenant is not None
    assert await owned.keep(tenant, wanted) == "created"
    assert await owned.keep(tenant, wanted) == "unchanged"
    cluster.kubectl("patch", "configmap", "tenant-quota", "-n", enrolled_tenant, "-p", '{"data": {"a": "2"}}')
    assert await owned.keep(tenant, wanted) == "repaired"
    assert await owned.keep(tenant, config_map(enrolled_tenant, b="1")) == "repaired"
    found = await owned.read(wanted.path)
    assert found is not None
    assert found["data"] == {"b": "1"}
    assert await owned.remove(tenant, wanted.path) == "deleted"
    assert await owned.remove(tenant, wanted.path) == "absent"


async def test_an_object_of_somebody_else_is_neither_written_nor_removed(
    made: Quotas, owned: Owned, enrolled_tenant: str, cluster: Any
) -> None:
    tenant, wanted = made.store.get(made.name), config_map(enrolled_tenant, a="1")
    assert tenant is not None
    # Labels alone, which a tenant can set, make it nobody's.
    cluster.kubectl("create", "configmap", "tenant-quota", "-n", enrolled_tenant, "--from-literal=mine=yes")
    labels = ("app.kubernetes.io/managed-by=pilotage", f"pilotage.dev/tenant={made.name}")
    cluster.kubectl("label", "configmap", "tenant-quota", "-n", enrolled_tenant, *labels)
    with pytest.raises(NotOursError, match=f"ConfigMap {enrolled_tenant}/tenant-quota is not this TenantQuota's"):
        await owned.keep(tenant, wanted)
    assert await owned.remove(tenant, wanted.path) == "absent"
    # Nor does the name of a TenantQuota that was deleted and made anew.
    reborn = tenant.model_copy(update={"metadata": tenant.metadata.model_copy(update={"uid": "another"})})
    assert await owned.remove(reborn, wanted.path) == "absent"


async def test_another_object_of_the_same_name_is_not_deleted(made: Quotas, enrolled_tenant: str, cluster: Any) -> None:
    cluster.kubectl("create", "configmap", "tenant-quota", "-n", enrolled_tenant)
    admin = await Kube.connect(cluster.kubeconfig)
    try:
        with pytest.raises(KubeError) as refused:
            await admin.delete(config_map(enrolled_tenant).path, uid=made.name)
    finally:
        await admin.close()
    assert refused.value.reason == "Conflict"
