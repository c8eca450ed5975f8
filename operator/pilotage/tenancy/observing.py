"""A tenant's status, made from what was measured: resources, namespaces, conditions, and what has happened.

Pure: the shell calls it with the TenantQuota as it is now, and again where somebody wrote in between.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from pilotage.judging.evidence import Series
from pilotage.resources.durations import parse_duration
from pilotage.resources.tenant import TenantQuota
from pilotage.resources.tenant_status import NAMESPACES_LIMIT, NamespaceStatus, ResourceStatus, TenantQuotaStatus
from pilotage.resources.tenant_usage import Counts, QuotaResource
from pilotage.tenancy.amounts import read_plain
from pilotage.tenancy.forecast import forecast_level, forecast_total, month_of
from pilotage.tenancy.happening import Happened, recorded
from pilotage.tenancy.levels import judged, limits_of
from pilotage.tenancy.standing import findings_of, message_of, stamped, summary_of
from pilotage.tenancy.usage import Known, Reading, Unknown

REFRESH = timedelta(seconds=60)
"""Numbers that have moved without a transition are written so often at most."""

SOON = timedelta(seconds=10)
"""The same, where one has moved by a whole percent of its limit: steps are let in by them."""

AGED = timedelta(minutes=10)
"""Where no number has moved, the time at which it was seen is written so often."""

_MOVED_PERCENT = Decimal(1)
_NAMED = 3
"""So many others are named in a message, whose length is bounded; `claimedBy` has more."""

_NOT_ASKED = Unknown("it was not asked for yet")


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured of a tenant.

    Attributes:
        readings: usage by resource.
        trends: by resource, what was seen over the time that its trend is learned from.
        claims: by namespace, the other TenantQuotas that list it.
        conflicts: objects of somebody else that stood in the way when keepers looked last.
        failures: what keepers could not do.
    """

    readings: Mapping[str, Reading] = field(default_factory=dict)
    trends: Mapping[str, Series] = field(default_factory=dict)
    claims: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    conflicts: Sequence[str] = ()
    failures: Sequence[str] = ()


def counts_of(resource: QuotaResource) -> Counts:
    """What the usage is; money is counted since the month began unless it is said otherwise."""
    return resource.counts or ("total" if resource.currency is not None else "level")


def observed(tenant: TenantQuota, measured: Measured, now: datetime) -> TenantQuotaStatus:
    """The status that a tenant shall have, transitions included."""
    before, spec = tenant.status, tenant.spec
    known = {each.name: each for each in before.resources}
    resources: list[ResourceStatus] = []
    happened: list[Happened] = []
    for resource in spec.resources:
        status, told = _resource(tenant, resource, known.get(resource.name), measured, now)
        resources.append(status)
        happened += told
    namespaces, claimed = _namespaces(tenant, measured.claims)
    happened += claimed
    if spec.mode == "dryRun":
        happened = [_dry(each) for each in happened]
    made = before.model_copy(
        update={
            "observed_generation": tenant.metadata.generation,
            "resources": tuple(resources),
            "namespaces": namespaces,
            "transitions": recorded(before.transitions, happened, now),
        }
    )
    return finished(tenant, made, measured, now)


def finished(tenant: TenantQuota, status: TenantQuotaStatus, measured: Measured, now: datetime) -> TenantQuotaStatus:
    """The status with what sums it up: its line, its sentence, its conditions."""
    findings = findings_of(tenant, status, conflicts=measured.conflicts, failures=measured.failures)
    return status.model_copy(
        update={
            "summary": summary_of(tenant.spec, status),
            "message": message_of(status),
            "conditions": stamped(status.conditions, findings, generation=tenant.metadata.generation, now=now),
        }
    )


def worth_writing(before: TenantQuotaStatus, after: TenantQuotaStatus, now: datetime) -> TenantQuotaStatus:
    """The status to write: the one before where only numbers have moved, by little or lately written.

    One write for each transition, and at rest one in ten minutes.
    """
    fresh = after.model_copy(update={"refreshed_time": now})
    if _without_numbers(before) != _without_numbers(after) or before.refreshed_time is None:
        return fresh
    age = now - before.refreshed_time
    # A promise ends when usage was seen long enough after its step: that time must not be ten minutes old.
    telling = _numbers(before) != _numbers(after) or bool(before.reservations)
    if age >= AGED or (age >= REFRESH and telling) or (age >= SOON and _moved(before, after)):
        return fresh
    return before


def _resource(
    tenant: TenantQuota, resource: QuotaResource, before: ResourceStatus | None, measured: Measured, now: datetime
) -> tuple[ResourceStatus, tuple[Happened, ...]]:
    reading = measured.readings.get(resource.name, _NOT_ASKED)
    limits = limits_of(resource, tenant.spec.grants, now)
    status, told = judged(
        resource,
        before,
        reading,
        limits=limits,
        reserved=reserved_of(tenant.status, resource.name),
        forecast=_forecast(resource, reading, measured.trends.get(resource.name), now),
        now=now,
    )
    granted = read_plain(before.granted) if before else None
    if granted is not None and limits.granted < granted:
        message = f"{resource.name}: a grant has ended; the hard limit is {status.hard} again"
        told = (Happened("GrantEnded", "Expired", message, resource.name), *told)
    return status, told


def reserved_of(status: TenantQuotaStatus, resource: str) -> Decimal:
    """What is promised of a resource to steps."""
    amounts = (each for reservation in status.reservations for each in reservation.amounts)
    return sum((Decimal(each.amount) for each in amounts if each.resource == resource), Decimal(0))


def _forecast(resource: QuotaResource, reading: Reading, trend: Series | None, now: datetime) -> Decimal | None:
    if not isinstance(reading, Known):
        return None
    if counts_of(resource) == "total":
        return forecast_total(reading.value, now, month_of(now))
    if trend is None:
        return None
    seconds = parse_duration(resource.trend)
    return forecast_level(reading.value, now, month_of(now), seen=trend, trend_seconds=seconds)


def _namespaces(
    tenant: TenantQuota, claims: Mapping[str, tuple[str, ...]]
) -> tuple[tuple[NamespaceStatus, ...], list[Happened]]:
    known = {each.name: each for each in tenant.status.namespaces}
    made: list[NamespaceStatus] = []
    happened: list[Happened] = []
    for name in tenant.spec.namespaces:
        before, others = known.get(name), claims.get(name, ())
        if others:
            said = f"namespace {name} is also listed by {', '.join(others[:_NAMED])}"
            message = f"{said}: take it out of all but one; until then none of them acts there"
            made.append(NamespaceStatus(name=name, state="Conflict", claimed_by=others[:16], message=message))
            if before is None or before.state != "Conflict":
                happened.append(Happened("Conflict", "NamespaceClaimed", message))
        elif before is None or before.state == "Conflict":
            made.append(NamespaceStatus(name=name, state="Pending"))
            if before is not None:
                happened.append(Happened("Settled", "NamespaceFree", f"namespace {name} is listed by nobody else now"))
        else:
            made.append(before)
    # What has left stays known until it is cleared, also over a restart.
    left = (each for name, each in known.items() if name not in tenant.spec.namespaces)
    made += (NamespaceStatus(name=each.name, state="Leaving") for each in left if _may_hold_something(each))
    return tuple(made[:NAMESPACES_LIMIT]), happened


def _may_hold_something(status: NamespaceStatus) -> bool:
    return status.state in ("Enrolled", "Leaving", "Conflict")


def _dry(happened: Happened) -> Happened:
    acts = happened.action in ("Hold", "Throttle", "Scale", "Release")
    return Happened(
        happened.action,
        "DryRun" if acts else happened.reason,
        f"dry run: nothing is done. {happened.message}" if acts else happened.message,
        happened.resource,
    )


_COSTS = ("month_to_date", "forecast", "counted_time", "lines", "message")
_NUMBERS = ("used", "available", "percent", "forecast", "reserved", "observed_time", "message")


def _without_numbers(status: TenantQuotaStatus) -> TenantQuotaStatus:
    """What is left when everything is taken out that moves by itself."""
    blank = dict.fromkeys(_NUMBERS)
    return status.model_copy(
        update={
            "resources": tuple(
                each.model_copy(update={**blank, "unknown_since": each.unknown_since}) for each in status.resources
            ),
            "scaling": tuple(each.model_copy(update={"value": "", "message": ""}) for each in status.scaling),
            "cost": status.cost.model_copy(update=dict.fromkeys(_COSTS)) if status.cost is not None else None,
            "summary": status.summary.model_copy(update={"usage": "", "cost": ""}),
            "message": "",
            "refreshed_time": None,
            "conditions": tuple(each.model_copy(update={"message": ""}) for each in status.conditions),
        }
    )


def _numbers(status: TenantQuotaStatus) -> list[tuple[str, ...]]:
    numbers: list[tuple[str, ...]] = [(each.used, each.available, each.forecast) for each in status.resources]
    numbers += [(each.name, each.value, each.message) for each in status.scaling]
    cost = status.cost
    return [*numbers, (cost.month_to_date, cost.forecast, cost.message)] if cost is not None else numbers


def _moved(before: TenantQuotaStatus, after: TenantQuotaStatus) -> bool:
    """Whether what steps are let in by has moved by a percent of a limit."""
    return any(_by_a_percent(then, now) for then, now in _pairs(before, after))


def _pairs(before: TenantQuotaStatus, after: TenantQuotaStatus) -> Iterator[tuple[ResourceStatus, ResourceStatus]]:
    return zip(before.resources, after.resources, strict=True)


def _by_a_percent(then: ResourceStatus, now: ResourceStatus) -> bool:
    old, new = read_plain(then.percent), read_plain(now.percent)
    return old is not None and new is not None and abs(old - new) >= _MOVED_PERCENT
