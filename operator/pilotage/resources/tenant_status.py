"""TenantQuota's status: where a tenant stands, what is in force, and what has changed."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from pilotage.resources.base import ATOMIC, SET, Condition, Message, Model, Time, keyed_by
from pilotage.resources.status import Count, Short
from pilotage.resources.tenant_amounts import NamespaceName, Told
from pilotage.resources.tenant_cost import CostStatus
from pilotage.resources.tenant_reservations import RESERVATIONS_LIMIT, Reservation
from pilotage.resources.tenant_scaling import ScalingStatus

Level = Literal["unknown", "within", "warning", "soft", "hard"]

ConditionType = Literal[
    "Ready", "UsageKnown", "WithinSoft", "WithinHard", "BudgetForecastOK", "Enforcing", "FieldConflict"
]

TRANSITIONS_LIMIT = 32

NAMESPACES_LIMIT = 128
"""Of status: those of the spec, and those that are being cleared."""


class ResourceStatus(Model):
    """Where a tenant stands with one resource. Amounts are plain decimals in the resource's unit."""

    name: Told
    """name of the resource."""
    unit: Told = ""
    """unit of the amounts: the currency where it is money."""
    used: Told = ""
    """used now, or since the month began; empty while it is unknown."""
    soft: Told = ""
    """soft limit in force, with grants."""
    hard: Told = ""
    """hard limit in force, with grants."""
    granted: Told = ""
    """granted is the part of the limits that expires."""
    reserved: Told = ""
    """reserved for steps that were begun, and not yet seen in used."""
    available: Told = ""
    """available is hard less used less reserved, at least 0; empty while used is unknown."""
    percent: Told = ""
    """percent of hard that is used; empty while it is unknown."""
    forecast: Told = ""
    """forecast of used at the end of the calendar month; empty if it can't be told."""
    level: Level = "unknown"
    """level is the highest limit that is exceeded, with hysteresis; the last known one while usage is unknown."""
    warned_at: Annotated[int | None, Field(ge=1, le=100)] = None
    """warnedAt is the highest of warnAt that people were told about."""
    action: Literal["none", "alert", "hold", "throttle", "scale"] = "none"
    """action that is in force (or would be, in dryRun)."""
    observed_time: Time | None = None
    """observedTime is that of the last known sample."""
    unknown_since: Time | None = None
    """unknownSince is since when usage is unknown; absent while it is known."""
    violation_since: Time | None = None
    """violationSince is since when hard is exceeded (soft, if hard is not)."""
    grace_until: Time | None = None
    """graceUntil is until when onHard does not act."""
    message: Message = ""
    """message says why usage is unknown, or what is exceeded by how much."""


class NamespaceStatus(Model):
    """How one of the tenant's namespaces stands."""

    name: Told
    """name of the namespace."""
    state: Literal["Pending", "Enrolled", "Missing", "Forbidden", "Conflict", "Leaving"]
    """state: Pending (not looked at yet), Enrolled, Missing (it does not exist), Forbidden (the operator has no rights
    there), Conflict (another TenantQuota lists it too), or Leaving (it is not listed any more, and being cleared)."""
    claimed_by: Annotated[tuple[Short, ...], Field(max_length=16, json_schema_extra=ATOMIC)] = ()
    """claimedBy are the other TenantQuotas that list it."""
    message: Message = ""
    """message for people."""


class Transition(Model):
    """One change that people are told about, once."""

    sequence: Count
    """sequence numbers transitions without a gap."""
    time: Time
    """time of the transition."""
    action: Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Za-z]*$", max_length=40)]
    """action in one word, such as Warn, ExceedHard, Throttle or Release."""
    reason: Short
    """reason is one CamelCase word."""
    resource: Told = ""
    """resource that it concerns; empty if it concerns the tenant as a whole."""
    message: Message
    """message for people."""


class QuotaSummary(Model):
    """What one line of `kubectl get tq` tells."""

    usage: Short = ""
    """usage of each resource in percent of hard, the fullest first: `vectors 84%, qps 40%`; `?` where unknown."""
    worst: Told = ""
    """worst level of all resources."""
    cost: Short = ""
    """cost of the month so far of the budget."""
    action: Told = ""
    """action in force."""


class TenantQuotaStatus(Model):
    """What was observed and decided; only the operator writes it."""

    observed_generation: Count = 0
    """observedGeneration is the spec's generation that this status speaks of."""
    summary: QuotaSummary = QuotaSummary()
    """summary in one line."""
    message: Message = ""
    """message for people."""
    resources: Annotated[tuple[ResourceStatus, ...], Field(max_length=16, json_schema_extra=keyed_by("name"))] = ()
    """resources, where the tenant stands with each."""
    reservations: Annotated[
        tuple[Reservation, ...], Field(max_length=RESERVATIONS_LIMIT, json_schema_extra=keyed_by("id"))
    ] = ()
    """reservations for steps that were begun."""
    scaling: Annotated[tuple[ScalingStatus, ...], Field(max_length=16, json_schema_extra=keyed_by("name"))] = ()
    """scaling policies, how each stands."""
    cost: CostStatus | None = None
    """cost of the month so far."""
    namespaces: Annotated[
        tuple[NamespaceStatus, ...], Field(max_length=NAMESPACES_LIMIT, json_schema_extra=keyed_by("name"))
    ] = ()
    """namespaces, how each stands."""
    occupied: Annotated[tuple[NamespaceName, ...], Field(max_length=128, json_schema_extra=SET)] = ()
    """occupied namespaces may hold what the operator made for the tenant; they are cleared when they leave it."""
    transitions: Annotated[tuple[Transition, ...], Field(max_length=TRANSITIONS_LIMIT, json_schema_extra=ATOMIC)] = ()
    """transitions, the last ones."""
    refreshed_time: Time | None = None
    """refreshedTime is when this status was written last."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16, json_schema_extra=keyed_by("type"))] = ()
    """conditions: Ready, UsageKnown, WithinSoft, WithinHard, BudgetForecastOK, Enforcing, FieldConflict."""
