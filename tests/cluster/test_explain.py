"""Explain on a real cluster: the resource warns of a step that is too short, and the command says the same."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from testbed import Cluster, ProcessGroup, PrometheusServer, wait_until
from testbed.install import Installed
from tests.cluster.replicas import Replica, start_operator
from tests.cluster.rollouts import INDICATOR, Rollouts
from tests.cluster.traffic import Traffic, serve_traffic

OBJECTIVE = {"indicator": "error_ratio", "objective": "< 1%", "for": "3s"}
LATER = [{"name": "half", "percent": 50, "hold": "1h"}, {"name": "all", "percent": 100}]


@pytest.fixture(scope="module")
def traffic(prometheus: PrometheusServer) -> Iterator[Traffic]:
    with serve_traffic() as traffic:
        prometheus.set_targets("loop", [traffic.address])
        prometheus.wait_for_target("loop")
        yield traffic
        prometheus.remove_targets("loop")


@pytest.fixture(scope="module")
def operator(installed: Installed, prometheus: PrometheusServer) -> Iterator[Replica]:
    with ProcessGroup(prefix="pilotage-explain-") as processes:
        replica = start_operator(
            processes,
            "operator",
            kubeconfig=installed.operator_kubeconfig,
            prometheus=prometheus.url,
            arguments=(f"--lease-namespace={installed.namespace}",),
        )
        wait_until(lambda: replica.is_ready() and replica.leads(), "the operator to lead")
        yield replica
        assert replica.metric("pilotage_reconcile_failures_total", kind="bug") == 0


@pytest.fixture
def rollouts(cluster: Cluster, enrolled: str, operator: Replica, traffic: Traffic) -> Iterator[Rollouts]:
    traffic.fail(0.0)
    assert operator.leads()
    yield Rollouts(cluster, enrolled)
    cluster.kubectl("delete", "pilots", "--all", "-n", enrolled, "--timeout=30s")


def apply(rollouts: Rollouts, hold: str) -> None:
    first = {"name": "one-percent", "percent": 1, "hold": hold}
    rollouts.apply("hasty", indicators=[INDICATOR], objectives=[OBJECTIVE], steps=[first, *LATER])


def provable(rollouts: Rollouts) -> dict[str, Any]:
    found = [one for one in rollouts.status("hasty").get("conditions", ()) if one["type"] == "StepsProvable"]
    return found[0] if found else {}


def explained(cluster: Cluster, *arguments: str) -> str:
    command = [sys.executable, "-m", "pilotage", "explain", *arguments]
    environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, env=environment)
    return done.stdout


def test_a_step_that_is_too_short_is_said_on_the_resource_until_its_hold_is_raised(
    rollouts: Rollouts, operator: Replica
) -> None:
    """200 requests a second, 1 % of them to treatment: 3 % errors take some minutes to show."""
    apply(rollouts, hold="40s")
    wait_until(lambda: provable(rollouts).get("status") == "False", "the warning", seconds=40)
    warning = provable(rollouts)
    assert warning["reason"] == "StepTooShort"
    assert warning["message"].startswith("spec.steps[0].hold: with 1% and ")
    outlook = {one["step"]: one for one in rollouts.status("hasty")["outlook"]}
    assert (outlook["one-percent"]["proves"], outlook["half"]["proves"]) == ("TooLittle", "Enough")
    assert outlook["one-percent"]["traffic"].endswith("requests a second")

    page = explained(rollouts.cluster, "hasty", "-n", rollouts.namespace)
    print(page)
    assert f"{rollouts.namespace}/hasty: " in page
    assert "(too short)" in page
    [criterion] = json.loads(explained(rollouts.cluster, f"{rollouts.namespace}/hasty", "-o", "json"))["criteria"]
    assert criterion["bound"] == "< 1%"
    assert criterion["distance"] == "1 percentage point below"

    apply(rollouts, hold="1h")
    rollouts.kubectl(*("wait", "pilot/hasty", "--for=condition=StepsProvable=True", "--timeout=20s"))
    before, requests = rollouts.get("hasty")["metadata"]["resourceVersion"], operator.requests()
    time.sleep(8)
    assert rollouts.get("hasty")["metadata"]["resourceVersion"] == before, "traffic is no news at each judgement"
    assert (operator.requests() - requests)["PATCH"] == 0
