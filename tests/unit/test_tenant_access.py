"""What a TenantQuota asks for in the tenant's namespaces: who may work there, how much, and with whom it may talk."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes.utils.quantity import parse_quantity

from pilotage.resources.tenant import TenantQuotaSpec
from pilotage.tenancy.access import bindings
from pilotage.tenancy.amounts import parse_amount
from pilotage.tenancy.compute import canonical, limits
from pilotage.tenancy.isolation import policies

FLAGS = {"app.kubernetes.io/component": "flags", "app.kubernetes.io/name": "pilotage"}


def spec(**said: Any) -> TenantQuotaSpec:
    return TenantQuotaSpec.model_validate({"namespaces": ["shop", "shop-staging"], **said})


def bound(**access: Any) -> list[dict[str, Any]]:
    return [each.body for each in bindings(spec(access=access), "shop", roles="pilotage-tenant")]


def test_users_groups_and_applications_get_the_role_in_the_namespace() -> None:
    applications = [{"namespace": "shop", "name": "indexer"}, {"namespace": "ci", "name": "deploy"}]
    [binding] = bound(users=["zoe", "anna"], groups=["search"], applications=applications)
    assert binding["metadata"] == {"name": "tenant-edit", "namespace": "shop"}
    assert binding["roleRef"]["name"] == "pilotage-tenant-edit"
    assert [(each["kind"], each.get("namespace"), each["name"]) for each in binding["subjects"]] == [
        ("User", None, "anna"),
        ("User", None, "zoe"),
        ("Group", None, "search"),
        ("ServiceAccount", "ci", "deploy"),
        ("ServiceAccount", "shop", "indexer"),
    ]


def test_who_may_only_read_gets_a_binding_of_another_name_because_a_role_can_not_be_changed_in_one() -> None:
    [binding] = bound(users=["anna"], role="view")
    assert binding["metadata"]["name"] == "tenant-view"
    assert binding["roleRef"]["name"] == "pilotage-tenant-view"


def test_where_nobody_has_access_there_is_no_binding() -> None:
    assert bound() == []


def test_the_same_access_in_another_order_is_the_same_object() -> None:
    one = [{"namespace": "a", "name": "x"}, {"namespace": "b", "name": "x"}]
    assert bound(users=["b", "a"], applications=one) == bound(users=["a", "b"], applications=one[::-1])


def test_a_shared_tenants_network_is_left_alone() -> None:
    assert policies(spec(), "shop", namespaces=("shop",), system="pilotage-system") == ()


@pytest.mark.parametrize("isolation", ["dedicated-shard", "dedicated-cluster"])
def test_a_dedicated_tenants_pods_talk_to_their_own_namespaces_to_dns_and_to_flags_only(isolation: str) -> None:
    [wanted] = policies(
        spec(isolation=isolation), "shop", namespaces=("shop-staging", "shop"), system="pilotage-system"
    )
    policy = wanted.body["spec"]
    assert policy["podSelector"] == {}
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    [inward] = policy["ingress"]
    assert [_namespaces(peer) for peer in inward["from"]] == [["shop", "shop-staging"]]
    assert "ports" not in inward
    own, dns, flags = policy["egress"]
    assert own == {"to": inward["from"]}
    assert [_namespaces(peer) for peer in dns["to"]] == [["kube-system"]]
    assert [(each["protocol"], each["port"]) for each in dns["ports"]] == [("TCP", 53), ("UDP", 53)]
    assert _namespaces(flags["to"][0]) == ["pilotage-system"]
    assert flags["to"][0]["podSelector"] == {"matchLabels": FLAGS}


def test_a_namespace_that_another_tenant_claims_too_is_not_let_in() -> None:
    [wanted] = policies(spec(isolation="dedicated-shard"), "shop", namespaces=("shop",), system="pilotage-system")
    assert _namespaces(wanted.body["spec"]["ingress"][0]["from"][0]) == ["shop"]


def _namespaces(peer: dict[str, Any]) -> list[str]:
    [expression] = peer["namespaceSelector"]["matchExpressions"]
    assert (expression["key"], expression["operator"]) == ("kubernetes.io/metadata.name", "In")
    found: list[str] = expression["values"]
    return found


def test_compute_becomes_a_resource_quota_and_limits_of_containers_a_limit_range() -> None:
    asked = spec(
        compute={"requests.cpu": "64", "requests.memory": "256Gi", "pods": 500},
        limitRange={"default": {"memory": "512Mi"}, "defaultRequest": {"cpu": "0.1"}, "max": {}},
    )
    quota, containers = limits(asked, "shop")
    assert (quota.body["kind"], quota.path) == (
        "ResourceQuota",
        "/api/v1/namespaces/shop/resourcequotas/tenant-compute",
    )
    assert quota.body["spec"] == {"hard": {"pods": "500", "requests.cpu": "64", "requests.memory": "256Gi"}}
    assert containers.body["spec"] == {
        "limits": [{"type": "Container", "default": {"memory": "512Mi"}, "defaultRequest": {"cpu": "100m"}}]
    }


@pytest.mark.parametrize("asked", [{}, {"limitRange": {}}])
def test_where_nothing_is_limited_there_is_neither(asked: dict[str, Any]) -> None:
    assert limits(spec(**asked), "shop") == ()


@pytest.mark.parametrize(
    ("written", "there"),
    [
        ("64", "64"), (64, "64"), ("1000", "1k"), ("0.5", "500m"), ("1.5", "1500m"), ("1000m", "1"), ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"), ("1000Mi", "1000Mi"), ("1023", "1023"), ("0.5Ki", "512"), ("0", "0"), ("0Gi", "0"),
        ("850M", "850M"), ("1000000k", "1G"), ("0.0000001", "100n"), ("0.1Gi", "107374182400m"), ("2048", "2048"),
    ],
)  # fmt: skip
def test_amounts_are_written_as_the_api_server_writes_them_back(written: str | int, there: str) -> None:
    assert canonical(written) == there


NUMBERS = st.from_regex(r"[0-9]{1,6}(\.[0-9]{1,6})?", fullmatch=True)
SUFFIXES = st.sampled_from(["", "m", "k", "M", "G", "Ki", "Mi", "Gi"])


@given(NUMBERS, SUFFIXES)
def test_an_amount_that_is_written_back_is_the_same_up_to_a_nano(number: str, suffix: str) -> None:
    there = canonical(number + suffix)
    read: Decimal = parse_quantity(there)  # type: ignore[no-untyped-call]
    assert 0 <= read - parse_amount(number + suffix) < Decimal("1e-9")
    assert not there.startswith("0") or there == "0"
