"""What is measured of a tenant's cost, and how a day's samples become its totals. Pure.

A day is asked for in steps of five minutes, at its end or so far. What was seen of a day is never replaced by less:
when Prometheus has forgotten a part of it, the totals that were kept are the better evidence.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Literal

from pilotage.judging.evidence import Answer, Answered, Measurement, Question
from pilotage.resources.indicators import IndicatorTemplateSpec
from pilotage.resources.tenant import TenantQuota
from pilotage.resources.tenant_cost import Cost, Meter, SharedService
from pilotage.resources.tenant_usage import Usage
from pilotage.tenancy.accounts import MOST_PRESENCES, Day, Line
from pilotage.tenancy.amounts import parse_amount
from pilotage.tenancy.cost import DAY_SECONDS, UNKNOWN, Category, Rate, charge, day_begins_at, measure
from pilotage.tenancy.usage import Tenant, UsageError, measurement_of, series_of

STEP_SECONDS = 300
_STEP = "5m"
_PLACES = Decimal("1E-6")


@dataclass(frozen=True, slots=True)
class Metered:
    """One meter: its price, and how it is read.

    Attributes:
        rate: its price.
        measurement: what is asked; None where it can't be.
        problem: why not.
        source: of the cost.
    """

    rate: Rate
    measurement: Measurement | None
    problem: str = ""
    source: Literal["rates", "cluster"] = "rates"


def tenant_meters(tenant: TenantQuota, templates: Mapping[str, IndicatorTemplateSpec]) -> tuple[Metered, ...]:
    """What is measured of a tenant: what has a rate, what shared services are split by, and what OpenCost tells."""
    cost = tenant.spec.cost
    if cost is None:
        return ()
    drivers = [weight.resource for service in cost.allocate for weight in service.weights]
    priced = dict.fromkeys([*cost.rates, *drivers])
    found = [_metered(name, cost, tenant, templates) for name in priced]
    measured = opencost_meters(tenant.spec.namespaces) if cost.source == "opencost" else ()
    return (*found, *measured)


def _metered(name: str, cost: Cost, tenant: TenantQuota, templates: Mapping[str, IndicatorTemplateSpec]) -> Metered:
    """A meter as it is declared; a resource without a meter is a level that has its price for a month."""
    meter = next((each for each in cost.meters if each.name == name), Meter(name=name))
    rate = Rate(
        meter=name,
        price=Decimal(str(cost.rates.get(name, 0))),
        basis=meter.basis,
        per=parse_amount(meter.per),
        unit=meter.unit,
        category=meter.category,
    )
    wanted = meter.resource or name
    usages = [each.usage for each in tenant.spec.resources if each.name == wanted]
    usage = meter.usage or (usages[0] if usages else None)
    if usage is None:
        return Metered(rate, None, f"{name} is no resource, and no meter says its usage")
    if rate.per <= 0:
        return Metered(rate, None, f"{name} is charged per 0 of something: correct cost.meters")
    return _readable(rate, usage, Tenant(tenant.metadata.name, tenant.spec.namespaces), templates)


def _readable(rate: Rate, usage: Usage, tenant: Tenant, templates: Mapping[str, IndicatorTemplateSpec]) -> Metered:
    if rate.basis == "each":  # what is counted must be counted once: the window is the step
        usage = usage.model_copy(update={"window": _STEP})
    try:
        return Metered(rate, measurement_of(usage, tenant, templates))
    except UsageError as error:
        return Metered(rate, None, str(error))


def service_meter(
    service: SharedService, tenant: TenantQuota, templates: Mapping[str, IndicatorTemplateSpec]
) -> Metered:
    """What a shared service costs in an hour."""
    rate = Rate("cost", Decimal(1), basis="hour", unit="", category="other")
    found = _readable(rate, service.cost, Tenant(tenant.metadata.name, tenant.spec.namespaces), templates)
    if service.within == "cluster":
        return Metered(found.rate, found.measurement, found.problem, "cluster")
    return found


_PRICES = "count(node_total_hourly_cost)"
"""Without prices of nodes nothing is known; with them, what has no series costs nothing."""

_ALLOCATED = (
    """sum({allocated}{{namespace=~"{namespaces}"}}{scale} * on (node) group_left () max by (node) ({price}))"""
)
_CLAIMED = (
    'sum(pod_pvc_allocation{{namespace=~"{namespaces}"}} / 1024^3'
    " * on (persistentvolume) group_left () max by (persistentvolume) (pv_hourly_cost))"
)
_UNPRICED = '({allocated}{{namespace=~"{namespaces}"}} unless on (node) {price})'
_SENT = (
    'sum(rate(kubecost_pod_network_egress_bytes_total{{namespace=~"{namespaces}",{where}}}[10m])) * 3600 / 1024^3'
    " * scalar(max(kubecost_network_{price}_egress_cost))"
)
_BALANCED = 'sum(kubecost_load_balancer_cost{{namespace=~"{namespaces}"}})'
_NODES: tuple[tuple[str, str, str, str], ...] = (
    ("cpu", "container_cpu_allocation", "", "node_cpu_hourly_cost"),
    ("memory", "container_memory_allocation_bytes", " / 1024^3", "node_ram_hourly_cost"),
    ("gpu", "container_gpu_allocation", "", "node_gpu_hourly_cost"),
)
_WAYS = (
    ("zone", 'internet="false",same_zone="false",same_region="true"'),
    ("region", 'internet="false",same_region="false"'),
    ("internet", 'internet="true"'),
)


def opencost_meters(namespaces: tuple[str, ...]) -> tuple[Metered, ...]:
    """The cost of namespaces in an hour, as OpenCost's exporter lets it be told.

    Pods on a node without a price make it unknown: to leave them out would be to charge too little.
    """
    names = "|".join(namespaces) or "-"
    found = []
    for meter, allocated, scale, price in _NODES:
        query = _ALLOCATED.format(allocated=allocated, namespaces=names, scale=scale, price=price)
        unpriced = _UNPRICED.format(allocated=allocated, namespaces=names, price=price)
        found.append(_hourly(f"opencost-{meter}", "compute", f"{_or_nothing(query)} unless on () {unpriced}"))
    found.append(_hourly("opencost-storage", "storage", _or_nothing(_CLAIMED.format(namespaces=names))))
    sent = [_or_nothing(_SENT.format(namespaces=names, where=where, price=price)) for price, where in _WAYS]
    found.append(_hourly("opencost-network", "network", " + ".join(sent)))
    found.append(_hourly("opencost-load-balancers", "network", _or_nothing(_BALANCED.format(namespaces=names))))
    return tuple(found)


def cluster_meters() -> tuple[Metered, ...]:
    """What the whole cluster costs in an hour: nodes, volumes, what was sent, load balancers, the control plane."""
    volumes = (
        "sum(kube_persistentvolume_capacity_bytes / 1024^3"
        " * on (persistentvolume) group_left () max by (persistentvolume) (pv_hourly_cost))"
    )
    sent = [_or_nothing(_SENT.format(namespaces=".*", where=where, price=price)) for price, where in _WAYS]
    return (
        _hourly("opencost-nodes", "compute", "sum(max by (node) (node_total_hourly_cost))"),
        _hourly("opencost-volumes", "storage", _or_nothing(volumes)),
        _hourly("opencost-network", "network", " + ".join(sent)),
        _hourly("opencost-load-balancers", "network", _or_nothing(_BALANCED.format(namespaces=".*"))),
        _hourly("opencost-management", "other", _or_nothing("sum(kubecost_cluster_management_cost)")),
    )


def _or_nothing(query: str) -> str:
    return f"({query} or 0 * {_PRICES})"


def _hourly(meter: str, category: Category, query: str) -> Metered:
    return Metered(Rate(meter, Decimal(1), basis="hour", category=category), Measurement(query=query), "", "cluster")


@dataclass(frozen=True, slots=True)
class Stretch:
    """The part of a day that is asked about: from its beginning on, in whole steps.

    Attributes:
        day: the day.
        steps: how many of it are over.
    """

    day: date
    steps: int

    @classmethod
    def of(cls, day: date, now: datetime) -> "Stretch":
        """What is over of a day."""
        seconds = min((now - day_begins_at(day)).total_seconds(), DAY_SECONDS)
        return cls(day, max(int(seconds // STEP_SECONDS), 0))

    @property
    def elapsed(self) -> Decimal:
        """As a share of the day."""
        return (Decimal(self.steps * STEP_SECONDS) / DAY_SECONDS).quantize(_PLACES)

    @property
    def ends_at(self) -> datetime:
        """When it is over: what to ask as of."""
        begin = day_begins_at(self.day)
        return datetime.fromtimestamp(begin.timestamp() + self.steps * STEP_SECONDS, begin.tzinfo)

    def question(self, measurement: Measurement) -> Question:
        """Asks for the value at each of its steps."""
        return Question(measurement, STEP_SECONDS / 2, (self.steps - 1) * STEP_SECONDS, STEP_SECONDS, aligned=True)


def line_of(metered: Metered, stretch: Stretch, answer: Answer | None) -> Line:
    """A meter's totals for a stretch, as far as they are known."""
    rate, usage = metered.rate, UNKNOWN
    series = series_of(answer) if isinstance(answer, Answered) else None
    if series is not None:
        usage = measure(series.values, steps=stretch.steps, counted=rate.basis == "each")
    return Line(
        meter=rate.meter,
        category=rate.category,
        quantity=usage.quantity,
        observed=usage.observed,
        elapsed=stretch.elapsed,
        price=rate.price,
        per=rate.per,
        unit=rate.unit,
        basis=rate.basis,
        source=metered.source,
        amount=charge(rate, usage, stretch.day, stretch.elapsed),
    )


def merged(before: Day | None, after: Day) -> Day:
    """A day's totals by the better evidence: of each meter and each step of a rollout what saw more of the day."""
    before = before or Day(date=after.date)
    lines = {line.meter: line for line in before.lines}
    for line in after.lines:
        known = lines.get(line.meter)
        lines[line.meter] = line if known is None or _seen(line) >= _seen(known) else known
    steps = {(each.rollout, each.step): each for each in before.presences}
    for presence in after.presences:
        there = steps.get((presence.rollout, presence.step))
        if there is None or presence.seconds >= there.seconds:
            steps[presence.rollout, presence.step] = presence
    return Day(
        date=after.date,
        lines=tuple(sorted(lines.values(), key=lambda each: each.meter)),
        presences=tuple(sorted(steps.values(), key=lambda each: -each.user_seconds)[:MOST_PRESENCES]),
        settled=after.settled,
    )


def _seen(line: Line) -> Decimal:
    return line.observed * line.elapsed if line.amount is not None else Decimal(-1)
