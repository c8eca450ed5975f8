"""What a user costs, step by step, and how many users pay for the rest: unit economics of a rollout. Pure.

A tenant's cost of a day is borne by its rollouts by the users whom they let in on that day, times how long; the steps
of one rollout bear it while they last. Each day is scaled to a month by the length of its own month, so that 1,710 a
month for 50 users are 34.20 a user in February as in March.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal

from pilotage.tenancy.accounts import Account, Day, Presence
from pilotage.tenancy.cost import CENT, DAY_SECONDS, Month

_ENOUGH_POINTS = 2

_Part = tuple[date, Presence, Decimal | None]


@dataclass(frozen=True, slots=True)
class StepCost:
    """What a step of a rollout cost.

    Attributes:
        rollout: as `namespace/name`.
        step: its name.
        since: the first day.
        days: how long it was in the step.
        users: let in, on average over that time.
        monthly: what the rollout costs in a month of such days; None where a day's amount is not known.
        currency: of the amounts.
    """

    rollout: str
    step: str
    since: date
    days: Decimal
    users: Decimal
    monthly: Decimal | None
    currency: str

    @property
    def per_user(self) -> Decimal | None:
        """A user's cost in a month, to the cent; None without users."""
        if self.monthly is None or not self.users:
            return None
        return (self.monthly / self.users).quantize(CENT, ROUND_HALF_EVEN)


def costs_by_step(accounts: Iterable[Account]) -> tuple[StepCost, ...]:
    """The cost of each step of each rollout, in the order in which they were begun."""
    spans: dict[tuple[str, str, str], list[_Part]] = {}
    for account in sorted(accounts, key=lambda each: each.month):
        for day in account.days:
            for part in _borne(day):
                key = (account.currency, part[1].rollout, part[1].step)
                spans.setdefault(key, []).append(part)
    found = [_step_cost(*key, parts) for key, parts in spans.items()]
    return tuple(sorted(found, key=lambda each: (each.rollout, each.since)))


def _borne(day: Day) -> Iterable[_Part]:
    """Each presence of a day, with what its rollout bears of the day, scaled to a month."""
    by_rollout: dict[str, int] = {}
    for presence in day.presences:
        by_rollout[presence.rollout] = by_rollout.get(presence.rollout, 0) + presence.user_seconds
    total, everybody = _monthly(day), sum(by_rollout.values())
    for presence in day.presences:
        if presence.user_seconds:
            borne = None if total is None else total * by_rollout[presence.rollout] / everybody
            yield day.date, presence, borne


def _monthly(day: Day) -> Decimal | None:
    """What a month of such days costs; None where a meter's amount is not known."""
    amounts = [line.amount for line in day.lines if line.amount is not None]
    if not day.elapsed or len(amounts) < len(day.lines):
        return None
    return sum(amounts, Decimal(0)) / day.elapsed * Month.of(day.date).length


def _step_cost(currency: str, rollout: str, step: str, parts: Sequence[_Part]) -> StepCost:
    """A step's days together: each counts by how long the step lasted on it."""
    seconds = sum(presence.seconds for _, presence, _ in parts)
    amounts = [monthly * presence.seconds for _, presence, monthly in parts if monthly is not None]
    return StepCost(
        rollout=rollout,
        step=step,
        since=min(day for day, _, _ in parts),
        days=Decimal(seconds) / DAY_SECONDS,
        users=Decimal(sum(presence.user_seconds for _, presence, _ in parts)) / seconds,
        monthly=sum(amounts, Decimal(0)) / seconds if len(amounts) == len(parts) else None,
        currency=currency,
    )


@dataclass(frozen=True, slots=True)
class Price:
    """What users of a tier pay for a month.

    Attributes:
        tier: its name.
        amount: of money for a user and month.
        share: of the users, 0 to 1.
    """

    tier: str
    amount: Decimal
    share: Decimal


def blended_price(prices: Sequence[Price]) -> Decimal | None:
    """What a user pays on average; None without prices."""
    if not prices:
        return None
    return sum((price.amount * price.share for price in prices), Decimal(0))


def break_even_users(monthly_cost: Decimal, price: Decimal, *, per_user: Decimal = Decimal(0)) -> int | None:
    """How many users pay for what does not grow with them: cost / (price - cost of one more user).

    Args:
        monthly_cost: what does not grow with the users.
        price: that one pays in a month.
        per_user: what one more costs in a month.

    Returns:
        The number of users; None where each costs what it pays, or more.
    """
    contribution = price - per_user
    return math.ceil(monthly_cost / contribution) if contribution > 0 else None


def margin(users: Decimal, price: Decimal, monthly_cost: Decimal) -> Decimal | None:
    """The share of revenue that is left over cost, such as 0.2; negative for a loss, None without revenue."""
    revenue = users * price
    return (revenue - monthly_cost) / revenue if revenue > 0 else None


@dataclass(frozen=True, slots=True)
class CostModel:
    """What does not grow with the users, and what one more costs, in a month."""

    fixed: Decimal
    per_user: Decimal

    def at(self, users: Decimal) -> Decimal:
        """The monthly cost of so many users."""
        return self.fixed + self.per_user * users


def fit(points: Sequence[tuple[Decimal, Decimal]]) -> CostModel | None:
    """The line through (users, monthly cost) by least squares; None where it can't be told.

    Neither part is below zero: no service is paid for existing, and no user brings its cost down.
    """
    if len({users for users, _ in points}) < _ENOUGH_POINTS:
        return None
    mean_users = sum((users for users, _ in points), Decimal(0)) / len(points)
    mean_cost = sum((cost for _, cost in points), Decimal(0)) / len(points)
    spread = sum(((users - mean_users) ** 2 for users, _ in points), Decimal(0))
    slope = sum(((users - mean_users) * (cost - mean_cost) for users, cost in points), Decimal(0)) / spread
    slope = max(slope, Decimal(0))
    return CostModel(max(mean_cost - slope * mean_users, Decimal(0)), slope)


@dataclass(frozen=True, slots=True)
class Economics:
    """A rollout's unit economics.

    Attributes:
        steps: their costs, in order.
        model: how cost grows with users; None with fewer than two steps that differ in users.
        price: that a user pays on average; None where none is declared.
        break_even_now: users that pay for the present cost; None where there is no price or cost.
        break_even_grown: users at which revenue meets the cost that grows with them; None where that never happens.
        margin: of the last step; None without revenue.
    """

    steps: tuple[StepCost, ...]
    model: CostModel | None
    price: Decimal | None
    break_even_now: int | None
    break_even_grown: int | None
    margin: Decimal | None


def economics_of(steps: Sequence[StepCost], prices: Sequence[Price]) -> Economics:
    """Unit economics of the steps of one rollout."""
    points = [(step.users, step.monthly) for step in steps if step.monthly is not None and step.users]
    model, price = fit(points), blended_price(prices)
    users, monthly = points[-1] if points else (None, None)
    grown = break_even_users(model.fixed, price, per_user=model.per_user) if model and price else None
    return Economics(
        steps=tuple(steps),
        model=model,
        price=price,
        break_even_now=break_even_users(monthly, price) if monthly is not None and price else None,
        break_even_grown=grown,
        margin=margin(users, price, monthly) if users and price and monthly is not None else None,
    )


def by_rollout(steps: Iterable[StepCost]) -> Mapping[str, tuple[StepCost, ...]]:
    """The steps by the rollout that they belong to."""
    found: dict[str, list[StepCost]] = {}
    for step in steps:
        found.setdefault(step.rollout, []).append(step)
    return {rollout: tuple(of) for rollout, of in found.items()}
