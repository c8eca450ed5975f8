"""Starts a real Kubernetes control plane as plain processes on loopback, in seconds and without Docker."""

import secrets
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from testbed import ports
from testbed.binaries import provide
from testbed.cluster import Cluster, run_kubectl, write_kubeconfig
from testbed.errors import SetupError
from testbed.nodes import apply_nodes
from testbed.processes import ProcessGroup
from testbed.startup import start_group, wait_ready

ALL_COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")
_KWOK = Path(__file__).with_name("kwok")


@dataclass(frozen=True, slots=True)
class _Plan:
    """Where everything of one start lies: folder, ports, credentials."""

    directory: Path
    binaries: Mapping[str, Path]
    token: str
    etcd: int
    etcd_peer: int
    apiserver: int
    controller_manager: int
    scheduler: int

    @property
    def certificates(self) -> Path:
        return self.directory / "certificates"

    @property
    def kubeconfig(self) -> Path:
        return self.directory / "kubeconfig"

    @property
    def server(self) -> str:
        return f"https://127.0.0.1:{self.apiserver}"


def start_cluster(
    components: Sequence[str] = ALL_COMPONENTS,
    *,
    nodes: int = 3,
    apiserver_flags: Sequence[str] = (),
    say: Callable[[str], None] = print,
) -> Cluster:
    """Start a control plane on free loopback ports, in a temporary folder of its own.

    Args:
        components: some of `ALL_COMPONENTS`; etcd and kube-apiserver always run.
        nodes: how many fake nodes to create, when kwok is among the components.
        apiserver_flags: flags of kube-apiserver to add, such as `--feature-gates=...`.
        say: gets one line for people when the cluster is ready.

    Raises:
        SetupError: a binary is missing, or a component does not start; its last output is in the message.
    """
    unknown = set(components) - set(ALL_COMPONENTS)
    if unknown:
        msg = f"components: {', '.join(sorted(unknown))} is not one of {', '.join(ALL_COMPONENTS)}"
        raise SetupError(msg)
    wanted = [name for name in ALL_COMPONENTS if name in {*components, "etcd", "kube-apiserver"}]
    binaries = provide([*wanted, "kubectl"])
    cluster = start_group(
        "pilotage-cluster-",
        partial(_start, wanted=wanted, binaries=binaries, nodes=nodes, apiserver_flags=apiserver_flags),
    )
    say(f"cluster ready in {cluster.ready_seconds:.1f} s at {cluster.server}")
    return cluster


def _start(
    group: ProcessGroup,
    *,
    wanted: Sequence[str],
    binaries: Mapping[str, Path],
    nodes: int,
    apiserver_flags: Sequence[str],
) -> Cluster:
    started = time.monotonic()
    plan = _plan(group.directory, binaries)
    flags = {
        "etcd": _etcd_flags(plan),
        "kube-apiserver": [*_apiserver_flags(plan), *apiserver_flags],
        "kube-controller-manager": _controller_manager_flags(plan),
        "kube-scheduler": _scheduler_flags(plan),
        "kwok": _kwok_flags(plan),
    }
    for name in ("etcd", "kube-apiserver"):
        group.start(name, [str(binaries[name]), *flags[name]])
    wait_ready(group, partial(_is_ready, plan), "the API server to be ready")
    ca = plan.certificates / "apiserver.crt"
    write_kubeconfig(plan.kubeconfig, server=plan.server, ca=ca.read_bytes(), token=plan.token)
    ready_seconds = time.monotonic() - started
    for name in wanted[2:]:
        group.start(name, [str(binaries[name]), *flags[name]])
    listening = {"kube-controller-manager": plan.controller_manager, "kube-scheduler": plan.scheduler}
    for name in (name for name in wanted if name in listening):
        wait_ready(group, partial(ports.answers, listening[name]), f"{name} to listen")
    if "kwok" in wanted:
        apply_nodes(partial(run_kubectl, binaries["kubectl"], plan.kubeconfig), count=nodes)
    return Cluster(
        provider="testbed",
        kubeconfig=plan.kubeconfig,
        server=plan.server,
        ca=ca,
        admin_token=plan.token,
        directory=plan.directory,
        kubectl_path=binaries["kubectl"],
        components=group.processes,
        ready_seconds=ready_seconds,
        _close=group.stop,
    )


def _plan(directory: Path, binaries: Mapping[str, Path]) -> _Plan:
    token = secrets.token_urlsafe(24)
    (directory / "tokens.csv").write_text(f'{token},admin,admin,"system:masters"\n')
    return _Plan(directory, binaries, token, *(ports.free_port() for _ in range(5)))


def _is_ready(plan: _Plan) -> bool:
    # The API server makes its certificate itself: until then there is nothing to trust.
    context = ssl.create_default_context(cafile=plan.certificates / "apiserver.crt")
    request = urllib.request.Request(f"{plan.server}/readyz", headers={"Authorization": f"Bearer {plan.token}"})  # noqa: S310 - the URL is ours
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    with opener.open(request, timeout=5):
        return True  # a status from 400 on raises


def _etcd_flags(plan: _Plan) -> list[str]:
    client, peer = f"http://127.0.0.1:{plan.etcd}", f"http://127.0.0.1:{plan.etcd_peer}"
    return [
        "--name=testbed",
        f"--data-dir={plan.directory / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=testbed={peer}",
        "--unsafe-no-fsync",  # the data ends with the cluster: a power cut may take it
        "--log-level=warn",
    ]


def _apiserver_flags(plan: _Plan) -> list[str]:
    # The server makes its certificate and key at its first start. The key signs the tokens of ServiceAccounts too:
    # one key is enough on a cluster that lives for minutes, and no tool is needed to make another.
    key = plan.certificates / "apiserver.key"
    return [
        f"--etcd-servers=http://127.0.0.1:{plan.etcd}",
        "--bind-address=127.0.0.1",
        f"--secure-port={plan.apiserver}",
        f"--cert-dir={plan.certificates}",
        f"--service-account-issuer={plan.server}",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        f"--token-auth-file={plan.directory / 'tokens.csv'}",
        "--authorization-mode=Node,RBAC",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--endpoint-reconciler-type=none",  # an EndpointSlice can't hold a loopback address
        "--allow-privileged=true",
    ]


def _controller_manager_flags(plan: _Plan) -> list[str]:
    return [
        f"--kubeconfig={plan.kubeconfig}",
        f"--authentication-kubeconfig={plan.kubeconfig}",
        f"--authorization-kubeconfig={plan.kubeconfig}",
        "--bind-address=127.0.0.1",
        f"--secure-port={plan.controller_manager}",
        "--leader-elect=false",
        "--use-service-account-credentials",
        f"--service-account-private-key-file={plan.certificates / 'apiserver.key'}",
        f"--root-ca-file={plan.certificates / 'apiserver.crt'}",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
    ]


def _scheduler_flags(plan: _Plan) -> list[str]:
    return [
        f"--kubeconfig={plan.kubeconfig}",
        f"--authentication-kubeconfig={plan.kubeconfig}",
        f"--authorization-kubeconfig={plan.kubeconfig}",
        "--bind-address=127.0.0.1",
        f"--secure-port={plan.scheduler}",
        "--leader-elect=false",
    ]


def _kwok_flags(plan: _Plan) -> list[str]:
    # A copy, because kwok looks for defaults in a folder of the user's when it is given none.
    stages = shutil.copy(_KWOK / "stages.yaml", plan.directory / "kwok.yaml")
    return [
        f"--kubeconfig={plan.kubeconfig}",
        f"--config={stages}",
        "--manage-all-nodes=true",
        "--node-ip=127.0.0.1",
        "--node-lease-duration-seconds=40",
    ]
