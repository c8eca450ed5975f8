"""A rollout that is restored from Git: its status is gone, and what is not known is not assumed.

It starts at its first step and says so; where the flag that is still in force lets in more, nobody loses the feature
by it: the rollout waits for a person.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from testbed import Cluster, ProcessGroup, PrometheusServer, wait_until
from testbed.install import Installed
from tests.cluster.replicas import Replica, start_leader
from tests.cluster.rollouts import Rollouts

FEW = {"name": "few", "percent": 10, "hold": "1s"}
HALF = {"name": "half", "percent": 50, "hold": "1h"}
PERCENT = 10_000_000


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessGroup]:
    with ProcessGroup(prefix="pilotage-restore-") as group:
        yield group


@pytest.fixture(scope="module")
def operator(processes: ProcessGroup, installed: Installed, prometheus: PrometheusServer) -> Replica:
    return start_leader(processes, installed, prometheus=prometheus.url)


@pytest.fixture
def rollouts(cluster: Cluster, enrolled: str, operator: Replica) -> Iterator[Rollouts]:
    """Give a namespace whose rollout `search` has half of the users in, in its second step."""
    made = Rollouts(cluster, enrolled)
    made.apply("search", steps=[FEW, HALF], onDelete={"exposure": "keep"})
    wait_until(lambda: is_in(made, "half"), "the second step to be in force")
    yield made
    cluster.kubectl("delete", "pilots", "--all", "-n", enrolled, "--timeout=30s")
    assert operator.metric("pilotage_reconcile_failures_total", kind="bug") == 0


def is_in(rollouts: Rollouts, step: str) -> bool:
    found = rollouts.status("search").get("step", {})
    return found.get("name") == step and "verifiedTime" in found


def manifest(rollouts: Rollouts, namespace: str) -> dict[str, Any]:
    """What Git has: the rollout without what the server added. Its status is left in, to show that it is no use."""
    found = rollouts.get("search")
    return {**found, "metadata": {"name": "search", "namespace": namespace}}


def test_in_a_fresh_cluster_it_starts_at_its_first_step(
    cluster: Cluster, rollouts: Rollouts, installed: Installed
) -> None:
    fresh = Rollouts(cluster, f"{rollouts.namespace}-fresh")
    cluster.kubectl("create", "namespace", fresh.namespace)
    try:
        installed.enrol(fresh.namespace)
        cluster.apply(manifest(rollouts, fresh.namespace))
        wait_until(lambda: is_in(fresh, "half"), "it to get to its second step once more")
        first, second, *_ = fresh.status("search")["history"]
        assert (first["action"], first["step"], first["sequence"]) == ("Start", "few", 1)
        assert first["message"].startswith("the first of 2 steps; ")
        assert (second["action"], second["step"]) == ("Advance", "half")
        fresh.delete("search", "--timeout=30s")
    finally:
        cluster.kubectl("delete", "namespace", fresh.namespace, "--wait=false")


def test_where_the_flag_in_force_lets_in_more_it_says_so_and_takes_it_from_nobody(
    cluster: Cluster, rollouts: Rollouts
) -> None:
    git, before = manifest(rollouts, rollouts.namespace), rollouts.flag("search")
    rollouts.delete("search", "--timeout=30s")
    kept = rollouts.flag("search")
    assert kept["targeting"] == before["targeting"]
    cluster.apply(git)
    knows_nothing = "of which this rollout's status knows nothing, and lets in more users than revision 1"
    wait_until(lambda: knows_nothing in rollouts.status("search").get("message", ""), "it to say what is in force")
    status = rollouts.wait_for("search", phase="Holding")
    assert status["step"]["name"] == "few"
    assert "raise spec.feature.revision to take them back and start over" in status["message"]
    assert rollouts.flag("search") == kept
    wait_until(lambda: rollouts.actions("search") == ["Start", "NotInForce"], "it to be recorded")

    patch = json.dumps({"spec": {"feature": {"revision": 2}, "steps": [{**FEW, "hold": "1h"}, HALF]}})
    rollouts.kubectl("patch", "pilot", "search", "--type=merge", f"--patch={patch}")
    wait_until(lambda: is_in(rollouts, "few"), "it to start over, as it was told")
    assert rollouts.actions("search")[2:4] == ["Restart", "Start"]
    assert rollouts.status("search")["exposure"]["share"] == 10 * PERCENT


def test_where_the_first_step_means_as_many_it_goes_on_from_there(cluster: Cluster, rollouts: Rollouts) -> None:
    git = manifest(rollouts, rollouts.namespace)
    git["spec"]["steps"] = [HALF, {"name": "all", "percent": 100}]
    people = rollouts.status("search")["cohort"]["seed"]
    rollouts.delete("search", "--timeout=30s")
    cluster.apply(git)
    wait_until(lambda: is_in(rollouts, "half"), "its first step to be in force")
    assert rollouts.status("search")["cohort"]["seed"] == people
    assert rollouts.actions("search") == ["Start"]
