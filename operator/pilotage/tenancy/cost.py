"""From usage to money: a rate card's prices times what was used in a day, in Decimal. Pure.

A level (queries a second, bytes, cores) is charged for the time that it lasts: its mean over the day, times the price,
times the day's part of the month or its hours. What is counted (API calls, bytes sent) is charged by the piece. Days
are those of UTC, which knows no daylight saving; a month has its own number of days.

Usage that nobody saw is not known, and its amount is None: it is never charged as zero.
"""

import calendar
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Literal

Basis = Literal["month", "hour", "each"]
"""What a price is for: one unit for a month, one unit for an hour, or each unit that was counted."""

Category = Literal["compute", "storage", "network", "requests", "other"]

DAY_SECONDS = 86_400
CENT = Decimal("0.01")
_AMOUNT = Decimal("1E-10")
_QUANTITY = Decimal("1E-6")
_HOURS_OF_A_DAY = 24
_RECENT_DAYS = 7
_WIDE = Context(prec=80)
_MOST = 1e18
"""More is no amount of anything that is sold, but a broken metric."""

_LEAST_DAY = Decimal("0.25")
"""Of a month in its first hours nobody can tell how it ends."""


@dataclass(frozen=True, slots=True)
class Rate:
    """One line of a rate card.

    Attributes:
        meter: what is charged, such as `storage`.
        price: of `per` units, in the rate card's currency.
        basis: what the price is for.
        per: how much of what is measured makes one unit of the price: 1073741824 bytes for a price per GiB.
        unit: its name, such as `GiB`.
        category: what it is grouped by.
    """

    meter: str
    price: Decimal
    basis: Basis = "month"
    per: Decimal = Decimal(1)
    unit: str = ""
    category: Category = "other"


@dataclass(frozen=True, slots=True)
class Usage:
    """What was used of a meter in a stretch of a day.

    Attributes:
        quantity: the mean level, or the count; None where nobody knows.
        observed: for which share of the stretch there were data, 0 to 1; the rest is taken to be like it.
    """

    quantity: Decimal | None
    observed: Decimal = Decimal(1)


UNKNOWN = Usage(None, Decimal(0))


@dataclass(frozen=True, slots=True)
class Month:
    """A month of a year, in UTC."""

    year: int
    number: int

    @classmethod
    def parse(cls, text: str) -> "Month":
        """`2026-11`.

        Raises:
            ValueError: it is something else.
        """
        try:
            first = date.fromisoformat(f"{text}-01")
        except ValueError:
            msg = f"{text!r} is no month: write it as YYYY-MM, such as 2026-11"
            raise ValueError(msg) from None
        return cls(first.year, first.month)

    @classmethod
    def of(cls, moment: date) -> "Month":
        """The month of a day; of a moment in UTC."""
        day = moment.astimezone(UTC) if isinstance(moment, datetime) else moment
        return cls(day.year, day.month)

    def __str__(self) -> str:
        return f"{self.year:04}-{self.number:02}"

    @property
    def length(self) -> int:
        """How many days it has: 28 to 31."""
        return calendar.monthrange(self.year, self.number)[1]

    @property
    def begins_at(self) -> datetime:
        """Its first moment."""
        return datetime(self.year, self.number, 1, tzinfo=UTC)

    @property
    def ends_at(self) -> datetime:
        """The first moment after it."""
        return self.begins_at + timedelta(days=self.length)

    @property
    def days(self) -> tuple[date, ...]:
        """Its days in order."""
        return tuple(date(self.year, self.number, n + 1) for n in range(self.length))


def day_begins_at(day: date) -> datetime:
    """The first moment of a day, in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def elapsed_share(day: date, now: datetime) -> Decimal:
    """Which share of a day is over, 0 to 1."""
    seconds = (now - day_begins_at(day)).total_seconds()
    return Decimal(min(max(math.floor(seconds), 0), DAY_SECONDS)) / DAY_SECONDS


def measure(values: Iterable[float], *, steps: int, counted: bool) -> Usage:
    """What a day's samples say.

    Args:
        values: one for each step that has data; what no usage can be (NaN, infinite, negative) counts as missing.
        steps: how many there would be without gaps.
        counted: whether they are counts by step, whose sum is meant, rather than levels.
    """
    known = [value for value in values if 0 <= value <= _MOST]  # NaN compares as false
    if not known or steps <= 0:
        return UNKNOWN
    mean = Decimal(math.fsum(known)) / len(known)
    observed = min(Decimal(len(known)) / steps, Decimal(1))
    quantity = mean * max(steps, len(known)) if counted else mean
    return Usage(_rounded(quantity, _QUANTITY), _rounded(observed, _QUANTITY))


def charge(rate: Rate, usage: Usage, day: date, elapsed: Decimal = Decimal(1)) -> Decimal | None:
    """What the usage of (a part of) a day costs, unrounded but for the tenth decimal; None where usage is not known.

    Args:
        rate: the price.
        usage: of the part of the day.
        day: for the length of its month.
        elapsed: which share of the day the usage speaks of; what is counted is charged as counted.
    """
    if usage.quantity is None:
        return None
    return _rounded(priced_quantity(rate, usage.quantity, day, elapsed) * rate.price, _AMOUNT)


def priced_quantity(rate: Rate, quantity: Decimal, day: date, elapsed: Decimal) -> Decimal:
    """The quantity in the unit of the price: GiB-months, core-hours, calls."""
    units = quantity / rate.per
    match rate.basis:
        case "month":
            return units * elapsed / Month.of(day).length
        case "hour":
            return units * elapsed * _HOURS_OF_A_DAY
        case "each":
            return units


@dataclass(frozen=True, slots=True)
class Spending:
    """Where a month stands.

    Attributes:
        month_to_date: of the days so far, as far as they are known.
        unknown: how many meters of days have no known amount: month_to_date is then a lower bound.
        run_rate: money a day, of the last seven days.
        forecast: at the month's end; None where nothing tells, and in the month's first six hours.
    """

    month_to_date: Decimal
    unknown: int
    run_rate: Decimal | None
    forecast: Decimal | None

    def within(self, budget: Decimal) -> bool | None:
        """Whether the forecast keeps to a budget; None where that is not known."""
        if self.month_to_date > budget:
            return False
        if self.forecast is None or self.unknown:
            return False if self.forecast is not None and self.forecast > budget else None
        return self.forecast <= budget


@dataclass(frozen=True, slots=True)
class DayCost:
    """What one day costs.

    Attributes:
        day: the day.
        elapsed: the share of it that is counted.
        amounts: of its meters; None for what is not known.
    """

    day: date
    elapsed: Decimal
    amounts: tuple[Decimal | None, ...]


def spending(days: Sequence[DayCost], month: Month) -> Spending:
    """Month to date, run rate and forecast.

    What is not counted yet is forecast as going on like the last seven days: a step that let users in a week ago counts
    in full, one of yesterday by a seventh.

    Args:
        days: of the month.
        month: the month.
    """
    ordered = sorted(days, key=lambda each: each.day)
    amounts = [amount for each in ordered for amount in each.amounts]
    spent = sum((amount for amount in amounts if amount is not None), Decimal(0))
    unknown = sum(amount is None for amount in amounts)
    recent = [each for each in ordered[-_RECENT_DAYS:] if any(amount is not None for amount in each.amounts)]
    length = sum((each.elapsed for each in recent), Decimal(0))
    left = month.length - (ordered[-1].day.day - 1 + ordered[-1].elapsed) if ordered else Decimal(month.length)
    if left and length < _LEAST_DAY:
        return Spending(spent, unknown, None, None)
    lately = sum((amount for each in recent for amount in each.amounts if amount is not None), Decimal(0))
    rate = lately / length if length else Decimal(0)
    return Spending(spent, unknown, _rounded(rate, _AMOUNT), _rounded(spent + rate * left, _AMOUNT))


def to_cents(amount: Decimal) -> int:
    """Whole cents, half to even as banks round."""
    return int((amount / CENT).quantize(Decimal(1), ROUND_HALF_EVEN))


def from_cents(cents: int) -> Decimal:
    """`1234` -> `12.34`."""
    return Decimal(cents).scaleb(-2)


def _rounded(amount: Decimal, to: Decimal) -> Decimal:
    return amount.quantize(to, ROUND_HALF_EVEN, _WIDE)
