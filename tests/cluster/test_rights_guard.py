"""The guard in the API server: what the operator's token can't do although RBAC would let it.

RBAC gives a whole object or nothing. Three ValidatingAdmissionPolicies of the chart take back what the operator does
not need of it; each test first shows that the same change is possible for others.
"""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pilotage.controller.rollouts import FINALIZER
from pilotage.kube import Kube
from testbed.cluster import Cluster
from testbed.install import Installed
from tests.cluster.forbidden import FLAG_LABELS, becomes_forbidden, is_forbidden, write_flags

ROLLOUT = {
    "apiVersion": "pilotage.dev/v1alpha1",
    "kind": "PilotRollout",
    "metadata": {"name": "search", "labels": {"team": "shop"}, "finalizers": ["example.com/theirs"]},
    "spec": {"feature": {"flag": "search"}, "steps": [{"name": "everyone", "percent": 100}]},
}


@pytest.fixture
async def admin_kube(cluster: Cluster) -> AsyncIterator[Kube]:
    kube = await Kube.connect(cluster.kubeconfig)
    yield kube
    await kube.close()


@pytest.fixture
def rollout(cluster: Cluster, installed: Installed, namespace: str) -> str:  # noqa: ARG001 - installed brings the kind
    """Give the path of a PilotRollout in the test's namespace."""
    cluster.apply(ROLLOUT, arguments=["-n", namespace])
    return f"/apis/pilotage.dev/v1alpha1/namespaces/{namespace}/pilotrollouts/search"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"spec": {"paused": True}}, "does not change a PilotRollout's spec"),
        ({"spec": {"steps": [{"name": "everyone", "percent": 50}]}}, "does not change a PilotRollout's spec"),
        (
            {"metadata": {"labels": {"team": "others"}}},
            "does not change a PilotRollout's labels, annotations and owners",
        ),
        ({"metadata": {"annotations": {"a": "b"}}}, "does not change a PilotRollout's labels, annotations and owners"),
        ({"metadata": {"finalizers": [FINALIZER]}}, "does not change finalizers of others"),
        ({"metadata": {"finalizers": ["example.com/theirs", "example.com/x"]}}, "does not change finalizers of others"),
    ],
)
async def test_the_operator_does_not_change_what_is_not_its_own(
    admin_kube: Kube, operator_kube: Kube, rollout: str, change: dict[str, Any], message: str
) -> None:
    assert message in await becomes_forbidden(lambda: operator_kube.patch(rollout, change, content_type="merge"))
    await admin_kube.patch(rollout, change, content_type="merge")


async def test_the_operator_sets_and_removes_its_finalizer(operator_kube: Kube, rollout: str) -> None:
    for finalizers in (["example.com/theirs", FINALIZER], ["example.com/theirs"]):
        change = {"metadata": {"finalizers": finalizers}}
        done = await operator_kube.patch(rollout, change, content_type="merge")
        assert done["metadata"]["finalizers"] == finalizers


async def test_the_operator_writes_the_status_and_nothing_else_with_it(operator_kube: Kube, rollout: str) -> None:
    change = {"spec": {"paused": True}, "metadata": {"finalizers": []}, "status": {"message": "hello"}}
    done = await operator_kube.patch(f"{rollout}/status", change, content_type="merge")
    assert done["status"]["message"] == "hello"
    assert done["metadata"]["finalizers"] == ["example.com/theirs"]
    assert not done["spec"].get("paused")


async def test_a_tenants_configmap_is_not_overwritten_by_naming_it_in_a_rollout(
    cluster: Cluster, operator_kube: Kube, enrolled: str
) -> None:
    cluster.kubectl("create", "configmap", "settings", "-n", enrolled, "--from-literal=debug=no")
    said = await becomes_forbidden(lambda: write_flags(operator_kube, enrolled, "settings"))
    assert "this ConfigMap is not Pilotage's; make the rollout anew with another name" in said
    assert cluster.kubectl("get", "configmap", "settings", "-n", enrolled, "-o", "jsonpath={.data}") == '{"debug":"no"}'


async def test_the_clusters_certificate_is_not_overwritten(operator_kube: Kube, enrolled: str) -> None:
    await becomes_forbidden(lambda: write_flags(operator_kube, enrolled, "kube-root-ca.crt"))


async def test_a_configmap_of_the_operators_is_labelled_and_stays_so(operator_kube: Kube, enrolled: str) -> None:
    said = await becomes_forbidden(lambda: write_flags(operator_kube, enrolled, "unlabelled", labels={}))
    assert "only ConfigMaps that are labelled as Pilotage's flags" in said
    done = await write_flags(operator_kube, enrolled, "flags")
    assert done["metadata"]["labels"] == FLAG_LABELS
    await is_forbidden(write_flags(operator_kube, enrolled, "flags", labels={}))


async def test_the_guard_minds_nobody_but_the_operator(cluster: Cluster, enrolled: str) -> None:
    cluster.kubectl("create", "configmap", "settings", "-n", enrolled, "--from-literal=debug=no")
    cluster.kubectl("label", "configmap", "settings", "-n", enrolled, "team=shop")


def test_the_api_server_finds_no_type_error_in_the_guard(cluster: Cluster, installed: Installed) -> None:  # noqa: ARG001
    policies = json.loads(cluster.kubectl("get", "validatingadmissionpolicies", "-o", "json"))["items"]
    ours = [policy for policy in policies if policy["metadata"]["name"].startswith("pilotage-operator-")]
    assert len(ours) == 3
    assert not [policy for policy in ours if policy["status"].get("typeChecking", {}).get("expressionWarnings")]
