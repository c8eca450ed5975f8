"""Fairness between tenants in the work queue: who floods it, waits for itself."""

import asyncio
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.controller.schedule import Key, Schedule, Urgency
from pilotage.controller.workqueue import WorkQueue
from tests.unit.manual_clock import ManualClock, settle

FLOOD = 10_000


def flooded(*classes: Urgency, at_once: int | None = None) -> Schedule:
    """10,000 rollouts of one tenant, all due for a while."""
    schedule = Schedule(at_once=at_once)
    for number in range(FLOOD):
        schedule.add(Key("flood", f"r{number}"), classes[number % len(classes)], number / FLOOD)
    return schedule


def turns_before(schedule: Schedule, key: Key, now: float) -> int:
    """How many others are worked on before this key."""
    for before in range(FLOOD):
        turn = schedule.take(now)
        assert turn is not None
        schedule.done(turn.key)
        if turn.key == key:
            return before
    raise AssertionError("it never got its turn")


@pytest.mark.parametrize("of_the_flood", list(Urgency))
@pytest.mark.parametrize("of_the_other", list(Urgency))
def test_exhaustion_by_10000_rollouts_another_tenant_waits_for_two_turns_at_most(
    of_the_flood: Urgency, of_the_other: Urgency
) -> None:
    schedule, mine = flooded(of_the_flood), Key("mine", "search")
    schedule.add(mine, of_the_other, 1.0)
    in_a_turn = 10 if of_the_flood is Urgency.TIMER else 1
    assert turns_before(schedule, mine, 2.0) <= max(2, in_a_turn)


def test_exhaustion_by_10000_rollouts_each_of_another_tenants_many_waits_for_two_turns_at_most() -> None:
    """Also after a long flood: what the flood has had is not forgotten, what others did not have is not saved up."""
    schedule = flooded(*Urgency)
    for _ in range(1000):
        turn = schedule.take(5.0)
        assert turn is not None
        schedule.done(turn.key)
    for number in range(100):
        schedule.add(Key("mine", f"r{number}"), Urgency.TIMER, 5.0)
    order: list[str] = []
    while len(order) < 400 and (turn := schedule.take(6.0)):
        schedule.done(turn.key)
        order.append(turn.key.namespace)
    at = [place for place, namespace in enumerate(order) if namespace == "mine"]
    assert len(at) == 100
    assert all(later - earlier <= 3 for earlier, later in pairwise(at))


def test_a_flood_of_follow_ups_does_not_hold_up_judgements() -> None:
    """Rollbacks that fail are tried again as follow-ups: the most urgent class is no way to the front of the queue."""
    schedule = flooded(Urgency.FOLLOW_UP)
    for number in range(20):
        schedule.add(Key(f"tenant-{number}", "r"), Urgency.TIMER, 1.0)
    seen: Counter[str] = Counter()
    for _ in range(45):
        turn = schedule.take(2.0)
        assert turn is not None
        schedule.done(turn.key)
        seen[turn.key.namespace] += 1
    assert len(seen) == 21


def test_one_tenant_does_not_keep_all_workers() -> None:
    schedule = flooded(Urgency.CHANGE, at_once=48)
    taken = [turn.key for _ in range(64) if (turn := schedule.take(2.0))]
    assert len(taken) == 48
    schedule.add(Key("mine", "search"), Urgency.TIMER, 2.0)
    turn = schedule.take(2.0)
    assert turn is not None
    assert turn.key.namespace == "mine"
    assert schedule.take(2.0) is None
    schedule.done(taken[0])
    turn = schedule.take(2.0)
    assert turn is not None
    assert turn.key.namespace == "flood"


async def test_a_worker_that_is_set_free_by_a_tenants_limit_takes_the_tenants_next() -> None:
    queue = WorkQueue(ManualClock(), at_once=1)
    for name in ("a", "b"):
        queue.add(Key("one", name), Urgency.CHANGE)
    begun: list[str] = []
    go = asyncio.Event()

    async def work() -> None:
        while True:
            async with queue.turn() as turn:
                begun.append(turn.key.name)
                await go.wait()

    workers = [asyncio.create_task(work()) for _ in range(3)]
    await settle()
    assert begun == ["a"]
    go.set()
    await settle()
    assert begun == ["a", "b"]
    for worker in workers:
        worker.cancel()


def test_after_a_loss_of_leadership_the_order_begins_anew() -> None:
    schedule = flooded(Urgency.CHANGE)
    running = schedule.take(2.0)
    assert running is not None
    schedule.clear()
    assert (schedule.take(3.0), schedule.depth) == (None, 0)
    schedule.done(running.key)
    schedule.add(running.key, Urgency.CHANGE, 3.0)
    assert schedule.depth == 0
    assert schedule.take(4.0) is not None


OPERATIONS = st.lists(
    st.tuples(st.sampled_from("aaatdf"), st.integers(0, 11), st.sampled_from(Urgency), st.floats(0, 3)), max_size=120
)


@given(OPERATIONS, st.sampled_from([None, 1, 2]))
def test_whatever_happens_depth_is_what_is_due_and_all_of_it_gets_its_turn(
    operations: list[tuple[str, int, Urgency, float]], at_once: int | None
) -> None:
    schedule, now = Schedule(pace_seconds=0.0, at_once=at_once), 0.0
    owed: set[Key] = set()
    running: list[Key] = []
    for what, number, urgency, delay in operations:
        now += delay / 10
        key = Key(f"n{number % 3}", f"k{number}")
        if what == "a":
            schedule.add(key, urgency, now + delay)
            owed.add(key)
        elif what == "f":
            schedule.forget(key)
            owed.discard(key)
        elif what == "t" and (turn := schedule.take(now)):
            running.append(turn.key)
            owed.discard(turn.key)
        elif what == "d" and running:
            schedule.done(running.pop())
        most = max(Counter(key.namespace for key in running).values(), default=0)
        assert at_once is None or most <= at_once
    for key in running:
        schedule.done(key)
    given_out = []
    while turn := schedule.take(now + 100):
        schedule.done(turn.key)
        given_out.append(turn.key)
    assert sorted(given_out) == sorted(owed)
    assert schedule.depth == 0
