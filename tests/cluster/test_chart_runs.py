"""The two processes, started as the chart's pods start them: its arguments, files, variables, TLS and rights.

There is no kubelet here. So the test lays out the files that would be mounted, and replaces what only a pod has: where
the root of the files is, addresses (a name of a Service means nothing outside a cluster), and the kubeconfig.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from testbed import Cluster, ProcessGroup, wait_until
from testbed.chart import objects, render
from testbed.install import Installed
from tests.cluster.chart_values import container
from tests.cluster.replicas import Replica

Rendered = list[dict[str, Any]]

ROLLOUT = {
    "apiVersion": "pilotage.dev/v1alpha1",
    "kind": "PilotRollout",
    "metadata": {"name": "search"},
    "spec": {"feature": {"flag": "search"}, "interval": "1s", "steps": [{"name": "all", "percent": 100}]},
}


@dataclass(frozen=True, slots=True)
class Pods:
    """One pod of each component."""

    operator: Replica
    flags: Replica


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with tls.crt, tls.key and ca.crt for the name localhost."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes this test's certificate")
    folder = tmp_path_factory.mktemp("certificate")
    files = ["-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.crt")]
    names = ["-subj", "/CN=flags", "-addext", "subjectAltName=DNS:localhost"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names, *files]
    subprocess.run(command, check=True, capture_output=True)
    shutil.copy(folder / "tls.crt", folder / "ca.crt")
    return folder


@pytest.fixture(scope="module")
def pods(installed: Installed, helm: Path, certificate: Path) -> Iterator[Pods]:
    rendered = objects(render(helm, {"flagService": {"tls": {"secretName": "own"}}}))
    with ProcessGroup(prefix="pilotage-pods-") as group:
        root = group.directory / "root"
        shutil.copytree(certificate, root / "etc/pilotage/tls")
        (root / "etc/pilotage/flags").mkdir(parents=True)
        shutil.copy(certificate / "ca.crt", root / "etc/pilotage/flags")
        (root / "etc/pilotage/flags/token").write_text(installed.flag_service_token())
        flags = _start(group, rendered, "flags", installed.flags_kubeconfig, {"--host": "127.0.0.1", "--port": "0"})
        served = wait_until(lambda: _port_of_flags(flags), "the flag service to listen")
        instead = {"--flag-service": f"localhost:{served}", "--prometheus": "http://127.0.0.1:9"}
        operator = _start(group, rendered, "operator", installed.operator_kubeconfig, instead)
        yield Pods(operator, flags)
        for replica in (operator, flags):
            replica.process.stop()
            assert replica.process.exit_status == 0, replica.process.tail()


def _start(
    group: ProcessGroup, rendered: Rendered, component: str, kubeconfig: Path, instead: Mapping[str, str]
) -> Replica:
    pod = container(rendered, component)
    instead = {"--http-host": "127.0.0.1", "--http-port": "0", **instead}
    command, *options = (argument.replace("$(POD_ID)", f"{component}-0") for argument in pod["args"])
    pairs = dict(option.split("=", 1) for option in options)
    assert instead.keys() <= pairs.keys(), "the chart does not set what the test replaces"
    root = group.directory / "root"
    arguments = [f"{name}={value}" for name, value in {**pairs, **instead}.items()]
    arguments = [argument.replace("=/", f"={root}/", 1) for argument in arguments]
    environment = {variable["name"]: variable.get("value", f"{component}-0") for variable in pod["env"]}
    process = group.start(
        component,
        [sys.executable, "-m", "pilotage", command, f"--kubeconfig={kubeconfig}", *arguments],
        env=environment,
    )
    replica = Replica(process)
    replica.wait_for_probes()
    for probe in ("livenessProbe", "readinessProbe"):
        path = pod[probe]["httpGet"]["path"]
        wait_until(lambda path=path: replica.get(path) == "ok\n", f"{component} to answer {path}")  # type: ignore[misc]
    return replica


def _port_of_flags(flags: Replica) -> int | None:
    said = [line for line in flags.lines() if line["message"] == "serving flags"]
    return int(said[0]["port"]) if said else None


def refusals(replica: Replica) -> float:
    """How often the API server has said 403 to it."""
    return replica.metric("rest_client_requests_total", code="403")


def test_the_pods_of_the_chart_bring_a_feature_to_everybody_and_are_refused_nothing(
    pods: Pods, cluster: Cluster, enrolled: str
) -> None:
    wait_until(pods.operator.leads, "the operator to lead")
    before = [refusals(replica) for replica in (pods.operator, pods.flags)]
    cluster.apply(ROLLOUT, arguments=["-n", enrolled])
    cluster.kubectl("wait", "pilot/search", "-n", enrolled, "--for=condition=Completed", "--timeout=30s")
    events = ("get", "events.events.k8s.io", "-n", enrolled, "-o", "name")
    wait_until(lambda: cluster.kubectl(*events), "an Event of the rollout")
    cluster.kubectl("delete", "pilot", "search", "-n", enrolled, "--timeout=30s")
    assert [refusals(replica) for replica in (pods.operator, pods.flags)] == before
    for replica in (pods.operator, pods.flags):
        assert replica.metric("rest_client_requests_total", code="200") > 0


def test_a_rollout_in_a_namespace_that_is_not_enrolled_names_the_remedy_and_goes_on_with_it(
    pods: Pods, installed: Installed, cluster: Cluster, namespace: str
) -> None:
    cluster.apply(ROLLOUT, arguments=["-n", namespace])
    message = ("get", "pilot", "search", "-n", namespace, "-o", "jsonpath={.status.delivery.message}")
    wait_until(lambda: "enrol the namespace" in cluster.kubectl(*message), "the status to name the remedy")
    assert refusals(pods.operator) > 0
    installed.enrol(namespace)
    cluster.kubectl("wait", "pilot/search", "-n", namespace, "--for=condition=Completed", "--timeout=60s")
    cluster.kubectl("delete", "pilot", "search", "-n", namespace, "--timeout=30s")
