"""Scores, readiness and gates through the whole loop: a real operator judges them, a real API server keeps them."""

from collections.abc import Iterator
from typing import Any

import pytest

from testbed import Cluster, ProcessGroup, PrometheusServer, wait_until
from testbed.install import Installed
from tests.cluster.replicas import Replica, start_leader
from tests.cluster.rollouts import Rollouts
from tests.cluster.traffic import Traffic, serve_traffic

ERRORS = 'sum by (variant) (increase(app_errors_total{job="scores"}[$window]))'
TOTAL = 'sum by (variant) (increase(app_requests_total{job="scores"}[$window]))'
SPEC: dict[str, Any] = {
    "indicators": [
        {"name": "errors", "errors": ERRORS, "total": TOTAL, "window": "5s"},
        {"name": "satisfaction", "query": "vector(9)", "unit": "score"},
        {"name": "adoption", "query": "nothing", "unit": "ratio"},
    ],
    "scores": [
        {
            "name": "customer",
            "template": "customer",
            "inputs": [
                {"indicator": "satisfaction", "worst": 0, "best": 10},
                {"indicator": "adoption", "worst": 0, "best": 1},
            ],
        }
    ],
    "steps": [{"name": "few", "percent": 10, "hold": "2s"}, {"name": "all", "percent": 100, "hold": "1s"}],
    "go": ["score(customer) >= 8.0"],
    "readiness": {"blockers": ["errors > 50%"], "warnings": ["satisfaction < 9.5"]},
    "burnRates": [
        {"indicator": "errors", "budget": "1%", "windows": [{"long": "10s", "short": "3s", "factor": 10}]},
    ],
}


@pytest.fixture(scope="module")
def traffic(prometheus: PrometheusServer) -> Iterator[Traffic]:
    with serve_traffic() as traffic:
        prometheus.set_targets("scores", [traffic.address])
        prometheus.wait_for_target("scores")
        yield traffic
        prometheus.remove_targets("scores")


@pytest.fixture(scope="module")
def operator(installed: Installed, prometheus: PrometheusServer) -> Iterator[Replica]:
    with ProcessGroup(prefix="pilotage-scores-") as processes:
        yield start_leader(processes, installed, prometheus=prometheus.url)


@pytest.fixture
def rollouts(cluster: Cluster, enrolled: str, operator: Replica) -> Iterator[Rollouts]:
    yield Rollouts(cluster, enrolled)
    cluster.kubectl("delete", "pilots", "--all", "-n", enrolled, "--timeout=30s")
    assert operator.metric("pilotage_reconcile_failures_total", kind="bug") == 0


def test_status_tells_the_score_and_the_readiness_while_the_rollout_goes_on(
    rollouts: Rollouts, traffic: Traffic
) -> None:
    traffic.fail(0.0)
    rollouts.apply("scored", **SPEC)
    status = rollouts.wait_for("scored", phase="Completed", seconds=60)
    (score,) = status["scores"]
    assert (score["value"], score["rating"]) == ("9", "excellent")
    assert score["message"] == "no data for adoption; the others count for the whole"
    assert status["readiness"]["state"] == "Ready"
    assert status["readiness"]["warnings"] == ["satisfaction < 9.5: applies (satisfaction 9 < 9.5)"]


def test_no_step_is_left_while_the_service_burns_its_budget(rollouts: Rollouts, traffic: Traffic) -> None:
    traffic.fail(0.0)
    steps = [{"name": "few", "percent": 10, "hold": "20s"}, {"name": "all", "percent": 100, "hold": "1s"}]
    rollouts.apply("burning", **{**SPEC, "steps": steps})
    wait_until(lambda: rollouts.is_in_force("burning"), "the first step to be in force", seconds=30)
    traffic.fail(0.4)
    try:
        status = rollouts.wait_for("burning", phase="Holding", seconds=30)
        assert "burns its budget of 1%: breach" in status["message"]
        assert status["step"]["name"] == "few"
        assert status["readiness"]["state"] == "NotReady"
    finally:
        traffic.fail(0.0)
    rollouts.wait_for("burning", phase="Completed", seconds=60)
    assert "RollBack" not in rollouts.actions("burning")
