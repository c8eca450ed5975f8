"""Accounts are kept by the operator's own rights, where no tenant writes; nothing else in that place is touched."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from pilotage.controller.tenants.costs_store import AccountStore, object_name
from pilotage.kube import Kube, KubeError
from pilotage.tenancy.accounts import Account, Bearer, Day, Line
from pilotage.tenancy.cost import Month
from testbed import Cluster
from testbed.install import Installed
from tests.cluster.forbidden import is_forbidden, write_flags

pytestmark = pytest.mark.usefixtures("crds")
NOVEMBER = Month(2026, 11)


class Leads:
    guard_seconds = 10.0

    def require(self) -> None:
        """This test is the only writer."""


def account(name: str, amount: str) -> Account:
    day = Day(date=NOVEMBER.days[0], lines=(Line(meter="qps", price=Decimal(1), amount=Decimal(amount)),))
    return Account(bearer=Bearer(name=name), month=str(NOVEMBER)).with_day(day)


async def test_the_operator_keeps_accounts_in_its_own_namespace_and_none_elsewhere(
    installed: Installed, operator_kube: Kube, namespace: str
) -> None:
    name = f"rights-{namespace}"
    store = AccountStore(operator_kube, Leads(), installed.namespace)
    await store.write(account(name, "1"), None)
    first = await store.read("tenant", name, NOVEMBER)
    assert first is not None
    await store.write(account(name, "2"), first)
    second = await store.read("tenant", name, NOVEMBER)
    assert second is not None
    assert second.account == account(name, "2")
    with pytest.raises(KubeError) as conflict:  # another replica that believes to lead
        await store.write(account(name, "3"), first)
    assert conflict.value.reason == "Conflict"
    with pytest.raises(KubeError) as refused:
        await AccountStore(operator_kube, Leads(), namespace).write(account(name, "1"), None)
    assert refused.value.status == 403


async def test_the_operator_changes_no_other_config_map_beside_its_accounts(
    cluster: Cluster, installed: Installed, operator_kube: Kube
) -> None:
    cluster.kubectl("create", "configmap", "somebody-elses", "-n", installed.namespace)
    try:
        said = await is_forbidden(write_flags(operator_kube, installed.namespace, "somebody-elses"))
        assert "is not Pilotage's" in said
        await is_forbidden(write_flags(operator_kube, installed.namespace, "unlabelled", {}))
        await is_forbidden(
            operator_kube.delete(f"/api/v1/namespaces/{installed.namespace}/configmaps/somebody-elses", uid="x")
        )
    finally:
        cluster.kubectl("delete", "configmap", "somebody-elses", "-n", installed.namespace)


async def test_an_account_outlives_its_tenant(cluster: Cluster, installed: Installed, operator_kube: Kube) -> None:
    store = AccountStore(operator_kube, Leads(), installed.namespace)
    closed = account("gone", "5").closed(datetime(2027, 1, 1, tzinfo=UTC))
    await store.write(closed, None)
    name = object_name("tenant", "gone", NOVEMBER)
    owners = cluster.kubectl(
        "get", "configmap", name, "-n", installed.namespace, "-o", "jsonpath={.metadata.ownerReferences}"
    )
    assert owners == ""
    kept = await store.read("tenant", "gone", NOVEMBER)
    assert kept is not None
    assert kept.account.closed_time == datetime(2027, 1, 1, tzinfo=UTC)
    cluster.kubectl("delete", "configmap", name, "-n", installed.namespace)
