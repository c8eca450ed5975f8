"""What a tenant may use of one resource: limits, where the usage is read, and what follows when it is too much."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from pilotage.resources.base import ATOMIC, Duration, Model, Name, ObjectName, PromQL, Window
from pilotage.resources.cel import Validation, validations
from pilotage.resources.tenant_amounts import Currency, NamespaceName, Quantity, ResourceName
from pilotage.resources.tenant_reservations import Need

Action = Literal["alert", "hold", "throttle", "scale"]
"""What follows when a limit is exceeded; each contains alert."""

Counts = Literal["level", "total"]


class Usage(Model):
    """Where a number about a tenant is read: an IndicatorTemplate, or PromQL of its own."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            Validation("has(self.templateRef) != has(self.query)", "give templateRef or query"),
            Validation(
                "!has(self.params) || has(self.templateRef)",
                "params are for a template: write them into the query",
                field=".params",
            ),
        )
    )

    template_ref: ObjectName | None = None
    """templateRef names an IndicatorTemplate with a single value; in its queries `$tenant` stands for the tenant's name
    and `$namespaces` for its namespaces, as a regular expression."""
    query: PromQL | None = None
    """query is PromQL that yields one value; `$tenant`, `$namespaces` and `$window` are put in."""
    params: Annotated[Mapping[str, Name], Field(max_length=8)] | None = None
    """params are put into the template's queries: `collection: products` for `$collection`. Values are plain names."""
    window: Window | None = None
    """window that `$window` stands for; the template's, else 5m."""


class ThrottleTarget(Model):
    """A route or a gateway that is limited while a throttle is in force."""

    kind: Literal["HTTPRoute", "GRPCRoute", "Gateway"] = "HTTPRoute"
    """kind of the target."""
    name: ObjectName
    """name of the target."""
    namespace: NamespaceName
    """namespace of the target, one of the tenant's."""


class Throttle(Model):
    """How a throttle limits."""

    requests: Annotated[int | None, Field(ge=0, le=2**31 - 1)] = None
    """requests that may pass in each unit; the hard limit if not given, which fits rates such as qps."""
    unit: Literal["Second", "Minute", "Hour"] = "Second"
    """unit of time that requests are counted in."""
    methods: Annotated[
        tuple[Literal["GET", "POST", "PUT", "PATCH", "DELETE"], ...],
        Field(max_length=5, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = ()
    """methods that are limited, such as POST and PUT where writes fill a store; all if empty."""
    rate_limit: Literal["local", "global"] = "local"
    """rateLimit of Envoy Gateway: local counts in each proxy, global in its rate-limit service."""
    targets: Annotated[tuple[ThrottleTarget, ...], Field(max_length=8, json_schema_extra=ATOMIC)] = ()
    """targets that a BackendTrafficPolicy limits, where Envoy Gateway is installed. The decision is published as a
    ConfigMap and a flag in any case."""


_ORDER = "quantity(string(self.soft)).compareTo(quantity(string(self.hard))) <= 0"


class QuotaResource(Model):
    """One resource of a tenant."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            Validation(
                "!has(self.soft) || !isQuantity(string(self.soft)) || !isQuantity(string(self.hard)) || " + _ORDER,
                "soft is above hard: lower soft, or raise hard",
                field=".soft",
            ),
        )
    )

    name: ResourceName
    """name of the resource."""
    unit: Annotated[str, StringConstraints(pattern=r"^[A-Za-z][-A-Za-z0-9/]*$", max_length=30)] = "count"
    """unit in words, for people and reports: count, bytes, requests/s."""
    currency: Currency | None = None
    """currency makes it an amount of money: its hard limit is the tenant's budget."""
    soft: Quantity | None = None
    """soft is a limit whose violation is answered by onSoft."""
    hard: Quantity
    """hard is the limit: no step begins that would exceed it, and onHard answers where usage does."""
    counts: Counts | None = None
    """counts says what the usage is: a `level` that stands as it is (vectors, storage, qps), or the `total` since the
    beginning of the calendar month in UTC (money, calls). A total is forecast by its rate, a level by its trend. total
    where currency is given, else level."""
    usage: Usage
    """usage is where it is read."""
    max_age: Duration = "5m"
    """maxAge of a sample: what is older is unknown, and unknown usage holds forward steps."""
    trend: Duration = "1d"
    """trend of a level is learned over so long a time."""
    warn_at: Annotated[
        tuple[Annotated[int, Field(ge=1, le=100)], ...],
        Field(max_length=4, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = (80, 95)
    """warnAt are percentages of hard that people are told about, each once."""
    hysteresis: Annotated[int, Field(ge=0, le=50)] = 5
    """hysteresis in percent of a limit, by which usage must fall below it until its violation is over."""
    grace: Duration = "0s"
    """grace is how long hard may be exceeded before onHard acts; people are told at once."""
    on_soft: Action = "alert"
    """onSoft says what follows above soft: alert, hold (rollouts of the tenant don't advance), throttle or scale."""
    on_hard: Action = "hold"
    """onHard says what follows above hard."""
    throttle: Throttle = Throttle()
    """throttle says how a throttle limits."""
    need: Need | None = None
    """need of one more user, where no step has shown it yet."""
