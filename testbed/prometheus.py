"""Starts a real Prometheus on loopback whose scrape targets can change while it runs."""

import json
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from testbed import ports
from testbed.binaries import provide
from testbed.processes import Process, ProcessGroup
from testbed.startup import start_group, wait_ready
from testbed.stopping import Stopping
from testbed.waiting import wait_until

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(slots=True)
class PrometheusServer(Stopping):
    """A running Prometheus.

    Attributes:
        url: its address, without a slash at the end.
        directory: a temporary folder that goes when the server goes.
        process: to kill, pause and start it in tests of faults.
    """

    url: str
    directory: Path
    process: Process
    _group: ProcessGroup = field(repr=False)
    _targets: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)

    def set_targets(self, job: str, targets: Sequence[str], labels: Mapping[str, str] | None = None) -> None:
        """Scrape these targets, each `host:port`, under this job name, instead of those that it had.

        Prometheus takes such a change over within 5 to 10 seconds (it bundles them every 5 s, in two places).

        Args:
            job: the value of the `job` label.
            targets: an empty sequence drops the job.
            labels: more labels for all series of these targets.
        """
        self._targets[job] = {"targets": list(targets), "labels": {**(labels or {}), "job": job}}
        _write_targets(self.directory, list(self._targets.values()))

    def remove_targets(self, job: str) -> None:
        """Scrape the targets of this job no more; unknown jobs are fine."""
        if self._targets.pop(job, None) is not None:
            _write_targets(self.directory, list(self._targets.values()))

    def query(self, promql: str) -> list[dict[str, Any]]:
        """Return the result of an instant query, as the HTTP API's `data.result` has it."""
        parameters = urllib.parse.urlencode({"query": promql})
        with _OPENER.open(f"{self.url}/api/v1/query?{parameters}", timeout=10) as answer:
            result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return result

    def wait_for_target(self, job: str, *, seconds: float = 30.0) -> None:
        """Wait until all targets of this job were scraped with success."""
        expected = len(self._targets[job]["targets"])

        def scraped() -> bool:
            return len(self.query(f'up{{job="{job}"}} == 1')) >= expected

        wait_until(scraped, f"Prometheus to scrape {expected} targets of job {job}", seconds=seconds)

    def restart(self) -> None:
        """Stop and start it with the same port and data, and wait until it answers."""
        self.process.stop()
        self.process.start()
        wait_until(partial(_is_ready, self.url), "Prometheus to be ready", every_seconds=0.05)

    def stop(self) -> None:
        """End it; its folder goes too."""
        self._group.stop()


def start_prometheus(
    targets: Mapping[str, Sequence[str]] | None = None,
    *,
    scrape_interval: str = "1s",
    flags: Sequence[str] = (),
) -> PrometheusServer:
    """Start a Prometheus on a free loopback port, with its data in a temporary folder.

    Args:
        targets: for each job, what to scrape as `host:port`; `set_targets` changes it later.
        scrape_interval: for all jobs, as Prometheus writes durations; rules are evaluated as often.
        flags: more command-line flags.

    Raises:
        SetupError: there is no Prometheus and none can be had, or it does not start.
    """
    binary = provide(["prometheus"])["prometheus"]
    start = partial(_start, binary=binary, targets=targets or {}, scrape_interval=scrape_interval, flags=flags)
    return start_group("pilotage-prometheus-", start)


def _start(
    group: ProcessGroup,
    *,
    binary: Path,
    targets: Mapping[str, Sequence[str]],
    scrape_interval: str,
    flags: Sequence[str],
) -> PrometheusServer:
    directory = group.directory
    (directory / "prometheus.yml").write_text(_config(scrape_interval))
    port = ports.free_port()
    arguments = [
        f"--config.file={directory / 'prometheus.yml'}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
        *flags,
    ]
    _write_targets(directory, [])
    server = PrometheusServer(
        f"http://127.0.0.1:{port}", directory, group.start("prometheus", [str(binary), *arguments]), group
    )
    for job, addresses in targets.items():
        server.set_targets(job, addresses)
    wait_ready(group, partial(_is_ready, server.url), "Prometheus to be ready")
    return server


def _config(interval: str) -> str:
    # A timeout longer than the interval is refused.
    times = {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval}
    files = {"files": ["targets.json"], "refresh_interval": "1s"}
    return json.dumps({"global": times, "scrape_configs": [{"job_name": "testbed", "file_sd_configs": [files]}]})


def _is_ready(url: str) -> bool:
    with _OPENER.open(f"{url}/-/ready", timeout=5):
        return True  # a status from 400 on raises


def _write_targets(directory: Path, groups: list[dict[str, Any]]) -> None:
    # Replaced as a whole: Prometheus may read the file at any moment.
    new = directory / "targets.new"
    new.write_text(json.dumps(groups))
    new.replace(directory / "targets.json")
