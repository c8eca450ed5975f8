"""Need: how much of a tenant's resource a step's new users will use, told before they are let in.

What users cost is measured where it can be: the treatment's rate for each of its users, less the control's for each of
its own. Before there is data, the spec's estimate counts, and never less than the platform team asks for. All of it is
taken 1.2 times: a reservation that is too small overbooks, one that is too large is given back when usage shows it.
"""

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal, localcontext

from pilotage.tenancy.amounts import EXACT

SAFETY = Decimal("1.2")
"""What a need is multiplied by."""

_SMALLEST = Decimal("0.000000001")
"""Needs are rounded up to this: a billionth, the smallest step of a Kubernetes quantity."""


@dataclass(frozen=True, slots=True)
class Arm:
    """What one variant uses of a resource.

    Attributes:
        rate: in the resource's unit.
        users: who have this variant, more than none.
    """

    rate: Decimal
    users: int


@dataclass(frozen=True, slots=True)
class Demand:
    """What is known of one resource that a step needs.

    Attributes:
        resource: its name in the TenantQuota.
        per_user: the rollout's estimate for one more user; None if it says nothing.
        amount: the step's own estimate for all of its new users; None if it says nothing.
        treatment: what those who are in use now; None without data.
        control: what the others use; None without data.
        floor: the least for one user, by the TenantQuota.
        proven: whether treatment and control are measured by a query of the platform team; then they count also below
            the floor, which a tenant's own query can't.
        portion: of the period that is left, for money that is said per period; 1 for all else.
    """

    resource: str
    per_user: Decimal | None = None
    amount: Decimal | None = None
    treatment: Arm | None = None
    control: Arm | None = None
    floor: Decimal = Decimal(0)
    proven: bool = False
    portion: Decimal = Decimal(1)


def marginal_per_user(treatment: Arm | None, control: Arm | None) -> Decimal | None:
    """What the feature adds for one user, at least 0; None if it can't be measured.

    Both variants are needed: without control, the users' whole usage would be taken for what the feature adds.
    """
    if treatment is None or control is None or treatment.users <= 0 or control.users <= 0:
        return None
    return max(Decimal(0), treatment.rate / treatment.users - control.rate / control.users)


def need_of(demand: Demand, added_users: int | None) -> Decimal | None:
    """The need of a step, with safety, rounded up; None if it can't be told how many users it lets in.

    Args:
        demand: what is known of the resource.
        added_users: how many more users the step lets in; None if that is not known.
    """
    if added_users is not None and added_users <= 0:
        return Decimal(0)
    with localcontext(EXACT):
        base = _expected(demand, added_users)
        return None if base is None else (base * demand.portion * SAFETY).quantize(_SMALLEST, rounding=ROUND_CEILING)


def _expected(demand: Demand, added_users: int | None) -> Decimal | None:
    measured = marginal_per_user(demand.treatment, demand.control)
    if added_users is None:
        says_nothing = demand.per_user is None and not demand.floor
        return demand.amount if demand.amount is not None or not says_nothing else Decimal(0)
    if measured is not None and demand.proven:
        return measured * added_users
    if measured is not None:
        expected = measured * added_users
    elif demand.amount is not None:
        expected = demand.amount
    else:
        expected = (demand.per_user or Decimal(0)) * added_users
    return max(expected, demand.floor * added_users)
