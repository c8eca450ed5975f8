"""What a TenantQuota says about its account: whose it is, what is shared with whom, what is corrected. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from pilotage.resources.tenant import TenantQuota
from pilotage.resources.tenant_cost import CostLine, CostStatus, Price, SharedService
from pilotage.tenancy.accounts import Account, Bearer, Correction, Split
from pilotage.tenancy.amounts import parse_amount, plain
from pilotage.tenancy.charges import Charge
from pilotage.tenancy.cost import DAY_SECONDS, DayCost, Month, Spending, day_begins_at, spending
from pilotage.tenancy.economics import Price as TierPrice

CLUSTER = "cluster"
_MOST_TOLD_LINES = 64


@dataclass(frozen=True, slots=True)
class Sharing:
    """A service that tenants share.

    Attributes:
        service: as the first of them says it.
        tenants: all who name it, in order.
        agreed: whether all of them say the same cost and weights.
    """

    service: SharedService
    tenants: tuple[TenantQuota, ...]
    agreed: bool

    @property
    def keeper(self) -> str:
        """The tenant whose run counts the service."""
        return self.tenants[0].metadata.name

    @property
    def split(self) -> Split:
        """How its cost is split; without weights where tenants don't agree on them: then it is nobody's."""
        weights = {each.resource: Decimal(str(each.weight)) for each in self.service.weights} if self.agreed else {}
        return Split(tenants=tuple(each.metadata.name for each in self.tenants), weights=weights)


def sharings_of(tenant: TenantQuota, others: Iterable[TenantQuota]) -> tuple[Sharing, ...]:
    """The services that a tenant shares, with all who do."""
    cost = tenant.spec.cost
    everybody = sorted([tenant, *others], key=lambda each: each.metadata.name)
    found = []
    for service in cost.allocate if cost else ():
        said = [(each, own) for each in everybody for own in _services(each) if own.service == service.service]
        if not said:  # an archived tenant shares nothing any more
            continue
        agreed = all(_terms(own) == _terms(service) for _, own in said)
        found.append(Sharing(said[0][1], tuple(each for each, _ in said), agreed))
    return tuple(found)


def _terms(service: SharedService) -> tuple[object, ...]:
    return service.cost, service.within, {each.resource: str(each.weight) for each in service.weights}


def _services(tenant: TenantQuota) -> Sequence[SharedService]:
    active = tenant.spec.cost is not None and tenant.spec.state != "archived"
    return tenant.spec.cost.allocate if active and tenant.spec.cost else ()


def counts_cluster(tenant: TenantQuota, others: Iterable[TenantQuota]) -> bool:
    """Whether this tenant's run counts what the whole cluster costs: the first one's of those who ask OpenCost."""
    names = [each.metadata.name for each in (tenant, *others) if each.spec.cost and each.spec.cost.source == "opencost"]
    return min(names, default="") == tenant.metadata.name


def account_of(tenant: TenantQuota, before: Account | None, month: Month) -> Account:
    """The tenant's account of a month, with who it is now; a closed one stays as it is."""
    if before is not None and before.closed_time is not None:
        return before
    spec = tenant.spec
    bearer = Bearer(
        name=tenant.metadata.name,
        uid=tenant.metadata.uid,
        display_name=spec.display_name,
        type=spec.type,
        cost_center=spec.owner.cost_center,
        team=spec.owner.team,
        owner=spec.owner.email,
        isolation=spec.isolation,
        regions=spec.regions,
    )
    currency = spec.cost.currency if spec.cost else "USD"
    known = before or Account(bearer=bearer, month=str(month))
    return known.model_copy(update={"bearer": bearer, "currency": currency, "budget": budget_of(tenant)})


def common_account(
    kind: str, name: str, before: Account | None, month: Month, *, currency: str, split: Split | None = None
) -> Account:
    """The account of what is nobody's own: a shared service, the cluster."""
    if before is not None and before.closed_time is not None:
        return before
    known = before or Account(bearer=Bearer.model_validate({"name": name, "kind": kind}), month=str(month))
    return known.model_copy(update={"currency": currency, "split": split})


def budget_of(tenant: TenantQuota) -> Decimal | None:
    """A month's budget: the one of the cost, or the hard limit of the resource that is money."""
    cost = tenant.spec.cost
    if cost is not None and cost.budget is not None:
        return Decimal(str(cost.budget))
    limits = [each.hard for each in tenant.spec.resources if each.currency is not None]
    return parse_amount(limits[0]) if limits else None


def prices_of(tenant: TenantQuota) -> tuple[TierPrice, ...]:
    """What users pay."""
    prices: tuple[Price, ...] = tenant.spec.cost.prices if tenant.spec.cost else ()
    return tuple(TierPrice(each.tier, Decimal(str(each.price)), Decimal(str(each.share))) for each in prices)


def corrections_of(tenant: TenantQuota, month: Month, now: datetime) -> tuple[Correction, ...]:
    """What the spec corrects in a month; a day that the calendar does not have corrects nothing."""
    days = {str(day): day for day in month.days}
    return tuple(
        Correction(
            name=each.name,
            date=days[each.day],
            meter=each.meter,
            amount=Decimal(str(each.amount)),
            reason=each.reason,
            time=now,
        )
        for each in (tenant.spec.cost.corrections if tenant.spec.cost else ())
        if each.day in days
    )


def corrected_months(tenant: TenantQuota) -> tuple[Month, ...]:
    """The months that the spec corrects."""
    said = {each.day[:7] for each in (tenant.spec.cost.corrections if tenant.spec.cost else ())}
    return tuple(Month.parse(month) for month in sorted(said))


def spending_of(account: Account, shared: Iterable[Charge]) -> Spending:
    """Where a tenant's month stands, with its part of what is shared."""
    parts: dict[date, list[Decimal | None]] = {}
    for charge in shared:
        if charge.kind == "shared" and charge.bearer == account.bearer.name:
            known = charge.line is None or charge.line.amount is not None
            parts.setdefault(charge.day, []).append(charge.cost if known else None)
    days = [
        DayCost(day.date, day.elapsed, (*(line.amount for line in day.lines if line.costs), *parts.get(day.date, ())))
        for day in account.days
        if day.lines
    ]
    return spending(days, account.period)


def cost_status(
    account: Account,
    shared: Sequence[Charge],
    *,
    message: str,
    last: Account | None,
) -> CostStatus:
    """What status tells of the month so far."""
    found = spending_of(account, shared)
    told = sorted(_by_meter(account, shared).items())[:_MOST_TOLD_LINES]
    return CostStatus(
        currency=account.currency,
        month=account.month,
        month_to_date=_money(found.month_to_date) if account.days else "",
        forecast=_money(found.forecast) if found.forecast is not None else "",
        budget=_money(account.budget) if account.budget is not None else "",
        counted_time=counted_until(account),
        lines=tuple(CostLine(meter=meter, amount=_money(amount)) for meter, amount in told),
        message="; ".join(filter(None, (message, unknown_text(found.unknown))))[:1024],
        last_month=last.month if last else "",
        last_month_total=_money(sum((amount for amount in _by_meter(last, ()).values()), Decimal(0))) if last else "",
    )


def unknown_text(count: int) -> str:
    """That so many of a month's daily amounts are not known; empty where all are."""
    if not count:
        return ""
    return f"{count} of its daily amounts {'is' if count == 1 else 'are'} not known: the month is at least this"


def counted_until(account: Account) -> datetime | None:
    """Until when all use is counted in; None where no day is."""
    days = [(day.date, day.elapsed) for day in account.days if day.lines]
    if not days:
        return None
    day, elapsed = max(days)
    return day_begins_at(day) + timedelta(seconds=round(elapsed * DAY_SECONDS))


def _by_meter(account: Account, shared: Iterable[Charge]) -> Mapping[str, Decimal]:
    found: dict[str, Decimal] = {}
    for day in account.days:
        for line in day.lines:
            if line.amount is not None and line.costs:
                found[line.meter] = found.get(line.meter, Decimal(0)) + line.amount
    for charge in shared:
        if charge.bearer == account.bearer.name and charge.kind == "shared":
            name = f"service {charge.account.bearer.name}"
            found[name] = found.get(name, Decimal(0)) + charge.cost
    return found


def _money(amount: Decimal) -> str:
    return plain(amount, places=2)
