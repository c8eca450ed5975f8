"""Who bears what: shares of a common cost by published weights, and cents that add up. Pure.

Shares are fractions, so that they sum to 1 exactly. Cents are given out by largest remainder, day after day: what a
day owes in parts of a cent is carried to the next, so that a month's rows sum to the month's total and no row is off by
more than a cent. What can't be given to anybody has a name of its own and is never dropped.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import TypeVar

from pilotage.tenancy.cost import CENT, to_cents

UNALLOCATED = "__unallocated__"
"""Bears what nobody can be charged with: idle capacity, drivers that nobody uses, usage that nobody saw."""

Key = TypeVar("Key")


def shares_by_weights(
    used: Mapping[str, Mapping[str, Decimal | None]], weights: Mapping[str, Decimal]
) -> dict[str, Fraction]:
    """The share of each tenant, and of nobody; they sum to 1.

    A driver's weight is split by usage of it. Where nobody used it, or where the usage of one tenant is not known, its
    whole weight is nobody's: to leave that tenant out would have the others pay for it.

    Args:
        used: by tenant, what it used of each driver; None, or a driver that is missing, is not known.
        weights: of the drivers, summing to 1.

    Raises:
        ValueError: the weights don't sum to 1, or one is negative.
    """
    if sum(weights.values(), Decimal(0)) != 1 or any(weight < 0 for weight in weights.values()):
        shown = " + ".join(str(weight) for weight in weights.values()) or "none"
        msg = f"the weights must be 0 or more and sum to 1, but are {shown}"
        raise ValueError(msg)
    found = dict.fromkeys([*sorted(used), UNALLOCATED], Fraction(0))
    for driver, weight in weights.items():
        amounts = {tenant: amount for tenant, of in used.items() if (amount := of.get(driver)) is not None}
        total = sum((Fraction(amount) for amount in amounts.values()), Fraction(0))
        if len(amounts) < len(used) or total <= 0:
            found[UNALLOCATED] += Fraction(weight)
            continue
        for tenant, amount in amounts.items():
            found[tenant] += Fraction(weight) * Fraction(amount) / total
    return found


def carried_cents(amounts: Sequence[Decimal]) -> list[int]:
    """Each day's amount in cents so that every running sum is the rounded running sum of the amounts."""
    found, told, total = [], 0, Decimal(0)
    for amount in amounts:
        total += amount
        found.append(to_cents(total) - told)
        told += found[-1]
    return found


def apportion(days: Sequence[tuple[int, Mapping[Key, Fraction]]]) -> list[dict[Key, int]]:
    """Give each day's cents to those who owe them.

    Args:
        days: by day, the cents to give out, and what each owes of them in (parts of) cents. Both sum up to less than a
            cent's difference over the days.

    Returns:
        By day the cents of each; they sum to the day's cents.
    """
    owed: dict[Key, Fraction] = {}
    found = []
    for total, amounts in days:
        for key, amount in amounts.items():
            owed[key] = owed.get(key, Fraction(0)) + amount
        given = _largest_remainder(total, {key: owed[key] for key in amounts})
        for key, cents in given.items():
            owed[key] -= cents
        found.append(given)
    return found


def _largest_remainder(total: int, owed: Mapping[Key, Fraction]) -> dict[Key, int]:
    """Whole cents next to what is owed that sum to the total; ties go to who comes first.

    Whoever was given too much before gets nothing, rather than something below zero; unless money is paid back.
    """
    if not owed:
        return {}
    whole = Fraction(0)
    given = {key: int(max(amount, whole)) if total >= 0 else -int(max(-amount, whole)) for key, amount in owed.items()}
    sign = 1 if total >= 0 else -1
    while missing := abs(total) - sum(given.values()) * sign:
        by_rest = sorted(given, key=lambda key: (owed[key] - given[key]) * sign, reverse=missing > 0)
        open_ones = [key for key in by_rest if missing > 0 or given[key] * sign > 0]
        for key in open_ones[: abs(missing)]:
            given[key] += sign if missing > 0 else -sign
    return given


def owed_cents(amount: Decimal) -> Fraction:
    """An amount of money in (parts of) cents."""
    return Fraction(amount) / Fraction(CENT)
