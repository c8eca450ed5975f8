"""The chart in the hands of people: installed by helm and by kubectl, upgraded, uninstalled, valid in every part."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from testbed import ALL_COMPONENTS, Cluster, KubectlError, start_cluster, wait_until
from testbed.chart import CHART, NAMESPACE, RELEASE, objects, render
from tests.cluster.chart_values import EVERYTHING, container, deployment
from tests.cluster.test_rights_guard import ROLLOUT

pytestmark = pytest.mark.cluster(*ALL_COMPONENTS, "kubectl")

ROOT = Path(__file__).parents[2]

Helm = Callable[..., str]


@pytest.fixture
def empty_cluster() -> Iterator[Cluster]:
    """A cluster without Pilotage, whose pods become ready, with a namespace `shop`."""
    with start_cluster() as cluster:
        cluster.kubectl("create", "namespace", "shop")
        yield cluster


@pytest.fixture
def run_helm(empty_cluster: Cluster, helm: Path, tmp_path: Path) -> Helm:
    environment = {f"HELM_{kind}_HOME": str(tmp_path / kind) for kind in ("CACHE", "CONFIG", "DATA")}
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
    kubectl("create", "namespace", NAMESPACE)
    kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted")
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

    rollout = {**ROLLOUT, "metadata": {"name": "search"}}
    wait_until(  # the API server's policies know of a new kind some seconds after it is served
        lambda: empty_cluster.apply(rollout, arguments=["-n", "shop"]), "a rollout to be taken"
    )
    run_helm("uninstall", "--wait", "--timeout=60s")
    assert not kubectl("get", "deployments,rolebindings", "-A", "-l", "app.kubernetes.io/name=pilotage", "-o", "name")
    assert not kubectl("get", "clusterroles", "-l", "app.kubernetes.io/name=pilotage", "-o", "name")
    assert kubectl("get", "pilots", "-n", "shop", "-o", "name") == "pilotrollout.pilotage.dev/search\n"

    run_helm("install", str(CHART), "--wait", "--timeout=60s")
    assert kubectl("get", "pilots", "-n", "shop", "-o", "name") == "pilotrollout.pilotage.dev/search\n"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the commands make a certificate with openssl")
def test_the_commands_for_people_without_helm_work(empty_cluster: Cluster, tmp_path: Path) -> None:
    text = (ROOT / "docs" / "install.md").read_text()
    [commands] = re.findall(r"^```sh kubectl\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    for name in ("crds", "charts"):
        (tmp_path / name).symlink_to(ROOT / name)
    environment = {
        "KUBECONFIG": str(empty_cluster.kubeconfig),
        "PATH": f"{empty_cluster.kubectl_path.parent}:{os.environ['PATH']}",
        "IMAGE": "example.com/mine:1",
        "PROMETHEUS": "http://prometheus.example.com",
    }
    command = ["bash", "-euo", "pipefail", "-c", commands]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=tmp_path, env=os.environ | environment
    )
    assert done.returncode == 0, done.stderr
    deployments = json.loads(empty_cluster.kubectl("get", "deployments", "-n", NAMESPACE, "-o", "json"))["items"]
    images = [container(deployments, component)["image"] for component in ("operator", "flags")]
    assert images == ["example.com/mine:1"] * 2
    assert "--prometheus=http://prometheus.example.com" in container(deployments, "operator")["args"]


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["default", "everything"])
def test_every_object_is_valid_to_the_api_server(
    cluster: Cluster, namespace: str, helm: Path, values: dict[str, Any]
) -> None:
    enrolled = {"enrolledNamespaces": [namespace], "enrolledTenants": [namespace]}
    text = render(helm, {**values, **enrolled}, namespace=namespace)
    options = ("--server-side", "--force-conflicts", "--validate=strict", "--dry-run=server")
    cluster.kubectl("apply", *options, "-f", "-", input=text)


@pytest.mark.parametrize("component", ["operator", "flags"])
def test_pods_are_taken_where_only_restricted_pods_are(
    cluster: Cluster, namespace: str, helm: Path, component: str
) -> None:
    cluster.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    template = deployment(objects(render(helm)), component)["spec"]["template"]
    metadata = {**template["metadata"], "name": "x", "namespace": namespace}
    spec = {**template["spec"], "serviceAccountName": "default"}  # the chart's own are not in this namespace
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    create = partial(cluster.kubectl, "create", "--validate=strict", "--dry-run=server", "-f", "-")
    wait_until(lambda: create(input=json.dumps(pod)), "the namespace's ServiceAccount to be there")
    del spec["securityContext"]
    with pytest.raises(KubectlError, match="violates PodSecurity"):
        create(input=json.dumps(pod))
