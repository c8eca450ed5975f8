"""Throttling, decided: what gateways and services are told, as a value.

A throttle limits the rate of requests; it does not take back what is stored. For rates (qps) the limit is the hard
limit itself; for anything else the spec says how many requests may pass, such as no writes at all.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from pilotage.resources.tenant import TenantQuota
from pilotage.resources.tenant_usage import Action, QuotaResource, Throttle
from pilotage.tenancy.amounts import read_plain
from pilotage.tenancy.levels import in_force

_LARGEST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class ThrottleOrder:
    """That the requests of a tenant are limited because of one resource.

    Attributes:
        resource: that is exceeded.
        requests: that may pass in each unit.
        how: unit, methods, and the routes that are limited.
        message: why, for people.
    """

    resource: str
    requests: int
    how: Throttle
    message: str


def may_throttle(resource: QuotaResource) -> bool:
    """Whether any of its limits is answered by a throttle."""
    wanted: Action = "throttle"
    return wanted in (resource.on_soft, resource.on_hard)


def throttles_of(tenant: TenantQuota) -> tuple[ThrottleOrder, ...]:
    """The throttles that are in force; none in a dry run."""
    if tenant.spec.mode == "dryRun":
        return ()
    return tuple(_orders(tenant))


def _orders(tenant: TenantQuota) -> Iterator[ThrottleOrder]:
    known = {each.name: each for each in tenant.status.resources}
    for resource in tenant.spec.resources:
        status = known.get(resource.name)
        if status is None or "throttle" not in in_force(resource, status):
            continue
        hard = read_plain(status.hard) or Decimal(0)
        requests = resource.throttle.requests if resource.throttle.requests is not None else int(hard)
        message = f"{resource.name} is above its {status.level} limit"
        yield ThrottleOrder(resource.name, min(requests, _LARGEST), resource.throttle, message)
