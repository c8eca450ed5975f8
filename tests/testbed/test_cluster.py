"""The testbed's cluster behaves as a real one: it answers in seconds, it refuses, it collects garbage."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pytest

from testbed import Cluster, KubectlError, PrometheusServer, ports, start_cluster, wait_until
from testbed.cluster import run_kubectl, write_kubeconfig


@pytest.fixture(scope="module")
def own() -> Iterator[Cluster]:
    """Give a cluster of this module's own, whose parts may be broken."""
    with start_cluster(("etcd", "kube-apiserver")) as started:
        yield started


@pytest.fixture
def testbed(cluster: Cluster) -> Cluster:
    """Give the session's cluster where it is our own, with processes to look at."""
    if cluster.provider != "testbed":
        pytest.skip("this cluster is not made of processes of ours")
    return cluster


def test_it_is_ready_within_seconds(testbed: Cluster) -> None:
    assert testbed.ready_seconds < 30


def test_a_token_that_nobody_gave_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    write_kubeconfig(kubeconfig, server=cluster.server, ca=cluster.ca.read_bytes(), token="guessed")
    with pytest.raises(KubectlError, match=r"must be logged in|Unauthorized"):
        run_kubectl(cluster.kubectl_path, kubeconfig, ["get", "namespaces"])


def test_a_service_account_may_do_what_its_role_says_and_nothing_else(cluster: Cluster, namespace: str) -> None:
    for arguments in (
        ("serviceaccount", "reader"),
        ("role", "reads-configmaps", "--verb=get,list", "--resource=configmaps"),
        ("rolebinding", "reader", "--role=reads-configmaps", f"--serviceaccount={namespace}:reader"),
    ):
        cluster.kubectl("create", "--namespace", namespace, *arguments)
    kubeconfig = cluster.kubeconfig_for_service_account(namespace, "reader")

    def reads(kind: str) -> str:
        return run_kubectl(cluster.kubectl_path, kubeconfig, ["get", kind])

    wait_until(lambda: reads("configmaps") or "nothing", "the role to be in force")
    with pytest.raises(KubectlError) as refusal:
        reads("secrets")
    assert f'User "system:serviceaccount:{namespace}:reader" cannot list resource "secrets"' in refusal.value.stderr


def test_a_refused_object_shows_the_message_that_a_user_sees(cluster: Cluster, namespace: str) -> None:
    with pytest.raises(KubectlError) as refusal:
        cluster.apply(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "Not_A_Name", "namespace": namespace}}
        )
    assert "metadata.name: Invalid value" in refusal.value.stderr


def test_what_an_object_owns_goes_with_it(cluster: Cluster, namespace: str) -> None:
    def config_map(name: str, **metadata: object) -> Mapping[str, object]:
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": namespace, **metadata},
        }

    cluster.apply(config_map("owner"))
    uid = cluster.kubectl("get", "configmap/owner", "-n", namespace, "-o", "jsonpath={.metadata.uid}")
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}
    cluster.apply(config_map("owned", ownerReferences=[owner]))
    cluster.kubectl("delete", "configmap/owner", "-n", namespace)
    wait_until(
        lambda: "owned" not in cluster.kubectl("get", "configmaps", "-n", namespace, "-o", "name"),
        "the owned ConfigMap to be collected",
    )


def test_nothing_listens_beyond_loopback(testbed: Cluster, prometheus: PrometheusServer) -> None:
    processes = [*testbed.components.values(), prometheus.process]
    listening = {
        process.name: [c.laddr.ip for c in psutil.Process(process.pid).net_connections() if c.status == "LISTEN"]
        for process in processes
    }
    assert all(listening.values()), listening  # each of them serves something
    assert {address for addresses in listening.values() for address in addresses} == {"127.0.0.1"}


@pytest.mark.cluster("etcd", "kube-apiserver", "kubectl")
def test_an_api_server_that_was_killed_comes_back_with_its_data(own: Cluster) -> None:
    apiserver = own.components["kube-apiserver"]
    own.kubectl("create", "configmap", "survivor")
    apiserver.kill()
    with pytest.raises(KubectlError, match="refused"):
        own.kubectl("get", "configmap", "survivor")
    apiserver.start()
    wait_until(lambda: own.kubectl("get", "configmap", "survivor", "-o", "name"), "the API server to be back")


@pytest.mark.cluster("etcd", "kube-apiserver", "kubectl")
def test_a_paused_api_server_answers_late_but_answers(own: Cluster) -> None:
    apiserver = own.components["kube-apiserver"]
    apiserver.pause()
    try:
        with pytest.raises(KubectlError, match=r"[Tt]imeout|deadline"):
            own.kubectl("get", "namespaces", "--request-timeout=1s")
    finally:
        apiserver.resume()
    assert "default" in own.kubectl("get", "namespaces")


@pytest.mark.cluster("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok", "kubectl")
def test_with_scheduler_and_kwok_pods_become_ready_and_jobs_complete() -> None:
    template = {"spec": {"containers": [{"name": "main", "image": "not-pulled"}]}}
    labels = {"app": "shop"}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "shop"},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, **template},
        },
    }
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "migration"},
        "spec": {"template": {"spec": {**template["spec"], "restartPolicy": "Never"}}},
    }
    with start_cluster(nodes=2) as cluster:
        cluster.apply(deployment, job)
        cluster.kubectl("wait", "--for=condition=Available", "deployment/shop", "--timeout=60s")
        cluster.kubectl("wait", "--for=condition=Complete", "job/migration", "--timeout=60s")
        cluster.kubectl("delete", "deployment/shop")
        wait_until(lambda: not _names(cluster, "pods", "-l", "app=shop"), "the deleted pods to go")
        assert len(_names(cluster, "nodes")) == 2


def _names(cluster: Cluster, *arguments: str) -> list[str]:
    items = json.loads(cluster.kubectl("get", *arguments, "-o", "json"))["items"]
    return [item["metadata"]["name"] for item in items]


@pytest.mark.cluster("etcd", "kube-apiserver", "kubectl")
def test_a_port_that_another_process_took_meanwhile_is_given_up(monkeypatch: pytest.MonkeyPatch, own: Cluster) -> None:
    taken = int(own.server.rpartition(":")[2])
    free_port = ports.free_port
    offers = iter([taken])
    monkeypatch.setattr(ports, "free_port", lambda: next(offers, None) or free_port())
    with start_cluster(("etcd", "kube-apiserver")) as second:
        assert "default" in second.kubectl("get", "namespaces")
