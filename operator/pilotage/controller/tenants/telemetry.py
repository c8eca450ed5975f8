"""What the operator measures of tenants: used, limit, reserved, available and percent of each resource.

The labels are bounded by tenants and resources. What is unknown has no sample, so that no dashboard takes it for zero.
"""

from collections.abc import Mapping

from prometheus_client import Counter, Gauge

from pilotage.resources.tenant import TenantQuota
from pilotage.resources.tenant_status import ResourceStatus
from pilotage.resources.tenant_usage import Action
from pilotage.tenancy.amounts import read_plain
from pilotage.tenancy.standing import actions_in_force

_LABELS = ["tenant", "resource"]
_USED = Gauge("pilotage_tenant_quota_used", "Usage of a tenant's resource.", _LABELS)
_LIMIT = Gauge("pilotage_tenant_quota_limit", "Hard limit in force, with grants.", _LABELS)
_RESERVED = Gauge("pilotage_tenant_quota_reserved", "Promised to steps that were begun.", _LABELS)
_AVAILABLE = Gauge("pilotage_tenant_quota_available", "Hard limit less used less reserved.", _LABELS)
_PERCENT = Gauge("pilotage_tenant_quota_percent", "Percent of the hard limit that is used.", _LABELS)
_FORECAST = Gauge("pilotage_tenant_quota_forecast", "Forecast for the end of the calendar month.", _LABELS)
_UNKNOWN = Gauge("pilotage_tenant_quota_unknown", "1 while usage is unknown, else 0.", _LABELS)
_ACTION = Gauge(
    "pilotage_tenant_enforcement_active",
    "1 for an action in force (in a dry run: that would be).",
    [*_LABELS, "action"],
)
TRANSITIONS = Counter("pilotage_tenant_transitions_total", "Transitions of tenants, by action.", ["action"])

_GAUGES: Mapping[str, Gauge] = {
    "used": _USED,
    "hard": _LIMIT,
    "available": _AVAILABLE,
    "percent": _PERCENT,
    "forecast": _FORECAST,
}
_ACTIONS: tuple[Action, ...] = ("alert", "hold", "throttle", "scale")
_shown: dict[str, set[str]] = {}


def show_tenant(tenant: TenantQuota) -> None:
    """The gauges of one tenant, and of no resource that it has no longer."""
    name = tenant.metadata.name
    now = {each.name for each in tenant.status.resources}
    for gone in _shown.get(name, set()) - now:
        _forget(name, gone)
    _shown[name] = now
    acting = actions_in_force(tenant.spec, tenant.status.resources)
    for status in tenant.status.resources:
        _show(name, status, acting.get(status.name, frozenset()))


def forget_tenant(name: str) -> None:
    """It is gone, or another replica shows it now."""
    for resource in _shown.pop(name, set()):
        _forget(name, resource)


def forget_tenants() -> None:
    """Another replica leads."""
    for name in list(_shown):
        forget_tenant(name)


def _show(tenant: str, status: ResourceStatus, acting: frozenset[Action]) -> None:
    for field, gauge in _GAUGES.items():
        amount = read_plain(getattr(status, field))
        if amount is None:
            gauge.remove(tenant, status.name)
        else:
            gauge.labels(tenant, status.name).set(float(amount))
    _RESERVED.labels(tenant, status.name).set(float(read_plain(status.reserved) or 0))
    _UNKNOWN.labels(tenant, status.name).set(status.unknown_since is not None)
    for action in _ACTIONS:
        if action in acting:
            _ACTION.labels(tenant, status.name, action).set(1)
        else:
            _ACTION.remove(tenant, status.name, action)


def _forget(tenant: str, resource: str) -> None:
    for gauge in (*_GAUGES.values(), _RESERVED, _UNKNOWN):
        gauge.remove(tenant, resource)
    for action in _ACTIONS:
        _ACTION.remove(tenant, resource, action)
