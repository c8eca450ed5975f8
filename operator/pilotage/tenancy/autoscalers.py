"""Autoscalers: a scaling policy as the HorizontalPodAutoscaler or the KEDA ScaledObject that carries it out.

A cooldown becomes `periodSeconds` of a rate, not `stabilizationWindowSeconds`: that one holds a change back until the
metric has been beyond its value for all of the time, which is no cooldown. The thresholds become tolerances, where the
API server knows them for each direction.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from pilotage.resources.durations import parse_duration
from pilotage.resources.tenant_scaling import ScalingPolicy
from pilotage.tenancy.amounts import parse_amount, plain
from pilotage.tenancy.scaling import RISE_FACTOR, RISE_PODS, SHED_SHARE, Targets

PAUSED_SCALE_IN = "autoscaling.keda.sh/paused-scale-in"

_LONGEST_PERIOD_SECONDS = 1800
_POLLING_SECONDS = 30
_FAILURES = 3
_NAME_LIMIT = 253
_HPA_PREFIX = "keda-hpa-"


class PolicyError(Exception):
    """A policy that its engine can't carry out; the message names the remedy."""


@dataclass(frozen=True, slots=True)
class InForce:
    """What goes into an autoscaler beside the policy.

    Attributes:
        minimum: replicas at least: the policy's, or what a rollout's step has asked for.
        maximum: replicas at most.
        leaving: users are being taken back: nothing is scaled in.
        query: PromQL of the metric; empty if the policy has none.
        prometheus: URL of Prometheus as KEDA reaches it.
    """

    minimum: int
    maximum: int
    leaving: bool = False
    query: str = ""
    prometheus: str = ""


def targets_of(policy: ScalingPolicy, *, minimum: int, maximum: int) -> Targets:
    """The policy as numbers.

    Raises:
        PolicyError: something of it can't be meant.
    """
    up, down = Decimal(str(policy.up.factor)), Decimal(str(policy.down.factor))
    value = parse_amount(policy.value)
    if value <= 0:
        raise PolicyError("value must be above 0")
    if not (up > 2 * down and up > 1 > down):
        raise PolicyError("up.factor must be above 1, and more than twice down.factor, such as 1.2 and 0.5")
    return Targets(
        value=float(value),
        minimum=minimum,
        maximum=maximum,
        up_factor=float(up),
        down_factor=float(down),
        up_seconds=parse_duration(policy.up.cooldown),
        down_seconds=parse_duration(policy.down.cooldown),
    )


def name_of(tenant: str, policy: ScalingPolicy) -> str:
    """The autoscaler's name: KEDA makes an HPA of it with a longer one."""
    return f"tq-{tenant}-{policy.name}"[: _NAME_LIMIT - len(_HPA_PREFIX)].rstrip("-.")


def horizontal_pod_autoscaler(tenant: str, policy: ScalingPolicy, force: InForce) -> dict[str, Any]:
    """The policy as an HPA of autoscaling/v2.

    Raises:
        PolicyError: an HPA can't do that.
    """
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name_of(tenant, policy), "namespace": policy.target.namespace},
        "spec": {
            "scaleTargetRef": _target_of(policy),
            "minReplicas": force.minimum,
            "maxReplicas": force.maximum,
            "metrics": [_metric_of(policy)],
            "behavior": behavior_of(policy, leaving=force.leaving),
        },
    }


def scaled_object(tenant: str, policy: ScalingPolicy, force: InForce) -> dict[str, Any]:
    """The policy as KEDA's ScaledObject.

    KEDA reads an empty answer, NaN and infinity as 0 unless `ignoreNullValues` is "false", and may scale in while its
    metric is lost unless it falls back to what is there.

    Raises:
        PolicyError: KEDA can't do that.
    """
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {
            "name": name_of(tenant, policy),
            "namespace": policy.target.namespace,
            # Always there: what is left out would stay where it was set before.
            "annotations": {PAUSED_SCALE_IN: "true" if force.leaving else "false"},
        },
        "spec": {
            "scaleTargetRef": _target_of(policy),
            "pollingInterval": _POLLING_SECONDS,
            "minReplicaCount": force.minimum,
            "maxReplicaCount": force.maximum,
            **_fallback_of(policy, force),
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior_of(policy, leaving=force.leaving)}},
            "triggers": [_trigger_of(policy, force)],
        },
    }


def behavior_of(policy: ScalingPolicy, *, leaving: bool = False) -> dict[str, Any]:
    """How fast, and beyond which thresholds: up by the ratio and at once, down by the rate and after a window.

    Raises:
        PolicyError: a cooldown is longer than a period can be.
    """
    up, down = _period(policy, "up"), _period(policy, "down")
    return {
        "scaleUp": {
            "stabilizationWindowSeconds": 0,
            "selectPolicy": "Max",
            "policies": [
                {"type": "Percent", "value": (RISE_FACTOR - 1) * 100, "periodSeconds": up},
                {"type": "Pods", "value": RISE_PODS, "periodSeconds": up},
            ],
            # Half of the way: an HPA does nothing within its tolerance, ever, and noise carries the rest over the
            # threshold (1.3 % of a simulated day against 0.4 %).
            "tolerance": quantity_text((Decimal(str(policy.up.factor)) - 1) / 2),
        },
        "scaleDown": {
            "stabilizationWindowSeconds": down,
            "selectPolicy": "Disabled" if leaving else "Max",
            "policies": [
                {"type": "Percent", "value": round(SHED_SHARE * 100), "periodSeconds": down},
                {"type": "Pods", "value": 1, "periodSeconds": down},
            ],
            "tolerance": quantity_text(1 - Decimal(str(policy.down.factor))),
        },
    }


def without_tolerance(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """An HPA for an API server that knows no tolerance of each direction (before 1.33, and without its gate)."""
    spec = manifest["spec"]
    behavior = {
        direction: {name: value for name, value in rules.items() if name != "tolerance"}
        for direction, rules in spec["behavior"].items()
    }
    return {**manifest, "spec": {**spec, "behavior": behavior}}


def _target_of(policy: ScalingPolicy) -> dict[str, str]:
    target = policy.target
    return {"apiVersion": target.api_version, "kind": target.kind, "name": target.name}


def _metric_of(policy: ScalingPolicy) -> dict[str, Any]:
    metric = policy.metric
    if metric.resource is not None:
        utilization = {"type": "Utilization", "averageUtilization": round(parse_amount(policy.value))}
        return {"type": "Resource", "resource": {"name": metric.resource, "target": utilization}}
    if metric.template_ref is None:
        raise PolicyError("an HPA knows no PromQL: set engine to keda or scale, or give templateRef or resource")
    # `Value`: the metric is an average already; `AverageValue` would divide it by the replicas once more.
    target = {"type": "Value", "value": quantity_text(parse_amount(policy.value))}
    return {"type": "External", "external": {"metric": {"name": metric.template_ref}, "target": target}}


def _trigger_of(policy: ScalingPolicy, force: InForce) -> dict[str, Any]:
    if policy.metric.resource is not None:
        utilization = {"value": plain(parse_amount(policy.value))}
        return {"type": policy.metric.resource, "metricType": "Utilization", "metadata": utilization}
    if not force.query or not force.prometheus:
        raise PolicyError("the query, or the address of Prometheus for KEDA, is not known")
    return {
        "type": "prometheus",
        "metricType": "Value",
        "metadata": {
            "serverAddress": force.prometheus,
            "query": force.query,
            "threshold": plain(parse_amount(policy.value)),
            "ignoreNullValues": "false",
        },
    }


def _fallback_of(policy: ScalingPolicy, force: InForce) -> dict[str, Any]:
    """What to do while the metric is lost.

    KEDA has no fallback for utilization, and older ones none for `Value`: there the HPA that KEDA makes gets no metric,
    and freezes by itself.
    """
    if policy.metric.resource is not None:
        return {}
    behavior = "currentReplicasIfHigher"
    return {"fallback": {"failureThreshold": _FAILURES, "replicas": force.minimum, "behavior": behavior}}


def _period(policy: ScalingPolicy, direction: Literal["up", "down"]) -> int:
    cooldown = getattr(policy, direction).cooldown
    seconds = parse_duration(cooldown)
    if not 1 <= seconds <= _LONGEST_PERIOD_SECONDS:
        raise PolicyError(f"{direction}.cooldown is {cooldown}: with engine {policy.engine} it must be 1s to 30m")
    return round(seconds)


def quantity_text(amount: Decimal) -> str:
    """The canonical text, to thousandths: any other, the API server writes anew, and it would differ at each look."""
    millis = round(amount * 1000)
    if millis % 1000:
        return f"{millis}m"
    whole, suffixes = millis // 1000, ["", "k", "M", "G", "T", "P", "E"]
    while whole and whole % 1000 == 0 and len(suffixes) > 1:
        whole //= 1000
        suffixes.pop(0)
    return f"{whole}{suffixes[0]}"
