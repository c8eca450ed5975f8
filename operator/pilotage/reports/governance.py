"""How the platform is governed, as data: tenants, how full they are, what they cost, and what was checked. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Literal

from pilotage.resources.rollout import PilotRollout
from pilotage.resources.tenant import TenantQuota
from pilotage.resources.tenant_status import ResourceStatus
from pilotage.tenancy.accounts import Account
from pilotage.tenancy.allocation import UNALLOCATED
from pilotage.tenancy.amounts import humane, read_plain
from pilotage.tenancy.billing import prices_of, spending_of
from pilotage.tenancy.charges import Charge, charges_of
from pilotage.tenancy.cost import Month, Spending
from pilotage.tenancy.economics import Economics, by_rollout, costs_by_step, economics_of

MARK_PERCENT = 80
"""From here on, a resource is marked."""

FULL_PERCENT = 100

Verdict = Literal["met", "not met", "not checked"]


@dataclass(frozen=True, slots=True)
class Check:
    """One requirement that was looked at.

    Attributes:
        tenant: whose; empty for the platform.
        requirement: in words.
        verdict: what was found.
        evidence: what was seen, or why nothing could be.
    """

    tenant: str
    requirement: str
    verdict: Verdict
    evidence: str


@dataclass(frozen=True, slots=True)
class Utilisation:
    """How full one resource of a tenant is."""

    tenant: str
    resource: str
    used: str
    hard: str
    percent: Decimal | None
    forecast: str
    action: str
    note: str

    @property
    def tone(self) -> str:
        """Of the mark: good, caution from 80 % on, bad from 100 % on, neutral where it is not known."""
        if self.percent is None:
            return "neutral"
        if self.percent >= FULL_PERCENT:
            return "bad"
        return "caution" if self.percent > MARK_PERCENT else "good"

    @property
    def mark(self) -> str:
        """In words, for those who see no colours."""
        words = {"neutral": "not known", "bad": "at the limit", "caution": f"over {MARK_PERCENT} %", "good": ""}
        return words[self.tone]


@dataclass(frozen=True, slots=True)
class TenantCost:
    """What a tenant costs in the month."""

    tenant: str
    currency: str
    spending: Spending
    budget: Decimal | None
    meters: Mapping[str, Decimal | None]
    """By meter what it has cost; None where no day of it is known."""
    daily: Mapping[date, Decimal]

    @property
    def percent(self) -> Decimal | None:
        """Of the budget that is spent."""
        return self.spending.month_to_date / self.budget * 100 if self.budget else None


@dataclass(frozen=True, slots=True)
class Governance:
    """The report.

    Attributes:
        organization: who runs the platform.
        month: that cost is told of.
        written_at: the time of the report.
        tenants: in order.
        rollouts: of the tenants' namespaces, by tenant.
        utilisation: of all resources that are limited.
        costs: by tenant.
        unallocated: by currency, what nobody bears.
        economics: by rollout.
        checks: what was looked at, at `written_at`.
    """

    organization: str
    month: Month
    written_at: datetime
    tenants: tuple[TenantQuota, ...]
    rollouts: Mapping[str, tuple[PilotRollout, ...]]
    utilisation: tuple[Utilisation, ...]
    costs: tuple[TenantCost, ...]
    unallocated: Mapping[str, Decimal]
    economics: Mapping[str, Economics]
    checks: tuple[Check, ...]

    def count(self, verdict: Verdict) -> int:
        """How many checks came out so."""
        return sum(check.verdict == verdict for check in self.checks)


def make_governance(
    *,
    organization: str,
    month: Month,
    written_at: datetime,
    tenants: Sequence[TenantQuota],
    rollouts: Sequence[PilotRollout],
    accounts: Sequence[Account],
    checks: Sequence[Check],
) -> Governance:
    """The report of what was read.

    Args:
        organization: who runs the platform.
        month: that cost is told of.
        written_at: now.
        tenants: all TenantQuotas.
        rollouts: all PilotRollouts.
        accounts: of the month, and of months before for the cost of steps.
        checks: what was looked at.
    """
    ordered = tuple(sorted(tenants, key=lambda each: each.metadata.name))
    of_month = [account for account in accounts if account.month == str(month)]
    charges = charges_of(of_month)
    return Governance(
        organization=organization,
        month=month,
        written_at=written_at,
        tenants=ordered,
        rollouts={
            each.metadata.name: tuple(r for r in rollouts if r.metadata.namespace in each.spec.namespaces)
            for each in ordered
        },
        utilisation=tuple(_utilisation(each, status) for each in ordered for status in each.status.resources),
        costs=tuple(_cost(account, charges) for account in of_month if account.bearer.kind == "tenant"),
        unallocated=_unallocated(charges),
        economics=_economics(ordered, accounts),
        checks=tuple(checks),
    )


def _utilisation(tenant: TenantQuota, status: ResourceStatus) -> Utilisation:
    used, hard, forecast = (read_plain(text) for text in (status.used, status.hard, status.forecast))
    return Utilisation(
        tenant=tenant.metadata.name,
        resource=status.name,
        used="?" if used is None else humane(used),
        hard="?" if hard is None else _with_unit(hard, status.unit),
        percent=read_plain(status.percent),
        forecast="" if forecast is None else humane(forecast),
        action=status.action if status.action != "none" else "",
        note=status.message,
    )


def _with_unit(amount: Decimal, unit: str) -> str:
    return humane(amount) if unit in ("", "count") else f"{humane(amount)} {unit}"


def _cost(account: Account, charges: Iterable[Charge]) -> TenantCost:
    name = account.bearer.name
    borne = [charge for charge in charges if charge.bearer == name]
    meters: dict[str, Decimal | None] = {}
    daily: dict[date, Decimal] = {}
    for charge in borne:
        if charge.line is not None and not charge.line.costs:
            continue  # it says by what a service is split, and costs nothing itself
        meter = charge.meter if charge.kind == "direct" else f"{charge.kind}: {charge.account.bearer.name}"
        known = charge.line is None or charge.line.amount is not None
        meters[meter] = (meters.get(meter) or Decimal(0)) + charge.cost if known else meters.get(meter)
        daily[charge.day] = daily.get(charge.day, Decimal(0)) + charge.cost
    return TenantCost(
        tenant=name,
        currency=account.currency,
        spending=spending_of(account, borne),
        budget=account.budget,
        meters=meters,
        daily=daily,
    )


def _unallocated(charges: Iterable[Charge]) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for charge in charges:
        if charge.bearer == UNALLOCATED:
            currency = charge.account.currency
            found[currency] = found.get(currency, Decimal(0)) + charge.cost
    return found


def _economics(tenants: Iterable[TenantQuota], accounts: Sequence[Account]) -> dict[str, Economics]:
    found: dict[str, Economics] = {}
    for tenant in tenants:
        own = [a for a in accounts if a.bearer.kind == "tenant" and a.bearer.name == tenant.metadata.name]
        for rollout, steps in by_rollout(costs_by_step(own)).items():
            found[rollout] = economics_of(steps, prices_of(tenant))
    return found
