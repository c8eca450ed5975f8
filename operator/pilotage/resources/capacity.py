"""Capacity of a rollout: the workload that serves its users, and how many replicas a step needs before they come."""

from typing import Annotated

from pydantic import Field, StringConstraints

from pilotage.resources.base import ApiVersion, Kind, Model, ObjectName, Time
from pilotage.resources.cel import Validation

Replicas = Annotated[int, Field(ge=0, le=100_000)]


class Workload(Model):
    """A workload with a scale subresource, in the rollout's namespace."""

    api_version: ApiVersion = "apps/v1"
    """apiVersion of the workload."""
    kind: Kind = "Deployment"
    """kind of the workload."""
    name: ObjectName
    """name of the workload."""

    @property
    def title(self) -> str:
        """Such as `Deployment vector-search`."""
        return f"{self.kind} {self.name}"


class StepScale(Model):
    """Capacity that is there before the users of a step are."""

    min_replicas: Annotated[int, Field(ge=1, le=10_000)]
    """minReplicas of spec.delivery.workload that must be ready before this step is entered. They stay as long as its
    users do."""


NEEDS_WORKLOAD = Validation(
    "!self.steps.exists(s, has(s.scale)) || (has(self.delivery) && has(self.delivery.workload))",
    "a step has scale, but it is not said of what: name the workload in delivery.workload",
    field=".delivery",
)
"""Rule of the spec."""


class CapacityStatus(Model):
    """Capacity that was asked for; it goes after the users have left."""

    target: Annotated[str, StringConstraints(max_length=320)]
    """target as `Deployment vector-search`."""
    minimum: Replicas
    """minimum of replicas as long as users have the feature."""
    step: Annotated[str, StringConstraints(max_length=253)]
    """step that asked for it last."""
    asked_time: Time
    """askedTime is when that was decided."""
    ready_time: Time | None = None
    """readyTime is when so many were seen to be ready."""
    before: Replicas = 0
    """before are the replicas that there were before any step asked."""
    raised: Replicas | None = None
    """raised are the replicas that the operator was to bring about; absent where there were enough."""
