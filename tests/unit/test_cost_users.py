"""Who had a feature on a day: users times time by step, from which cost per user is made."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pilotage.resources.rollout import PilotRollout
from pilotage.tenancy.accounts import Account, Bearer, Day, Line, Presence
from pilotage.tenancy.cost import Month
from pilotage.tenancy.economics import costs_by_step
from pilotage.tenancy.metering import merged
from pilotage.tenancy.presence import presences_of

SECOND = date(2026, 11, 2)
LATER = datetime(2026, 11, 9, tzinfo=UTC)
HOUR = 3600
STEPS = [{"name": "week-1", "users": 10}, {"name": "week-2", "users": 20}, {"name": "all", "percent": 100}]


def rollout(*moves: tuple[str, str, str, str], population: int | None = 3000, **entry: Any) -> PilotRollout:
    """A rollout by its decisions: time, action, step, admitted."""
    history = [
        {"time": at, "sequence": n, "action": action, "step": step, "reason": action, "message": "", "admitted": users}
        | entry
        for n, (at, action, step, users) in enumerate(moves, start=1)
    ]
    return PilotRollout.model_validate(
        {
            "metadata": {"name": "assistant", "namespace": "shop"},
            "spec": {"feature": {"flag": "assistant"}, "steps": STEPS},
            "status": {"history": history, "population": population},
        }
    )


def steps(found: tuple[Presence, ...]) -> dict[str, tuple[int, int]]:
    return {each.step: (each.seconds, each.user_seconds) for each in found}


def test_a_day_is_split_where_a_step_was_left() -> None:
    found = rollout(
        ("2026-11-01T12:00:00Z", "Start", "week-1", "10 users"),
        ("2026-11-02T06:00:00Z", "Advance", "week-2", "20 users"),
        ("2026-11-02T07:00:00Z", "Hold", "week-2", "20 users"),
        ("2026-11-03T06:00:00Z", "Advance", "all", "everybody"),
    )
    assert steps(presences_of(found, date(2026, 11, 1), LATER)) == {"week-1": (12 * HOUR, 120 * HOUR)}
    assert steps(presences_of(found, SECOND, LATER)) == {
        "week-1": (6 * HOUR, 60 * HOUR),
        "week-2": (18 * HOUR, 360 * HOUR),
    }
    assert steps(presences_of(found, date(2026, 11, 4), LATER)) == {"all": (24 * HOUR, 72_000 * HOUR)}


def test_of_a_day_that_goes_on_only_what_is_over_counts() -> None:
    found = rollout(("2026-11-02T06:00:00Z", "Start", "week-1", "10 users"))
    now = datetime(2026, 11, 2, 8, tzinfo=UTC)
    assert steps(presences_of(found, SECOND, now)) == {"week-1": (2 * HOUR, 20 * HOUR)}
    assert presences_of(found, date(2026, 11, 3), now) == ()


def test_nobody_is_nobody_from_the_rollback_on() -> None:
    found = rollout(
        ("2026-11-01T00:00:00Z", "Start", "week-1", "1,000 users"),
        ("2026-11-02T01:00:00Z", "RollBack", "week-1", "nobody"),
        ("2026-11-02T01:00:02Z", "RolledBack", "", "nobody"),
    )
    assert steps(presences_of(found, SECOND, LATER)) == {"week-1": (HOUR, 1000 * HOUR)}
    assert presences_of(found, date(2026, 11, 3), LATER) == ()


def test_users_who_are_not_counted_or_had_nothing_bear_nothing() -> None:
    everybody = ("2026-11-01T00:00:00Z", "Start", "all", "everybody")
    assert presences_of(rollout(everybody, population=None), SECOND, LATER) == ()
    assert presences_of(rollout(everybody, mode="observe"), SECOND, LATER) == ()
    assert presences_of(rollout(), SECOND, LATER) == ()


@given(
    hours=st.lists(st.integers(0, 95), min_size=1, max_size=12, unique=True),
    users=st.lists(st.integers(0, 5000), min_size=12, max_size=12),
)
def test_the_days_of_a_history_hold_all_of_its_time_once(hours: list[int], users: list[int]) -> None:
    begin, end = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 6, tzinfo=UTC)
    times = [begin + timedelta(hours=hour) for hour in sorted(hours)]
    moves = [
        (at.isoformat(), "Advance", f"step-{n}", f"{count} users")
        for n, (at, count) in enumerate(zip(times, users, strict=False))
    ]
    found = [p for day in range(1, 6) for p in presences_of(rollout(*moves), date(2026, 11, day), end)]
    ends = [*times[1:], end]
    exact = sum(
        count * int((left - at).total_seconds()) for at, left, count in zip(times, ends, users, strict=False) if count
    )
    assert sum(each.user_seconds for each in found) == exact


def test_a_history_that_has_forgotten_a_step_does_not_take_it_from_the_account() -> None:
    known = Day(date=SECOND, presences=(Presence(rollout="shop/a", step="week-1", seconds=900, user_seconds=9000),))
    later = Day(date=SECOND, presences=(Presence(rollout="shop/a", step="week-2", seconds=60, user_seconds=1200),))
    assert {each.step for each in merged(known, later).presences} == {"week-1", "week-2"}


def test_the_line_that_saw_more_of_a_day_is_kept() -> None:
    whole = Line(meter="qps", amount=Decimal(5), observed=Decimal(1), elapsed=Decimal("0.5"))
    less = whole.model_copy(update={"amount": Decimal(1), "observed": Decimal("0.2"), "elapsed": Decimal("0.6")})
    more = whole.model_copy(update={"amount": Decimal(6), "elapsed": Decimal("0.6")})
    unknown = whole.model_copy(update={"amount": None, "elapsed": Decimal(1)})
    before = Day(date=SECOND, lines=(whole,))
    for after, kept in ((less, whole), (more, more), (unknown, whole)):
        assert merged(before, Day(date=SECOND, lines=(after,))).lines == (kept,)
    gone = merged(before, Day(date=SECOND, lines=(Line(meter="storage", amount=Decimal(1)),)))
    assert [line.meter for line in gone.lines] == ["qps", "storage"], "a meter that was taken out today has cost today"


def test_cost_per_user_follows_a_rollout_from_step_to_step_within_a_day() -> None:
    found = rollout(
        ("2026-11-01T00:00:00Z", "Start", "week-1", "10 users"),
        ("2026-11-02T12:00:00Z", "Advance", "week-2", "20 users"),
    )
    account = Account(bearer=Bearer(name="shop"), month="2026-11")
    for day in Month(2026, 11).days[:3]:
        line = Line(meter="all", price=Decimal(1), amount=Decimal(20))
        account = account.with_day(Day(date=day, lines=(line,), presences=presences_of(found, day, LATER)))
    first, second = costs_by_step([account])
    assert [(each.step, each.days, str(each.per_user)) for each in (first, second)] == [
        ("week-1", Decimal("1.5"), "60.00"),
        ("week-2", Decimal("1.5"), "30.00"),
    ]
