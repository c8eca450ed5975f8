"""What is told of a tenant as a whole: its line of `kubectl get tq`, and its conditions.

Conditions that can't be told are Unknown, never True: a tenant whose usage is unknown is not within its limits.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from pilotage.resources.base import Condition
from pilotage.resources.tenant import TenantQuota, TenantQuotaSpec
from pilotage.resources.tenant_cost import CostStatus
from pilotage.resources.tenant_status import QuotaSummary, ResourceStatus, TenantQuotaStatus
from pilotage.resources.tenant_usage import Action
from pilotage.tenancy.amounts import humane, read_plain
from pilotage.tenancy.levels import ORDER, in_force

_LONGEST = 253
_LONGEST_MESSAGE = 1024
_DOING: dict[Action, str] = {"hold": "Holding", "throttle": "Throttling", "scale": "Scaling", "alert": "Alerting"}


@dataclass(frozen=True, slots=True)
class Finding:
    """A condition as it is seen now; `stamped` adds generation and times.

    Attributes:
        type: of the condition, such as `Ready`.
        status: True, False or Unknown.
        reason: one CamelCase word.
        message: for people; fixed words, no bodies of answers.
    """

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str = ""


def actions_in_force(spec: TenantQuotaSpec, resources: Iterable[ResourceStatus]) -> dict[str, frozenset[Action]]:
    """The actions in force, by resource; only of resources that the spec still has."""
    known = {each.name: each for each in spec.resources}
    return {each.name: in_force(known[each.name], each) for each in resources if each.name in known}


def summary_of(spec: TenantQuotaSpec, status: TenantQuotaStatus) -> QuotaSummary:
    """One line: usage in percent of hard with the fullest first, the worst level, and what is done about it."""
    order = sorted(status.resources, key=lambda each: (each.unknown_since is None, -(read_plain(each.percent) or 0)))
    parts = [f"{each.name} {_percent(each)}" for each in order]
    worst = max((each.level for each in status.resources), key=ORDER.index, default="within")
    if any(each.unknown_since is not None for each in status.resources) and worst in ("within", "warning"):
        worst = "unknown"
    actions = frozenset[Action]().union(*actions_in_force(spec, status.resources).values())
    shown = ",".join(sorted(actions - {"alert"})) or ("alert" if actions else "none")
    return QuotaSummary(
        usage=", ".join(parts)[:_LONGEST],
        worst=worst,
        cost=_cost(spec, status),
        action=f"({shown})" if spec.mode == "dryRun" and actions else shown,
    )


def message_of(status: TenantQuotaStatus) -> str:
    """The sentence that a reader needs first: the worst resource, or what is in the way."""
    wrong = [each for each in status.namespaces if each.state not in ("Enrolled", "Leaving")]
    parts = [each.message for each in wrong[:1] if each.message]
    order = sorted(status.resources, key=lambda each: ORDER.index(each.level), reverse=True)
    parts += [f"{each.name}: {each.message}" for each in order if each.level in ("soft", "hard") or each.unknown_since]
    return "; ".join(parts)[:_LONGEST_MESSAGE]


def findings_of(
    tenant: TenantQuota, status: TenantQuotaStatus, *, conflicts: Sequence[str], failures: Sequence[str]
) -> tuple[Finding, ...]:
    """The conditions of a tenant.

    Args:
        tenant: whose spec counts.
        status: with resources and namespaces as they were found.
        conflicts: objects of somebody else that stand in the way, a sentence each.
        failures: what could not be done, a sentence each.
    """
    resources = status.resources
    unknown = [each.name for each in resources if each.unknown_since is not None]
    return (
        _ready(status, conflicts, failures),
        Finding("UsageKnown", "False", "NoData", f"unknown: {', '.join(unknown)}")
        if unknown
        else Finding("UsageKnown", "True", "Data"),
        _within("WithinSoft", "SoftLimit", [each for each in resources if each.level in ("soft", "hard")], unknown),
        _within("WithinHard", "HardLimit", [each for each in resources if each.level == "hard"], unknown),
        _budget(tenant.spec, status),
        _enforcing(tenant.spec, resources),
        Finding("FieldConflict", "True", "NotOurs", "; ".join(conflicts)[:_LONGEST_MESSAGE])
        if conflicts
        else Finding("FieldConflict", "False", "NoConflict"),
    )


def stamped(
    before: tuple[Condition, ...], findings: Iterable[Finding], *, generation: int, now: datetime
) -> tuple[Condition, ...]:
    """The conditions with their times: that of the last transition stays where the status is the same.

    Conditions that nobody speaks of now stay as they are.
    """
    known = {each.type: each for each in before}
    made = dict(known)
    for found in findings:
        last = known.get(found.type)
        changed = last is None or last.status != found.status
        made[found.type] = Condition(
            type=found.type,
            status=found.status,
            observed_generation=generation,
            last_transition_time=now if last is None or changed else last.last_transition_time,
            reason=found.reason,
            message=found.message[:_LONGEST_MESSAGE],
        )
    return tuple(made.values())


def _ready(status: TenantQuotaStatus, conflicts: Sequence[str], failures: Sequence[str]) -> Finding:
    claimed = [each for each in status.namespaces if each.state == "Conflict"]
    if claimed:
        return Finding("Ready", "False", "NamespaceClaimed", claimed[0].message)
    if failures:
        return Finding("Ready", "False", "Failed", "; ".join(failures))
    if conflicts:
        return Finding("Ready", "False", "FieldConflict", "; ".join(conflicts))
    missing = [each.name for each in status.namespaces if each.state not in ("Enrolled", "Leaving")]
    if missing:
        return Finding("Ready", "False", "NamespaceMissing", f"not enrolled: {', '.join(missing)}")
    return Finding("Ready", "True", "Kept")


def _within(type_: str, reason: str, above: Sequence[ResourceStatus], unknown: Sequence[str]) -> Finding:
    if above:
        return Finding(type_, "False", reason, "; ".join(f"{each.name}: {each.message}" for each in above))
    if unknown:
        return Finding(type_, "Unknown", "NoData", f"unknown: {', '.join(unknown)}")
    return Finding(type_, "True", "Within")


def _budget(spec: TenantQuotaSpec, status: TenantQuotaStatus) -> Finding:
    told = _budgets(spec, status)
    if not told:
        return Finding("BudgetForecastOK", "True", "NoBudget", "no budget is declared")
    over = [
        f"{name}: forecast {humane(forecast)} {unit} of {humane(hard)} at the month's end"
        for name, forecast, hard, unit in told
        if forecast is not None and hard is not None and forecast > hard
    ]
    if over:
        return Finding("BudgetForecastOK", "False", "BudgetForecastExceeded", "; ".join(over))
    unknown = [name for name, forecast, _, _ in told if forecast is None]
    if unknown:
        return Finding("BudgetForecastOK", "Unknown", "NoForecast", f"no forecast yet: {', '.join(unknown)}")
    return Finding("BudgetForecastOK", "True", "WithinBudget")


def _budgets(spec: TenantQuotaSpec, status: TenantQuotaStatus) -> list[tuple[str, Decimal | None, Decimal | None, str]]:
    """Name, forecast, budget and currency: of the resources that are money, and of the account."""
    money = {each.name for each in spec.resources if each.currency is not None}
    told = [
        (each.name, read_plain(each.forecast), read_plain(each.hard), each.unit)
        for each in status.resources
        if each.name in money
    ]
    if spec.cost is not None and spec.cost.budget is not None:
        cost = status.cost or CostStatus(currency=spec.cost.currency)
        told.append(("cost", read_plain(cost.forecast), Decimal(str(spec.cost.budget)), cost.currency))
    return told


def _enforcing(spec: TenantQuotaSpec, resources: Sequence[ResourceStatus]) -> Finding:
    acting = {name: actions - {"alert"} for name, actions in actions_in_force(spec, resources).items()}
    acting = {name: actions for name, actions in acting.items() if actions}
    said = "; ".join(f"{name}: {', '.join(sorted(actions))}" for name, actions in acting.items())
    if not acting:
        return Finding("Enforcing", "False", "NothingToEnforce")
    if spec.mode == "dryRun":
        return Finding("Enforcing", "False", "DryRun", f"would be in force: {said}")
    kinds = frozenset[Action]().union(*acting.values())
    reason = _DOING[next(iter(kinds))] if len(kinds) == 1 else "Several"
    return Finding("Enforcing", "True", reason, said)


def _percent(status: ResourceStatus) -> str:
    percent = read_plain(status.percent)
    return "?" if percent is None else f"{percent:.0f}%"


def _cost(spec: TenantQuotaSpec, status: TenantQuotaStatus) -> str:
    """Of the month so far, from the cost if it is kept, else from the first resource that is money."""
    if status.cost is not None and status.cost.month_to_date:
        return _money(status.cost.month_to_date, status.cost.budget, status.cost.currency)
    for resource, said in zip(spec.resources, status.resources, strict=False):
        if resource.currency is not None and resource.name == said.name and said.used:
            return _money(said.used, said.hard, resource.currency)
    return ""


def _money(spent: str, budget: str, currency: str) -> str:
    limit = read_plain(budget)
    of = f" of {limit:,.0f}" if limit is not None else ""
    return f"{read_plain(spent) or 0:,.0f}{of} {currency}"
