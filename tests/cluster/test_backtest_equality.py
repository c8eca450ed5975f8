"""Operator and backtest decide alike: a rollout on the real cluster, and the same window of Prometheus replayed."""

import json
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pilotage.cli.main import main
from testbed import Cluster, ProcessGroup, PrometheusServer, wait_until
from testbed.install import Installed
from tests.cluster.replicas import Replica, start_operator
from tests.cluster.rollouts import INDICATOR, Rollouts
from tests.cluster.traffic import Traffic, serve_traffic

INTERVAL = timedelta(seconds=2)
JOB = "backtest"
MEASURED = {
    **{key: str(text).replace('job="loop"', f'job="{JOB}"') for key, text in INDICATOR.items()},
    "window": "6s",
}


@pytest.fixture(scope="module")
def traffic(prometheus: PrometheusServer) -> Iterator[Traffic]:
    with serve_traffic() as traffic:
        prometheus.set_targets(JOB, [traffic.address])
        prometheus.wait_for_target(JOB)
        yield traffic
        prometheus.remove_targets(JOB)


@pytest.fixture(scope="module")
def operator(installed: Installed, prometheus: PrometheusServer) -> Iterator[Replica]:
    """Give an operator that leads; without a flag service, what was written counts as in force."""
    with ProcessGroup(prefix="pilotage-backtest-") as processes:
        replica = start_operator(
            processes,
            "operator",
            kubeconfig=installed.operator_kubeconfig,
            prometheus=prometheus.url,
            arguments=(f"--lease-namespace={installed.namespace}",),
        )
        wait_until(lambda: replica.is_ready() and replica.leads(), "the operator to lead")
        yield replica


@pytest.fixture
def rollouts(cluster: Cluster, enrolled: str, operator: Replica) -> Iterator[Rollouts]:
    assert operator.leads()
    yield Rollouts(cluster, enrolled)
    cluster.kubectl("delete", "pilots", "--all", "-n", enrolled, "--timeout=30s")


SPECS: dict[str, dict[str, Any]] = {
    "by-time": {"rollback": ["error_ratio > 10% for 6s"], "go": ["error_ratio < 5%"]},
    "by-counts": {"objectives": [{"indicator": "error_ratio", "objective": "< 2%", "onBreach": "rollback"}]},
}


def told(entries: list[dict[str, Any]], since: datetime) -> list[tuple[str, str, str, timedelta]]:
    return [
        (entry["action"], entry.get("step", ""), entry["reason"], datetime.fromisoformat(entry["time"]) - since)
        for entry in entries
    ]


@pytest.mark.timeout(240)
def test_a_backtest_of_what_happened_says_what_happened(
    rollouts: Rollouts,
    traffic: Traffic,
    prometheus: PrometheusServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    traffic.fail(0.0)
    time.sleep(8)  # a window of traffic before the first judgement
    steps = [{"name": "few", "percent": 10, "hold": "10s"}, {"name": "many", "percent": 50, "hold": "1h"}]
    for name, rules in SPECS.items():
        rollouts.apply(name, interval="2s", indicators=[MEASURED], steps=steps, **rules)
    for name in SPECS:
        wait_until(lambda name=name: step_of(rollouts, name) == "many", f"{name} to advance", seconds=60)  # type: ignore[misc]
    time.sleep(5)
    traffic.fail(0.5)
    for name in SPECS:
        rollouts.wait_for(name, phase="RolledBack", seconds=60)
    traffic.fail(0.0)
    time.sleep(3)  # what was judged last is stored
    for name in SPECS:
        compare(rollouts, name, prometheus.url, tmp_path, capsys)


def step_of(rollouts: Rollouts, name: str) -> str:
    return str(rollouts.status(name).get("step", {}).get("name"))


def compare(rollouts: Rollouts, name: str, url: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = rollouts.get(name)
    history = found["status"]["history"]
    since = datetime.fromisoformat(history[0]["time"])
    until = datetime.fromisoformat(history[-1]["time"]) + INTERVAL
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps({key: found[key] for key in ("apiVersion", "kind", "metadata", "spec")}))
    arguments = [str(path), f"--from={since.isoformat()}", f"--to={until.isoformat()}", "--every=0s", "--format=json"]
    recording = folder / f"{name}.jsonl"
    assert main(["backtest", *arguments, f"--prometheus={url}", f"--record={recording}"]) == 0
    replayed = json.loads(capsys.readouterr().out)
    assert replayed["arms"] == "recorded"
    really, again = told(history, since), told(replayed["decisions"], since)
    assert [entry[:3] for entry in again] == [entry[:3] for entry in really]
    for (action, *_, then), (*_, now) in zip(really, again, strict=True):
        assert abs(then - now) <= INTERVAL, action
    assert {"Start", "Advance", "RollBack", "RolledBack"} <= {entry[0] for entry in really}
    # The file says the same without Prometheus.
    assert main(["backtest", str(path), f"--replay={recording}", "--every=0s", "--format=json"]) == 0
    assert json.loads(capsys.readouterr().out) == replayed
