"""How many replicas a tenant's workloads have: scaling policies, and how each stands."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from pilotage.resources.base import ApiVersion, Duration, Kind, Message, Model, Name, ObjectName, PromQL, Time
from pilotage.resources.cel import Validation, each, validations
from pilotage.resources.status import Short
from pilotage.resources.tenant_amounts import NamespaceName, Quantity, Ratio, Told

Engine = Literal["hpa", "keda", "scale"]


class ScalingTarget(Model):
    """A workload with a scale subresource."""

    api_version: ApiVersion = "apps/v1"
    """apiVersion of the workload."""
    kind: Kind = "Deployment"
    """kind of the workload."""
    name: ObjectName
    """name of the workload."""
    namespace: NamespaceName
    """namespace of the workload, one of the tenant's."""


class ScalingMetric(Model):
    """What is compared with `value`: a metric averaged over the instances, or the utilization of what they request."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            Validation(
                "(has(self.templateRef) ? 1 : 0) + (has(self.query) ? 1 : 0) + (has(self.resource) ? 1 : 0) == 1",
                "give one of: templateRef, query, resource",
            ),
        )
    )

    template_ref: ObjectName | None = None
    """templateRef names an IndicatorTemplate that yields the average of one instance. The engine hpa asks an external
    metrics API for a metric of this name."""
    query: PromQL | None = None
    """query is PromQL that yields the average of one instance."""
    resource: Literal["cpu", "memory"] | None = None
    """resource whose utilization is kept: the value is then in percent of what the pods request. For the engines
    hpa and keda."""


class Direction(Model):
    """When to scale in one direction, and how often."""

    factor: Ratio
    """factor of the value beyond which it is scaled: above it at once, below it in larger steps."""
    cooldown: Duration
    """cooldown within which replicas at most triple (up) or change once (down), and the window of metrics that a way
    down rests on."""


_FACTORS = (
    "!string(self.up.factor).matches(r'^[0-9]{1,6}([.][0-9]{1,6})?$')"
    " || !string(self.down.factor).matches(r'^[0-9]{1,6}([.][0-9]{1,6})?$')"
)


class ScalingPolicy(Model):
    """Keeps a metric of one workload at a value."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            Validation("self.min <= self.max", "min is above max: lower min, or raise max", field=".min"),
            Validation(
                "self.engine != 'hpa' || !has(self.metric.query)",
                "an HPA knows no PromQL: set engine to keda or scale, or give templateRef or resource",
                field=".metric",
            ),
            Validation(
                "self.engine != 'scale' || !has(self.metric.resource)",
                "engine scale reads Prometheus: set engine to hpa or keda, or give templateRef or query",
                field=".metric",
            ),
            Validation(
                f"{_FACTORS} || double(self.up.factor) > 2.0 * double(self.down.factor)",
                "up.factor must be more than twice down.factor, such as 1.2 and 0.5: with less, two instances become"
                " one and one becomes two again",
                field=".up",
            ),
            Validation(
                f"{_FACTORS} || (double(self.up.factor) > 1.0 && double(self.down.factor) < 1.0)",
                "up.factor must be above 1 and down.factor below 1, such as 1.2 and 0.5",
                field=".up",
            ),
        )
    )

    name: Name
    """name of the policy."""
    target: ScalingTarget
    """target that is scaled."""
    metric: ScalingMetric
    """metric that is kept."""
    value: Quantity
    """value that the metric is kept at, such as 5000 requests per second of one instance, or 70 percent."""
    min: Annotated[int, Field(ge=1, le=10_000)] = 1
    """min replicas."""
    max: Annotated[int, Field(ge=1, le=10_000)]
    """max replicas."""
    up: Direction = Direction(factor="1.2", cooldown="300s")
    """up says when to add instances."""
    down: Direction = Direction(factor="0.5", cooldown="600s")
    """down says when to remove instances."""
    engine: Engine = "hpa"
    """engine that scales: a HorizontalPodAutoscaler or a KEDA ScaledObject that the operator owns, or the scale
    subresource itself, where no autoscaler targets the object."""


class ScalingStatus(Model):
    """How one scaling policy stands."""

    name: Told
    """name of the policy."""
    target: Short = ""
    """target as `shop/Deployment/vector-search`."""
    engine: Told = ""
    """engine that scales it."""
    value: Told = ""
    """value of the metric; empty if unknown."""
    replicas: Annotated[int | None, Field(ge=0, le=100_000)] = None
    """replicas that it has."""
    desired: Annotated[int | None, Field(ge=0, le=100_000)] = None
    """desired replicas by the policy."""
    minimum: Annotated[int | None, Field(ge=0, le=100_000)] = None
    """minimum in force: the policy's, or what a rollout's step has asked for."""
    maximum: Annotated[int | None, Field(ge=0, le=100_000)] = None
    """maximum in force."""
    state: Literal["Scaling", "Steady", "Frozen", "Refused", "Unknown"] = "Unknown"
    """state in one word; Frozen while its metric is lost or users are taken back, Refused where something else scales
    the target or a person has to change something."""
    reason: Told = ""
    """reason is one CamelCase word."""
    scaled_up_time: Time | None = None
    """scaledUpTime is when instances were added last."""
    scaled_down_time: Time | None = None
    """scaledDownTime is when instances were removed last."""
    risen_time: Time | None = None
    """risenTime is when the last rise beyond the upper threshold began."""
    risen_from: Annotated[int | None, Field(ge=0, le=100_000)] = None
    """risenFrom are the replicas that there were then."""
    metric_lost_time: Time | None = None
    """metricLostTime is since when the metric is lost."""
    metric_found_time: Time | None = None
    """metricFoundTime is when it came back last."""
    message: Message = ""
    """message for people."""


OWN_NAMESPACES = each(
    "!(s.target.namespace in self.namespaces)",
    "scaling[%d] %s: namespace %s is none of the tenant's: add it to namespaces, or name another target",
    *("i", "s.name", "s.target.namespace"),
    message="a scaling target must be in one of the tenant's namespaces",
    listed="self.scaling",
    field=".scaling",
)
"""Rule of the spec."""
