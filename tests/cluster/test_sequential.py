"""The sequential judge in the whole loop: what it takes back, what it holds, and what a killed operator knows again.

The traffic is the same for all of these tests, so that the incident of both arms comes last: control's errors of
the last forty scrapes are a reason to wait.
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from testbed import Cluster, ProcessGroup, PrometheusServer, wait_until
from testbed.install import Installed
from tests.cluster.replicas import Replica, start_leader
from tests.cluster.rollouts import Rollouts
from tests.cluster.traffic import Traffic, serve_traffic

INDICATOR = {
    "name": "errors",
    "errors": 'sum by (variant) (increase(app_errors_total{job="sequential"}[$window]))',
    "total": 'sum by (variant) (increase(app_requests_total{job="sequential"}[$window]))',
}
SPEC = {
    "indicators": [INDICATOR],
    "objectives": [{"indicator": "errors", "objective": "< 1%", "for": "4s", "onBreach": "rollback"}],
    "steps": [{"name": "few", "percent": 10, "hold": "2s"}, {"name": "many", "percent": 50, "hold": "1h"}],
}


@pytest.fixture(scope="module")
def traffic(prometheus: PrometheusServer) -> Iterator[Traffic]:
    with serve_traffic() as traffic:
        prometheus.set_targets("sequential", [traffic.address])
        prometheus.wait_for_target("sequential")
        yield traffic
        prometheus.remove_targets("sequential")


@pytest.fixture(scope="module")
def operator(installed: Installed, prometheus: PrometheusServer) -> Iterator[Replica]:
    with ProcessGroup(prefix="pilotage-sequential-") as group:
        yield start_leader(group, installed, prometheus=prometheus.url)


@pytest.fixture
def rollouts(cluster: Cluster, enrolled: str, operator: Replica, traffic: Traffic) -> Iterator[Rollouts]:
    traffic.fail(0.0)
    yield Rollouts(cluster, enrolled)
    cluster.kubectl("delete", "pilots", "--all", "-n", enrolled, "--timeout=30s")
    assert operator.metric("pilotage_reconcile_failures_total", kind="bug") == 0


def start(rollouts: Rollouts, name: str) -> None:
    """Let it go on to its second step, and see that step proved."""
    rollouts.apply(name, **SPEC)
    wait_until(lambda: _is_proved(rollouts, name), "the second step to be proved", seconds=60)


def _is_proved(rollouts: Rollouts, name: str) -> bool:
    status = rollouts.status(name)
    learned = [noise["step"] for noise in status.get("noise", [])]  # until then the verdict is that of the step before
    return bool(learned == ["many"] and status["summary"].get("verdict") == "pass")


def test_treatment_that_breaks_alone_is_taken_back(rollouts: Rollouts, traffic: Traffic) -> None:
    start(rollouts, "search")
    traffic.fail(0.5)
    failed_at = time.monotonic()
    status = rollouts.wait_for("search", phase="RolledBack", seconds=40)
    print(f"from the first error to taken back: {time.monotonic() - failed_at:.1f} s")
    [decision] = [entry for entry in status["history"] if entry["action"] == "RollBack"]
    assert "certainly more than 1%, and more than control has" in decision["message"]
    assert rollouts.flag("search")["metadata"]["pilotage.exposure"] == "off"
    assert rollouts.actions("search")[-2:] == ["RollBack", "RolledBack"]


def test_a_killed_operator_decides_by_what_happened_while_nobody_looked(
    rollouts: Rollouts, traffic: Traffic, operator: Replica
) -> None:
    start(rollouts, "orders")
    before = rollouts.status("orders")
    operator.process.kill()
    traffic.fail(0.3)
    time.sleep(8)
    lines = len(operator.lines())
    operator.process.start()
    wait_until(
        lambda: any(line.get("message") == "this replica leads" for line in operator.lines()[lines:]), "a leader"
    )
    led_at = datetime.now(UTC)
    status = rollouts.wait_for("orders", phase="RolledBack", seconds=20)
    waited = (datetime.fromisoformat(status["rollback"]["decidedTime"]) - led_at).total_seconds()
    print(f"from leading to the decision: {waited:.1f} s, where `for` is 4 s")
    assert waited < 3.0
    assert status["revision"] == before["revision"]


def test_noise_is_written_once_a_step_and_a_quiet_step_writes_nothing(rollouts: Rollouts, operator: Replica) -> None:
    start(rollouts, "quiet")
    before, spent = rollouts.get("quiet"), operator.requests()
    [noise] = before["status"]["noise"]
    assert (noise["rule"], noise["step"], noise["hours"]) == ("errors < 1% for 4s", "many", 0)
    assert "0 h of history are too few to learn the noise" in noise["note"]
    assert noise["thresholds"] == ["inf", "inf", "inf", "9.0", "9.0", "9.0", "9.0"]
    time.sleep(10)
    after = rollouts.get("quiet")
    assert after["status"] == before["status"]
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    assert (operator.requests() - spent)["PATCH"] == 0
    operator.process.kill()
    operator.process.start()
    wait_until(lambda: operator.is_ready() and operator.leads(), "the operator to lead again", seconds=30)
    time.sleep(4)
    assert rollouts.get("quiet")["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


def test_what_breaks_in_both_arms_is_held_and_goes_on_when_it_is_over(rollouts: Rollouts, traffic: Traffic) -> None:
    start(rollouts, "shared")
    traffic.fail(0.5, control=0.5)
    status = rollouts.wait_for("shared", phase="Holding", seconds=20)
    assert status["summary"]["verdict"] == "pending"
    time.sleep(8)
    assert rollouts.status("shared")["phase"] == "Holding"
    traffic.fail(0.0)
    rollouts.wait_for("shared", phase="Progressing", seconds=40)
    assert "RollBack" not in rollouts.actions("shared")
