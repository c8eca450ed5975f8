"""TenantQuota: who a tenant is, what it may use, and what follows when that is too much.

It is cluster-scoped and belongs to the platform team: who may write in a namespace must not be able to raise its quota.
Namespaces are listed by name, because labels can be set by tenants.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, StringConstraints

from pilotage.resources.base import ATOMIC, SET, Model, Resource, keyed_by
from pilotage.resources.cel import Validation, each, validations
from pilotage.resources.tenant_access import Access, Compute, LimitDefaults, Owner
from pilotage.resources.tenant_amounts import Grant, NamespaceName
from pilotage.resources.tenant_cost import METERED, PRICED, Cost
from pilotage.resources.tenant_scaling import OWN_NAMESPACES, ScalingPolicy
from pilotage.resources.tenant_status import TenantQuotaStatus
from pilotage.resources.tenant_usage import QuotaResource

Isolation = Literal["shared", "dedicated-shard", "dedicated-cluster"]

State = Literal["active", "suspended", "archived"]

_GRANTED = each(
    "!self.resources.exists(r, r.name == s.resource)",
    "grants[%d]: there is no resource %s in resources",
    *("i", "s.resource"),
    message="a grant must name one of resources",
    listed="self.grants",
    field=".grants",
)

_THROTTLED = Validation(
    "self.resources.all(r, r.throttle.targets.all(t, t.namespace in self.namespaces))",
    "a throttle's target must be in one of the tenant's namespaces: add it to namespaces, or name another target",
    field=".resources",
)


class TenantQuotaSpec(Model):
    """What a tenant is and may use."""

    model_config = ConfigDict(json_schema_extra=validations(_GRANTED, OWN_NAMESPACES, _THROTTLED, PRICED, METERED))

    display_name: Annotated[str, StringConstraints(max_length=100)] = ""
    """displayName for people and reports."""
    type: Literal["enterprise", "department", "application", "development"] = "application"
    """type of tenant."""
    owner: Owner = Owner()
    """owner who answers for it."""
    regions: Annotated[
        tuple[Annotated[str, StringConstraints(pattern=r"^[a-z0-9][-a-z0-9]*$", max_length=63)], ...],
        Field(max_length=16, json_schema_extra=SET),
    ] = ()
    """regions where it lives."""
    isolation: Isolation = "shared"
    """isolation of its data and network; dedicated-* denies traffic from outside its namespaces by default."""
    state: State = "active"
    """state: of a suspended tenant rollouts go to their safe state and hold, of an archived one they are closed."""
    namespaces: Annotated[tuple[NamespaceName, ...], Field(max_length=64, json_schema_extra=SET)] = ()
    """namespaces that belong to the tenant, by name. No other TenantQuota may list them."""
    access: Access = Access()
    """access to the namespaces."""
    resources: Annotated[tuple[QuotaResource, ...], Field(max_length=16, json_schema_extra=keyed_by("name"))] = ()
    """resources that are measured, each with its limits."""
    compute: Compute = Field(default_factory=dict)
    """compute is what the pods of each namespace may request in all, by the names of a ResourceQuota:
    `requests.cpu: "64"`."""
    limit_range: LimitDefaults | None = None
    """limitRange of containers in each namespace."""
    scaling: Annotated[tuple[ScalingPolicy, ...], Field(max_length=16, json_schema_extra=keyed_by("name"))] = ()
    """scaling policies of the tenant's workloads."""
    cost: Cost | None = None
    """cost says how the tenant's cost is found."""
    max_advancing: Annotated[int | None, Field(ge=1, le=10_000, json_schema_extra={"format": "int32"})] = None
    """maxAdvancing is how many of its rollouts advance at once, that is, have users in a step that is not proven."""
    grants: Annotated[tuple[Grant, ...], Field(max_length=16, json_schema_extra=ATOMIC)] = ()
    """grants raise limits for a while."""
    mode: Literal["dryRun", "enforce"] = "enforce"
    """mode is `dryRun` to measure and report what would be done, and to hold, throttle and change nothing."""


class TenantQuota(Resource):
    """A tenant: its identity, namespaces, quota, scaling and cost. Written by the platform team."""

    kind: ClassVar[str] = "TenantQuota"
    plural: ClassVar[str] = "tenantquotas"
    short_names: ClassVar[tuple[str, ...]] = ("tq",)
    namespaced: ClassVar[bool] = False
    printer_columns: ClassVar[tuple[dict[str, Any], ...]] = (
        {"name": "Tenant", "type": "string", "jsonPath": ".spec.displayName"},
        {"name": "State", "type": "string", "jsonPath": ".spec.state"},
        {"name": "Usage", "type": "string", "jsonPath": ".status.summary.usage"},
        {"name": "Cost", "type": "string", "jsonPath": ".status.summary.cost"},
        {"name": "Level", "type": "string", "jsonPath": ".status.summary.worst"},
        {"name": "Action", "type": "string", "jsonPath": ".status.summary.action"},
        {"name": "Mode", "type": "string", "jsonPath": ".spec.mode"},
        {"name": "Type", "type": "string", "jsonPath": ".spec.type", "priority": 1},
        {"name": "Isolation", "type": "string", "jsonPath": ".spec.isolation", "priority": 1},
        {"name": "Team", "type": "string", "jsonPath": ".spec.owner.team", "priority": 1},
        {"name": "Message", "type": "string", "jsonPath": ".status.message", "priority": 1},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    )

    spec: TenantQuotaSpec
    """spec says who the tenant is and what it may use."""
    status: TenantQuotaStatus = TenantQuotaStatus()
    """status is where the tenant stands; only the operator writes it."""
