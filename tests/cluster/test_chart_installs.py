"""The chart in the hands of helm, on a cluster of its own: installed, upgraded, uninstalled and installed again."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed import ALL_COMPONENTS, Cluster, KubectlError, start_cluster
from testbed.chart import CHART, NAMESPACE, RELEASE, objects, render
from tests.cluster.chart_values import EVERYTHING, deployment
from tests.cluster.test_rights_guard import ROLLOUT

pytestmark = pytest.mark.cluster(*ALL_COMPONENTS, "kubectl")

Helm = Callable[..., str]


@pytest.fixture(scope="module")
def empty_cluster() -> Iterator[Cluster]:
    """A cluster without Pilotage, whose pods become ready, with a namespace that takes only restricted pods."""
    with start_cluster() as cluster:
        for namespace in EVERYTHING["enrolledNamespaces"]:
            cluster.kubectl("create", "namespace", namespace)
        cluster.kubectl("create", "namespace", NAMESPACE)
        cluster.kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted")
        yield cluster


@pytest.fixture(scope="module")
def run_helm(empty_cluster: Cluster, helm: Path, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    folder = tmp_path_factory.mktemp("helm")
    environment = {f"HELM_{kind}_HOME": str(folder / kind) for kind in ("CACHE", "CONFIG", "DATA")}
    environment |= {"KUBECONFIG": str(empty_cluster.kubeconfig)}

    def run(verb: str, *arguments: str) -> str:
        command = [str(helm), verb, RELEASE, *arguments, "--namespace", NAMESPACE]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_a_release_is_installed_upgraded_uninstalled_and_installed_again(
    empty_cluster: Cluster, run_helm: Helm
) -> None:
    kubectl = empty_cluster.kubectl
    told = run_helm("install", str(CHART), "--wait", "--timeout=60s")
    assert "It delivers flags in no namespace yet." in told
    ready = kubectl("get", "deployments", "-n", NAMESPACE, "-o", "jsonpath={.items[*].status.readyReplicas}")
    assert ready == "2 2"
    certificate = kubectl("get", "secret", "pilotage-flags-tls", "-n", NAMESPACE, "-o", "jsonpath={.data}")
    assert set(json.loads(certificate)) == {"ca.crt", "tls.crt", "tls.key"}

    told = run_helm("upgrade", str(CHART), "--set=enrolledNamespaces={shop}", "--wait", "--timeout=60s")
    assert "It delivers flags in: shop." in told
    assert kubectl("get", "secret", "pilotage-flags-tls", "-n", NAMESPACE, "-o", "jsonpath={.data}") == certificate
    bindings = kubectl("get", "rolebindings", "-n", "shop", "-o", "jsonpath={.items[*].metadata.name}")
    assert bindings == "pilotage-delivery pilotage-flags-reader"

    empty_cluster.apply({**ROLLOUT, "metadata": {"name": "search"}}, arguments=["-n", "shop"])
    run_helm("uninstall", "--wait", "--timeout=60s")
    assert not kubectl("get", "deployments,rolebindings", "-A", "-l", "app.kubernetes.io/name=pilotage", "-o", "name")
    assert not kubectl("get", "clusterroles", "-l", "app.kubernetes.io/name=pilotage", "-o", "name")
    assert kubectl("get", "pilots", "-n", "shop", "-o", "name") == "pilotrollout.pilotage.dev/search\n"

    run_helm("install", str(CHART), "--wait", "--timeout=60s")
    assert kubectl("get", "pilots", "-n", "shop", "-o", "name") == "pilotrollout.pilotage.dev/search\n"


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["default", "everything"])
def test_every_object_is_valid_to_the_api_server(empty_cluster: Cluster, helm: Path, values: dict[str, Any]) -> None:
    text = render(helm, values)
    options = ("--server-side", "--force-conflicts", "--validate=strict", "--dry-run=server")
    empty_cluster.kubectl("apply", *options, "-f", "-", input=text)


@pytest.mark.parametrize("component", ["operator", "flags"])
def test_pods_are_taken_where_only_restricted_pods_are(empty_cluster: Cluster, helm: Path, component: str) -> None:
    template = deployment(objects(render(helm)), component)["spec"]["template"]
    metadata = {**template["metadata"], "name": "x", "namespace": NAMESPACE}
    # The chart's own ServiceAccounts are there only while a release is installed.
    spec = {**template["spec"], "serviceAccountName": "default"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    command = ("create", "--validate=strict", "--dry-run=server", "-f", "-")
    empty_cluster.kubectl(*command, input=json.dumps(pod))
    del spec["securityContext"]
    with pytest.raises(KubectlError, match="violates PodSecurity"):
        empty_cluster.kubectl(*command, input=json.dumps(pod))
