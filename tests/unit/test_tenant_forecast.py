"""Forecasts to the end of the calendar month in UTC."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.judging.evidence import Series
from pilotage.tenancy.forecast import forecast_level, forecast_total, month_of

MOMENTS = st.datetimes(min_value=datetime(2020, 1, 1), max_value=datetime(2040, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone
DAY = 86400.0


@pytest.mark.parametrize(("month", "days"), [("2026-02", 28), ("2028-02", 29), ("2026-04", 30), ("2026-12", 31)])
def test_months_have_their_own_length(month: str, days: int) -> None:
    period = month_of(datetime.fromisoformat(f"{month}-17T12:00:00+00:00"))
    assert (period.ends_at - period.starts_at).days == days
    assert period.starts_at.day == period.ends_at.day == 1


def test_a_month_begins_in_utc_wherever_one_is() -> None:
    local = datetime(2026, 12, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    assert month_of(local).starts_at == datetime(2026, 11, 1, tzinfo=UTC)


@given(MOMENTS)
def test_every_moment_is_in_its_month(moment: datetime) -> None:
    period = month_of(moment)
    assert period.starts_at <= moment < period.ends_at
    assert month_of(period.ends_at).starts_at == period.ends_at


def test_four_thousand_after_ten_of_thirty_days_are_twelve_thousand_at_the_end() -> None:
    now = datetime(2026, 11, 11, tzinfo=UTC)
    assert forecast_total(Decimal(4000), now, month_of(now)) == 12000


def test_the_first_minutes_of_a_month_say_nothing() -> None:
    now = datetime(2026, 11, 1, 0, 30, tzinfo=UTC)
    assert forecast_total(Decimal(40), now, month_of(now)) is None


@given(MOMENTS, st.decimals(min_value=0, max_value=10**9, places=2))
def test_a_total_never_shrinks_until_the_end(now: datetime, used: Decimal) -> None:
    forecast = forecast_total(used, now, month_of(now))
    assert forecast is None or forecast >= used


def _seen(start: float, slope: float, count: int = 24) -> Series:
    times = tuple(start + hour * 3600.0 for hour in range(count))
    return Series(times, tuple(100 + slope * (at - start) for at in times))


def test_a_level_goes_on_by_its_trend() -> None:
    now = datetime(2026, 11, 21, tzinfo=UTC)
    seen = _seen(now.timestamp() - DAY, slope=10 / DAY)
    found = forecast_level(Decimal(110), now, month_of(now), seen=seen, trend_seconds=DAY)
    assert found is not None
    assert float(found) == pytest.approx(210, rel=1e-6)


def test_a_level_never_falls_below_nothing() -> None:
    now = datetime(2026, 11, 2, tzinfo=UTC)
    seen = _seen(now.timestamp() - DAY, slope=-50 / DAY)
    assert forecast_level(Decimal(50), now, month_of(now), seen=seen, trend_seconds=DAY) == 0


def test_a_history_that_was_forged_is_no_forecast() -> None:
    now = datetime(2026, 11, 21, tzinfo=UTC)
    seen = _seen(now.timestamp() - DAY, slope=1e300)
    assert forecast_level(Decimal(50), now, month_of(now), seen=seen, trend_seconds=DAY) is None


@pytest.mark.parametrize("count", [0, 1, 5, 11])
def test_too_little_is_no_forecast(count: int) -> None:
    now = datetime(2026, 11, 21, tzinfo=UTC)
    seen = _seen(now.timestamp() - DAY, slope=1.0, count=count)
    assert forecast_level(Decimal(50), now, month_of(now), seen=seen, trend_seconds=DAY) is None
