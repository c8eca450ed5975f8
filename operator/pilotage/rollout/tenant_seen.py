"""Tenant, seen: what a step has to know of the TenantQuota that its namespace belongs to, read from that resource.

A namespace belongs to the TenantQuota that lists it, whatever a rollout says: who could choose the tenant by a field
could choose none.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

from pilotage.resources.durations import parse_duration
from pilotage.resources.tenant import TenantQuota
from pilotage.resources.tenant_reservations import Need, ReservedAmount
from pilotage.resources.tenant_reservations import Reservation as ReservationStatus
from pilotage.resources.tenant_status import ResourceStatus, TenantQuotaStatus
from pilotage.resources.tenant_usage import QuotaResource
from pilotage.tenancy.amounts import parse_amount, plain, read_plain
from pilotage.tenancy.forecast import month_of
from pilotage.tenancy.levels import in_force, limits_of
from pilotage.tenancy.observing import counts_of
from pilotage.tenancy.reserving import NONE, Claim, Ledger, Outcome, Reservation, Room

_DAY = timedelta(days=1)
_PLACES = 9


@dataclass(frozen=True, slots=True)
class TenantSeen:
    """The tenant of one rollout.

    Attributes:
        names: of the TenantQuotas that list the namespace: one, where nothing is wrong; none, where a rollout names one
            that does not list it.
        state: of the tenant.
        enforces: whether it holds anything, or only reports.
        measured: whether its usage was measured since this replica leads.
        rooms: its resources.
        floors: by resource, the least that one more user needs.
        totals: resources whose usage is counted since the month began.
        month_left: of the calendar month in UTC, in whole days, as a part of it.
        holding: by resource whose violation holds rollouts, what is exceeded.
        ledger: what is promised.
        asked: the id of the claim that the ledger itself has answered just now.
        answer: that answer.
    """

    names: tuple[str, ...]
    state: Literal["active", "suspended", "archived"] = "active"
    enforces: bool = True
    measured: bool = True
    rooms: tuple[Room, ...] = ()
    floors: Mapping[str, Decimal] = field(default_factory=dict)
    totals: frozenset[str] = frozenset()
    month_left: Decimal = Decimal(1)
    holding: Mapping[str, str] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)
    asked: str = ""
    answer: Outcome | None = None

    @property
    def name(self) -> str:
        """Of the one TenantQuota that lists the namespace; empty where none or several do."""
        return self.names[0] if len(self.names) == 1 else ""


def seen_of(tenant: TenantQuota, now: datetime, *, known: bool = True) -> TenantSeen:
    """What a rollout in one of the tenant's namespaces has to know.

    Args:
        tenant: as it is known.
        now: the time.
        known: whether its usage was measured lately; what stands in a status that nobody keeps is not known.
    """
    spec = tenant.spec
    told = {each.name: each for each in tenant.status.resources}
    holding = {
        each.name: told[each.name].message
        for each in spec.resources
        if each.name in told and "hold" in in_force(each, told[each.name])
    }
    return TenantSeen(
        names=(tenant.metadata.name,),
        state=spec.state,
        enforces=spec.mode == "enforce",
        measured=known,
        rooms=rooms_of(tenant, now, known=known),
        floors={each.name: parse_amount(each.need.per_user) for each in spec.resources if each.need},
        totals=frozenset(each.name for each in spec.resources if is_total(each)),
        month_left=_month_left(now),
        holding=holding,
        ledger=ledger_of(tenant),
    )


def rooms_of(tenant: TenantQuota, now: datetime, *, known: bool = True) -> tuple[Room, ...]:
    """The tenant's resources, each with its limit of now: grants count until they expire, by themselves."""
    told = {each.name: each for each in tenant.status.resources} if known else {}
    return tuple(_room_of(tenant, each, told.get(each.name), now) for each in tenant.spec.resources)


def is_total(resource: QuotaResource) -> bool:
    """Whether usage is counted since the month began: then its forecast for the month's end has to fit."""
    return counts_of(resource) == "total"


def _room_of(tenant: TenantQuota, resource: QuotaResource, told: ResourceStatus | None, now: datetime) -> Room:
    used = None
    if told is not None and told.unknown_since is None and told.used:
        used = read_plain(told.forecast if is_total(resource) else told.used)
    settle = parse_duration((resource.need or Need()).settle)
    return Room(
        resource=resource.name,
        limit=limits_of(resource, tenant.spec.grants, now).hard,
        used=used,
        observed_at=told.observed_time if told else None,
        settle_seconds=settle,
        month=month_of(now) if is_total(resource) else None,
        budget=resource.currency is not None,
        unit=resource.currency or resource.unit,
    )


def _month_left(now: datetime) -> Decimal:
    """In whole days, so that one step asks for the same all day long."""
    month = month_of(now)
    return Decimal(-((now - month.ends_at) // _DAY)) / Decimal((month.ends_at - month.starts_at) // _DAY)


def ledger_of(tenant: TenantQuota) -> Ledger:
    """The promises, as the TenantQuota's status has them."""
    return Ledger(tuple(_read_reservation(each) for each in tenant.status.reservations))


def _read_reservation(told: ReservationStatus) -> Reservation:
    claim = Claim(
        id=told.id,
        holder=f"{told.namespace}/{told.rollout}",
        step=told.step,
        amounts={each.resource: Decimal(each.amount) for each in told.amounts},
        users=told.users,
    )
    return Reservation(claim, told.reserved_time, told.expires_time, told.in_force_time)


def with_ledger(tenant: TenantQuota, ledger: Ledger) -> TenantQuotaStatus:
    """The tenant's status with these promises, and with what they leave of each resource."""
    resources = tuple(_with_reserved(each, ledger) for each in tenant.status.resources)
    return tenant.status.model_copy(update={"reservations": reservations_of(ledger), "resources": resources})


def _with_reserved(told: ResourceStatus, ledger: Ledger) -> ResourceStatus:
    reserved, hard, used = ledger.reserved(told.name), read_plain(told.hard), read_plain(told.used)
    available = plain(max(hard - used - reserved, NONE)) if hard is not None and used is not None else told.available
    return told.model_copy(update={"reserved": plain(reserved) if reserved else "", "available": available})


def reservations_of(ledger: Ledger) -> tuple[ReservationStatus, ...]:
    """The promises, as status tells them."""
    return tuple(_tell_reservation(each) for each in ledger.reservations)


def _tell_reservation(kept: Reservation) -> ReservationStatus:
    namespace, _, rollout = kept.claim.holder.partition("/")
    return ReservationStatus(
        id=kept.claim.id,
        namespace=namespace,
        rollout=rollout,
        step=kept.claim.step,
        users=kept.claim.users,
        amounts=tuple(
            ReservedAmount(resource=resource, amount=plain(amount, places=_PLACES))
            for resource, amount in sorted(kept.claim.amounts.items())
        ),
        reserved_time=kept.created_at,
        expires_time=kept.expires_at,
        in_force_time=kept.in_force_at,
    )
