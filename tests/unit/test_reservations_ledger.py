"""Reserving headroom: who fits, who is held and why, and what ends a promise."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from pilotage.tenancy.forecast import forecast_total, month_of
from pilotage.tenancy.reserving import MOST_RESERVATIONS, UNTAKEN_SECONDS, Claim, Holder, Ledger, Room, claim_id

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
WAITING, TAKEN, GONE = Holder("waiting"), Holder("taken"), Holder("gone")


def claim(name: str, *, generation: int = 1, step: str = "half", **amounts: int) -> Claim:
    needs = {resource: Decimal(amount) for resource, amount in amounts.items()}
    return Claim(claim_id(f"uid-{name}", step, generation), f"shop/{name}", step, needs)


def amounts(*numbers: int) -> tuple[Decimal, ...]:
    return tuple(Decimal(number) for number in numbers)


def room(limit: int, used: int | None, resource: str = "qps", *, observed_at: datetime = NOW) -> Room:
    return Room(resource, Decimal(limit), None if used is None else Decimal(used), observed_at)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def reserve(ledger: Ledger, wanted: Claim, *rooms: Room, now: datetime = NOW) -> Ledger:
    outcome = ledger.reserve(wanted, rooms, now)
    assert outcome.granted
    return outcome.ledger


def test_the_last_headroom_goes_to_who_asks_first_and_the_other_learns_who_has_it() -> None:
    ledger = reserve(Ledger(), claim("first", qps=30), room(100, 60))
    refused = ledger.reserve(claim("second", qps=30), [room(100, 60)], NOW)
    [short] = refused.shortages
    assert not refused.granted
    assert refused.ledger is ledger
    assert (short.available, short.missing) == amounts(10, 20)
    assert short.holders == (("shop/first", Decimal(30)),)


def test_all_of_it_is_reserved_or_nothing() -> None:
    rooms = [room(100, 0), room(5, 0, "storage")]
    refused = Ledger().reserve(claim("one", qps=10, storage=6), rooms, NOW)
    assert [short.room.resource for short in refused.shortages] == ["storage"]
    assert refused.ledger == Ledger()


def test_unknown_usage_holds_even_a_step_that_needs_nothing_of_it() -> None:
    refused = Ledger().reserve(claim("one", qps=1), [room(100, 0), room(5, None, "storage")], NOW)
    [short] = refused.shortages
    assert (refused.granted, short.available, short.missing) == (False, None, None)


def test_a_tenant_over_its_limit_steps_nowhere_not_even_at_no_cost() -> None:
    assert not Ledger().reserve(claim("free"), [room(100, 101)], NOW).granted
    assert Ledger().reserve(claim("free"), [room(100, 100)], NOW).granted


def test_what_is_asked_for_twice_is_reserved_once() -> None:
    ledger = reserve(Ledger(), claim("one", qps=60), room(100, 0))
    assert reserve(ledger, claim("one", qps=60), room(100, 0), now=after(60)) is ledger


def test_a_reservation_does_not_outlive_a_limit_that_was_lowered_meanwhile() -> None:
    ledger = reserve(Ledger(), claim("one", qps=60), room(100, 0))
    assert not ledger.reserve(claim("one", qps=60), [room(50, 0)], NOW).granted


def test_the_same_step_of_an_edited_spec_takes_the_place_of_the_one_before() -> None:
    ledger = reserve(Ledger(), claim("one", qps=60), room(100, 0))
    ledger = reserve(ledger, claim("one", generation=2, qps=70), room(100, 0))
    assert [each.claim.id for each in ledger.reservations] == ["uid-one/half/2"]
    assert ledger.reserved("qps") == 70


def test_a_step_that_was_not_taken_in_time_gives_back_what_it_holds() -> None:
    wanted = claim("one", qps=60)
    ledger = reserve(Ledger(), wanted, room(100, 0))
    holders = {wanted.id: WAITING}
    assert ledger.tend(holders, [room(100, 0)], after(UNTAKEN_SECONDS - 1)) is ledger
    assert ledger.tend(holders, [room(100, 0)], after(UNTAKEN_SECONDS)) == Ledger()


def test_a_step_that_was_taken_keeps_its_reservation_however_long_its_users_are_not_seen() -> None:
    wanted = claim("one", qps=60)
    ledger = reserve(Ledger(), wanted, room(100, 0))
    late = room(100, 0, observed_at=after(10**6))
    assert ledger.tend({wanted.id: TAKEN}, [late], after(10**6)) is ledger


def test_a_reservation_ends_when_its_usage_must_show_in_what_is_measured_and_not_before() -> None:
    wanted = claim("one", qps=60, storage=1)
    ledger = reserve(Ledger(), wanted, room(100, 0), room(5, 0, "storage"))
    holders = {wanted.id: Holder("taken", after(10))}
    early = [room(100, 0, observed_at=after(609)), room(5, 0, "storage", observed_at=after(0))]
    kept = ledger.tend(holders, early, after(10_000))
    assert kept.reserved("qps") == 60
    assert kept.reservations[0].in_force_at == after(10)
    half = [room(100, 60, observed_at=after(610)), early[1]]
    kept = kept.tend(holders, half, after(10_000))
    assert (kept.reserved("qps"), kept.reserved("storage")) == amounts(0, 1)
    assert kept.tend(holders, [half[0], room(5, 1, "storage", observed_at=after(610))], after(10_000)) == Ledger()


def test_who_is_taken_back_or_deleted_gives_back_at_once() -> None:
    wanted = claim("one", qps=60)
    ledger = reserve(Ledger(), wanted, room(100, 0))
    assert ledger.tend({wanted.id: GONE}, [room(100, 0)], NOW) == Ledger()
    assert ledger.release(wanted.id) == Ledger()
    assert ledger.release("another") is ledger


def test_a_reservation_of_a_rollout_that_is_not_known_now_stays() -> None:
    ledger = reserve(Ledger(), claim("one", qps=60), room(100, 0))
    assert ledger.tend({}, [room(100, 0)], after(10**9)) is ledger


def test_a_clock_that_was_ahead_leaves_no_reservation_that_lasts_for_years() -> None:
    wanted = claim("one", qps=60)
    ledger = reserve(Ledger(), wanted, room(100, 0), now=after(10**8))
    ledger = ledger.tend({wanted.id: WAITING}, [room(100, 0)], NOW)
    assert ledger.reserved("qps") == 60
    assert ledger.tend({wanted.id: WAITING}, [room(100, 0)], after(UNTAKEN_SECONDS)) == Ledger()


def test_a_resource_that_the_tenant_has_no_longer_is_reserved_no_longer() -> None:
    wanted = claim("one", qps=60)
    ledger = reserve(Ledger(), wanted, room(100, 0))
    assert ledger.tend({wanted.id: Holder("taken", NOW)}, [], NOW) == Ledger()


def test_a_full_ledger_holds_the_next_one_instead_of_growing_beyond_an_object() -> None:
    ledger = Ledger()
    for number in range(MOST_RESERVATIONS):
        ledger = reserve(ledger, claim(f"n{number}", qps=1), room(10**6, 0))
    outcome = ledger.reserve(claim("late", qps=1), [room(10**6, 0)], NOW)
    assert (outcome.granted, outcome.full) == (False, True)
    assert ledger.reserve(claim("free"), [room(10**6, 0)], NOW).granted


def budget(observed_at: datetime) -> Room:
    """Of 3,000 a month; 1,000 were spent evenly by a month of 30 days until its 11th."""
    begun, now = datetime(2026, 4, 1, tzinfo=UTC), observed_at
    spent = Decimal(100) * Decimal((now - begun).total_seconds()) / 86400
    stepped = max(Decimal(0), Decimal(10) * Decimal((now - STEP).total_seconds()) / 86400)
    forecast = forecast_total(spent + stepped, now, month_of(now))
    return Room("cost", Decimal(3300), forecast, now, month=month_of(now), budget=True)


STEP = datetime(2026, 4, 11, tzinfo=UTC)


@pytest.mark.parametrize("days", [0, 1, 5, 12, 19])
def test_forecast_and_what_is_promised_beside_it_never_count_a_step_twice_nor_leave_it_out(days: int) -> None:
    """The step costs 10 a day from the 11th on: 200 in this month, and is promised that."""
    wanted = claim("one", cost=200)
    ledger = reserve(Ledger(), wanted, budget(STEP), now=STEP)
    ledger = ledger.tend({wanted.id: Holder("taken", STEP)}, [budget(STEP)], STEP)
    now = STEP + timedelta(days=days, minutes=1)
    ledger = ledger.tend({wanted.id: Holder("taken", STEP)}, [budget(now)], now)
    room = budget(now)
    assert room.used is not None
    [short] = ledger.reserve(claim("all", cost=5000), [room], now).shortages
    assert short.available is not None
    assert abs(short.available - 100) < Decimal("0.2"), "3,300 less 3,000 and 200, on every day of the month"


def test_the_next_months_forecast_contains_the_step_and_its_promise_is_over() -> None:
    wanted = claim("one", cost=200)
    ledger = reserve(Ledger(), wanted, budget(STEP), now=STEP)
    ledger = ledger.tend({wanted.id: Holder("taken", STEP)}, [budget(STEP)], STEP)
    late, may = datetime(2026, 4, 30, 23, tzinfo=UTC), datetime(2026, 5, 1, 2, tzinfo=UTC)
    assert ledger.tend({wanted.id: Holder("taken", STEP)}, [budget(late)], late) is ledger
    assert ledger.tend({wanted.id: Holder("taken", STEP)}, [budget(may)], may) == Ledger()
