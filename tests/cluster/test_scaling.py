"""Scaling policies on the real API server: the keeper acts with the operator's rights, as the chart gives them.

Pods stay pending on this cluster; `test_scaling_pods` has some that run.
"""

import json
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from pilotage.controller.tenants.keeping import Kept, Seen
from pilotage.controller.tenants.owned import Owned
from pilotage.controller.tenants.scaling import ScalingKeeper
from pilotage.controller.tenants.scaling_making import make_scaling
from pilotage.kube import REQUESTS, Kube
from pilotage.metrics.source import PrometheusSource
from pilotage.resources.indicators import IndicatorTemplateSpec
from pilotage.resources.tenant import TenantQuota
from pilotage.resources.tenant_scaling import ScalingStatus
from pilotage.tenancy.scaling_demands import Demand
from testbed import Cluster, KubectlError

NOBODY = "http://127.0.0.1:9"
PROMETHEUS = "http://prometheus.monitoring:9090"
DEPLOYMENT = ("Deployment", "search")
TEMPLATE = IndicatorTemplateSpec.model_validate(
    {"query": 'avg(rate(requests_total{namespace=~"$namespaces"}[$window]))'}
)
# Pods are never ready here, and there is no metrics API for Kubernetes' own autoscaler.
CARRIED_OUT = ("Scaling", "Frozen")
HPAS, SCALED = "horizontalpodautoscalers.v2.autoscaling", "scaledobjects.keda.sh"


def writes() -> float:
    """Patches that this process has sent so far."""
    return sum(
        sample.value
        for metric in REQUESTS.collect()
        for sample in metric.samples
        if sample.name.endswith("_total") and sample.labels["method"] == "PATCH"
    )


class Always:
    """This replica leads."""

    guard_seconds = 30.0

    def require(self) -> None:
        """It does."""


@dataclass
class Tenant:
    """One TenantQuota, and the keeper of its scaling policies."""

    cluster: Cluster
    kube: Kube
    source: PrometheusSource
    name: str
    namespace: str
    demands: list[Demand] = field(default_factory=list)
    keeper: ScalingKeeper = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Forget what was in memory."""
        self.keeper = make_scaling(
            self.kube,
            Owned(self.kube, Always()),
            Always(),
            source=self.source,
            templates={"qps-per-replica": TEMPLATE},
            demands=lambda _namespace: tuple(self.demands),
            prometheus=PROMETHEUS,
        )

    def apply(self, *policies: dict[str, Any], **spec: Any) -> None:
        self.cluster.apply(
            {
                "apiVersion": "pilotage.dev/v1alpha1",
                "kind": "TenantQuota",
                "metadata": {"name": self.name},
                "spec": {"namespaces": [self.namespace], "scaling": list(policies), **spec},
            }
        )

    def policy(self, **said: Any) -> dict[str, Any]:
        return {
            "name": "qps",
            "target": {"name": "search", "namespace": self.namespace},
            "metric": {"templateRef": "qps-per-replica"},
            "value": 5000,
            "min": 3,
            "max": 20,
            **said,
        }

    async def keep(self) -> Kept:
        """Ask the keeper once, and write what it says."""
        tenant = TenantQuota.model_validate(json.loads(self.cluster.kubectl("get", "tq", self.name, "-o", "json")))
        kept = await self.keeper.keep(Seen(tenant, (self.namespace,)), datetime.now(UTC))
        states = [each.to_wire() for each in kept.status.get("scaling", ())]
        patch = json.dumps({"status": {"scaling": states}})
        self.cluster.kubectl("patch", "tq", self.name, "--subresource=status", "--type=merge", "-p", patch)
        return kept

    async def state(self) -> ScalingStatus:
        """How the policy stands after the keeper was asked."""
        (state,) = (await self.keep()).status["scaling"]
        assert isinstance(state, ScalingStatus)
        return state

    def get(self, what: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.cluster.kubectl("get", what, "-n", self.namespace, "-o", "json"))
        return found

    def names(self, kind: str) -> list[str]:
        return self.cluster.kubectl("get", kind, "-n", self.namespace, "-o", "name").split()

    def replicas(self) -> int:
        found: int = self.get("deployment/search")["spec"]["replicas"]
        return found

    def deploy(self, *arguments: str) -> None:
        """A Deployment that leaves its replicas open, unless told otherwise."""
        self.cluster.kubectl("create", "deployment", "search", "--image=none", "-n", self.namespace, *arguments)

    def autoscale(self) -> None:
        """Somebody else's HPA."""
        self.cluster.kubectl("autoscale", "deployment", "search", "--max=5", "-n", self.namespace)


@pytest.fixture
async def tenant(cluster: Cluster, operator_kube: Kube, enrolled_tenant: str) -> AsyncIterator[Tenant]:
    async with PrometheusSource(NOBODY) as source:
        made = Tenant(cluster, operator_kube, source, f"tenant-{secrets.token_hex(4)}", enrolled_tenant)
        yield made
        cluster.kubectl("delete", "tq", made.name, "--ignore-not-found")


@pytest.fixture
def keda(cluster: Cluster) -> Iterator[None]:
    """A definition of ScaledObjects as small as it goes: without KEDA, nobody acts on them."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    names = {
        "kind": "ScaledObject",
        "listKind": "ScaledObjectList",
        "plural": "scaledobjects",
        "singular": "scaledobject",
    }
    version = {"name": "v1alpha1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    cluster.apply(
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": SCALED},
            "spec": {
                "group": "keda.sh",
                "scope": "Namespaced",
                "names": names,
                "versions": [{**version, "subresources": {"status": {}}}],
            },
        }
    )
    cluster.kubectl("wait", "--for=condition=Established", f"crd/{SCALED}", "--timeout=30s")
    yield
    cluster.kubectl("delete", "crd", SCALED)


async def test_a_policy_becomes_an_hpa_that_the_api_server_takes_as_it_is(tenant: Tenant) -> None:
    tenant.deploy()
    tenant.apply(tenant.policy())
    assert (await tenant.state()).state in CARRIED_OUT
    made = tenant.get(f"{HPAS}/tq-{tenant.name}-qps")
    [owner] = made["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("TenantQuota", tenant.name)
    spec = made["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"], spec["scaleTargetRef"]["name"]) == (3, 20, "search")
    up, down = spec["behavior"]["scaleUp"], spec["behavior"]["scaleDown"]
    assert (up["stabilizationWindowSeconds"], down["stabilizationWindowSeconds"]) == (0, 600)
    assert {each["periodSeconds"] for each in up["policies"]} == {300}
    assert {each["periodSeconds"] for each in down["policies"]} == {600}
    assert (up["tolerance"], down["tolerance"]) == ("100m", "500m")
    assert spec["metrics"][0]["external"]["target"] == {"type": "Value", "value": "5k"}
    kept = await tenant.keep()
    assert kept.happened == ()
    assert (
        tenant.get(f"{HPAS}/tq-{tenant.name}-qps")["metadata"]["resourceVersion"]
        == (made["metadata"]["resourceVersion"])
    )


async def test_drift_of_an_hpa_is_repaired_and_it_goes_with_its_policy(tenant: Tenant) -> None:
    tenant.deploy()
    tenant.apply(tenant.policy())
    await tenant.keep()
    name = f"tq-{tenant.name}-qps"
    tenant.cluster.kubectl(
        "patch", HPAS, name, "-n", tenant.namespace, "--type=merge", "-p", '{"spec":{"maxReplicas":500}}'
    )
    await tenant.keep()
    assert tenant.get(f"{HPAS}/{name}")["spec"]["maxReplicas"] == 20
    tenant.restart()
    tenant.apply()
    await tenant.keep()
    assert tenant.names(HPAS) == []


async def test_another_engine_takes_the_hpa_away_first(tenant: Tenant) -> None:
    tenant.deploy()
    tenant.apply(tenant.policy())
    await tenant.keep()
    tenant.apply(tenant.policy(engine="scale"))
    await tenant.keep()
    assert tenant.names(HPAS) == []
    assert (await tenant.state()).reason in ("Bounded", "MetricLost")
    assert tenant.replicas() == 3


@pytest.mark.usefixtures("keda")
async def test_where_keda_is_installed_a_policy_becomes_a_scaled_object(tenant: Tenant) -> None:
    tenant.deploy()
    tenant.apply(tenant.policy(engine="keda"))
    assert (await tenant.state()).state in CARRIED_OUT
    spec = tenant.get(f"{SCALED}/tq-{tenant.name}-qps")["spec"]
    (trigger,) = spec["triggers"]
    assert trigger["metadata"] == {
        "serverAddress": PROMETHEUS,
        "query": f'avg(rate(requests_total{{namespace=~"{tenant.namespace}"}}[1m]))',
        "threshold": "5000",
        "ignoreNullValues": "false",
    }
    assert spec["fallback"]["behavior"] == "currentReplicasIfHigher"
    tenant.demands.append(Demand("one", DEPLOYMENT, leaving=True))
    await tenant.keep()
    annotations = tenant.get(f"{SCALED}/tq-{tenant.name}-qps")["metadata"]["annotations"]
    assert annotations["autoscaling.keda.sh/paused-scale-in"] == "true"
    tenant.demands.clear()
    await tenant.keep()
    annotations = tenant.get(f"{SCALED}/tq-{tenant.name}-qps")["metadata"]["annotations"]
    assert annotations["autoscaling.keda.sh/paused-scale-in"] == "false"


async def test_without_keda_such_a_policy_is_refused_and_says_what_to_do(tenant: Tenant) -> None:
    tenant.deploy()
    tenant.apply(tenant.policy(engine="keda"))
    state = await tenant.state()
    assert (state.state, state.reason) == ("Refused", "KedaMissing")
    assert "install it, or set engine to hpa or scale" in state.message


@pytest.mark.parametrize("engine", ["scale", "hpa"])
async def test_where_an_autoscaler_targets_the_object_a_policy_is_refused_with_a_condition(
    tenant: Tenant, engine: str
) -> None:
    tenant.deploy()
    tenant.autoscale()
    tenant.apply(tenant.policy(engine=engine))
    kept = await tenant.keep()
    (state,) = kept.status["scaling"]
    assert (state.state, state.reason) == ("Refused", "AutoscalerPresent")
    (finding,) = kept.findings
    assert (finding.type, finding.status, finding.reason) == ("ScalingActive", "False", "AutoscalerPresent")
    assert "HorizontalPodAutoscaler search scales Deployment search already" in kept.conflicts[0]
    assert tenant.names(HPAS) == ["horizontalpodautoscaler.autoscaling/search"]
    assert tenant.replicas() == 1
    assert [each.action for each in kept.happened] == ["RefuseScaling"]
    assert (await tenant.keep()).happened == ()
    tenant.cluster.kubectl("delete", HPAS, "search", "-n", tenant.namespace)
    kept = await tenant.keep()
    assert [each.action for each in kept.happened] == (["Scale"] if engine == "scale" else ["ResumeScaling"])


@pytest.mark.parametrize("how", ["server-side", "client-side"])
async def test_replicas_that_a_manifest_declares_are_never_written(tenant: Tenant, how: str) -> None:
    tenant.deploy("--replicas=2")
    found = tenant.get("deployment/search")
    manifest = {"apiVersion": "apps/v1", "kind": "Deployment", "spec": found["spec"]}
    manifest["metadata"] = {"name": "search", "namespace": tenant.namespace}
    given = ("--server-side", "--field-manager=argocd-controller", "--force-conflicts")
    tenant.cluster.apply(manifest, arguments=given if how == "server-side" else ())
    tenant.apply(tenant.policy(engine="scale"))
    state = await tenant.state()
    assert (state.state, state.reason) == ("Refused", "ReplicasDeclared")
    by = "argocd-controller" if how == "server-side" else "kubectl apply"
    assert f"in the manifest that {by} applies: take spec.replicas out of it" in state.message
    assert tenant.replicas() == 2
    del manifest["spec"]["replicas"]
    tenant.cluster.apply(manifest, arguments=given if how == "server-side" else ())
    assert (await tenant.state()).reason == "Bounded"
    assert tenant.replicas() == 3


async def test_the_scale_subresource_is_written_under_a_field_manager_of_its_own(tenant: Tenant) -> None:
    tenant.deploy()
    tenant.apply(tenant.policy(engine="scale"))
    await tenant.keep()
    found = json.loads(
        tenant.cluster.kubectl(
            "get", "deployment", "search", "-n", tenant.namespace, "--show-managed-fields", "-o", "json"
        )
    )
    owners = [
        (each["manager"], each["operation"], each.get("subresource"))
        for each in found["metadata"]["managedFields"]
        if "f:replicas" in each["fieldsV1"].get("f:spec", {})
    ]
    assert owners == [("pilotage-scaling", "Apply", "scale")]


async def test_a_lost_metric_freezes_and_says_why(tenant: Tenant) -> None:
    tenant.deploy("--replicas=7")
    tenant.apply(tenant.policy(engine="scale"))
    kept = await tenant.keep()
    (state,) = kept.status["scaling"]
    assert (state.state, state.reason, state.replicas) == ("Frozen", "MetricLost", 7)
    assert state.metric_lost_time is not None
    assert "Prometheus" in state.message
    assert [each.action for each in kept.happened] == ["Freeze"]
    assert tenant.replicas() == 7


async def test_a_rollouts_step_raises_the_minimum_within_the_policys_maximum(tenant: Tenant) -> None:
    tenant.deploy()
    tenant.apply(tenant.policy(), mode="enforce")
    tenant.demands.append(Demand("semantic-search", DEPLOYMENT, minimum=8))
    assert (await tenant.state()).minimum == 8
    assert tenant.get(f"{HPAS}/tq-{tenant.name}-qps")["spec"]["minReplicas"] == 8
    tenant.demands[:] = [Demand("semantic-search", DEPLOYMENT, minimum=50)]
    assert (await tenant.state()).minimum == 20
    tenant.demands[:] = [Demand("semantic-search", ("Deployment", "other"), minimum=8)]
    assert (await tenant.state()).minimum == 3


async def test_a_dry_run_writes_nothing_and_tells_what_it_would_do(tenant: Tenant) -> None:
    tenant.deploy()
    tenant.apply(tenant.policy(engine="scale"), mode="dryRun")
    state = await tenant.state()
    assert (state.desired, state.replicas, tenant.replicas()) == (3, 1, 1)
    tenant.apply(tenant.policy(), mode="dryRun")
    await tenant.keep()
    assert tenant.names(HPAS) == []


async def test_of_two_policies_for_one_workload_the_second_is_refused(tenant: Tenant) -> None:
    tenant.deploy()
    tenant.apply(tenant.policy(), tenant.policy(name="cpu", metric={"resource": "cpu"}, value=70))
    first, second = (await tenant.keep()).status["scaling"]
    assert first.state in CARRIED_OUT
    assert (second.state, second.reason) == ("Refused", "TargetTaken")
    assert "policy qps scales Deployment search already" in second.message
    assert len(tenant.names(HPAS)) == 1


async def test_in_a_namespace_that_is_not_enrolled_nothing_is_scaled(
    cluster: Cluster, operator_kube: Kube, namespace: str
) -> None:
    async with PrometheusSource(NOBODY) as source:
        tenant = Tenant(cluster, operator_kube, source, f"tenant-{secrets.token_hex(4)}", namespace)
        tenant.deploy()
        tenant.apply(tenant.policy(engine="scale"))
        state = await tenant.state()
        cluster.kubectl("delete", "tq", tenant.name)
    assert (state.state, state.reason) == ("Refused", "NotAllowed")
    assert "enrol the namespace" in state.message
    assert tenant.replicas() == 1


@pytest.mark.usefixtures("crds")
@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"metric": {"query": "avg(q)"}}, "an HPA knows no PromQL"),
        ({"metric": {"resource": "cpu"}, "engine": "scale"}, "engine scale reads Prometheus"),
        ({"up": {"factor": "1.2", "cooldown": "5m"}, "down": {"factor": "0.6", "cooldown": "5m"}}, "more than twice"),
    ],
)
def test_a_policy_that_its_engine_cannot_carry_out_is_refused_by_the_api_server(
    cluster: Cluster, said: dict[str, Any], words: str
) -> None:
    policy = {
        "name": "qps",
        "target": {"name": "search", "namespace": "shop"},
        "metric": {"templateRef": "a"},
        "value": 1,
        "max": 2,
        **said,
    }
    with pytest.raises(KubectlError, match=words):
        cluster.apply(
            {
                "apiVersion": "pilotage.dev/v1alpha1",
                "kind": "TenantQuota",
                "metadata": {"name": "never"},
                "spec": {"namespaces": ["shop"], "scaling": [policy]},
            },
            arguments=("--dry-run=server",),
        )
