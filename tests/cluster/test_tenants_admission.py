"""TenantQuotas at the API server: what is taken, with which defaults, and what is refused with which words."""

import copy
import secrets
from pathlib import Path
from typing import Any

import pytest
import yaml

from pilotage.resources.tenant import TenantQuota
from testbed import Cluster
from testbed.cluster import KubectlError
from tests.cluster.admission import apply, put, refusal, told

pytestmark = pytest.mark.usefixtures("crds")

FULL = yaml.safe_load((Path(__file__).parent / "data" / "tenant.yaml").read_text())


def tenant(changes: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = copy.deepcopy(FULL)
    made["metadata"]["name"] = f"test-{secrets.token_hex(4)}"
    for path, value in changes.items():
        put(made["spec"], path, value)
    return made


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "a soft limit above the hard one": ({"resources.0.soft": "1.1G"}, "spec.resources[0].soft", "soft is above hard"),
    "a binary suffix is compared as such": ({"resources.0.soft": "1Gi"}, "spec.resources[0].soft", "soft is above"),
    "an amount with a sign": ({"resources.0.hard": -5}, "spec.resources[0].hard", "write an amount of at least 0"),
    "an amount that is a float": ({"resources.0.hard": 1.5}, "spec.resources[0].hard", "must be of type integer"),
    "an unknown suffix": ({"resources.0.hard": "10K"}, "spec.resources[0].hard", "write an amount of at least 0"),
    "two resources of one name": ({"resources.1.name": "vectors"}, "spec.resources[1]", "Duplicate value"),
    "usage from two places": (
        {"resources.0.usage": {"templateRef": "a", "query": "up"}},
        "spec.resources[0].usage",
        "give templateRef or query",
    ),
    "usage from nowhere": ({"resources.0.usage": {}}, "spec.resources[0].usage", "give templateRef or query"),
    "params of a query": (
        {"resources.1.usage.params": {"a": "b"}},
        "spec.resources[1].usage.params",
        "params are for a template",
    ),
    "a param with a quote": (
        {"resources.0.usage.params": {"collection": 'a"} or up{b="'}},
        "spec.resources[0].usage.params",
        "write a name of lower-case letters",
    ),
    "a grant of an unknown resource": (
        {"grants.0.resource": "gpus"},
        "spec.grants",
        "grants[0]: there is no resource gpus in resources",
    ),
    "a scaling target elsewhere": (
        {"scaling.0.target.namespace": "kube-system"},
        "spec.scaling",
        "scaling[0] qps: namespace kube-system is none of the tenant's",
    ),
    "a throttle target elsewhere": (
        {"resources.1.throttle.targets.0.namespace": "other"},
        "spec.resources",
        "a throttle's target must be in one of the tenant's namespaces",
    ),
    "factors that flap": ({"scaling.0.down.factor": "0.6"}, "spec.scaling[0].up", "more than twice down.factor"),
    "an up factor below one": (
        {"scaling.0.up.factor": "0.9", "scaling.0.down.factor": "0.1"},
        "spec.scaling[0].up",
        "up.factor must be above 1",
    ),
    "min above max": ({"scaling.0.min": 21}, "spec.scaling[0].min", "min is above max"),
    "two metrics": ({"scaling.0.metric.resource": "cpu"}, "spec.scaling[0].metric", "give one of: templateRef"),
    "weights that don't sum to 1": (
        {"cost.allocate.0.weights.0.weight": "0.8"},
        "spec.cost.allocate[0].weights",
        "the weights must sum to 1",
    ),
    "a rate that is a float": ({"cost.rates.qps": 0.01}, "spec.cost.rates.qps", "must be of type integer"),
    "a currency in words": ({"cost.currency": "dollar"}, "spec.cost.currency", "may not be more than 3"),
    "a warning beyond the limit": ({"resources.0.warnAt": [101]}, "spec.resources[0].warnAt", "less than or equal"),
    "an unknown state": ({"state": "deleted"}, "spec.state", 'supported values: "active", "suspended", "archived"'),
    "a misspelt field": ({"namespace": ["shop"]}, "namespace", "unknown field"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_makes_no_sense_is_refused_with_the_field_and_the_remedy(cluster: Cluster, case: str) -> None:
    changes, field, message = REFUSED[case]
    said = refusal(cluster, "default", tenant(changes), "--dry-run=server")
    assert told(said, field, message), said


def test_the_full_example_comes_back_as_it_was_said(cluster: Cluster) -> None:
    stored = apply(cluster, "default", tenant({}), "--dry-run=server")
    read = TenantQuota.model_validate(stored).spec
    assert read == TenantQuota.model_validate(FULL).spec
    assert {**read.to_wire(), "grants": stored["spec"]["grants"]} == stored["spec"]


def test_defaults_are_in_the_schema(cluster: Cluster) -> None:
    made = tenant({})
    made["spec"] = {"resources": [{"name": "qps", "hard": 5, "usage": {"query": "up"}}]}
    spec = apply(cluster, "default", made, "--dry-run=server")["spec"]
    assert (spec["state"], spec["mode"], spec["isolation"]) == ("active", "enforce", "shared")
    (resource,) = spec["resources"]
    assert (resource["warnAt"], resource["onHard"], resource["maxAge"]) == ([80, 95], "hold", "5m")
    read = TenantQuota.model_validate({"metadata": {"name": "a"}, "spec": spec}).spec
    assert {name: value for name, value in read.to_wire().items() if name != "compute"} == spec


def test_a_tenant_who_writes_its_namespace_can_not_raise_its_quota(cluster: Cluster, namespace: str) -> None:
    """The kind is cluster-scoped: even the cluster's admin role in a namespace says nothing about it."""
    user = "--as=system:serviceaccount:default:tenant"
    cluster.kubectl(
        "create", "rolebinding", "tenant", "--clusterrole=admin", "--serviceaccount=default:tenant", "-n", namespace
    )
    for verb in ("create", "update", "patch", "delete"):
        with pytest.raises(KubectlError) as refused:  # `can-i` fails where the answer is no
            cluster.kubectl("auth", "can-i", verb, "tenantquotas.pilotage.dev", user)
        assert "no" in str(refused.value)
