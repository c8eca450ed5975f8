"""Starts what the demo needs, each part a process of its own, and ends it all: nothing outlives the demo.

The operator and the flag service run with the rights of the chart's ServiceAccounts and no others.
"""

import shutil
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples.shop.users import make_users, to_directory
from examples.shop.watch import Addresses
from testbed import Cluster, ProcessGroup, PrometheusServer, open_cluster, start_prometheus, wait_until
from testbed.install import Installed, install
from testbed.ports import answers, free_port

ROOT = Path(__file__).parents[2]
MANIFESTS = Path(__file__).parent / "manifests"
NAMESPACE = "shop"
_COMPONENTS = ("etcd", "kube-apiserver")
_START_SECONDS = 40.0

Step = Callable[[str], AbstractContextManager[None]]
"""Tells people what is being started while a block runs."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What runs."""

    cluster: Cluster
    addresses: Addresses
    processes: ProcessGroup

    def check(self) -> None:
        """Make sure that every part is still there.

        Raises:
            PartEndedError: one has ended by itself.
        """
        for process in self.processes.processes.values():
            if not process.running:
                raise PartEndedError(process.name, process.exit_status, process.tail())

    def keep_logs(self, folder: Path) -> None:
        """Copy what the parts said into a folder; it goes with them otherwise."""
        folder.mkdir(parents=True, exist_ok=True)
        for process in self.processes.processes.values():
            shutil.copy(process.log, folder)

    def apply(self, manifest: str) -> str:
        """Apply one of the shop's manifests with kubectl, as anybody would."""
        return self.cluster.kubectl("apply", "-f", str(MANIFESTS / manifest)).strip()


class PartEndedError(RuntimeError):
    """A part of the demo ended by itself; the message has the last that it said."""

    def __init__(self, name: str, status: int | None, said: str) -> None:
        super().__init__(f"{name} ended with status {status}; the last it said:\n{said}")


@dataclass(frozen=True, slots=True)
class _Ports:
    flags: int
    flags_http: int
    operator_http: int
    shop: int
    load: int


def set_up(stack: ExitStack, step: Step) -> Stage:
    """Start everything; the stack ends it.

    Args:
        stack: takes what has to be ended.
        step: tells people what is going on.

    Raises:
        SetupError: something that is needed is missing or does not start.
        KubectlError: the API server refused something.
        DeadlineExceededError: a part was not ready in time.
    """
    ports = _Ports(*(free_port() for _ in range(5)))
    with step("a Kubernetes control plane and Prometheus"):
        cluster, prometheus = _start_base(stack, ports)
    with step("Pilotage's resources and rights, the shop's namespace and its list of users"):
        installed = install(cluster)
        _prepare_namespace(cluster)
        installed.enrol(NAMESPACE)
    processes = stack.enter_context(ProcessGroup(prefix="pilotage-demo-"))
    stage = Stage(
        cluster,
        Addresses(prometheus.url, f"http://127.0.0.1:{ports.shop}", f"http://127.0.0.1:{ports.load}"),
        processes,
    )
    with step("flag service and operator"):
        _start_pilotage(stage, installed, ports)
    with step("the shop and its users"):
        _start_shop(stage, ports)
        prometheus.wait_for_target("shop")
        prometheus.wait_for_target("users")
    return stage


def _start_base(stack: ExitStack, ports: _Ports) -> tuple[Cluster, PrometheusServer]:
    """Both at once: they do not need each other."""
    targets = {
        "shop": [f"127.0.0.1:{ports.shop}"],
        "users": [f"127.0.0.1:{ports.load}"],
        "operator": [f"127.0.0.1:{ports.operator_http}"],
    }
    with ThreadPoolExecutor(2) as pool:
        prometheus = pool.submit(start_prometheus, targets)
        cluster = pool.submit(open_cluster, _COMPONENTS, echo=lambda _: None)
        for started in (prometheus, cluster):
            if started.exception() is None:
                stack.enter_context(started.result())
    return cluster.result(), prometheus.result()


def _prepare_namespace(cluster: Cluster) -> None:
    name = {"name": NAMESPACE}
    labelled: dict[str, Any] = {"apiVersion": "v1", "kind": "Namespace", "metadata": name}
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "shop", "namespace": NAMESPACE}}
    directory = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "shop-users", "namespace": NAMESPACE},
        "data": {"users.json": to_directory(make_users())},
    }
    # Client-side apply would keep a copy of the users in an annotation, which may hold 256 KiB at most.
    cluster.apply(labelled, account, directory, arguments=["--server-side"])


def _start_pilotage(stage: Stage, installed: Installed, ports: _Ports) -> None:
    """The two processes of the product, with the arguments that the chart gives them."""
    cluster, folder = stage.cluster, stage.processes.directory
    token = _write_secret(folder / "operator-token", installed.flag_service_token())
    _python(
        stage,
        "flags",
        "pilotage",
        [
            "flags",
            f"--kubeconfig={installed.flags_kubeconfig}",
            f"--port={ports.flags}",
            f"--http-port={ports.flags_http}",
            f"--operator-service-account={installed.namespace}:pilotage-operator",
        ],
    )
    _python(
        stage,
        "operator",
        "pilotage",
        [
            "run",
            f"--kubeconfig={installed.operator_kubeconfig}",
            f"--prometheus={stage.addresses.prometheus}",
            f"--flag-service=localhost:{ports.flags}",
            f"--flag-service-token-file={token}",
            f"--lease-namespace={installed.namespace}",
            "--lease-name=pilotage-operator",
            f"--http-port={ports.operator_http}",
        ],
    )
    shop_token = cluster.kubectl("create", "token", "shop", f"--namespace={NAMESPACE}", "--audience=pilotage-flags")
    _write_secret(folder / "shop-token", shop_token.strip())
    _wait_for(stage, "flags", ports.flags)
    _wait_for(stage, "operator", ports.operator_http)


def _start_shop(stage: Stage, ports: _Ports) -> None:
    token = stage.processes.directory / "shop-token"
    _python(
        stage,
        "shop",
        "examples.shop.service",
        [
            f"--port={ports.shop}",
            f"--flags-port={ports.flags}",
            f"--namespace={NAMESPACE}",
            f"--token-file={token}",
        ],
    )
    _python(stage, "users", "examples.shop.load", [f"--port={ports.load}", f"--shop={stage.addresses.shop}"])
    _wait_for(stage, "shop", ports.shop)
    _wait_for(stage, "users", ports.load)


def _write_secret(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def _python(stage: Stage, name: str, module: str, arguments: Sequence[str]) -> None:
    # Temporary files of a part (certificates of its Kubernetes client) go with it, however it ends.
    env = {"PYTHONPATH": str(ROOT), "TMPDIR": str(stage.processes.directory)}
    stage.processes.start(name, [sys.executable, "-m", module, *arguments], env=env)


def _wait_for(stage: Stage, name: str, port: int) -> None:
    process = stage.processes.processes[name]
    wait_until(lambda: not process.running or answers(port), f"{name} to answer", seconds=_START_SECONDS)
    stage.check()
