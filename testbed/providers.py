"""Chooses where the cluster comes from: `CLUSTER=current`, kind, `KUBEBUILDER_ASSETS` or our own build.

`CLUSTER` may be `current` (the cluster of the current kubeconfig: used as it is, never created or deleted), `kind`,
`testbed`, or unset: then kind is taken where a Docker engine answers and `kind` is on PATH, else the testbed.
`KUBEBUILDER_ASSETS` and our own build differ only in where the testbed's binaries come from, see `binaries.py`.

Kind could not be tried where this was written (no Docker engine ran there): its part is short and follows kind's
documented commands, but no test has run it.
"""

import base64
import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from testbed.binaries import provide
from testbed.cluster import Cluster, KubectlError, run_kubectl
from testbed.controlplane import ALL_COMPONENTS, start_cluster
from testbed.errors import SetupError
from testbed.processes import ProcessGroup
from testbed.progress import say, ticking

CHOICES = ("current", "kind", "testbed")


def choose() -> str:
    """Return the provider for this machine and environment: one of `CHOICES`.

    Raises:
        SetupError: `CLUSTER` has another value.
    """
    asked = os.environ.get("CLUSTER", "")
    if asked:
        if asked not in CHOICES:
            msg = f"CLUSTER is {asked!r}: use one of {', '.join(CHOICES)}, or leave it unset"
            raise SetupError(msg)
        return asked
    if not _docker_answers():
        return "testbed"
    if shutil.which("kind") is None:
        say("a Docker engine answers, but `kind` is not on PATH: using the testbed's own control plane")
        return "testbed"
    return "kind"


def open_cluster(components: Sequence[str] = ALL_COMPONENTS, *, echo: Callable[[str], None] = print) -> Cluster:
    """Return a cluster of the chosen provider; the caller stops it.

    Args:
        components: what the testbed starts; the other providers have everything anyway.
        echo: gets one line for people when the cluster is ready.

    Raises:
        SetupError: the provider can't give one; the message names the remedy.
    """
    provider = choose()
    if provider == "testbed":
        return start_cluster(components, say=echo)
    cluster = _kind() if provider == "kind" else _current()
    echo(f"cluster ready in {cluster.ready_seconds:.1f} s at {cluster.server} (provider {provider})")
    return cluster


def _docker_answers() -> bool:
    if shutil.which("docker") is None:
        return False
    try:
        return subprocess.run(["docker", "info"], capture_output=True, timeout=10, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _current() -> Cluster:
    """Use the cluster of the current kubeconfig; stopping it only removes our temporary folder."""
    started = time.monotonic()
    kubectl = provide(["kubectl"])["kubectl"]
    group = ProcessGroup(prefix="pilotage-current-")
    try:
        kubeconfig = group.directory / "kubeconfig"
        kubeconfig.touch(mode=0o600)
        kubeconfig.write_text(_current_kubeconfig(kubectl))
        return _adopt("current", kubeconfig, group, kubectl, started)
    except (SetupError, KubectlError, subprocess.TimeoutExpired) as error:
        group.stop()
        msg = f"CLUSTER=current, but the cluster of the current kubeconfig can't be used: {error}"
        remedy = "Point KUBECONFIG at a cluster that answers, or unset CLUSTER to start one."
        raise SetupError(f"{msg}\n{remedy}") from error


def _current_kubeconfig(kubectl: Path) -> str:
    command: list[str | Path] = [kubectl, "config", "view", "--raw", "--minify", "--flatten", "--output=json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        raise SetupError(done.stderr.strip())
    return done.stdout


def _kind() -> Cluster:
    """Create a kind cluster with a name of its own; it is deleted at the end, also when this process is killed."""
    started = time.monotonic()
    kind = shutil.which("kind")
    if kind is None:
        msg = "CLUSTER=kind, but `kind` is not on PATH: install it (https://kind.sigs.k8s.io), or unset CLUSTER"
        raise SetupError(msg)
    kubectl = provide(["kubectl"])["kubectl"]
    name = f"pilotage-{secrets.token_hex(4)}"
    group = ProcessGroup(prefix="pilotage-kind-", teardown=[[kind, "delete", "cluster", "--name", name]])
    kubeconfig = group.directory / "kubeconfig"
    try:
        with ticking(f"creating kind cluster {name}"):
            options = ["--name", name, "--kubeconfig", str(kubeconfig), "--wait", "120s"]
            group.run("kind-create", [kind, "create", "cluster", *options])
        return _adopt("kind", kubeconfig, group, kubectl, started)
    except BaseException:
        group.stop()
        raise


def _adopt(provider: str, kubeconfig: Path, group: ProcessGroup, kubectl: Path, started: float) -> Cluster:
    """Describe a cluster that is not ours by its kubeconfig, once it says that it is ready."""
    view = json.loads(run_kubectl(kubectl, kubeconfig, ["config", "view", "--raw", "--output=json"]))
    endpoint = view["clusters"][0]["cluster"]
    run_kubectl(kubectl, kubeconfig, ["get", "--raw", "/readyz", "--request-timeout=10s"])
    ca = group.directory / "ca.crt"
    ca.write_bytes(base64.b64decode(endpoint.get("certificate-authority-data", "")))
    return Cluster(
        provider=provider,
        kubeconfig=kubeconfig,
        server=endpoint["server"],
        ca=ca,
        directory=group.directory,
        kubectl_path=kubectl,
        components=group.processes,
        ready_seconds=time.monotonic() - started,
        _close=group.stop,
    )
