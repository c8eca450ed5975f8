"""Scaling end to end: a real Prometheus, the operator with the chart's rights, and Deployments whose pods get ready.

It has a cluster of its own, because pods need a scheduler, and kwok in the place of kubelets.
"""

import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Gauge

from testbed import Cluster, ProcessGroup, PrometheusServer, start_cluster, wait_until
from testbed.install import Installed, install
from testbed.waiting import DeadlineExceededError
from tests.cluster.replicas import Replica, start_leader
from tests.cluster.rollouts import Rollouts
from tests.prometheus.exporters import Exporter

pytestmark = pytest.mark.cluster(
    "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok", "kubectl"
)
QUICK = {"up": {"factor": "1.2", "cooldown": "5s"}, "down": {"factor": "0.5", "cooldown": "10s"}}
LONG = 120.0


class Load:
    """What the instances of `search` bear together; each series is the average of the ready ones."""

    def __init__(self) -> None:
        self.total = 0.0
        self.ready = 1
        self.exporter = Exporter(fill=self._fill)

    def _fill(self, registry: CollectorRegistry) -> None:
        Gauge("load_average", "Of one instance.", registry=registry).set_function(self._average)
        Gauge("errors_seen", "To break by.", registry=registry).set_function(lambda: self.errors)

    errors = 0.0

    def _average(self) -> float:
        return self.total / max(self.ready, 1)


@dataclass
class World:
    """A cluster with the operator, and the load."""

    cluster: Cluster
    installed: Installed
    operator: Replica
    load: Load


@pytest.fixture(scope="module")
def world(prometheus: PrometheusServer) -> Iterator[World]:
    load = Load()
    with start_cluster(nodes=2) as cluster, ProcessGroup(prefix="pilotage-scaling-") as group, load.exporter:
        installed = install(cluster)
        prometheus.set_targets("scaling", [load.exporter.address])
        prometheus.wait_for_target("scaling")
        yield World(cluster, installed, start_leader(group, installed, prometheus=prometheus.url), load)
        prometheus.remove_targets("scaling")


class Shop:
    """A tenant's namespace with a Deployment `search`."""

    def __init__(self, world: World, *, enrolled: bool = True) -> None:
        self.world, self.cluster, self.load = world, world.cluster, world.load
        self.namespace = f"shop-{secrets.token_hex(3)}"
        self.tenant = f"tenant-{secrets.token_hex(3)}"
        self.cluster.kubectl("create", "namespace", self.namespace)
        world.installed.enrol(self.namespace)
        if enrolled:
            world.installed.enrol_tenant(self.namespace)
        self.cluster.kubectl("create", "deployment", "search", "--image=none", "-n", self.namespace)
        self.rollouts = Rollouts(self.cluster, self.namespace)
        self.load.errors, self.load.total = 0.0, 0.0
        self.wait(lambda: self.ready == 1, "the first pod to be ready")

    def scale_by(self, **policy: Any) -> None:
        """Give the tenant one scaling policy."""
        given = {
            "name": "load",
            "target": {"name": "search", "namespace": self.namespace},
            "metric": {"query": 'load_average{job="scaling"}'},
            "value": 100,
            "min": 2,
            "max": 8,
            "engine": "scale",
            **QUICK,
            **policy,
        }
        self.cluster.apply(
            {
                "apiVersion": "pilotage.dev/v1alpha1",
                "kind": "TenantQuota",
                "metadata": {"name": self.tenant},
                "spec": {"namespaces": [self.namespace], "scaling": [given]},
            }
        )

    def roll_out(self, **spec: Any) -> None:
        """Two steps, of which the second needs three replicas; it breaks when the errors are seen."""
        self.rollouts.apply(
            "semantic",
            delivery={"workload": {"name": "search"}},
            indicators=[{"name": "errors", "query": 'errors_seen{job="scaling"}', "unit": "count"}],
            rollback=["errors > 5 for 2s"],
            steps=[
                {"name": "few", "percent": 10, "hold": "1s"},
                {"name": "many", "percent": 50, "hold": "1h", "scale": {"minReplicas": 3}},
            ],
            **spec,
        )

    @property
    def deployment(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            self.cluster.kubectl("get", "deployment", "search", "-n", self.namespace, "-o", "json")
        )
        return found

    @property
    def ready(self) -> int:
        """Pods that are ready; the load is borne by them."""
        found: int = self.deployment["status"].get("readyReplicas", 0)
        self.load.ready = found
        return found

    @property
    def replicas(self) -> int:
        found: int = self.deployment["spec"]["replicas"]
        return found

    @property
    def policy(self) -> dict[str, Any]:
        """How the policy stands."""
        status = json.loads(self.cluster.kubectl("get", "tq", self.tenant, "-o", "json")).get("status", {})
        states: list[dict[str, Any]] = status.get("scaling", [{}])
        return states[0]

    @property
    def actions(self) -> list[str]:
        """What has happened to the tenant."""
        status = json.loads(self.cluster.kubectl("get", "tq", self.tenant, "-o", "json"))["status"]
        return [each["action"] for each in status.get("transitions", ())]

    @property
    def rollout(self) -> dict[str, Any]:
        return self.rollouts.status("semantic")

    @property
    def step(self) -> str:
        name: str = self.rollout.get("step", {}).get("name", "")
        return name

    def wait(self, holds: Callable[[], bool], what: str) -> None:
        """Wait with the load borne by the pods that are ready; generous, because the machine may be busy."""

        def looks() -> bool:
            _ = self.ready
            return holds()

        try:
            wait_until(looks, what, seconds=LONG, every_seconds=0.5)
        except DeadlineExceededError:
            for kind in ("tq", "pilots", "deployments", "hpa"):
                print(self.cluster.kubectl("get", kind, "-n", self.namespace, "-o", "json"))
            raise

    def close(self) -> None:
        self.cluster.kubectl("delete", "tq", self.tenant, "--ignore-not-found")
        self.cluster.kubectl("delete", "pilots", "--all", "-n", self.namespace)
        self.cluster.kubectl("delete", "namespace", self.namespace, "--wait=false")


@pytest.fixture
def shop(world: World) -> Iterator[Shop]:
    made = Shop(world)
    yield made
    made.close()
    assert world.operator.metric("pilotage_reconcile_failures_total", kind="bug") == 0


@pytest.mark.timeout(400)
def test_a_deployment_grows_shrinks_and_freezes_by_a_metric_and_its_pods_are_ready(shop: Shop) -> None:
    shop.load.total = 150.0
    shop.scale_by()
    shop.wait(lambda: shop.ready == 2, "the minimum to be ready")
    shop.load.total = 550.0
    shop.wait(lambda: shop.ready == 6, "6 pods that bear 550 at 100 each")
    assert shop.policy["scaledUpTime"]
    shop.load.total = 5000.0
    shop.wait(lambda: shop.ready == 8, "the maximum to be ready")
    shop.load.total = 250.0
    shop.wait(lambda: shop.replicas < 8, "the first step down")
    assert shop.replicas >= 4  # a step takes half at most
    shop.wait(lambda: shop.ready == 3, "3 pods that bear 250")
    shop.load.total = -1.0  # says nothing: no load is negative
    shop.wait(lambda: shop.policy.get("state") == "Frozen", "the policy to freeze")
    assert shop.policy["reason"] == "MetricLost"
    assert shop.replicas == 3
    assert "Scale" in shop.actions
    assert shop.actions[-1] == "Freeze"


@pytest.mark.timeout(400)
def test_a_step_waits_for_ready_pods_and_they_go_after_its_users(shop: Shop) -> None:
    shop.roll_out()
    shop.wait(lambda: shop.step == "many", "the second step to be entered")
    status = shop.rollout
    capacity = status["capacity"]
    assert (capacity["target"], capacity["minimum"], capacity["before"]) == ("Deployment search", 3, 1)
    assert capacity["askedTime"] <= status["step"]["enteredTime"]
    assert shop.ready == 3
    assert "AwaitingCapacity" in [entry["reason"] for entry in status["history"]]
    shop.load.errors = 10.0
    shop.wait(lambda: shop.rollout.get("phase") == "RolledBack", "the rollback")
    shop.wait(lambda: shop.replicas == 1, "the capacity to go after the users")
    status = shop.rollout
    assert status["capacity"]["minimum"] == 0
    assert status["rollback"]["verifiedTime"]


@pytest.mark.timeout(400)
def test_a_step_raises_the_minimum_of_the_tenants_hpa_and_waits_for_the_pods(shop: Shop) -> None:
    shop.scale_by(engine="hpa", metric={"resource": "cpu"}, value=70, min=1)
    shop.wait(lambda: bool(shop.policy.get("state")), "the policy to be carried out")
    shop.roll_out()
    shop.wait(lambda: shop.step == "many", "the second step to be entered")
    assert shop.ready >= 3
    assert shop.policy["minimum"] == 3
    hpa = json.loads(shop.cluster.kubectl("get", "hpa", f"tq-{shop.tenant}-load", "-n", shop.namespace, "-o", "json"))
    assert hpa["spec"]["minReplicas"] == 3
    shop.load.errors = 10.0
    shop.wait(lambda: shop.policy.get("minimum") == 1, "the minimum to fall after the users have left")
    assert shop.rollout["phase"] == "RolledBack"


@pytest.mark.timeout(400)
def test_where_somebody_elses_autoscaler_is_in_the_way_the_step_says_so_and_goes_on_by_itself(shop: Shop) -> None:
    shop.cluster.kubectl("autoscale", "deployment", "search", "--min=1", "--max=5", "-n", shop.namespace)
    shop.roll_out()
    remedy = "HorizontalPodAutoscaler search scales it: raise its minimum to 3"
    shop.wait(lambda: remedy in shop.rollout.get("message", ""), "the remedy to be said")
    assert (shop.step, shop.replicas, shop.rollout["phase"]) == ("few", 1, "Holding")
    shop.cluster.kubectl(
        "patch", "hpa", "search", "-n", shop.namespace, "--type=merge", "-p", '{"spec":{"minReplicas":3}}'
    )
    shop.wait(lambda: shop.step == "many", "the step to be entered")
    assert shop.ready == 3


@pytest.mark.timeout(400)
def test_without_rights_on_the_workload_the_step_says_what_to_bind_and_nobody_comes_in(world: World) -> None:
    shop = Shop(world, enrolled=False)
    shop.roll_out()
    remedy = "Deployment search may not be scaled: enrol the namespace (bind ClusterRole pilotage-scaling there)"
    shop.wait(lambda: remedy in shop.rollout.get("message", ""), "the remedy to be said")
    assert (shop.step, shop.replicas) == ("few", 1)
    shop.load.errors = 10.0
    shop.wait(lambda: shop.rollout.get("phase") == "RolledBack", "the rollback, which waits for nothing")
    shop.close()
