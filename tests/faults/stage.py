"""A stage: all that Pilotage runs with, as real processes of its own, so that a scenario may break any of it.

A control plane, a Prometheus that scrapes an exporter, two replicas of the flag service and one of the operator (a
second one on demand). Between the operator and the API server is a proxy, between it and Prometheus a relay.
"""

import json
import os
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pilotage.delivery.dataplane import FlagServiceClient
from testbed import Cluster, ProcessGroup, PrometheusServer, ports, start_cluster, start_prometheus, wait_until
from testbed.install import Installed, install
from tests.cluster.api_proxy import ApiProxy
from tests.cluster.flag_world import Background
from tests.cluster.replicas import Replica, start_flag_service, start_operator
from tests.faults.exporter import Exporter, serve_exporter
from tests.faults.relay import Relay
from tests.faults.watching import Onlooker

ROOT = Path(__file__).parents[2]
FLAG_ADDRESSES = ("127.0.0.1", "127.0.0.2")
_PATH = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
_FLAGS_NAME = "flags.stage"
_BUGS = ("a run has failed", "a run was cancelled by something", "has ended")
"""What the operator logs about faults of its own."""


class Torn(Replica):
    """A replica whose output has lines that kill -9 has cut off."""

    def _output(self) -> list[dict[str, Any]]:
        found = []
        for line in self.process.log.read_text(errors="replace").splitlines():
            with suppress(ValueError):
                found.append(json.loads(line))
        return found


@dataclass(slots=True)
class Stage:
    """What runs.

    Attributes:
        cluster: with Pilotage installed but for its pods.
        prometheus: scrapes `exporter` each second.
        relay: what is between the operator and Prometheus.
        proxy: what is between the first replica of the operator and the API server.
        processes: operator and flag service, and the folder of their files.
        record: the operators' file of decisions.
        onlooker: sees what is written.
        replicas: of the operator, those that were started.
        counts: what a fault has counted, such as kills.
    """

    cluster: Cluster
    installed: Installed
    prometheus: PrometheusServer
    exporter: Exporter
    relay: Relay
    proxy: ApiProxy
    background: Background
    processes: ProcessGroup
    onlooker: Onlooker
    prometheus_url: str
    flags_port: int
    replicas: list[Replica] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def record(self) -> Path:
        """The operators' file of decisions."""
        return self.processes.directory / "decisions.jsonl"

    @property
    def clock(self) -> Path:
        """Holds the seconds by which the operators' wall clock is off."""
        return self.processes.directory / "clock"

    @property
    def operator(self) -> Replica:
        """The replica that is always there."""
        return self.replicas[0]

    def new_namespace(self) -> str:
        """Make a namespace, and enrol it."""
        name = f"fault-{secrets.token_hex(3)}"
        self.cluster.kubectl("create", "namespace", name)
        self.installed.enrol(name)
        return name

    def leader(self) -> Replica:
        """The replica that leads, once one does."""
        return wait_until(lambda: [each for each in self.replicas if _leads(each)], "a leader", seconds=60)[0]

    def start_replica(self, name: str, kubeconfig: Path) -> Replica:
        """Start one more replica of the operator, and wait until it is ready."""
        known_hosts = json.dumps({_FLAGS_NAME: FLAG_ADDRESSES})
        started = start_operator(
            self.processes,
            name,
            kubeconfig=kubeconfig,
            prometheus=self.prometheus_url,
            arguments=(
                f"--flag-service={_FLAGS_NAME}:{self.flags_port}",
                f"--flag-service-token-file={self.processes.directory / 'token'}",
                f"--lease-namespace={self.installed.namespace}",
                f"--record={self.record}",
            ),
            module="tests.faults.launch",
            env={"WALL_CLOCK_OFFSET": str(self.clock), "KNOWN_HOSTS": known_hosts, "PYTHONPATH": _PATH},
        )
        replica = Torn(started.process)
        self.replicas.append(replica)
        wait_until(replica.is_ready, f"replica {name} to be ready", seconds=60)
        return replica

    def end_replica(self, replica: Replica) -> None:
        """End a replica for good."""
        replica.process.stop()
        self.replicas.remove(replica)

    def served(self, namespace: str) -> list[Mapping[str, Any]]:
        """The definitions by flag that each replica of the flag service serves to a namespace."""
        return [
            self.background.run(_ask(f"{host}:{self.flags_port}", self.processes.directory / "token", namespace))
            for host in FLAG_ADDRESSES
        ]

    def complaints(self) -> list[str]:
        """What replicas have logged about faults of their own, in all their lives."""
        lines = [line for each in self.replicas for line in each.process.log.read_text().splitlines()]
        return [line for line in lines if '"ERROR"' in line and any(text in line for text in _BUGS)]


@contextmanager
def open_stage(*components: str) -> Iterator[Stage]:
    """Start all of it; with these components of the control plane besides the API server."""
    with ExitStack() as stack:
        cluster = stack.enter_context(start_cluster(("etcd", "kube-apiserver", *components), nodes=0))
        prometheus = stack.enter_context(start_prometheus())
        exporter = stack.enter_context(serve_exporter())
        prometheus.set_targets("faults", [exporter.address])
        installed = install(cluster)
        background = Background()
        stack.callback(background.stop)
        proxy, relay = ApiProxy(installed.operator_kubeconfig), Relay(urlsplit(prometheus.url).port or 0)
        background.run(proxy.start())
        stack.callback(lambda: background.run(proxy.stop()))
        background.run(relay.start())
        stack.callback(lambda: background.run(relay.stop()))
        processes = stack.enter_context(ProcessGroup(prefix="pilotage-faults-"))
        onlooker = Onlooker(cluster)
        stack.callback(onlooker.stop)
        stage = Stage(
            *(cluster, installed, prometheus, exporter, relay, proxy, background, processes, onlooker),
            prometheus_url=f"http://{relay.address}",
            flags_port=ports.free_port(),
        )
        _start_pilotage(stage)
        prometheus.wait_for_target("faults")
        yield stage


async def _ask(address: str, token: Path, namespace: str) -> Mapping[str, Any]:
    client = FlagServiceClient(address, token_file=token)
    try:
        [served] = await client.flag_sets(namespace)
        return served
    finally:
        await client.close()


def _start_pilotage(stage: Stage) -> None:
    folder = stage.processes.directory
    stage.clock.write_text("0")
    (folder / "token").write_text(stage.installed.flag_service_token())
    for number, host in enumerate(FLAG_ADDRESSES):
        start_flag_service(stage.processes, stage.installed, f"flags-{number}", host=host, port=stage.flags_port)
    stage.start_replica("first", stage.proxy.write_kubeconfig(folder / "kubeconfig"))
    stage.leader()


def _leads(replica: Replica) -> bool:
    try:
        return replica.process.running and replica.leads()
    except (OSError, IndexError):  # it does not listen yet
        return False
