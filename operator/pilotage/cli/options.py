"""Options that several commands have, and their defaults from the environment of a pod."""

import argparse
import os
import re
import socket
from pathlib import Path
from urllib.parse import urlsplit

LEVELS = ("debug", "info", "warning", "error")


def add_cluster(parser: argparse.ArgumentParser) -> None:
    """Which cluster."""
    parser.add_argument(
        "--kubeconfig",
        type=Path,
        metavar="FILE",
        help="kubeconfig to use (default: the pod's ServiceAccount, else $KUBECONFIG, else ~/.kube/config)",
    )


def add_prometheus(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Which Prometheus, and how to be let in."""
    group = parser.add_argument_group("Prometheus")
    group.add_argument(
        "--prometheus",
        type=_url,
        required=required,
        metavar="URL",
        help="where to ask for evidence: Prometheus, or what speaks its query API",
    )
    group.add_argument(
        "--prometheus-token-file",
        type=Path,
        metavar="FILE",
        help="holds the bearer token to send; read anew for each request",
    )
    group.add_argument(
        "--prometheus-ca-file", type=Path, metavar="FILE", help="certificates to trust instead of the system's"
    )


def add_tenant_roles(parser: argparse._ArgumentGroup) -> None:
    """Which roles tenants' people get."""
    parser.add_argument(
        "--tenant-roles",
        default="pilotage-tenant",
        metavar="PREFIX",
        help="ClusterRoles that tenants' people get are PREFIX-edit and PREFIX-view (default: %(default)s)",
    )


def add_process(parser: argparse.ArgumentParser, *, http_port: int) -> None:
    """How the process shows itself."""
    group = parser.add_argument_group("process")
    group.add_argument(
        "--http-host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="where probes and metrics are served (default: %(default)s)",
    )
    group.add_argument(
        "--http-port", type=int, default=http_port, metavar="PORT", help="0 takes a free one (default: %(default)s)"
    )
    group.add_argument(
        "--log-level", choices=LEVELS, default="info", help="the least that is logged (default: %(default)s)"
    )


def address(text: str) -> str:
    """`HOST:PORT`, as it is.

    Raises:
        ArgumentTypeError: it is something else.
    """
    host, _, port = text.rpartition(":")
    if not (host and port.isdecimal()):
        msg = f"{text!r} is not HOST:PORT, such as localhost:8015"
        raise argparse.ArgumentTypeError(msg)
    return text


def natural(text: str) -> int:
    """A whole number from 0 on.

    Raises:
        ArgumentTypeError: it is something else.
    """
    if not text.isdecimal():
        msg = f"{text!r} is not a whole number from 0 on"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def label(text: str) -> str:
    """The name of a label of Prometheus', or nothing.

    Raises:
        ArgumentTypeError: it is something else.
    """
    if not re.fullmatch(r"([a-zA-Z][a-zA-Z0-9_]{0,99})?", text):
        msg = f"{text!r} is not the name of a label, such as namespace"
        raise argparse.ArgumentTypeError(msg)
    return text


def _url(text: str) -> str:
    found = urlsplit(text)
    if found.scheme not in ("http", "https") or not found.netloc:
        msg = f"{text!r} is not a URL, such as http://localhost:9090"
        raise argparse.ArgumentTypeError(msg)
    return text


def default_identity() -> str:
    """The pod's name, else one of this host and process."""
    return os.environ.get("POD_ID") or f"{socket.gethostname()}-{os.getpid()}"


def default_namespace() -> str:
    """The pod's namespace, else `default`."""
    try:
        return Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace").read_text(encoding="utf-8").strip()
    except OSError:
        return "default"
