"""Turns the accounts of a month into charges, to the cent: who bears what, for which meter, on which day. Pure.

- A tenant's own meters are rounded together: its rows sum to its rounded total, on each day and over the month.
- A shared service's cents are split among the tenants that share it; what can't be split is a row of nobody's.
- What a whole cluster costs beyond what tenants and services bear of it is a row of nobody's on each day.
- A closed month has the same rows for ever; what turned out to be wrong comes as further rows.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from pilotage.tenancy.accounts import Account, Correction, Day, Line
from pilotage.tenancy.allocation import UNALLOCATED, apportion, carried_cents, owed_cents, shares_by_weights
from pilotage.tenancy.cost import from_cents, to_cents

Kind = Literal["direct", "shared", "unallocated", "correction"]


@dataclass(frozen=True, slots=True)
class Charge:
    """One amount that somebody bears.

    Attributes:
        bearer: name of the tenant, or `__unallocated__`.
        account: where it comes from: the tenant's own account, or that of what is shared.
        day: it is for.
        kind: of the charge.
        cents: of the currency.
        meter: what is charged.
        line: the meter's totals; None for what is left over and for corrections.
        share: of the account's line, where it is split.
        correction: what it corrects.
    """

    bearer: str
    account: Account
    day: date
    kind: Kind
    cents: int
    meter: str
    line: Line | None = None
    share: Fraction | None = None
    correction: Correction | None = None

    @property
    def cost(self) -> Decimal:
        """The amount."""
        return from_cents(self.cents)


def charges_of(accounts: Iterable[Account]) -> tuple[Charge, ...]:
    """All charges of a month, in an order that depends on nothing but the accounts.

    Args:
        accounts: of one month: tenants', services', clusters'.
    """
    ordered = sorted(accounts, key=lambda each: (each.bearer.kind, each.bearer.name))
    tenants = {each.bearer.name: each for each in ordered if each.bearer.kind == "tenant"}
    found: list[Charge] = []
    within: dict[tuple[str, date], int] = {}
    for account in ordered:
        if account.bearer.kind == "cluster":
            continue
        own = _direct(account)
        for charge in own:
            if charge.line is not None and charge.line.source == "cluster":
                place = (account.currency, charge.day)
                within[place] = within.get(place, 0) + charge.cents
        found += own if account.bearer.kind == "tenant" else _split(account, own, tenants)
    for account in ordered:
        if account.bearer.kind == "cluster":
            found += _left_over(account, within)
    found += [_corrected(account, correction) for account in ordered for correction in account.corrections]
    return tuple(sorted(found, key=lambda c: (c.bearer == UNALLOCATED, c.bearer, c.day, c.kind, c.meter)))


def total_cents(account: Account) -> int:
    """What an account comes to in whole cents, without corrections: what the rows that come from it sum to."""
    return sum(carried_cents([_known(day) for day in account.days]))


def _known(day: Day) -> Decimal:
    return sum((line.amount for line in day.lines if line.amount is not None), Decimal(0))


def _direct(account: Account) -> list[Charge]:
    """An account's own meters, day by day; a meter whose amount nobody knows is a charge of 0 that says so."""
    totals = carried_cents([_known(day) for day in account.days])
    owed = [{line.meter: owed_cents(line.amount or Decimal(0)) for line in day.lines} for day in account.days]
    cents = apportion(list(zip(totals, owed, strict=True)))
    name = account.bearer.name
    return [
        Charge(name, account, day.date, "direct", given[line.meter], line.meter, line)
        for day, given in zip(account.days, cents, strict=True)
        for line in day.lines
    ]


def _split(service: Account, own: Sequence[Charge], tenants: Mapping[str, Account]) -> list[Charge]:
    """A service's cents among those who share it."""
    shares = [_shares(service, charge.day, tenants) for charge in own]
    parts = [
        (charge.cents, {bearer: share * charge.cents for bearer, share in of.items()})
        for charge, of in zip(own, shares, strict=True)
    ]
    found = []
    for charge, of, given in zip(own, shares, apportion(parts), strict=True):
        for bearer, cents in given.items():
            kind: Kind = "unallocated" if bearer == UNALLOCATED else "shared"
            found.append(Charge(bearer, service, charge.day, kind, cents, charge.meter, charge.line, of[bearer]))
    return found


def _shares(service: Account, day: date, tenants: Mapping[str, Account]) -> dict[str, Fraction]:
    split = service.split
    if split is None or not split.weights:
        return {UNALLOCATED: Fraction(1)}
    # Who has no such day was no tenant then; one whose usage was not seen has the day, with nothing known.
    days = {name: found for name in split.tenants if name in tenants and (found := tenants[name].day(day))}
    return shares_by_weights({name: _used(of, split.weights) for name, of in days.items()}, split.weights)


def _used(day: Day, drivers: Iterable[str]) -> dict[str, Decimal | None]:
    lines = {line.meter: line.quantity for line in day.lines}
    return {driver: lines.get(driver) for driver in drivers}


def _left_over(cluster: Account, within: Mapping[tuple[str, date], int]) -> list[Charge]:
    totals = carried_cents([_known(day) for day in cluster.days])
    return [
        Charge(
            UNALLOCATED, cluster, day.date, "unallocated", total - within.get((cluster.currency, day.date), 0), "idle"
        )
        for day, total in zip(cluster.days, totals, strict=True)
    ]


def _corrected(account: Account, correction: Correction) -> Charge:
    cents = to_cents(correction.amount)
    name = account.bearer.name if account.bearer.kind == "tenant" else UNALLOCATED
    return Charge(name, account, correction.date, "correction", cents, correction.meter, correction=correction)
