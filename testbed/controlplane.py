"""Starts a real Kubernetes control plane as plain processes on loopback, in seconds and without Docker."""

import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from testbed import ports
from testbed.binaries import provide
from testbed.cluster import Cluster, run_kubectl, write_kubeconfig
from testbed.errors import SetupError
from testbed.nodes import apply_nodes
from testbed.plan import Plan, flags, make_plan
from testbed.processes import ProcessGroup
from testbed.startup import start_group, wait_ready

ALL_COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")


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
    plan = make_plan(group.directory)
    commands = {name: [str(binaries[name]), *arguments] for name, arguments in flags(plan).items() if name in wanted}
    group.start("etcd", commands["etcd"])
    group.start("kube-apiserver", [*commands["kube-apiserver"], *apiserver_flags])
    wait_ready(group, partial(_is_ready, plan), "the API server to be ready")
    write_kubeconfig(plan.kubeconfig, server=plan.server, ca=plan.ca.read_bytes(), token=plan.token)
    ready_seconds = time.monotonic() - started
    for name in wanted[2:]:  # these want a kubeconfig of a server that is there
        group.start(name, commands[name])
    for name, port in (("kube-controller-manager", plan.controller_manager), ("kube-scheduler", plan.scheduler)):
        if name in wanted:
            wait_ready(group, partial(ports.answers, port), f"{name} to listen")
    if "kwok" in wanted:
        apply_nodes(partial(run_kubectl, binaries["kubectl"], plan.kubeconfig), count=nodes)
    return Cluster(
        provider="testbed",
        kubeconfig=plan.kubeconfig,
        server=plan.server,
        ca=plan.ca,
        directory=plan.directory,
        kubectl_path=binaries["kubectl"],
        components=group.processes,
        ready_seconds=ready_seconds,
        _close=group.stop,
    )


def _is_ready(plan: Plan) -> bool:
    # The API server makes its certificate itself: until then there is nothing to trust.
    context = ssl.create_default_context(cafile=plan.ca)
    request = urllib.request.Request(f"{plan.server}/readyz", headers={"Authorization": f"Bearer {plan.token}"})  # noqa: S310 - the URL is ours
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    with opener.open(request, timeout=5):
        return True  # a status from 400 on raises
