"""A tenant's account of a month: its daily totals, which outlive Prometheus' retention and the operator's restarts.

Money is kept as decimal text. A day is written anew while its month is open and never again after that: what turns out
to be wrong later is corrected by a line of its own. Who bears the cost is part of the account as it was last known, so
that a tenant that is renamed later, or gone, changes nothing in a closed month. Pure.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field

from pilotage.resources.base import Model, Time
from pilotage.tenancy.cost import Basis, Category, Month, Rate

SETTLING = timedelta(days=3)
"""A month is closed so long after its end: until then late data may still change it."""

MOST_LINES = 56
"""Rates, resources that services are split by, and what OpenCost tells are 55 at most."""

MOST_PRESENCES = 32
MOST_CORRECTIONS = 200
LARGEST_BYTES = 1_000_000
"""The API server takes a ConfigMap of 1 MiB; a month with all of the above and the longest names is below this."""

HEADER = "account.json"


class AccountError(ValueError):
    """An account that can't be read, or must not be changed."""


class Line(Model):
    """What one meter came to on one day."""

    meter: str
    category: Category = "other"
    quantity: Decimal | None = None
    """quantity that was used: the mean level, or the count; absent where nobody knows."""
    observed: Decimal = Decimal(1)
    """observed is the share of the time that there were data for."""
    elapsed: Decimal = Decimal(1)
    """elapsed is the share of the day that the line speaks of."""
    price: Decimal = Decimal(0)
    per: Decimal = Decimal(1)
    unit: str = ""
    basis: Basis = "month"
    source: Literal["rates", "cluster"] = "rates"
    """source is cluster for a part of what the whole cluster was measured to cost."""
    amount: Decimal | None = None
    """amount of money; absent where nobody knows."""

    @property
    def costs(self) -> bool:
        """Whether it costs anything by itself; else it only says by what a shared service is split."""
        return self.price > 0

    @property
    def rate(self) -> Rate:
        """The price that was in force."""
        return Rate(self.meter, self.price, self.basis, self.per, self.unit, self.category)


class Presence(Model):
    """That a rollout let so many users in, in one step, on one day."""

    rollout: str
    """rollout as `namespace/name`."""
    step: str
    seconds: Annotated[int, Field(ge=0)]
    """seconds of the day that it was in the step."""
    user_seconds: Annotated[int, Field(ge=0)]
    """userSeconds is users times seconds."""


class Day(Model):
    """One day's totals."""

    date: date
    lines: tuple[Line, ...] = ()
    presences: tuple[Presence, ...] = ()
    settled: bool = False
    """settled says that the whole day was looked at after it was over; it is not looked at again."""

    @property
    def elapsed(self) -> Decimal:
        """The share of the day that its lines speak of."""
        return max((line.elapsed for line in self.lines), default=Decimal(0))


class Bearer(Model):
    """Whose cost it is, as last known while the month was open."""

    name: str
    kind: Literal["tenant", "service", "cluster"] = "tenant"
    """kind is service for what tenants share, cluster for what all nodes, volumes and balancers cost together."""
    uid: str = ""
    display_name: str = ""
    type: str = ""
    cost_center: str = ""
    team: str = ""
    owner: str = ""
    isolation: str = ""
    regions: tuple[str, ...] = ()


class Split(Model):
    """That others bear this cost, by their shares of drivers."""

    tenants: tuple[str, ...]
    weights: dict[str, Decimal]
    """weights by meter; they sum to 1."""


class Correction(Model):
    """What changed after the month was closed."""

    name: str
    """name by which it is entered once."""
    date: date
    meter: str
    amount: Decimal
    """amount by which the day's meter changes."""
    reason: str
    time: Time


class Account(Model):
    """One tenant's month."""

    bearer: Bearer
    month: str
    currency: str = "USD"
    budget: Decimal | None = None
    split: Split | None = None
    days: tuple[Day, ...] = ()
    corrections: tuple[Correction, ...] = ()
    closed_time: Time | None = None

    @property
    def period(self) -> Month:
        """The month."""
        return Month.parse(self.month)

    def with_day(self, day: Day) -> "Account":
        """With this day's totals in the place of those that it had.

        Raises:
            AccountError: the month is closed, the day is of another one, or holds too much.
        """
        if self.closed_time is not None:
            msg = f"{self.month} is closed: enter a correction"
            raise AccountError(msg)
        if day.date not in self.period.days:
            msg = f"{day.date} is no day of {self.month}"
            raise AccountError(msg)
        if len(day.lines) > MOST_LINES or len(day.presences) > MOST_PRESENCES:
            msg = f"a day holds at most {MOST_LINES} meters and {MOST_PRESENCES} steps of rollouts"
            raise AccountError(msg)
        kept = (known for known in self.days if known.date != day.date)
        return self.model_copy(update={"days": tuple(sorted([*kept, day], key=lambda each: each.date))})

    def closed(self, now: datetime) -> "Account":
        """As it stays, where its time has come."""
        if self.closed_time is not None or now < self.period.ends_at + SETTLING:
            return self
        return self.model_copy(update={"closed_time": now})

    def corrected(self, corrections: Iterable[Correction]) -> "Account":
        """With corrections that it does not have yet; an open month needs none and takes none.

        Raises:
            AccountError: there are more than an account holds.
        """
        if self.closed_time is None:
            return self
        known = {correction.name for correction in self.corrections}
        named = {each.name: each for each in corrections if each.name not in known and each.date in self.period.days}
        added = tuple(named.values())
        if len(self.corrections) + len(added) > MOST_CORRECTIONS:
            msg = f"an account holds at most {MOST_CORRECTIONS} corrections"
            raise AccountError(msg)
        return self.model_copy(update={"corrections": (*self.corrections, *added)}) if added else self

    def day(self, day: date) -> Day | None:
        """That day's totals."""
        return next((known for known in self.days if known.date == day), None)


def write_account(account: Account) -> dict[str, str]:
    """The data of a ConfigMap: a header, and a key for each day; the same account makes the same text.

    Raises:
        AccountError: it is larger than the API server takes.
    """
    wire = account.to_wire()
    days = wire.pop("days", [])
    data = {HEADER: _compact(wire), **{day["date"]: _compact(day) for day in days}}
    size = sum(len(key) + len(text.encode()) for key, text in data.items())
    if size > LARGEST_BYTES:
        msg = f"the account of {account.bearer.name} for {account.month} is too large: {size} bytes"
        raise AccountError(msg)
    return data


def read_account(data: Mapping[str, str]) -> Account:
    """The account in a ConfigMap's data.

    Raises:
        AccountError: it can't be read: nothing is made up in its place.
    """
    try:
        header = json.loads(data[HEADER])
        days = [json.loads(text) for key, text in sorted(data.items()) if key != HEADER]
        return Account.model_validate({**header, "days": days})
    except (KeyError, ValueError, TypeError) as error:
        msg = "the account can't be read: restore its ConfigMap from a backup, or delete it to begin anew"
        raise AccountError(msg) from error


def _compact(document: Mapping[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
