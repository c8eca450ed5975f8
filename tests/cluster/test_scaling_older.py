"""An API server that knows no tolerance of each direction: the HPA goes without, and is not written for ever."""

import json
from datetime import UTC, datetime

import pytest

from pilotage.controller.tenants.keeping import Seen
from pilotage.controller.tenants.owned import Owned
from pilotage.controller.tenants.scaling_making import make_scaling
from pilotage.kube import Kube
from pilotage.metrics.source import PrometheusSource
from pilotage.resources.tenant import TenantQuota
from pilotage.resources.tenant_scaling import ScalingPolicy
from testbed import start_cluster

NOBODY = "http://127.0.0.1:9"
POLICY = ScalingPolicy.model_validate(
    {
        "name": "cpu",
        "target": {"name": "search", "namespace": "default"},
        "metric": {"resource": "cpu"},
        "value": 70,
        "min": 3,
        "max": 20,
    }
)
OWNER = {"name": "old", "uid": "6e0c3a0e-0000-4000-8000-000000000000", "generation": 1}


class Always:
    """This replica leads."""

    guard_seconds = 30.0

    def require(self) -> None:
        """It does."""


@pytest.mark.cluster("etcd", "kube-apiserver", "kubectl")
async def test_where_the_api_server_drops_tolerances_the_hpa_is_written_twice_and_then_left() -> None:
    tenant = TenantQuota.model_validate(
        {"metadata": OWNER, "spec": {"namespaces": ["default"], "scaling": [POLICY.to_wire()]}}
    )
    gate = "--feature-gates=HPAConfigurableTolerance=false"
    with start_cluster(("etcd", "kube-apiserver"), nodes=0, apiserver_flags=[gate]) as cluster:
        cluster.kubectl("create", "deployment", "search", "--image=none")
        async with await Kube.connect(cluster.kubeconfig) as kube, PrometheusSource(NOBODY) as source:
            owned = Owned(kube, Always())
            keeper = make_scaling(
                kube, owned, Always(), source=source, templates={}, demands=lambda _namespace: (), prometheus=""
            )
            versions = []
            for _ in range(4):
                kept = await keeper.keep(Seen(tenant, ("default",)), datetime.now(UTC))
                assert kept.failures == kept.conflicts == ()
                versions.append(json.loads(cluster.kubectl("get", "hpa", "tq-old-cpu", "-o", "json")))
    assert "tolerance" not in str(versions[0]["spec"])
    assert versions[0]["spec"]["behavior"]["scaleUp"]["stabilizationWindowSeconds"] == 0
    assert len({each["metadata"]["resourceVersion"] for each in versions}) == 1
