"""A Kubernetes cluster to work against, whoever provides it: the same few things for all providers."""

import base64
import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from testbed.processes import Process
from testbed.stopping import Stopping
from testbed.variables import variables


class KubectlError(RuntimeError):
    """Kubectl failed; `stderr` holds what a user would read."""

    def __init__(self, arguments: Sequence[str], exit_status: int, stderr: str) -> None:
        super().__init__(f"kubectl {' '.join(arguments)} ended with {exit_status}: {stderr.strip()}")
        self.exit_status = exit_status
        self.stderr = stderr


@dataclass(frozen=True, slots=True)
class Cluster(Stopping):
    """A running cluster.

    Attributes:
        provider: "testbed", "kind" or "current".
        kubeconfig: of an administrator; the file stands alone (certificates are inside).
        server: URL of the API server.
        ca: PEM file with the certificates that the API server is checked with; empty if those of the system are meant.
        directory: a temporary folder that goes when the cluster goes.
        kubectl_path: the kubectl to use.
        components: the processes by name (etcd, kube-apiserver, ...), to stop, kill, pause and start; empty where the
            provider is not our own.
        ready_seconds: how long it took from the start to /readyz.
    """

    provider: str
    kubeconfig: Path
    server: str
    ca: Path
    directory: Path
    kubectl_path: Path
    components: Mapping[str, Process]
    ready_seconds: float
    _close: Callable[[], None] = field(repr=False)

    def kubectl(self, *arguments: str, input: str | None = None, seconds: float = 60.0) -> str:  # noqa: A002 - as in subprocess.run
        """Run kubectl as administrator and return what it prints.

        Args:
            arguments: as on the command line, such as `"get", "pods", "-n", "default"`.
            input: what it reads from standard input (for `apply -f -`).
            seconds: after this, it is taken for hanging.

        Raises:
            KubectlError: kubectl failed.
            subprocess.TimeoutExpired: it took too long.
        """
        return run_kubectl(self.kubectl_path, self.kubeconfig, arguments, text=input, seconds=seconds)

    def apply(self, *objects: Mapping[str, Any], arguments: Sequence[str] = ()) -> str:
        """Apply objects with `kubectl apply` and return what it prints.

        Raises:
            KubectlError: the API server refused one; `stderr` is the message that a user sees.
        """
        manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        return self.kubectl("apply", *arguments, "-f", "-", input=manifest)

    def kubeconfig_for_service_account(self, namespace: str, name: str, *, duration: str = "24h") -> Path:
        """Ask for a token of a ServiceAccount and return a kubeconfig with it.

        What runs with it has the rights of that ServiceAccount and no others.

        Raises:
            KubectlError: there is no such ServiceAccount.
        """
        token = self.kubectl("create", "token", name, "--namespace", namespace, "--duration", duration).strip()
        path = self.directory / f"kubeconfig-{namespace}-{name}.json"
        write_kubeconfig(path, server=self.server, ca=self.ca.read_bytes(), token=token, namespace=namespace)
        return path

    def stop(self) -> None:
        """End what was started for this cluster; a cluster that was there before is left alone."""
        self._close()


def run_kubectl(
    kubectl: Path, kubeconfig: Path, arguments: Sequence[str], *, text: str | None = None, seconds: float = 60.0
) -> str:
    """Run kubectl with this kubeconfig and return what it prints; raises as `Cluster.kubectl` does."""
    # Kubectl caches what a server can do by its host and port, and a port of ours soon belongs to another cluster.
    cache = kubeconfig.with_name("kubectl-cache")
    done = subprocess.run(
        [kubectl, f"--kubeconfig={kubeconfig}", f"--cache-dir={cache}", *arguments],
        input="" if text is None else text,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        env=variables(),
    )
    if done.returncode:
        raise KubectlError(arguments, done.returncode, done.stderr)
    return done.stdout


def write_kubeconfig(path: Path, *, server: str, ca: bytes, token: str, namespace: str = "default") -> None:
    """Write a kubeconfig (as JSON, which is YAML too) that only this user can read."""
    endpoint = {"server": server}
    if ca:  # without one, clients check with the certificates of their system
        endpoint["certificate-authority-data"] = base64.b64encode(ca).decode()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "testbed", "cluster": endpoint}],
        "users": [{"name": "user", "user": {"token": token}}],
        "contexts": [{"name": "testbed", "context": {"cluster": "testbed", "user": "user", "namespace": namespace}}],
        "current-context": "testbed",
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(config, indent=1))
