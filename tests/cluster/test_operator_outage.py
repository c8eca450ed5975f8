"""What a rollout notices of the loss of its leader, and who waits for kinds. It has a cluster of its own to break."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from testbed import Cluster, ProcessGroup, start_cluster, wait_until
from tests.cluster.replicas import Replica, start_operator

pytestmark = pytest.mark.cluster("etcd", "kube-apiserver", "kubectl")
CRDS = Path(__file__).parents[2] / "crds"
NOBODY = "http://127.0.0.1:9"


@dataclass
class World:
    """A cluster, and two replicas of the operator."""

    cluster: Cluster
    replicas: tuple[Replica, Replica]
    complaints: list[str]

    def leader(self) -> Replica:
        leading = wait_until(
            lambda: [each for each in self.replicas if each.process.running and each.leads()], "a leader"
        )
        return leading[0]

    def apply(self, name: str, *, hold: str) -> None:
        steps = [{"name": "few", "percent": 10, "hold": hold}, {"name": "all", "percent": 100}]
        self.cluster.apply(
            {
                "apiVersion": "pilotage.dev/v1alpha1",
                "kind": "PilotRollout",
                "metadata": {"name": name, "namespace": "default"},
                "spec": {"feature": {"flag": name}, "interval": "1s", "steps": steps},
            }
        )

    def status(self, name: str) -> dict[str, Any]:
        found = json.loads(self.cluster.kubectl("get", "pilot", name, "-o", "json"))
        status: dict[str, Any] = found.get("status", {})
        return status

    def wait_for(self, name: str, phase: str, *, seconds: float = 40.0) -> list[str]:
        wait_until(lambda: self.status(name).get("phase") == phase, f"{name} to be {phase}", seconds=seconds)
        return [entry["action"] for entry in self.status(name)["history"]]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with (
        start_cluster(("etcd", "kube-apiserver"), nodes=0) as cluster,
        ProcessGroup(prefix="pilotage-outage-") as group,
    ):
        first, second = (
            start_operator(group, name, kubeconfig=cluster.kubeconfig, prometheus=NOBODY)
            for name in ("first", "second")
        )
        complaints = [_complaint(each) for each in (first, second)]
        cluster.kubectl("apply", "-f", str(CRDS))
        yield World(cluster, (first, second), complaints)


def _complaint(replica: Replica) -> str:
    """What a replica says that starts before its kinds are there; it must not call itself ready."""
    said = wait_until(lambda: [line["message"] for line in replica.lines() if line["level"] == "ERROR"], "a complaint")
    assert not replica.is_ready()
    return str(said[0])


def test_a_replica_without_its_kinds_waits_for_them_and_says_which(world: World) -> None:
    for said in world.complaints:
        assert said.startswith("CustomResourceDefinition indicatortemplates.pilotage.dev: ")
        assert said.endswith("install the CRDs of this release (folder crds/, or the chart)")
    for each in world.replicas:
        wait_until(each.is_ready, "the replica to be ready")


def test_a_rollout_goes_on_when_its_leader_is_killed(world: World) -> None:
    world.apply("orphan", hold="4s")
    wait_until(lambda: world.status("orphan").get("step", {}).get("verifiedTime"), "the step to be in force")
    leader = world.leader()
    leader.process.kill()
    assert world.wait_for("orphan", "Completed") == ["Start", "Advance", "Complete"]
    assert world.leader() is not leader
    leader.process.start()
    wait_until(leader.is_ready, "the replica to be ready again")
    assert not leader.leads()
