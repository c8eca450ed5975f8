"""The sentences and cells of a governance report, the same in Markdown and HTML. Pure."""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC
from decimal import Decimal

from pilotage.reports.governance import Governance, TenantCost
from pilotage.resources.tenant import TenantQuota
from pilotage.tenancy.billing import unknown_text
from pilotage.tenancy.economics import Economics


@dataclass(frozen=True, slots=True)
class Cell:
    """A text, and its tone: good, caution, bad or neutral."""

    text: str
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells under their heads."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    empty: str
    note: str = ""


def sentence(report: Governance) -> str:
    """What a reader needs first."""
    over = sum(each.tone in ("caution", "bad") for each in report.utilisation)
    unknown = sum(each.tone == "neutral" for each in report.utilisation)
    parts = [
        f"{_count(len(report.tenants), 'tenant')} with {_count(len(report.utilisation), 'limited resource')}",
        f"{over} over 80 %" + (f", {unknown} not known" if unknown else ""),
        _checked(report),
    ]
    return "; ".join(parts) + "."


def _checked(report: Governance) -> str:
    met, broken, open_ones = (report.count(verdict) for verdict in ("met", "not met", "not checked"))
    return f"of {_count(len(report.checks), 'check')} {met} met, {broken} not met, {open_ones} not checked"


def facts(report: Governance) -> tuple[tuple[str, str, str], ...]:
    """Name, value and detail of the numbers at the top."""
    states = Counter[str](each.spec.state for each in report.tenants)
    rollouts = [rollout for found in report.rollouts.values() for rollout in found]
    phases = Counter[str](rollout.status.phase or "Pending" for rollout in rollouts)
    spent: dict[str, Decimal] = dict(report.unallocated)
    for cost in report.costs:
        spent[cost.currency] = spent.get(cost.currency, Decimal(0)) + cost.spending.month_to_date
    over = sum(each.tone in ("caution", "bad") for each in report.utilisation)
    return (
        ("Tenants", str(len(report.tenants)), _counted(states)),
        ("Rollouts", str(len(rollouts)), _counted(phases)),
        ("Resources over 80 %", str(over), f"of {len(report.utilisation)}"),
        (f"Cost in {report.month}", " + ".join(money(v, c) for c, v in sorted(spent.items())) or "-", "month to date"),
        ("Checks met", f"{report.count('met')} of {len(report.checks)}", f"{report.count('not checked')} not checked"),
    )


def tables(report: Governance) -> tuple[Table, ...]:
    """All tables, in the order of reading."""
    return (
        _tenants(report),
        _utilisation(report),
        _costs(report),
        _meters(report),
        _steps(report),
        _units(report),
        _checks(report),
    )


def _tenants(report: Governance) -> Table:
    heads = ("Tenant", "Name", "Type", "State", "Isolation", "Regions", "Team", "Cost centre", "Namespaces", "Rollouts")
    return Table("Tenants", heads, tuple(_tenant(each, report) for each in report.tenants), "There are no tenants.")


def _tenant(tenant: TenantQuota, report: Governance) -> tuple[Cell, ...]:
    spec = tenant.spec
    phases = Counter[str](r.status.phase or "Pending" for r in report.rollouts[tenant.metadata.name])
    texts = (
        *(tenant.metadata.name, spec.display_name, spec.type, spec.state, spec.isolation, ", ".join(spec.regions)),
        *(spec.owner.team, spec.owner.cost_center, ", ".join(spec.namespaces), _counted(phases) or "none"),
    )
    return tuple(Cell(text) for text in texts)


def _utilisation(report: Governance) -> Table:
    rows = tuple(
        (
            Cell(each.tenant),
            Cell(each.resource),
            Cell(each.used),
            Cell(each.hard),
            Cell(percent(each.percent), each.tone),
            Cell(each.forecast or "-"),
            Cell(each.mark, each.tone),
            Cell("; ".join(filter(None, (each.action, each.note)))),
        )
        for each in report.utilisation
    )
    heads = ("Tenant", "Resource", "Used", "Limit", "Of the limit", "At month's end", "Mark", "Action, message")
    return Table("Utilisation", heads, rows, "No resource is limited.")


def _costs(report: Governance) -> Table:
    rows = [_cost(each) for each in report.costs]
    for currency, amount in sorted(report.unallocated.items()):
        rows.append((Cell("nobody"), Cell(money(amount, currency)), *[Cell("-")] * 4, Cell("can't be allocated")))
    heads = ("Tenant", "Month to date", "A day now", "Forecast", "Budget", "Of the budget", "Note")
    return Table(f"Cost in {report.month}", heads, tuple(rows), "No tenant's cost is counted.")


def _cost(cost: TenantCost) -> tuple[Cell, ...]:
    spending = cost.spending
    within = spending.within(cost.budget) if cost.budget is not None else None
    tone = "" if cost.budget is None else {True: "good", False: "bad", None: "neutral"}[within]
    return (
        Cell(cost.tenant),
        Cell(money(spending.month_to_date, cost.currency)),
        Cell(money(spending.run_rate, cost.currency)),
        Cell(money(spending.forecast, cost.currency), tone),
        Cell(money(cost.budget, cost.currency)),
        Cell(percent(cost.percent)),
        Cell(unknown_text(spending.unknown)),
    )


def _meters(report: Governance) -> Table:
    rows = tuple(
        (Cell(cost.tenant), Cell(meter), _amount(amount, cost), Cell(_share(amount, cost)))
        for cost in report.costs
        for meter, amount in sorted(cost.meters.items(), key=lambda each: -(each[1] or 0))
    )
    return Table("Cost by meter", ("Tenant", "Meter", "Amount", "Share"), rows, "No meter has cost anything.")


def _amount(amount: Decimal | None, cost: TenantCost) -> Cell:
    return Cell("not known", "neutral") if amount is None else Cell(money(amount, cost.currency))


def _share(amount: Decimal | None, cost: TenantCost) -> str:
    total = sum((each for each in cost.meters.values() if each is not None), Decimal(0))
    return percent(amount / total * 100 if total and amount is not None else None)


def _steps(report: Governance) -> Table:
    rows = tuple(
        (
            Cell(step.rollout),
            Cell(step.step),
            Cell(str(step.since)),
            Cell(f"{step.days:.1f}"),
            Cell(f"{step.users:,.0f}"),
            Cell(money(step.monthly, step.currency)),
            Cell(money(step.per_user, step.currency)),
        )
        for found in report.economics.values()
        for step in found.steps
    )
    heads = ("Rollout", "Step", "Since", "Days", "Users", "Cost in a month", "Cost per user")
    note = "The tenant's whole cost, shared by its rollouts by users and time; a month's amount by the month's length."
    return Table("Cost per user, by step", heads, rows, "No rollout had users on a day that is accounted for.", note)


def _units(report: Governance) -> Table:
    rows = tuple(_unit(rollout, found) for rollout, found in report.economics.items() if found.price is not None)
    heads = ("Rollout", "Price", "One more user costs", "Break-even now", "Break-even with growth", "Margin")
    note = (
        "Now: users that would pay for the last step's cost. With growth: users at which revenue meets a cost that goes"
        " on growing as it did from step to step."
    )
    return Table(
        "Unit economics", heads, rows, "No rollout had users whose tenant declares prices (spec.cost.prices).", note
    )


def _unit(rollout: str, found: Economics) -> tuple[Cell, ...]:
    currency = found.steps[-1].currency
    return (
        Cell(rollout),
        Cell(money(found.price, currency)),
        Cell(money(found.model.per_user if found.model else None, currency)),
        Cell(_users(found.break_even_now)),
        Cell(_users(found.break_even_grown) if found.model else "-"),
        Cell(percent(found.margin * 100 if found.margin is not None else None), _margin_tone(found.margin)),
    )


def _margin_tone(margin: Decimal | None) -> str:
    return "" if margin is None else "good" if margin >= 0 else "bad"


def _users(number: int | None) -> str:
    return "never" if number is None else f"{number:,} users"


def _checks(report: Governance) -> Table:
    tones = {"met": "good", "not met": "bad", "not checked": "caution"}
    rows = tuple(
        (Cell(check.tenant), Cell(check.requirement), Cell(check.verdict, tones[check.verdict]), Cell(check.evidence))
        for check in report.checks
    )
    note = f"Looked at on {report.written_at.astimezone(UTC):%Y-%m-%d %H:%M UTC}. What was not checked is not met."
    return Table(
        "Compliance", ("Tenant", "Requirement", "Verdict", "Evidence"), rows, "There was nothing to check.", note
    )


def money(amount: Decimal | None, currency: str) -> str:
    """`$1,710.00`; other currencies by their code."""
    if amount is None:
        return "-"
    text = f"{abs(amount):,.2f}"
    sign = "-" if amount < 0 else ""
    return f"{sign}${text}" if currency == "USD" else f"{sign}{text} {currency}"


def percent(number: Decimal | None) -> str:
    """`84 %`."""
    return "?" if number is None else f"{number:.0f} %"


def _counted(found: Counter[str]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(found.items()))


def _count(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"
