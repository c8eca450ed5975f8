"""What a step needs: measured where it can be, estimated before, never less than the platform team asks for."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.tenancy.need import SAFETY, Arm, Demand, marginal_per_user, need_of

TEN_TREATED = Arm(Decimal(50), 10)
NINETY_CONTROL = Arm(Decimal(90), 90)


def test_before_there_is_data_the_estimate_counts_with_safety() -> None:
    assert need_of(Demand("qps", per_user=Decimal("0.5")), 100) == Decimal(60)


def test_what_is_measured_counts_more_than_what_was_estimated() -> None:
    demand = Demand("qps", per_user=Decimal("0.5"), treatment=TEN_TREATED, control=NINETY_CONTROL)
    assert need_of(demand, 100) == Decimal(480), "(50/10 - 90/90) x 100 x 1.2"


def test_a_feature_that_saves_something_needs_nothing() -> None:
    demand = Demand("qps", treatment=Arm(Decimal(1), 10), control=NINETY_CONTROL)
    assert need_of(demand, 100) == 0


@pytest.mark.parametrize(
    ("treatment", "control"),
    [
        (None, NINETY_CONTROL),
        (TEN_TREATED, None),
        (Arm(Decimal(1), 0), NINETY_CONTROL),
        (TEN_TREATED, Arm(Decimal(1), 0)),
    ],
)
def test_without_users_of_both_variants_nothing_is_measured(treatment: Arm | None, control: Arm | None) -> None:
    assert marginal_per_user(treatment, control) is None
    assert need_of(Demand("qps", per_user=Decimal(1), treatment=treatment, control=control), 10) == 12


def test_a_steps_own_estimate_counts_before_one_by_user_until_there_is_data() -> None:
    said = Demand("qps", per_user=Decimal(1), amount=Decimal(7))
    assert need_of(said, 100) == Decimal("8.4")
    assert need_of(said, None) == Decimal("8.4")


def test_a_tenant_that_says_little_or_nothing_still_needs_what_the_platform_team_asks_for() -> None:
    assert need_of(Demand("qps", floor=Decimal(2)), 10) == 24
    assert need_of(Demand("qps", per_user=Decimal(0), amount=Decimal(1), floor=Decimal(2)), 10) == 24
    assert need_of(Demand("qps", treatment=Arm(Decimal(0), 5), control=NINETY_CONTROL, floor=Decimal(2)), 10) == 24


def test_only_what_the_platform_team_measures_counts_below_its_own_estimate() -> None:
    demand = Demand("qps", floor=Decimal(9), treatment=TEN_TREATED, control=NINETY_CONTROL)
    assert need_of(demand, 10) == 108
    assert need_of(replace(demand, proven=True), 10) == 48


def test_where_nobody_knows_how_many_come_an_estimate_by_user_says_nothing() -> None:
    assert need_of(Demand("qps", per_user=Decimal(1)), None) is None
    assert need_of(Demand("qps", floor=Decimal(1)), None) is None
    assert need_of(Demand("qps"), None) == 0


def test_of_money_that_is_said_per_period_only_what_is_left_of_it_is_needed() -> None:
    assert need_of(Demand("cost", per_user=Decimal(30), portion=Decimal(1) / 3), 10) == Decimal(120)


def test_no_number_that_can_be_written_is_too_large() -> None:
    greatest = Decimal(10**15) * 1024**6
    assert need_of(Demand("qps", per_user=greatest), 10**9) == greatest * 10**9 * SAFETY


amounts = st.decimals(0, 10**6, places=3)


@given(amounts, amounts, amounts, st.integers(1, 10**9), st.integers(-5, 10**9))
def test_a_need_is_never_negative_and_never_below_its_base(
    per_user: Decimal, rate: Decimal, floor: Decimal, users: int, added: int
) -> None:
    demand = Demand("qps", per_user=per_user, floor=floor, treatment=Arm(rate, users), control=Arm(rate, users))
    need = need_of(demand, added)
    assert need is not None
    assert need >= max(0, added) * floor * SAFETY >= 0
