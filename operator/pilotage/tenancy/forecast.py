"""Where usage will be at the end of the calendar month, in UTC; months have 28 to 31 days.

A total since the month began goes on at its mean rate: 4,000 after 10 of 30 days are 12,000 at the end. A level goes on
by its trend, the least-squares line through what was seen lately (statistics.linear_regression). Too little is no
forecast: None.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from statistics import linear_regression

from pilotage.judging.evidence import Series
from pilotage.tenancy.usage import LARGEST, amount_of

LEAST_OF_A_MONTH = timedelta(hours=1)
"""Before that, a month's rate says nothing about the month."""

_FEWEST_SAMPLES = 6
_LEAST_PART = 0.5
"""A trend rests on samples over at least this part of the time that it is to be learned from."""


@dataclass(frozen=True, slots=True)
class Period:
    """From its first moment to the first one after it."""

    starts_at: datetime
    ends_at: datetime


def month_of(moment: datetime) -> Period:
    """The calendar month in UTC."""
    at = moment.astimezone(UTC)
    first = datetime(at.year, at.month, 1, tzinfo=UTC)
    after = datetime(at.year + at.month // 12, at.month % 12 + 1, 1, tzinfo=UTC)
    return Period(first, after)


def forecast_total(used: Decimal, now: datetime, period: Period) -> Decimal | None:
    """What was used since the period began, at its end if it goes on as it did."""
    elapsed = now - period.starts_at
    if elapsed < LEAST_OF_A_MONTH:
        return None
    # In whole microseconds: exact.
    return used * ((period.ends_at - period.starts_at) // _TICK) / (elapsed // _TICK)


def forecast_level(
    used: Decimal, now: datetime, period: Period, *, seen: Series, trend_seconds: float
) -> Decimal | None:
    """What is used now, at the period's end if it goes on by its trend; never below zero.

    Args:
        used: now.
        now: the moment.
        period: whose end is meant.
        seen: what was seen lately.
        trend_seconds: the time that the trend is to be learned from.
    """
    if len(seen.times) < _FEWEST_SAMPLES or seen.times[-1] - seen.times[0] < _LEAST_PART * trend_seconds:
        return None
    if max(map(abs, seen.values)) > LARGEST:
        return None
    slope = linear_regression([at - seen.times[0] for at in seen.times], seen.values).slope
    left = (period.ends_at - now).total_seconds()
    return max(used + amount_of(slope * left), Decimal(0))


_TICK = timedelta(microseconds=1)

TREND_SECONDS = 10 * 60.0
"""So often a trend is learned anew."""
