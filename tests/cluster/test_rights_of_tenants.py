"""What people may do who have the cluster's own roles in a namespace, by the roles that the chart adds to those."""

from collections.abc import AsyncIterator

import pytest

from pilotage.kube import Kube
from testbed import eventually
from testbed.cluster import Cluster
from testbed.install import Installed
from tests.cluster.deletion import delete
from tests.cluster.forbidden import is_forbidden
from tests.cluster.test_rights_guard import ROLLOUT

GROUP = "/apis/pilotage.dev/v1alpha1"


async def _with_role(cluster: Cluster, namespace: str, role: str) -> AsyncIterator[Kube]:
    """A client that has one of the cluster's own roles in the namespace, once the chart's rules are in it."""
    cluster.kubectl("create", "serviceaccount", role, "-n", namespace)
    cluster.kubectl(
        "create", "rolebinding", role, "-n", namespace, f"--clusterrole={role}", f"--serviceaccount={namespace}:{role}"
    )
    kube = await Kube.connect(cluster.kubeconfig_for_service_account(namespace, role))
    await eventually(lambda: kube.get(f"{GROUP}/namespaces/{namespace}/pilotrollouts"), "the role to be aggregated")
    yield kube
    await kube.close()


@pytest.fixture
async def editor(cluster: Cluster, installed: Installed, namespace: str) -> AsyncIterator[Kube]:  # noqa: ARG001
    async for kube in _with_role(cluster, namespace, "edit"):
        yield kube


@pytest.fixture
async def viewer(cluster: Cluster, installed: Installed, namespace: str) -> AsyncIterator[Kube]:  # noqa: ARG001
    async for kube in _with_role(cluster, namespace, "view"):
        yield kube


async def test_an_editor_makes_changes_and_deletes_rollouts_of_its_namespace(editor: Kube, namespace: str) -> None:
    rollouts = f"{GROUP}/namespaces/{namespace}/pilotrollouts"
    body = {**ROLLOUT, "metadata": {"name": "search"}}
    await eventually(lambda: editor.create(rollouts, body), "the role to be aggregated")
    paused = await editor.patch(f"{rollouts}/search", {"spec": {"paused": True}}, content_type="merge")
    assert paused["spec"]["paused"] is True
    await delete(editor, f"{rollouts}/search")


async def test_an_editor_can_not_forge_what_the_operator_decided(
    cluster: Cluster, editor: Kube, namespace: str
) -> None:
    cluster.apply({**ROLLOUT, "metadata": {"name": "search"}}, arguments=["-n", namespace])
    status = f"{GROUP}/namespaces/{namespace}/pilotrollouts/search/status"
    await is_forbidden(editor.patch(status, {"status": {"phase": "Completed"}}, content_type="merge"))


async def test_an_editor_reaches_neither_other_namespaces_nor_what_all_share(editor: Kube) -> None:
    await is_forbidden(editor.get(f"{GROUP}/namespaces/default/pilotrollouts"))
    await is_forbidden(editor.create(f"{GROUP}/namespaces/default/pilotrollouts", ROLLOUT))
    await is_forbidden(editor.create(f"{GROUP}/indicatortemplates", {"metadata": {"name": "x"}}))


async def test_an_editor_can_not_enrol_its_namespace(editor: Kube, namespace: str) -> None:
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings"
    await is_forbidden(editor.create(path, {"metadata": {"name": "x"}}))


async def test_a_viewer_reads_and_changes_nothing(cluster: Cluster, viewer: Kube, namespace: str) -> None:
    cluster.apply({**ROLLOUT, "metadata": {"name": "search"}}, arguments=["-n", namespace])
    path = f"{GROUP}/namespaces/{namespace}/pilotrollouts/search"
    assert (await viewer.get(path))["metadata"]["name"] == "search"
    await is_forbidden(viewer.patch(path, {"spec": {"paused": True}}, content_type="merge"))
    await is_forbidden(delete(viewer, path))
