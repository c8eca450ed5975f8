"""Pilotage's two processes as a test starts them: `python -m pilotage run` and `... flags`, beside the cluster."""

import json
import re
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed import Process, ProcessGroup, ports, wait_until
from testbed.install import OPERATOR, Installed

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")


@dataclass(slots=True)
class Replica:
    """One process, with the port of its probes."""

    process: Process

    @property
    def port(self) -> int:
        """Of probes and metrics; the one that it said last, because each start takes another."""
        return int(self._said("probes and metrics on port")[-1]["message"].rsplit(" ", 1)[1])

    def lines(self) -> list[dict[str, Any]]:
        """What it has logged, line by line; a line that is no JSON is an error of ours."""
        return [line for line in self._output() if "specversion" not in line]

    def record(self) -> list[dict[str, Any]]:
        """The decisions that it has said on standard output, as CloudEvents."""
        return [line for line in self._output() if "specversion" in line]

    def _output(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.process.log.read_text().splitlines()]

    def wait_for_probes(self) -> None:
        """Wait until it answers."""
        wait_until(lambda: self.get("/healthz"), f"{self.process.name} to answer", seconds=30)

    def get(self, path: str) -> str:
        """What it answers; raises for a status from 400 on."""
        with _OPENER.open(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
            text: str = answer.read().decode()
        return text

    def is_ready(self) -> bool:
        """Whether /readyz says so."""
        try:
            return self.get("/readyz") == "ok\n"
        except urllib.error.HTTPError:
            return False

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels."""
        total = 0.0
        for found, said, value in self._samples():
            if found == name and all(f'{label}="{text}"' in said for label, text in labels.items()):
                total += float(value)
        return total

    def requests(self) -> Counter[str]:
        """Its requests to the API server so far, by method."""
        counted: Counter[str] = Counter()
        for name, said, value in self._samples():
            if name == "rest_client_requests_total":
                method = re.search(r'method="(\w+)"', said)
                assert method
                counted[method[1]] += int(float(value))
        return counted

    def leads(self) -> bool:
        """Whether it says that it leads."""
        return self.metric("pilotage_leader") == 1.0

    def _samples(self) -> list[tuple[str, str, str]]:
        matches = (_SAMPLE.match(line) for line in self.get("/metrics").splitlines())
        return [(match[1], match[2] or "", match[3]) for match in matches if match]

    def _said(self, start: str) -> list[dict[str, Any]]:
        return [line for line in self.lines() if line["message"].startswith(start)]


def start_flag_service(
    group: ProcessGroup, installed: Installed, name: str = "flags", *, host: str = "127.0.0.1", port: int = 0
) -> str:
    """Start the flag service with the rights of its ServiceAccount, and return its address."""
    port = port or ports.free_port()
    process = group.start(
        name,
        [
            *(sys.executable, "-m", "pilotage", "flags", f"--kubeconfig={installed.flags_kubeconfig}"),
            *(f"--host={host}", f"--port={port}", "--http-port=0"),
            f"--operator-service-account={installed.namespace}:{OPERATOR}",
        ],
    )
    wait_until(Replica(process).is_ready, "the flag service to listen")
    return f"{host}:{port}"


def start_operator(
    group: ProcessGroup,
    name: str,
    *,
    kubeconfig: Path,
    prometheus: str,
    arguments: tuple[str, ...] = (),
    module: str = "pilotage",
    env: Mapping[str, str] | None = None,
) -> Replica:
    """Start a replica of the operator; it takes a free port for its probes."""
    process = group.start(
        name,
        [
            *(sys.executable, "-m", module, "run", f"--kubeconfig={kubeconfig}", f"--prometheus={prometheus}"),
            *("--http-port=0", f"--identity={name}", *arguments),
        ],
        env=env,
    )
    replica = Replica(process)
    replica.wait_for_probes()
    return replica


def start_leader(
    group: ProcessGroup,
    installed: Installed,
    *,
    prometheus: str,
    kubeconfig: Path | None = None,
    arguments: tuple[str, ...] = (),
) -> Replica:
    """Start an operator that leads, with a flag service that it asks; both have the chart's rights only."""
    token = group.directory / "token"
    token.write_text(installed.flag_service_token())
    replica = start_operator(
        group,
        "operator",
        kubeconfig=kubeconfig or installed.operator_kubeconfig,
        prometheus=prometheus,
        arguments=(
            f"--flag-service={start_flag_service(group, installed)}",
            f"--flag-service-token-file={token}",
            f"--lease-namespace={installed.namespace}",
            *arguments,
        ),
    )
    wait_until(lambda: replica.is_ready() and replica.leads(), "the operator to lead")
    return replica
