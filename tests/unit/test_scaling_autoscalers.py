"""Scaling policies as the objects of Kubernetes and KEDA that carry them out."""

from decimal import Decimal
from typing import Any

import pytest

from pilotage.resources.tenant_scaling import ScalingPolicy
from pilotage.tenancy.autoscalers import (
    PAUSED_SCALE_IN,
    InForce,
    PolicyError,
    behavior_of,
    horizontal_pod_autoscaler,
    name_of,
    quantity_text,
    scaled_object,
    targets_of,
    without_tolerance,
)
from pilotage.tenancy.scaling import Targets

FORCE = InForce(minimum=3, maximum=20, query="avg(rate(q[1m]))", prometheus="http://prometheus:9090")


def policy(**said: Any) -> ScalingPolicy:
    given = {
        "name": "qps",
        "target": {"name": "vector-search", "namespace": "shop"},
        "metric": {"templateRef": "qps-per-replica"},
        "value": 5000,
        "min": 3,
        "max": 20,
    }
    return ScalingPolicy.model_validate({**given, **said})


def test_a_cooldown_becomes_the_period_of_a_rate_and_not_the_stabilization_of_the_way_up() -> None:
    behavior = behavior_of(policy())
    up, down = behavior["scaleUp"], behavior["scaleDown"]
    assert (up["stabilizationWindowSeconds"], down["stabilizationWindowSeconds"]) == (0, 600)
    assert [each["periodSeconds"] for each in (*up["policies"], *down["policies"])] == [300, 300, 600, 600]
    assert (up["tolerance"], down["tolerance"]) == ("100m", "500m")


def test_an_hpa_keeps_the_average_that_a_template_yields() -> None:
    made = horizontal_pod_autoscaler("search-prod", policy(), FORCE)
    assert made["metadata"] == {"name": "tq-search-prod-qps", "namespace": "shop"}
    spec = made["spec"]
    assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "vector-search"}
    assert (spec["minReplicas"], spec["maxReplicas"]) == (3, 20)
    assert spec["metrics"] == [
        {
            "type": "External",
            "external": {"metric": {"name": "qps-per-replica"}, "target": {"type": "Value", "value": "5k"}},
        }
    ]


def test_an_hpa_keeps_the_utilization_of_what_pods_request() -> None:
    made = horizontal_pod_autoscaler("a", policy(metric={"resource": "cpu"}, value=70), FORCE)
    target = {"type": "Utilization", "averageUtilization": 70}
    assert made["spec"]["metrics"] == [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]


def test_keda_reads_no_missing_metric_as_zero_and_never_falls_back_to_fewer() -> None:
    made = scaled_object("search-prod", policy(engine="keda"), FORCE)
    (trigger,) = made["spec"]["triggers"]
    assert trigger["metadata"]["ignoreNullValues"] == "false"
    assert trigger["metadata"]["threshold"] == "5000"
    assert trigger["metricType"] == "Value"
    assert made["spec"]["fallback"] == {"failureThreshold": 3, "replicas": 3, "behavior": "currentReplicasIfHigher"}
    assert "cooldownPeriod" not in made["spec"]  # it is about scaling to zero only


def test_while_users_are_taken_back_neither_engine_scales_in() -> None:
    leaving = InForce(minimum=3, maximum=20, leaving=True, query=FORCE.query, prometheus=FORCE.prometheus)
    made = horizontal_pod_autoscaler("a", policy(), leaving)
    assert made["spec"]["behavior"]["scaleDown"]["selectPolicy"] == "Disabled"
    paused = scaled_object("a", policy(), leaving)
    assert paused["metadata"]["annotations"] == {PAUSED_SCALE_IN: "true"}
    assert paused["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]["selectPolicy"] == (
        "Disabled"
    )


def test_an_older_api_server_gets_no_tolerance() -> None:
    made = without_tolerance(horizontal_pod_autoscaler("a", policy(), FORCE))
    assert "tolerance" not in str(made)
    assert made["spec"]["behavior"]["scaleUp"]["stabilizationWindowSeconds"] == 0


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"metric": {"query": "avg(q)"}}, "knows no PromQL"),
        ({"up": {"factor": "1.2", "cooldown": "1h"}}, "up.cooldown is 1h: with engine hpa it must be 1s to 30m"),
    ],
)
def test_what_an_hpa_cannot_do_is_said_with_the_remedy(said: dict[str, Any], words: str) -> None:
    with pytest.raises(PolicyError, match=words):
        horizontal_pod_autoscaler("a", policy(**said), FORCE)


def test_keda_needs_a_query_and_an_address() -> None:
    with pytest.raises(PolicyError, match="address of Prometheus"):
        scaled_object("a", policy(engine="keda"), InForce(minimum=1, maximum=2))


@pytest.mark.parametrize(
    "said",
    [
        {"value": 0},
        {"up": {"factor": "1.2", "cooldown": "300s"}, "down": {"factor": "0.6", "cooldown": "600s"}},
        {"up": {"factor": "1", "cooldown": "300s"}, "down": {"factor": "0.2", "cooldown": "600s"}},
    ],
)
def test_thresholds_that_would_flap_are_no_targets(said: dict[str, Any]) -> None:
    with pytest.raises(PolicyError):
        targets_of(policy(**said), minimum=1, maximum=2)


def test_the_defaults_are_the_thresholds_and_cooldowns_that_are_documented() -> None:
    assert targets_of(policy(), minimum=3, maximum=20) == Targets(5000.0, 3, 20, 1.2, 0.5, 300.0, 600.0)


def test_a_name_leaves_room_for_the_one_that_keda_makes_of_it() -> None:
    assert len("keda-hpa-" + name_of("t" * 253, policy())) <= 253


@pytest.mark.parametrize(
    ("amount", "text"), [("5000", "5k"), ("70", "70"), ("0.1", "100m"), ("1", "1"), ("1500", "1500"), ("0", "0")]
)
def test_quantities_are_written_as_the_api_server_keeps_them(amount: str, text: str) -> None:
    assert quantity_text(Decimal(amount)) == text
