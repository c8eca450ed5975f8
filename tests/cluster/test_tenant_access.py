"""What a TenantQuota brings about in its namespaces: by the keeper, with the operator's rights, on the real API server.

Each `settle` is what the operator does: the keeper is asked, what it says is written to status, until it rests.
"""

import json
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from pilotage.controller.tenants.access import AccessKeeper
from pilotage.controller.tenants.keeping import Kept, Seen
from pilotage.controller.tenants.owned import Owned
from pilotage.kube import Kube
from pilotage.resources.tenant import TenantQuota
from pilotage.tenancy.happening import Happened
from testbed import Cluster, KubectlError, wait_until
from testbed.install import Installed
from tests.cluster.forbidden import becomes_forbidden

EVERYTHING: dict[str, Any] = {
    "isolation": "dedicated-shard",
    "access": {"users": ["anna"], "groups": ["search"], "applications": [{"namespace": "ci", "name": "deployer"}]},
    "compute": {"requests.cpu": "0.5", "requests.memory": "1024Mi", "pods": 1000, "limits.cpu": "1.5"},
    "limitRange": {"default": {"memory": "512Mi"}, "max": {"memory": "2048Mi"}},
}
OURS = [
    "limitrange/tenant-containers",
    "networkpolicy.networking.k8s.io/tenant-isolation",
    "resourcequota/tenant-compute",
    "rolebinding.rbac.authorization.k8s.io/tenant-edit",
]
ROLLOUTS = "pilotrollouts.pilotage.dev"
EVE = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "eve"}
FORBIDDEN = (
    ("patch", "pilotrollouts.pilotage.dev/status"),
    ("approve", "pilotrollouts.pilotage.dev/gates"),
    ("get", "secrets"),
    ("create", "pods"),
    ("create", "rolebindings.rbac.authorization.k8s.io"),
    ("patch", "resourcequotas"),
    ("patch", "configmaps"),
    ("get", "tenantquotas.pilotage.dev"),
)
KINDS = "limitranges,networkpolicies,resourcequotas,rolebindings"


class Always:
    """This replica leads."""

    guard_seconds = 30.0

    def require(self) -> None:
        """It does."""


@dataclass
class Tenant:
    """One TenantQuota, and the keeper that looks after its namespaces."""

    cluster: Cluster
    keeper: AccessKeeper
    name: str
    kept: Kept = field(default_factory=Kept)

    def apply(self, *namespaces: str, **spec: Any) -> None:
        self.cluster.apply(
            {
                "apiVersion": "pilotage.dev/v1alpha1",
                "kind": "TenantQuota",
                "metadata": {"name": self.name},
                "spec": {"namespaces": list(namespaces), **spec},
            }
        )

    async def settle(self, *, contested: tuple[str, ...] = ()) -> Kept:
        """Ask the keeper until it rests; gives what it said last, and all that has happened."""
        happened: list[Happened] = []
        for _ in range(5):
            kept = await self._ask(contested)
            happened += kept.happened
            if kept.wake_at is None:
                return Kept(happened=tuple(happened), conflicts=kept.conflicts, failures=kept.failures)
        raise AssertionError("the keeper does not rest")

    async def _ask(self, contested: tuple[str, ...]) -> Kept:
        tenant = TenantQuota.model_validate(json.loads(self.cluster.kubectl("get", "tq", self.name, "-o", "json")))
        namespaces = tuple(each for each in tenant.spec.namespaces if each not in contested)
        kept = await self.keeper.keep(Seen(tenant, namespaces), datetime.now(UTC))
        patch = json.dumps({"status": {name: list(value) for name, value in kept.status.items()}})
        self.cluster.kubectl("patch", "tq", self.name, "--subresource=status", "--type=merge", "-p", patch)
        return kept

    def found(self, namespace: str) -> list[str]:
        """All of ours in a namespace."""
        label = f"--selector=pilotage.dev/tenant={self.name}"
        return sorted(self.cluster.kubectl("get", KINDS, "-n", namespace, label, "-o", "name").split())

    def get(self, namespace: str, what: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.cluster.kubectl("get", what, "-n", namespace, "-o", "json"))
        return found


@pytest.fixture
async def tenant(cluster: Cluster, operator_kube: Kube) -> AsyncIterator[Tenant]:
    keeper = AccessKeeper(Owned(operator_kube, Always()), roles="pilotage-tenant", system="pilotage-system")
    made = Tenant(cluster, keeper, f"tenant-{secrets.token_hex(4)}")
    yield made
    cluster.kubectl("delete", "tq", made.name, "--ignore-not-found")


@pytest.fixture
def other(cluster: Cluster) -> Iterator[str]:
    name = f"test-{secrets.token_hex(4)}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


async def test_what_the_tenant_quota_asks_for_is_made_is_its_own_and_is_at_rest(
    tenant: Tenant, enrolled_tenant: str
) -> None:
    tenant.apply(enrolled_tenant, **EVERYTHING)
    assert await tenant.settle() == Kept()
    assert tenant.found(enrolled_tenant) == OURS
    made = [tenant.get(enrolled_tenant, what) for what in OURS]
    for each in made:
        [owner] = each["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["controller"]) == ("TenantQuota", tenant.name, True)
    assert made[2]["spec"]["hard"] == {
        "limits.cpu": "1500m",
        "pods": "1k",
        "requests.cpu": "500m",
        "requests.memory": "1Gi",
    }
    assert await tenant.settle() == Kept()
    versions = [tenant.get(enrolled_tenant, what)["metadata"]["resourceVersion"] for what in OURS]
    # The ResourceQuota's status is written by the cluster itself.
    assert [v for n, v in enumerate(versions) if n != 2] == [
        each["metadata"]["resourceVersion"] for n, each in enumerate(made) if n != 2
    ]


async def test_the_people_and_applications_of_a_tenant_get_the_rights_and_no_others(
    cluster: Cluster, tenant: Tenant, enrolled_tenant: str
) -> None:
    tenant.apply(enrolled_tenant, **EVERYTHING)
    await tenant.settle()

    def may(who: Sequence[str], verb: str, what: str, namespace: str = enrolled_tenant) -> bool:
        resource, _, subresource = what.partition("/")
        asked = ["auth", "can-i", verb, resource, f"--subresource={subresource}", f"--namespace={namespace}", *who]
        try:
            return cluster.kubectl(*asked).strip() == "yes"
        except KubectlError:  # `no` is an exit status of 1
            return False

    accounts = (("--as=anna",), ("--as=zoe", "--as-group=search"), ("--as=system:serviceaccount:ci:deployer",))
    for who in accounts:
        wait_until(partial(may, who, "create", ROLLOUTS), f"{who} to have the rights")
        assert not may(who, "create", ROLLOUTS, "default")
        for verb, what in FORBIDDEN:
            assert not may(who, verb, what), (who, verb, what)
    # The name alone is nobody: a ServiceAccount of the same name in another namespace has nothing.
    assert not may(["--as=system:serviceaccount:default:deployer"], "create", ROLLOUTS)


@pytest.mark.parametrize(
    ("what", "drift"),
    [
        ("rolebinding/tenant-edit", {"subjects": [EVE]}),
        ("rolebinding/tenant-edit", {"subjects": None}),
        ("resourcequota/tenant-compute", {"spec": {"hard": {"pods": "100k"}}}),
        ("resourcequota/tenant-compute", {"spec": {"hard": {"services": "1"}}}),
        ("limitrange/tenant-containers", {"spec": {"limits": []}}),
        ("networkpolicy/tenant-isolation", {"spec": {"podSelector": {"matchLabels": {"no": "pod"}}}}),
        ("networkpolicy/tenant-isolation", {"spec": {"ingress": [{}]}}),
        ("networkpolicy/tenant-isolation", {"spec": {"policyTypes": ["Ingress"]}}),
        ("networkpolicy/tenant-isolation", {"spec": {"egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}]}}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
async def test_drift_is_repaired_and_told_once(
    cluster: Cluster, tenant: Tenant, enrolled_tenant: str, what: str, drift: dict[str, Any]
) -> None:
    tenant.apply(enrolled_tenant, **EVERYTHING)
    await tenant.settle()
    before = _content(tenant.get(enrolled_tenant, what))
    cluster.kubectl("patch", what, "-n", enrolled_tenant, "--type=merge", "-p", json.dumps(drift))
    assert _content(tenant.get(enrolled_tenant, what)) != before
    told = await tenant.settle()
    assert _content(tenant.get(enrolled_tenant, what)) == before
    assert [each.action for each in told.happened] == ["Repair"]
    assert "changed by somebody" in told.happened[0].message
    assert await tenant.settle() == Kept()


def _content(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name not in ("metadata", "status")}


async def test_what_is_deleted_is_made_anew(cluster: Cluster, tenant: Tenant, enrolled_tenant: str) -> None:
    tenant.apply(enrolled_tenant, **EVERYTHING)
    await tenant.settle()
    cluster.kubectl("delete", "networkpolicy", "tenant-isolation", "-n", enrolled_tenant)
    told = await tenant.settle()
    assert [each.message.split(" was ")[1] for each in told.happened] == ["missing and is as it should be again"]
    assert tenant.found(enrolled_tenant) == OURS


async def test_what_is_no_longer_asked_for_is_taken_away(tenant: Tenant, enrolled_tenant: str) -> None:
    tenant.apply(enrolled_tenant, **EVERYTHING)
    await tenant.settle()
    access = {**EVERYTHING["access"], "role": "view"}
    tenant.apply(enrolled_tenant, access=access, compute={"pods": 5})
    assert await tenant.settle() == Kept()
    assert tenant.found(enrolled_tenant) == [
        "resourcequota/tenant-compute",
        "rolebinding.rbac.authorization.k8s.io/tenant-view",
    ]
    assert tenant.get(enrolled_tenant, "resourcequota/tenant-compute")["spec"]["hard"] == {"pods": "5"}
    tenant.apply(enrolled_tenant)
    assert await tenant.settle() == Kept()
    assert tenant.found(enrolled_tenant) == []


async def test_a_namespace_that_leaves_the_tenant_is_cleared_also_by_an_operator_that_was_away(
    operator_kube: Kube, installed: Installed, tenant: Tenant, enrolled_tenant: str, other: str
) -> None:
    installed.enrol_tenant(other)
    tenant.apply(enrolled_tenant, other, **EVERYTHING)
    await tenant.settle()
    assert tenant.found(other) == OURS
    tenant.apply(enrolled_tenant, **EVERYTHING)
    # Another process: it knows nothing but status.
    tenant.keeper = AccessKeeper(Owned(operator_kube, Always()), roles="pilotage-tenant", system="pilotage-system")
    assert await tenant.settle() == Kept()
    assert tenant.found(other) == []
    assert tenant.found(enrolled_tenant) == OURS


async def test_all_of_it_goes_with_the_tenant_quota(cluster: Cluster, tenant: Tenant, enrolled_tenant: str) -> None:
    cluster.kubectl("create", "quota", "theirs", "-n", enrolled_tenant, "--hard=pods=3")
    tenant.apply(enrolled_tenant, **EVERYTHING)
    await tenant.settle()
    cluster.kubectl("delete", "tq", tenant.name)
    wait_until(lambda: tenant.found(enrolled_tenant) == [], "the garbage collector", seconds=60)
    assert tenant.get(enrolled_tenant, "resourcequota/theirs")["spec"] == {"hard": {"pods": "3"}}


async def test_an_object_of_somebody_else_is_a_conflict_and_is_not_touched(
    cluster: Cluster, tenant: Tenant, enrolled_tenant: str
) -> None:
    cluster.kubectl("create", "quota", "tenant-compute", "-n", enrolled_tenant, "--hard=pods=3")
    before = tenant.get(enrolled_tenant, "resourcequota/tenant-compute")["metadata"]
    tenant.apply(enrolled_tenant, **EVERYTHING)
    told = await tenant.settle()
    [said] = told.conflicts
    assert f"ResourceQuota {enrolled_tenant}/tenant-compute is not this TenantQuota's: rename or delete it" in said
    tenant.apply(enrolled_tenant)  # nothing is asked for any more: theirs stays all the same
    await tenant.settle()
    after = tenant.get(enrolled_tenant, "resourcequota/tenant-compute")
    assert after["spec"] == {"hard": {"pods": "3"}}
    assert (after["metadata"]["uid"], after["metadata"].get("labels")) == (before["uid"], None)


async def test_the_guard_keeps_the_operators_token_from_what_is_not_a_tenants(
    cluster: Cluster, operator_kube: Kube, enrolled_tenant: str
) -> None:
    """What a stranger who holds the token could still do: nothing to objects of others, and no role but two."""
    cluster.kubectl("create", "quota", "theirs", "-n", enrolled_tenant, "--hard=pods=3")
    path = f"/api/v1/namespaces/{enrolled_tenant}/resourcequotas/theirs"
    uid = (await operator_kube.get(path))["metadata"]["uid"]
    label = {"metadata": {"labels": {"app.kubernetes.io/managed-by": "pilotage", "pilotage.dev/tenant": "x"}}}
    not_ours = "this object is not Pilotage's"
    assert not_ours in await becomes_forbidden(lambda: operator_kube.patch(path, label, content_type="merge"))
    assert not_ours in await becomes_forbidden(lambda: operator_kube.delete(path, uid=uid))


async def test_without_enrolment_nothing_is_made_and_the_command_is_named(
    installed: Installed, tenant: Tenant, namespace: str
) -> None:
    tenant.apply(namespace, **EVERYTHING)
    told = await tenant.settle()
    [said] = told.failures
    assert f"no rights for access and limits in namespace {namespace}" in said
    assert f"`kubectl apply --namespace={namespace} -f charts/manifests/enrolment-tenant.yaml`" in said
    assert tenant.found(namespace) == []
    installed.enrol_tenant(namespace)
    assert await tenant.settle() == Kept()
    assert tenant.found(namespace) == OURS


async def test_a_namespace_that_two_claim_is_left_as_it_is(tenant: Tenant, enrolled_tenant: str) -> None:
    tenant.apply(enrolled_tenant, **EVERYTHING)
    await tenant.settle()
    tenant.apply(enrolled_tenant, compute={"pods": 1})
    assert await tenant.settle(contested=(enrolled_tenant,)) == Kept()
    assert tenant.found(enrolled_tenant) == OURS


async def test_a_dry_run_makes_nothing(tenant: Tenant, enrolled_tenant: str) -> None:
    tenant.apply(enrolled_tenant, mode="dryRun", **EVERYTHING)
    assert await tenant.settle() == Kept()
    assert tenant.found(enrolled_tenant) == []


async def test_a_quota_that_the_api_server_refuses_is_said_and_stops_nothing_else(
    tenant: Tenant, enrolled_tenant: str
) -> None:
    tenant.apply(enrolled_tenant, **{**EVERYTHING, "compute": {"no such thing": "1"}})
    told = await tenant.settle()
    [said] = told.failures
    assert f"ResourceQuota {enrolled_tenant}/tenant-compute is refused as invalid: correct the TenantQuota" in said
    assert tenant.found(enrolled_tenant) == [each for each in OURS if "resourcequota" not in each]


@pytest.mark.parametrize(
    "access",
    [
        {"metrics": [{"label": "tenant", "value": 'shop"} or up{tenant="victim'}]},
        {"metrics": [{"label": "tenant", "value": "shop|victim"}]},
        {"metrics": [{"label": "tenant", "value": ".*"}]},
        {"metrics": [{"label": "__name__", "value": "up"}]},
        {"metrics": [{"label": "a-b", "value": "shop"}]},
        {"applications": [{"namespace": "shop/../kube-system", "name": "x"}]},
        {"role": "cluster-admin"},
    ],
    ids=["injection", "either", "any", "name", "label", "path", "role"],
)
def test_what_access_may_not_be_is_refused_by_the_schema(tenant: Tenant, access: dict[str, Any]) -> None:
    with pytest.raises(KubectlError, match=r"Invalid value|Unsupported value"):
        tenant.apply("default", access=access)
