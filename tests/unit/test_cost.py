"""Money: what usage costs, what a month comes to, and what a user costs."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.tenancy.accounts import Account, Bearer, Day, Line, Presence
from pilotage.tenancy.cost import (
    UNKNOWN,
    DayCost,
    Month,
    Rate,
    Usage,
    charge,
    elapsed_share,
    measure,
    priced_quantity,
    spending,
)
from pilotage.tenancy.economics import (
    Price,
    break_even_users,
    by_rollout,
    costs_by_step,
    economics_of,
    fit,
)

QPS = Rate("qps", Decimal("0.01"), unit="QPS")
STORAGE = Rate("storage", Decimal("0.10"), per=Decimal(2**30), unit="GiB", category="storage")
CALLS = Rate("api-calls", Decimal("0.40"), basis="each", per=Decimal(10**6), category="requests")
CORES = Rate("cpu", Decimal("0.031"), basis="hour", unit="core", category="compute")


def money(text: str) -> Decimal:
    return Decimal(text)


@pytest.mark.parametrize("month", ["2026-02", "2028-02", "2026-04", "2026-12"])
def test_a_level_that_lasts_a_month_costs_its_monthly_price_whatever_the_months_length(month: str) -> None:
    days = Month.parse(month).days
    assert len(days) == {"2026-02": 28, "2028-02": 29, "2026-04": 30, "2026-12": 31}[month]
    ten_thousand = sum((charge(QPS, Usage(money("10000")), day) or Decimal(0) for day in days), Decimal(0))
    assert abs(ten_thousand - 100) < money("1E-8")
    five_tebibytes = sum((charge(STORAGE, Usage(Decimal(5 * 2**40)), day) or Decimal(0) for day in days), Decimal(0))
    assert abs(five_tebibytes - 512) < money("1E-8")


def test_what_is_counted_costs_by_the_piece_and_hours_by_the_hour() -> None:
    assert charge(CALLS, Usage(Decimal(2_500_000)), date(2026, 11, 3)) == 1
    assert charge(CORES, Usage(Decimal(8)), date(2026, 11, 3)) == 8 * 24 * money("0.031")
    assert charge(CORES, Usage(Decimal(8)), date(2026, 11, 3), money("0.5")) == 8 * 12 * money("0.031")
    assert priced_quantity(CORES, Decimal(8), date(2026, 11, 3), Decimal(1)) == 192


def test_usage_that_nobody_saw_has_no_amount_rather_than_zero() -> None:
    assert charge(QPS, UNKNOWN, date(2026, 11, 3)) is None
    assert measure([], steps=288, counted=False) == UNKNOWN
    assert measure([float("nan"), float("inf"), -1.0], steps=3, counted=False) == UNKNOWN


def test_gaps_are_filled_with_what_was_seen_and_told() -> None:
    assert measure([2.0, 4.0, float("nan"), -7.0], steps=4, counted=False) == Usage(money("3"), money("0.5"))
    assert measure([2.0, 4.0], steps=4, counted=True) == Usage(money("12"), money("0.5"))
    assert measure([0.0] * 4, steps=4, counted=False) == Usage(Decimal(0), Decimal(1))


def test_a_day_is_one_of_utc_also_where_clocks_change() -> None:
    # 25 October 2026 has 25 hours in Berlin.
    day = date(2026, 10, 25)
    assert elapsed_share(day, datetime(2026, 10, 25, 12, tzinfo=UTC)) == money("0.5")
    assert elapsed_share(day, datetime.fromisoformat("2026-10-25T13:00:00+01:00")) == money("0.5")
    assert Month.of(datetime.fromisoformat("2026-11-01T00:30:00+01:00")) == Month(2026, 10)


@pytest.mark.parametrize("text", ["2026-13", "2026", "2026-1", "november", "2026-11-01", ""])
def test_a_month_that_is_none_is_refused_with_the_form_to_write(text: str) -> None:
    with pytest.raises(ValueError, match="write it as YYYY-MM"):
        Month.parse(text)


def by_day(amounts: Sequence[str | None], *, last: str = "1") -> list[DayCost]:
    elapsed = [Decimal(1)] * (len(amounts) - 1) + [Decimal(last)]
    days = zip(amounts, elapsed, strict=True)
    return [DayCost(date(2026, 11, n), part, (Decimal(a) if a else None,)) for n, (a, part) in enumerate(days, start=1)]


def test_a_budget_is_known_to_break_long_before_it_is_spent() -> None:
    standing = spending(by_day(["400"] * 10), Month(2026, 11))
    assert [standing.month_to_date, standing.run_rate, standing.forecast] == [4000, 400, 12_000]
    assert standing.within(Decimal(10_000)) is False
    assert standing.within(Decimal(12_000)) is True


def test_a_forecast_follows_the_last_seven_days() -> None:
    grown = spending(by_day(["100"] * 10 + ["300"] * 7), Month(2026, 11))
    assert grown.forecast == 1000 + 2100 + 13 * 300
    half = spending(by_day(["100"] * 9 + ["50"], last="0.5"), Month(2026, 11))
    assert [half.run_rate, half.forecast] == [100, 3000]


def test_a_day_that_is_not_known_makes_the_month_a_lower_bound() -> None:
    standing = spending(by_day(["100", None, "100"]), Month(2026, 11))
    assert [standing.month_to_date, standing.unknown] == [200, 1]
    assert standing.within(Decimal(1_000_000)) is None
    assert standing.within(Decimal(150)) is False


def test_a_month_of_some_hours_has_no_forecast_and_a_month_that_is_over_forecasts_nothing() -> None:
    early = spending(by_day(["1"], last="0.1"), Month(2026, 11))
    assert [early.month_to_date, early.forecast] == [1, None]
    over = spending(by_day(["2"] * 30), Month(2026, 11))
    assert over.forecast == over.month_to_date == 60
    assert spending([], Month(2026, 11)).forecast is None


@given(
    values=st.lists(st.floats(0, 1e12), min_size=1, max_size=300),
    lost=st.integers(0, 300),
    price=st.decimals(0, 1000, places=6),
)
def test_a_charge_is_never_negative_and_at_most_the_highest_level_for_all_the_time(
    values: list[float], lost: int, price: Decimal
) -> None:
    usage = measure(values, steps=len(values) + lost, counted=False)
    amount = charge(Rate("m", price), usage, date(2026, 11, 1))
    assert amount is not None
    assert 0 <= amount <= (Decimal(max(values)) + 1) * price / 30 + money("1E-9")


def account(month: str, cost_a_month: str, users: int, *, step: str, days: int | None = None) -> Account:
    period = Month.parse(month)
    seconds = 86_400
    made = Account(bearer=Bearer(name="pilot"), month=month)
    for day in period.days[: days or period.length]:
        line = Line(meter="cluster", quantity=Decimal(1), amount=Decimal(cost_a_month) / period.length)
        presence = Presence(rollout="shop/assistant", step=step, seconds=seconds, user_seconds=users * seconds)
        made = made.with_day(Day(date=day, lines=(line,), presences=(presence,)))
    return made


def test_the_roadmaps_cost_per_user_falls_from_34_20_to_11_to_8() -> None:
    months = [
        account("2026-02", "1710", 50, step="week-7"),
        account("2026-09", "5500", 500, step="month-9"),
        account("2026-12", "15000", 1875, step="launch"),
    ]
    found = by_rollout(costs_by_step(months))["shop/assistant"]
    assert [(each.step, str(each.per_user)) for each in found] == [
        ("week-7", "34.20"),
        ("month-9", "11.00"),
        ("launch", "8.00"),
    ]
    assert [each.days for each in found] == [28, 30, 31]


def test_a_step_that_spans_two_months_is_one_row_weighed_by_days() -> None:
    months = [account("2026-02", "300", 10, step="a", days=28), account("2026-03", "600", 10, step="a", days=28)]
    (found,) = costs_by_step(months)
    assert [found.days, found.users, found.per_user] == [56, 10, money("45.00")]


def test_two_rollouts_of_a_tenant_share_its_day_by_their_users() -> None:
    line = Line(meter="cluster", amount=Decimal(30))
    presences = (
        Presence(rollout="shop/a", step="1", seconds=86_400, user_seconds=30 * 86_400),
        Presence(rollout="shop/b", step="1", seconds=86_400, user_seconds=60 * 86_400),
    )
    day = Day(date=date(2026, 11, 1), lines=(line,), presences=presences)
    a, b = costs_by_step([Account(bearer=Bearer(name="t"), month="2026-11").with_day(day)])
    assert [a.monthly, b.monthly] == [300, 600]
    assert a.per_user == b.per_user == money("10.00")


def test_a_step_with_a_day_of_unknown_cost_has_no_cost_per_user() -> None:
    known = account("2026-11", "300", 10, step="a", days=2)
    day = Day(date=date(2026, 11, 3), lines=(Line(meter="qps"),), presences=known.days[0].presences)
    (found,) = costs_by_step([known.with_day(day)])
    assert [found.days, found.per_user] == [3, None]


def test_nobody_breaks_even_where_a_user_costs_what_it_pays() -> None:
    assert break_even_users(Decimal(15_000), Decimal(25)) == 600
    assert break_even_users(Decimal(15_000), money("37.5")) == 400
    assert break_even_users(Decimal(15_000), Decimal(300)) == 50
    assert break_even_users(Decimal(1289), Decimal(25), per_user=money("8.42")) == 78
    assert break_even_users(Decimal(1), Decimal(8), per_user=Decimal(8)) is None


def test_unit_economics_follow_from_the_steps_and_the_prices() -> None:
    steps = costs_by_step([account("2026-02", "1710", 50, step="a"), account("2026-09", "5500", 500, step="b")])
    prices = [Price("free", Decimal(0), money("0.5")), Price("professional", Decimal(25), money("0.5"))]
    found = economics_of(steps, prices)
    assert found.price == money("12.50")
    assert found.break_even_now == 440
    assert found.model is not None
    assert abs(found.model.per_user - money("8.4222")) < money("0.0001")
    assert found.break_even_grown == 317
    assert found.margin is not None
    assert abs(found.margin - money("0.12")) < money("1E-12")
    nothing = economics_of(steps, [])
    assert (nothing.price, nothing.break_even_now, nothing.margin) == (None, None, None)


@given(st.lists(st.tuples(st.integers(1, 10**7), st.integers(0, 10**9)), max_size=12))
def test_a_cost_model_never_pays_for_a_user_nor_for_existing(points: list[tuple[int, int]]) -> None:
    found = fit([(Decimal(users), Decimal(cost)) for users, cost in points])
    assert (found is None) == (len({users for users, _ in points}) < 2)
    if found is not None:
        assert found.fixed >= 0
        assert found.per_user >= 0
