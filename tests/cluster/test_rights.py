"""The rights of the chart's ServiceAccounts, tried on the real API server with their own tokens.

The table in docs/security.md is the promise: it is compared with what the API server says that each account may do. The
other tests show, request by request, what a stranger who holds the operator's token can't do.
"""

import re
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from pilotage.kube import Kube
from testbed.chart import INSTALL, objects
from testbed.cluster import Cluster
from testbed.install import Installed
from tests.cluster.deletion import delete
from tests.cluster.forbidden import becomes_forbidden, is_forbidden, write_flags

SECURITY = Path(__file__).parents[2] / "docs" / "security.md"
NOT_ENROLLED = "default"

Right = tuple[str, str, str, str]
"""Where, what (`resource.group/subresource`), the object's name ("" for any), verb."""


@pytest.fixture
async def nobody(cluster: Cluster, namespace: str) -> AsyncIterator[Kube]:
    cluster.kubectl("create", "serviceaccount", "nobody", "-n", namespace)
    kube = await Kube.connect(cluster.kubeconfig_for_service_account(namespace, "nobody"))
    yield kube
    await kube.close()


@pytest.fixture
def places(cluster: Cluster, installed: Installed, enrolled: str) -> Iterator[dict[str, str]]:
    """Give a namespace of each sort, by what docs/security.md calls it."""
    tenants = f"test-{secrets.token_hex(4)}"
    cluster.kubectl("create", "namespace", tenants)
    installed.enrol_tenant(tenants)
    yield {"its namespace": installed.namespace, "enrolled namespaces": enrolled, "tenants' namespaces": tenants}
    cluster.kubectl("delete", "namespace", tenants, "--wait=false")


@pytest.fixture
def accounts(operator_kube: Kube, flags_kube: Kube) -> dict[str, Kube]:
    return {"operator": operator_kube, "flag service": flags_kube}


@pytest.mark.parametrize("who", ["operator", "flag service"])
async def test_the_rights_are_those_of_the_table_in_the_docs(
    who: str, accounts: dict[str, Kube], nobody: Kube, places: dict[str, str]
) -> None:
    account = accounts[who]
    everybodys = await _rights(nobody, NOT_ENROLLED)
    everywhere = await _rights(account, NOT_ENROLLED)
    found = {("everywhere", *right) for right in everywhere - everybodys}
    for place, namespace in places.items():
        found |= {(place, *right) for right in await _rights(account, namespace) - everywhere}
    assert found == _documented(who)


async def _rights(kube: Kube, namespace: str) -> set[tuple[str, str, str]]:
    """What the API server says that this account may do in a namespace."""
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    answer = await kube.create("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", body)
    assert answer["status"]["incomplete"] is False
    return {
        (_resource(resource, group), name, verb)
        for rule in answer["status"]["resourceRules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames") or [""]
        for verb in rule["verbs"]
    }


def _resource(resource: str, group: str) -> str:
    name, _, subresource = resource.partition("/")
    return f"{name}{f'.{group}' if group else ''}{f'/{subresource}' if subresource else ''}"


def _documented(who: str) -> set[Right]:
    """The rows of the table `| who | where | what | verbs | why |` that speak of this account."""
    found: set[Right] = set()
    for line in SECURITY.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] == who:
            resource, *names = re.findall(r"`([^`]+)`", cells[2])
            found |= {(cells[1], resource, name, verb) for name in names or [""] for verb in cells[3].split(", ")}
    return found


def test_no_role_has_a_wildcard_or_a_right_that_makes_rights() -> None:
    roles = [found for found in objects(INSTALL.read_text()) if found["kind"] in ("Role", "ClusterRole")]
    rules = [rule for role in roles for rule in role["rules"]]
    assert len(rules) >= 10
    for rule in rules:
        assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
        assert not {"escalate", "impersonate"} & set(rule["verbs"])
        if "bind" in rule["verbs"]:  # to give what the chart made for tenants, and nothing else
            assert rule["resourceNames"] == ["pilotage-tenant-edit", "pilotage-tenant-view"]
        assert "secrets" not in rule["resources"]


async def test_the_operator_reads_no_secret_of_a_tenant(cluster: Cluster, operator_kube: Kube, enrolled: str) -> None:
    cluster.kubectl("create", "secret", "generic", "password", "-n", enrolled, "--from-literal=password=hunter2")
    assert cluster.kubectl("get", "secret", "password", "-n", enrolled, "-o", "name") == "secret/password\n"
    await is_forbidden(operator_kube.get(f"/api/v1/namespaces/{enrolled}/secrets/password"))
    await is_forbidden(operator_kube.get(f"/api/v1/namespaces/{enrolled}/secrets"))
    await is_forbidden(operator_kube.get("/api/v1/secrets"))


async def test_nobody_of_pilotage_reads_the_key_of_the_flag_service(
    accounts: dict[str, Kube], installed: Installed
) -> None:
    for account in accounts.values():
        await is_forbidden(account.get(f"/api/v1/namespaces/{installed.namespace}/secrets/pilotage-flags-tls"))


@pytest.mark.parametrize("who", ["operator", "flag service"])
async def test_pilotage_creates_nothing_that_runs_or_gives_rights(
    who: str, accounts: dict[str, Kube], enrolled: str
) -> None:
    for collection in (
        f"/api/v1/namespaces/{enrolled}/pods",
        f"/api/v1/namespaces/{enrolled}/secrets",
        f"/api/v1/namespaces/{enrolled}/serviceaccounts/default/token",
        f"/apis/apps/v1/namespaces/{enrolled}/deployments",
        f"/apis/rbac.authorization.k8s.io/v1/namespaces/{enrolled}/rolebindings",
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        f"/apis/pilotage.dev/v1alpha1/namespaces/{enrolled}/pilotrollouts",
        "/apis/pilotage.dev/v1alpha1/indicatortemplates",
        f"/apis/coordination.k8s.io/v1/namespaces/{enrolled}/leases",
    ):
        await is_forbidden(accounts[who].create(collection, {"metadata": {"name": "x"}}))


async def test_the_operator_deletes_nothing(operator_kube: Kube, enrolled: str) -> None:
    for path in (
        f"/api/v1/namespaces/{enrolled}/configmaps/flags",
        f"/apis/pilotage.dev/v1alpha1/namespaces/{enrolled}/pilotrollouts/x",
        f"/apis/core.openfeature.dev/v1beta1/namespaces/{enrolled}/featureflags/x",
    ):
        await is_forbidden(delete(operator_kube, path))


async def test_the_operator_takes_only_the_lease_that_is_its_own(
    cluster: Cluster, operator_kube: Kube, installed: Installed
) -> None:
    leases = f"/apis/coordination.k8s.io/v1/namespaces/{installed.namespace}/leases"
    cluster.apply(
        {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": "someone-elses", "namespace": installed.namespace},
        }
    )
    await is_forbidden(operator_kube.get(f"{leases}/someone-elses"))
    await is_forbidden(operator_kube.replace(f"{leases}/someone-elses", {"metadata": {"name": "someone-elses"}}))
    await is_forbidden(
        operator_kube.get("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/pilotage-operator")
    )


async def test_flags_are_written_and_read_only_where_a_namespace_is_enrolled(
    cluster: Cluster, installed: Installed, operator_kube: Kube, flags_kube: Kube, namespace: str
) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    await is_forbidden(write_flags(operator_kube, namespace, "flags"))
    await is_forbidden(flags_kube.get(path))
    installed.enrol(namespace)
    await write_flags(operator_kube, namespace, "flags")
    assert "flags" in [found["metadata"]["name"] for found in (await flags_kube.get(path))["items"]]
    await is_forbidden(write_flags(flags_kube, namespace, "flags"))
    cluster.kubectl("delete", "rolebindings", "--all", "-n", namespace)
    await becomes_forbidden(lambda: write_flags(operator_kube, namespace, "flags"))
    await becomes_forbidden(lambda: flags_kube.get(path))
