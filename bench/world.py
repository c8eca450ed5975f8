"""Starts what the operator is measured on: a control plane, a Prometheus, the flag service and one operator.

Everything is a process of its own, as in production; the operator and the flag service have the chart's rights only.
"""

import re
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from testbed import Cluster, Process, ProcessGroup, PrometheusServer, open_cluster, start_prometheus, wait_until
from testbed.install import FLAGS, OPERATOR, Installed, install
from testbed.ports import free_port

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
OPERATOR_PROCESS = "operator"
_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class World:
    """What runs."""

    cluster: Cluster
    prometheus: PrometheusServer
    installed: Installed
    processes: ProcessGroup
    flags_port: int
    operator_command: tuple[str, ...]
    ports: dict[str, int]

    def start_replica(self, name: str = OPERATOR_PROCESS) -> Process:
        """Start an operator; it is not waited for."""
        self.ports[name] = free_port()
        return self.processes.start(name, (*self.operator_command, f"--http-port={self.ports[name]}"))

    @property
    def operator(self) -> psutil.Process:
        """The operator's process."""
        return psutil.Process(self.processes.processes[OPERATOR_PROCESS].pid)

    def is_ready(self, name: str = OPERATOR_PROCESS) -> bool:
        """Whether an operator's /readyz says so."""
        try:
            with _OPENER.open(f"http://127.0.0.1:{self.ports[name]}/readyz", timeout=10):
                return True
        except (urllib.error.URLError, ConnectionError):
            return False

    def wait_until_ready(self) -> None:
        """Wait until the operator has listed everything."""
        wait_until(self.is_ready, "the operator to be ready", seconds=60, every_seconds=0.1)

    def wait_until_leading(self) -> None:
        """Wait until the operator has listed everything and leads."""
        self.wait_until_ready()
        wait_until(lambda: self.metrics().get("pilotage_leader") == 1, "the operator to lead", seconds=60)

    def metrics(self, name: str = OPERATOR_PROCESS) -> dict[str, float]:
        """An operator's metrics: name with the labels' text, and also the sum by name."""
        with _OPENER.open(f"http://127.0.0.1:{self.ports[name]}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        found: dict[str, float] = {}
        for metric, labels, value in _SAMPLE.findall(text):
            found[metric] = found.get(metric, 0.0) + float(value)
            if labels:
                found[f"{metric}{{{labels}}}"] = float(value)
        return found


@dataclass(frozen=True, slots=True)
class Spent:
    """What was spent in some time.

    Attributes:
        seconds: how long was measured.
        cores: CPU of the operator, in cores.
        around: CPU of the API server, etcd, Prometheus, the flag service and the bench itself, in cores.
        others: CPU of whatever else ran on the machine, in cores.
        requests: to the API server, by method, in all.
        queries: to Prometheus.
        rss_bytes: of the operator at the end.
    """

    seconds: float
    cores: float
    around: float
    others: float
    requests: dict[str, float]
    queries: float
    rss_bytes: int

    @property
    def requests_per_minute(self) -> float:
        """All requests to the API server a minute."""
        return sum(self.requests.values()) * 60 / self.seconds


class Meter:
    """Measures what the operator spends from now on; reading it is a scrape, which costs the operator a little."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._before = world.metrics()
        self._cpu, self._began_at = self._cpu_seconds(), time.monotonic()

    def read(self) -> Spent:
        """What was spent since."""
        seconds = time.monotonic() - self._began_at
        operator, around, machine = (
            (now - before) / seconds for now, before in zip(self._cpu_seconds(), self._cpu, strict=True)
        )
        now = self._world.metrics()
        requests: dict[str, float] = {}
        for name, count in now.items():
            method = re.search(r'rest_client_requests_total\{.*method="(\w+)"', name)
            if method and (more := count - self._before.get(name, 0.0)):
                requests[method[1]] = requests.get(method[1], 0.0) + more
        queries = now["pilotage_queries_total"] - self._before["pilotage_queries_total"]
        others = machine - operator - around
        return Spent(seconds, operator, around, others, requests, queries, self._world.operator.memory_info().rss)

    def _cpu_seconds(self) -> tuple[float, float, float]:
        """Of the operator, of what is around it, of the machine."""
        world = self._world
        processes = [world.prometheus.process, world.processes.processes[FLAGS], *world.cluster.components.values()]
        around = sum(_cpu_seconds(psutil.Process(each.pid)) for each in processes) + _cpu_seconds(psutil.Process())
        times = psutil.cpu_times()
        return _cpu_seconds(world.operator), around, sum(times) - times.idle - times.iowait - times.guest


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@contextmanager
def start_world(*, operator: bool = True, scrape_interval: str = "1s") -> Iterator[World]:
    """Start all of it, and end it afterwards."""
    with (
        open_cluster(("etcd", "kube-apiserver"), echo=lambda _: None) as cluster,
        start_prometheus(scrape_interval=scrape_interval) as prometheus,
        ProcessGroup(prefix="pilotage-bench-") as processes,
    ):
        installed = install(cluster)
        flags_port = free_port()
        token = processes.directory / "token"
        token.touch(mode=0o600)
        token.write_text(installed.flag_service_token())
        service = f"--operator-service-account={installed.namespace}:{OPERATOR}"
        processes.start(
            FLAGS,
            [*_pilotage("flags", installed.flags_kubeconfig), f"--port={flags_port}", "--http-port=0", service],
        )
        command = (
            *_pilotage("run", installed.operator_kubeconfig),
            f"--prometheus={prometheus.url}",
            f"--flag-service=127.0.0.1:{flags_port}",
            f"--flag-service-token-file={token}",
            f"--lease-namespace={installed.namespace}",
            "--log-level=warning",
        )
        world = World(cluster, prometheus, installed, processes, flags_port, command, {})
        if operator:
            world.start_replica()
            world.wait_until_leading()
        yield world


def _pilotage(command: str, kubeconfig: Path) -> tuple[str, ...]:
    return (sys.executable, "-m", "pilotage", command, f"--kubeconfig={kubeconfig}")
