"""Writes charges as rows in FOCUS columns. Pure; nothing in a row depends on when it is written."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from pilotage.reports.focus import Cell, Row, plain
from pilotage.tenancy.accounts import Account, Bearer, Line
from pilotage.tenancy.charges import Charge
from pilotage.tenancy.cost import Category, day_begins_at, priced_quantity

METHOD = "pilotage-weighted-drivers"
"""The way in which shared cost is split; docs/cost.md describes it."""

_SERVICES: Mapping[Category, tuple[str, str]] = {
    "compute": ("Compute", "Containers"),
    "storage": ("Storage", "Other (Storage)"),
    "network": ("Networking", "Other (Networking)"),
    "requests": ("Integration", "API Management"),
    "other": ("Other", "Other (Other)"),
}
"""ServiceCategory and ServiceSubcategory of FOCUS, by our category."""

_PERIODS = {"month": "Months", "hour": "Hours", "each": ""}
_SHARE_PLACES = Decimal("1E-10")
_QUANTITY_PLACES = Decimal("1E-6")


@dataclass(frozen=True, slots=True)
class Organization:
    """Who runs the platform, as an invoice names it."""

    id: str = "platform"
    name: str = "Platform"


def rows_of(charges: Iterable[Charge], organization: Organization) -> tuple[Row, ...]:
    """One row for each charge."""
    charges = tuple(charges)
    bearers = {charge.account.bearer.name: charge.account for charge in charges if charge.kind == "direct"}
    return tuple(_row(charge, organization, bearers.get(charge.bearer)) for charge in charges)


def _row(charge: Charge, organization: Organization, account: Account | None) -> Row:
    """A charge's cells; `account` is the one of who bears it, where that has one of its own."""
    own = account or charge.account
    tenant = own.bearer if own.bearer.name == charge.bearer else Bearer(name=charge.bearer)
    return {
        **_parties(tenant, organization),
        **_periods(charge),
        **_money(charge),
        **_what(charge),
        **(_quantities(charge, charge.line) if charge.line is not None and charge.kind == "direct" else {}),
        **_allocation(charge),
        **_ours(charge, tenant, own),
    }


def _parties(tenant: Bearer, organization: Organization) -> dict[str, Cell]:
    names = ("ServiceProviderName", "HostProviderName", "ProviderName", "PublisherName", "InvoiceIssuerName")
    return {
        "BillingAccountId": organization.id,
        "BillingAccountName": organization.name,
        "SubAccountId": tenant.uid or tenant.name,
        "SubAccountName": tenant.display_name or tenant.name,
        "SubAccountType": "Tenant",
        **dict.fromkeys(names, organization.name),
    }


def _periods(charge: Charge) -> dict[str, Cell]:
    month, begin = charge.account.period, day_begins_at(charge.day)
    return {
        "BillingPeriodStart": month.begins_at,
        "BillingPeriodEnd": month.ends_at,
        "ChargePeriodStart": begin,
        "ChargePeriodEnd": begin + timedelta(days=1),
    }


def _money(charge: Charge) -> dict[str, Cell]:
    costs = ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost")
    return {**dict.fromkeys(costs, charge.cost), "BillingCurrency": charge.account.currency}


def _what(charge: Charge) -> dict[str, Cell]:
    bearer, line = charge.account.bearer, charge.line
    category, subcategory = _SERVICES[line.category if line is not None else "other"]
    return {
        "ChargeCategory": "Usage",
        "ChargeClass": "Correction" if charge.correction is not None else None,
        "ChargeFrequency": "Usage-Based",
        "ChargeDescription": _described(charge),
        "ServiceCategory": category,
        "ServiceSubcategory": subcategory,
        "ServiceName": bearer.display_name or bearer.name if bearer.kind != "tenant" else charge.meter,
        "SkuId": f"{bearer.name}/{charge.meter}" if bearer.kind != "tenant" else charge.meter,
        "SkuMeter": charge.meter,
        "ResourceId": bearer.name,
        "ResourceName": bearer.display_name or bearer.name,
        "ResourceType": bearer.kind.capitalize(),
    }


def _described(charge: Charge) -> str:
    if charge.correction is not None:
        return f"Correction of {charge.meter} on {charge.day}: {charge.correction.reason}"
    if charge.line is None:
        return "Cost of the cluster that no tenant bears: idle capacity, system, other namespaces"
    if charge.line.amount is None:
        then = "it is charged by a correction once it is" if charge.line.costs else "what is split by it is nobody's"
        return f"{charge.meter}: usage is not known for this day; {then}"
    if charge.kind == "shared":
        return f"Share of {charge.account.bearer.display_name or charge.account.bearer.name}"
    if charge.kind == "unallocated":
        return "Shared cost that can't be split: a driver was not used, or its usage is not known for a tenant"
    return f"{charge.meter} of a day"


def _quantities(charge: Charge, line: Line) -> dict[str, Cell]:
    """What was used and what it was priced by; the price is that of one pricing unit."""
    if line.quantity is None:
        return {}
    rate = line.rate
    unit = " ".join(filter(None, (line.unit or line.meter, _PERIODS[line.basis])))
    priced = priced_quantity(rate, line.quantity, charge.day, line.elapsed).quantize(_QUANTITY_PLACES)
    consumed = line.quantity / line.per * (1 if line.basis == "each" else line.elapsed * 24)
    return {
        "PricingQuantity": priced,
        "PricingUnit": unit.replace(" ", "-"),
        "ConsumedQuantity": consumed.quantize(_QUANTITY_PLACES),
        "ConsumedUnit": (line.unit or line.meter) if line.basis == "each" else f"{line.unit or line.meter}-Hours",
        "ListUnitPrice": line.price,
        "ContractedUnitPrice": line.price,
    }


def _allocation(charge: Charge) -> dict[str, Cell]:
    """How a shared cost came to this row; FOCUS has these columns since 1.3."""
    split = charge.account.split
    if charge.share is None or split is None:
        return {}
    ratio = (Decimal(charge.share.numerator) / Decimal(charge.share.denominator)).quantize(_SHARE_PLACES)
    weights = {meter: str(weight) for meter, weight in sorted(split.weights.items())}
    elements = [{"AllocatedRatio": plain(ratio), "UsageUnit": "weighted drivers", "x_Weights": weights}]
    return {
        "AllocatedMethodId": METHOD,
        "AllocatedMethodDetails": {"Elements": elements},
        "AllocatedResourceId": charge.account.bearer.name,
        "AllocatedResourceName": charge.account.bearer.display_name or charge.account.bearer.name,
    }


def _ours(charge: Charge, tenant: Bearer, own: Account) -> dict[str, Cell]:
    line, bears = charge.line, own.bearer.name == charge.bearer
    tags = {"team": tenant.team, "owner": tenant.owner, "cost_center": tenant.cost_center}
    return {
        "Tags": {key: value for key, value in tags.items() if value},
        "x_TenantId": tenant.name,
        "x_TenantType": tenant.type or None,
        "x_CostCenter": tenant.cost_center or None,
        "x_IsolationLevel": tenant.isolation or None,
        "x_Regions": ",".join(tenant.regions) or None,
        "x_ChargeKind": charge.kind,
        "x_PilotRollout": _rollout(charge, own) if bears else None,
        "x_Cohort": _step(charge, own) if bears else None,
        "x_BudgetLimit": own.budget if bears else None,
        "x_UsageObserved": line.observed if line is not None and line.amount is not None else None,
        "x_Estimated": _estimated(line) if line is not None else None,
        "x_MonthState": "closed" if charge.account.closed_time is not None else "open",
    }


def _estimated(line: Line) -> str:
    return "true" if line.amount is None or line.observed < 1 else "false"


def _rollout(charge: Charge, own: Account) -> str | None:
    """The rollouts that had users of this tenant on that day."""
    day = own.day(charge.day)
    return ",".join(sorted({each.rollout for each in day.presences})) or None if day else None


def _step(charge: Charge, own: Account) -> str | None:
    """The steps that they were in: the cohorts that had the features."""
    day = own.day(charge.day)
    return ",".join(sorted({f"{each.rollout}:{each.step}" for each in day.presences})) or None if day else None
