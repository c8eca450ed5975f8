"""What a tenant's use costs: rates, shared services that are split by published weights, and the month so far."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from pilotage.resources.base import Message, Model, Name, Time, keyed_by
from pilotage.resources.cel import Validation, literal, reads
from pilotage.resources.schema import INT_OR_STRING
from pilotage.resources.status import Short
from pilotage.resources.tenant_amounts import Currency, Money, Quantity, Ratio, ResourceName, Told
from pilotage.resources.tenant_usage import Usage


class Weight(Model):
    """How much the use of one resource counts when a shared service is split."""

    resource: ResourceName
    """resource of this tenant, and of those who share the service."""
    weight: Ratio
    """weight of it; the weights of a service sum to 1."""


class SharedService(Model):
    """A service that tenants share, whose cost is split by what each uses."""

    service: Name
    """service that is shared, such as `vector-db`; tenants who name the same one share it."""
    cost: Usage
    """cost of the whole service per hour, in the currency of `cost`."""
    within: Literal["cluster", "elsewhere"] = "cluster"
    """within says whether the service runs in the cluster: what OpenCost measures of that is then not charged twice."""
    weights: Annotated[
        tuple[Weight, ...],
        Field(min_length=1, max_length=8, json_schema_extra=keyed_by("resource")),
        Validation(
            "self.map(w, string(w.weight).matches(r'^[0-9]{1,6}([.][0-9]{1,6})?$') ? double(w.weight) : 0.0).sum()"
            " > 0.999999 && self.map(w, string(w.weight).matches(r'^[0-9]{1,6}([.][0-9]{1,6})?$')"
            " ? double(w.weight) : 0.0).sum() < 1.000001",
            "the weights must sum to 1, such as 0.5, 0.3 and 0.2",
        ),
    ]
    """weights by resource."""


class Meter(Model):
    """What a rate is for, where that is not one unit of a resource for a month."""

    name: ResourceName
    """name of the meter, by which it has its rate."""
    resource: ResourceName | None = None
    """resource whose usage it counts; the resource of the meter's name if neither resource nor usage is given."""
    usage: Usage | None = None
    """usage is where it is read, if it is no resource. What is charged by the piece must be the number in `$window`,
    such as `sum(increase(api_calls_total[$window]))`."""
    per: Quantity = 1
    """per is the amount that the rate is for: `1Gi` for a rate for a GiB where bytes are measured."""
    basis: Literal["month", "hour", "each"] = "month"
    """basis of the rate: for a month or an hour that the amount lasts, or for each piece."""
    unit: Annotated[str, StringConstraints(max_length=30)] = ""
    """unit of `per` in words, such as GiB, for people and reports."""
    category: Literal["compute", "storage", "network", "requests", "other"] = "other"
    """category that reports group it by."""


class Price(Model):
    """What users pay."""

    tier: Name
    """tier of users."""
    price: Money
    """price of a user for a month, in the currency of `cost`."""
    share: Ratio = 1
    """share of the users who are in the tier, such as "0.4"."""


_SIGNED_PATTERN = r"^-?[0-9]{1,15}(\.[0-9]{1,10})?$"

SignedMoney = Annotated[
    int | str,
    Field(json_schema_extra={INT_OR_STRING: True, "maxLength": 27}),
    Validation(
        f"string(self).matches({literal(_SIGNED_PATTERN)})",
        'write an amount of money, such as -3 or "12.50"',
    ),
]
"""Money that is added, or with a minus taken away."""

_DATE_PATTERN = r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$"


class Correction(Model):
    """What a closed month must be changed by."""

    name: Name
    """name of the correction: it is entered once, and stays when it is taken out of this list."""
    day: Annotated[
        str,
        StringConstraints(pattern=_DATE_PATTERN, max_length=10),
        reads(_DATE_PATTERN, "write the day as YYYY-MM-DD, such as 2026-10-31"),
    ]
    """day that it is about, in UTC."""
    meter: ResourceName
    """meter that it is about."""
    amount: SignedMoney
    """amount by which the day's cost changes."""
    reason: Annotated[str, StringConstraints(min_length=1, max_length=253)]
    """reason that people will ask for, such as `the provider's bill of October`."""


class Cost(Model):
    """How a tenant's cost is found."""

    source: Literal["rates", "opencost"] = "rates"
    """source of the cost of the namespaces: declared rates alone, or the metrics that OpenCost exports, and rates for
    what it does not see."""
    currency: Currency = "USD"
    """currency of all amounts."""
    rates: Annotated[Mapping[str, Money], Field(max_length=32)] = Field(default_factory=dict)
    """rates by the name of a resource or meter: for one unit of a resource that lasts a month, such as `qps: "0.01"`,
    unless a meter says otherwise."""
    meters: Annotated[tuple[Meter, ...], Field(max_length=32, json_schema_extra=keyed_by("name"))] = ()
    """meters say what rates are for, such as a GiB where bytes are measured, or API calls, which are no resource."""
    allocate: Annotated[tuple[SharedService, ...], Field(max_length=8, json_schema_extra=keyed_by("service"))] = ()
    """allocate a part of the cost of shared services to this tenant."""
    budget: Money | None = None
    """budget of a calendar month; the hard limit of the resource with this currency if not given."""
    prices: Annotated[tuple[Price, ...], Field(max_length=16, json_schema_extra=keyed_by("tier"))] = ()
    """prices that users pay, from which reports tell how many users pay for the service."""
    corrections: Annotated[tuple[Correction, ...], Field(max_length=32, json_schema_extra=keyed_by("name"))] = ()
    """corrections of closed months."""


_MEASURED = "self.resources.exists(r, r.name == {0})"

PRICED = Validation(
    f"!has(self.cost) || self.cost.rates.all(m, {_MEASURED.format('m')}"
    " || self.cost.meters.exists(n, n.name == m && (has(n.resource) || has(n.usage))))",
    "a rate must be for one of resources, or for one of cost.meters that says its resource or usage",
    field=".cost.rates",
)
"""Rule of the spec."""

METERED = Validation(
    "!has(self.cost) || self.cost.meters.all(n, !(has(n.resource) && has(n.usage))"
    f" && (!has(n.resource) || {_MEASURED.format('n.resource')})"
    f" && (has(n.resource) || has(n.usage) || {_MEASURED.format('n.name')}))",
    "a meter must be of one of resources, by `resource` or by its own name, or else say its usage",
    field=".cost.meters",
)
"""Rule of the spec."""


class CostLine(Model):
    """What one meter has cost in the month so far."""

    meter: Told
    """meter, or service that is shared."""
    amount: Told
    """amount of money as a plain decimal."""


class CostStatus(Model):
    """The month so far."""

    currency: Told = ""
    """currency of the amounts."""
    month: Told = ""
    """month as `2026-11`, in UTC."""
    month_to_date: Told = ""
    """monthToDate is what was spent since the month began; empty if unknown."""
    forecast: Told = ""
    """forecast at the month's end; empty if unknown."""
    budget: Told = ""
    """budget of the month."""
    counted_time: Time | None = None
    """countedTime is until when all use is counted in."""
    lines: Annotated[tuple[CostLine, ...], Field(max_length=64, json_schema_extra=keyed_by("meter"))] = ()
    """lines by meter."""
    message: Message = ""
    """message says what is missing."""
    last_month: Told = ""
    """lastMonth as `2026-10`."""
    last_month_total: Short = ""
    """lastMonthTotal is what that month cost."""
