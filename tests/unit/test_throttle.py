"""Admission control: load stops growth and sheds users to the last good step; they come back after calm."""

from collections.abc import Sequence
from itertools import pairwise

import pytest

from tests.pilot import Pilot, guarded


def at_some(rule: str = "errors > 4% for 20s") -> Pilot:
    """In the second step (20 users), judged every 10 s."""
    pilot = Pilot(
        guarded().with_spec(
            throttle=[rule],
            steps=[
                {"name": "few", "users": 10, "hold": "1m"},
                {"name": "some", "users": 20, "hold": "30d"},
                {"name": "all", "percent": 100},
            ],
        )
    )
    return pilot.settle().settle(after=61)


def swings(pilot: Pilot, seconds: int) -> Sequence[tuple[int, int | None]]:
    """When users change (seconds, how many are in then), where load is there as long as all of them are in."""
    changes: list[tuple[int, int | None]] = []
    for passed in range(10, seconds, 10):
        before = pilot.admitted
        pilot.decide(after=10, throttle="breach" if before == 20 else "pass")
        if pilot.admitted != before:
            changes.append((passed, pilot.admitted))
    return changes


def test_load_sheds_users_to_the_last_good_step_as_long_as_it_lasts() -> None:
    pilot = at_some()
    pilot.decide(after=10, throttle="breach")
    assert (pilot.admitted, pilot.step, pilot.rollout.status.throttled) == (10, "some", True)
    for _ in range(50):
        pilot.decide(after=10)
        assert (pilot.admitted, pilot.phase) == (10, "Holding")
    assert pilot.actions.count("Throttle") == 1
    assert pilot.rollout.status.calm_time is None


def test_in_the_first_step_load_sheds_everybody() -> None:
    pilot = Pilot(guarded())
    pilot.settle().decide(after=1, throttle="breach")
    assert (pilot.admitted, pilot.step) == (0, "few")


@pytest.mark.parametrize("verdict", ["breach", "pending", "no-data", "unavailable"])
def test_calm_begins_anew_whenever_load_is_not_known_to_be_over(verdict: str) -> None:
    pilot = at_some("errors > 4%")
    pilot.decide(after=10, throttle="breach").decide(after=10, throttle="pass").decide(after=50)
    pilot.decide(after=5, throttle=verdict)  # type: ignore[arg-type]
    pilot.decide(after=5, throttle="pass").decide(after=50)
    assert pilot.admitted == 10
    pilot.decide(after=10)
    assert pilot.admitted == 20


def test_a_rule_without_a_time_lets_users_back_after_six_intervals_of_calm_and_says_so() -> None:
    pilot = at_some("errors > 4%")
    pilot.decide(after=10, throttle="breach").decide(after=10, throttle="pass")
    assert pilot.rollout.status.message.endswith("users come back when it has not for 1m")
    pilot.decide(after=50)
    assert pilot.admitted == 10
    pilot.decide(after=10)
    assert (pilot.admitted, pilot.actions[-1]) == (20, "Restore")


def test_users_whose_return_brings_the_load_back_come_back_later_each_time() -> None:
    pilot = at_some()
    changes = swings(pilot, 4000)
    away = [back - shed for (shed, _), (back, users) in pairwise(changes) if users == 20]
    assert away[:4] == [30, 50, 90, 170], "20 s, doubled each time, seen 10 s after they were shed"
    assert len(changes) < 20


def test_a_step_that_was_shed_often_does_not_make_the_next_one_wait() -> None:
    pilot = at_some()
    swings(pilot, 400)
    assert pilot.rollout.status.sheds > 2
    pilot.verdicts["throttle"] = "pass"
    pilot.settle(after=1000).settle(after=1000).settle(after=40 * 86_400)
    assert (pilot.step, pilot.rollout.status.sheds) == ("all", 0)


def test_nobody_is_admitted_while_load_lasts_whatever_else_holds() -> None:
    pilot = at_some()
    pilot.decide(after=10, throttle="breach")
    for _ in range(20):
        pilot.decide(after=86_400)
    assert (pilot.step, pilot.admitted) == ("some", 10)
    pilot.decide(after=10, rollback="breach")
    assert pilot.phase == "RollingBack", "a rollback does not wait for calm"
    assert not pilot.rollout.status.throttled
