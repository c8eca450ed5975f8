"""The queue: whose turn it is, and when."""

import asyncio
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.controller.schedule import Key, Schedule, Urgency
from pilotage.controller.workqueue import WorkQueue, backoff_seconds
from tests.unit.manual_clock import ManualClock, settle

A, B, C = Key("red", "a"), Key("red", "b"), Key("blue", "c")


def taken(schedule: Schedule, now: float) -> list[Key]:
    """All that is due, in the order in which workers get it."""
    turns = []
    while turn := schedule.take(now):
        turns.append(turn.key)
        schedule.done(turn.key)
    return turns


def test_a_key_that_is_asked_for_many_times_runs_once() -> None:
    schedule = Schedule()
    for at in (5.0, 3.0, 4.0, 3.0):
        schedule.add(A, Urgency.TIMER, at)
    assert schedule.take(2.9) is None
    assert schedule.next_at() == 3.0
    assert taken(schedule, 3.0) == [A]
    assert schedule.next_at() is None


def test_a_key_that_is_worked_on_is_not_given_out_again() -> None:
    schedule = Schedule()
    schedule.add(A, Urgency.CHANGE, 0.0)
    assert schedule.take(0.0) is not None
    schedule.add(A, Urgency.CHANGE, 0.1)
    assert schedule.take(5.0) is None
    schedule.done(A)
    turn = schedule.take(5.0)
    assert turn is not None
    assert turn.key == A


def test_a_key_starts_at_most_once_a_second() -> None:
    schedule = Schedule(pace_seconds=1.0)
    starts = []
    for tick in range(500):
        now = tick / 100
        schedule.add(A, Urgency.CHANGE, now)
        if turn := schedule.take(now):
            starts.append(now)
            schedule.done(turn.key)
    assert starts == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_a_follow_up_does_not_wait_for_the_pace() -> None:
    schedule = Schedule(pace_seconds=1.0)
    schedule.add(A, Urgency.TIMER, 0.0)
    assert taken(schedule, 0.0) == [A]
    schedule.add(A, Urgency.FOLLOW_UP, 0.01)
    assert taken(schedule, 0.01) == [A]


def test_user_changes_come_before_timers_and_these_before_the_resync() -> None:
    schedule = Schedule()
    schedule.add(A, Urgency.RESYNC, 0.0)
    schedule.add(B, Urgency.TIMER, 0.0)
    schedule.add(C, Urgency.CHANGE, 0.0)
    assert taken(schedule, 0.0) == [C, B, A]


def test_a_judgement_that_has_waited_overtakes_fresh_user_changes() -> None:
    schedule = Schedule()
    schedule.add(B, Urgency.TIMER, 0.0)
    schedule.add(C, Urgency.CHANGE, 1.5)
    assert taken(schedule, 1.5) == [B, C]


def test_a_key_that_becomes_more_urgent_keeps_its_place_in_time() -> None:
    schedule = Schedule()
    schedule.add(A, Urgency.RESYNC, 0.0)
    schedule.add(B, Urgency.CHANGE, 1.0)
    assert schedule.take(0.5) is not None  # A is out
    schedule.done(A)
    schedule.add(A, Urgency.RESYNC, 2.0)
    schedule.add(A, Urgency.CHANGE, 2.0)
    assert taken(schedule, 2.0) == [B, A]


def test_namespaces_take_turns() -> None:
    schedule = Schedule()
    for number in range(5):
        schedule.add(Key("red", f"r{number}"), Urgency.CHANGE, 0.0)
    schedule.add(C, Urgency.CHANGE, 0.1)
    assert taken(schedule, 0.2).index(C) == 1


def test_ten_of_a_namespace_that_are_judged_at_one_moment_share_a_turn() -> None:
    schedule = Schedule()
    for number in range(25):
        schedule.add(Key("red", f"r{number}"), Urgency.TIMER, 0.0)
    schedule.add(C, Urgency.TIMER, 0.1)
    order = taken(schedule, 0.2)
    assert order.index(C) == 10
    assert len(order) == 26


def test_who_is_judged_at_another_moment_shares_no_turn() -> None:
    schedule = Schedule()
    for number in range(5):
        schedule.add(Key("red", f"r{number}"), Urgency.TIMER, number / 5)
    schedule.add(C, Urgency.TIMER, 1.0)
    assert taken(schedule, 2.0).index(C) == 1


def test_what_is_gone_is_not_given_out() -> None:
    schedule = Schedule()
    schedule.add(A, Urgency.TIMER, 0.0)
    schedule.forget(A)
    assert schedule.take(1.0) is None
    assert schedule.next_at() is None


def test_after_the_loss_of_leadership_nothing_is_due() -> None:
    schedule = Schedule()
    schedule.add(A, Urgency.TIMER, 0.0)
    schedule.add(B, Urgency.TIMER, 0.0)
    assert schedule.take(0.0) is not None
    schedule.add(A, Urgency.TIMER, 0.0)
    schedule.clear()
    schedule.done(A)
    assert schedule.take(10.0) is None


OPERATIONS = st.lists(
    st.tuples(st.sampled_from("atd"), st.integers(0, 5), st.sampled_from(Urgency), st.floats(0, 3)), max_size=80
)


@given(OPERATIONS)
def test_nothing_that_is_asked_for_gets_lost_and_nothing_runs_twice_at_once(
    operations: list[tuple[str, int, Urgency, float]],
) -> None:
    schedule, now = Schedule(), 0.0
    owed: Counter[Key] = Counter()
    running: set[Key] = set()
    for what, number, urgency, delay in operations:
        now += delay / 10
        key = Key(f"n{number % 2}", f"k{number}")
        if what == "a":
            schedule.add(key, urgency, now + delay)
            owed[key] = 1
        elif what == "t" and (turn := schedule.take(now)):
            assert turn.key not in running
            running.add(turn.key)
            owed[turn.key] = 0
        elif what == "d" and running:
            schedule.done(running.pop())
    for key in running:
        schedule.done(key)
    assert sorted(taken(schedule, now + 100)) == sorted(key for key in owed if owed[key])


def test_the_pause_after_failures_doubles_up_to_its_cap() -> None:
    pauses = [backoff_seconds(failures, chance=1.0) for failures in range(1, 12)]
    assert pauses == [0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
    assert backoff_seconds(3, chance=0.0) == 1.0


async def test_workers_get_a_key_when_its_time_has_come() -> None:
    clock = ManualClock()
    queue = WorkQueue(clock)
    got: list[tuple[Key, float]] = []

    async def work() -> None:
        while True:
            async with queue.turn() as turn:
                got.append((turn.key, clock.monotonic() - 1000.0))

    workers = [asyncio.create_task(work()) for _ in range(3)]
    queue.add(A, Urgency.TIMER, after_seconds=10.0)
    queue.add(B, Urgency.TIMER, after_seconds=20.0)
    await clock.advance(9.0)
    queue.add(C, Urgency.CHANGE)
    await clock.advance(30.0)
    for worker in workers:
        worker.cancel()
    assert got == [(C, 9.0), (A, 10.0), (B, 20.0)]


async def test_a_worker_that_fails_gives_its_key_back() -> None:
    queue = WorkQueue(ManualClock())
    queue.add(A, Urgency.CHANGE)
    with pytest.raises(ValueError, match="bug"):
        async with queue.turn():
            raise ValueError("bug")
    queue.add(A, Urgency.FOLLOW_UP)
    async with queue.turn() as turn:
        assert turn.key == A


async def test_failures_in_a_row_make_longer_pauses_and_a_success_ends_the_row() -> None:
    queue = WorkQueue(ManualClock(), chance=random.Random(1))
    pauses = [queue.retry(A) for _ in range(6)]
    assert pauses[5] > 8 > pauses[3] > pauses[0]
    queue.succeeded(A)
    assert queue.retry(A) <= 0.5


async def test_a_rollback_is_retried_within_a_second_for_ever() -> None:
    queue = WorkQueue(ManualClock())
    assert all(queue.retry(A, Urgency.FOLLOW_UP, cap_seconds=1.0) <= 1.0 for _ in range(50))


async def test_the_age_of_the_oldest_run_is_known() -> None:
    clock = ManualClock()
    queue = WorkQueue(clock)
    assert queue.longest_run_seconds == 0.0
    queue.add(A, Urgency.CHANGE)
    async with queue.turn():
        await clock.advance(7.0)
        assert queue.longest_run_seconds == 7.0
    await settle()
    assert queue.longest_run_seconds == 0.0
