"""Where everything of one control plane lies, and the command lines that follow from that."""

import secrets
from dataclasses import dataclass
from pathlib import Path

from testbed import ports

_STAGES = Path(__file__).parent / "kwok" / "stages.yaml"


@dataclass(frozen=True, slots=True)
class Plan:
    """Folder, token and ports of one control plane."""

    directory: Path
    token: str
    etcd: int
    etcd_peer: int
    apiserver: int
    controller_manager: int
    scheduler: int

    @property
    def certificates(self) -> Path:
        """The folder in which kube-apiserver makes its certificate and key."""
        return self.directory / "certificates"

    @property
    def ca(self) -> Path:
        """What clients check the API server with: it signs its certificate itself."""
        return self.certificates / "apiserver.crt"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.directory / "kubeconfig"

    @property
    def server(self) -> str:
        """The API server's URL."""
        return f"https://127.0.0.1:{self.apiserver}"


def make_plan(directory: Path) -> Plan:
    """Pick the ports and make the administrator's token."""
    token = secrets.token_urlsafe(24)
    (directory / "tokens.csv").write_text(f'{token},admin,admin,"system:masters"\n')
    return Plan(directory, token, *(ports.free_port() for _ in range(5)))


def flags(plan: Plan) -> dict[str, list[str]]:
    """Return the flags of each component."""
    return {
        "etcd": _etcd(plan),
        "kube-apiserver": _apiserver(plan),
        "kube-controller-manager": _controller_manager(plan),
        "kube-scheduler": _scheduler(plan),
        "kwok": _kwok(plan),
    }


def _etcd(plan: Plan) -> list[str]:
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


def _apiserver(plan: Plan) -> list[str]:
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


def _controller_manager(plan: Plan) -> list[str]:
    return [
        *_controller(plan, plan.controller_manager),
        "--use-service-account-credentials",
        f"--service-account-private-key-file={plan.certificates / 'apiserver.key'}",
        f"--root-ca-file={plan.ca}",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
    ]


def _scheduler(plan: Plan) -> list[str]:
    return _controller(plan, plan.scheduler)


def _controller(plan: Plan, port: int) -> list[str]:
    """What Kubernetes' own controllers have in common: they act as the administrator, and nobody else does."""
    return [
        f"--kubeconfig={plan.kubeconfig}",
        f"--authentication-kubeconfig={plan.kubeconfig}",
        f"--authorization-kubeconfig={plan.kubeconfig}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        "--leader-elect=false",
    ]


def _kwok(plan: Plan) -> list[str]:
    return [
        f"--kubeconfig={plan.kubeconfig}",
        f"--config={_STAGES}",
        "--manage-all-nodes=true",
        "--node-ip=127.0.0.1",
        "--node-lease-duration-seconds=40",
    ]
