"""Golden transcripts of the calendar and of the way back: a careful iteration over Easter, and one that breaks in it.

Compared and written anew as those of test_transcripts.
"""

from datetime import timedelta

from tests.golden.test_transcripts import SHOP, Event, compare, customers, rollout, templates, world
from tests.simulation import Simulation

HALF_AN_HOUR = timedelta(minutes=30)


def careful(*events: Event) -> Simulation:
    signal = world(SHOP, *events)
    return Simulation(rollout("semantic-search/careful.yaml"), signal, templates(), users=customers())


def test_a_freeze_over_easter_holds_the_rollout_until_tuesday() -> None:
    compare("easter", careful().run(timedelta(days=54), pace=HALF_AN_HOUR).transcript())


def test_what_breaks_on_good_friday_is_taken_back_at_once_and_tried_again_on_tuesday() -> None:
    pilot = careful((31.985, 32.001, "error_ratio", 0.03))
    compare("easter-breaks", pilot.run(timedelta(days=70), pace=HALF_AN_HOUR).transcript())


def test_what_breaks_goes_back_to_the_first_users_and_is_tried_again_with_the_same_people() -> None:
    pilot = careful((24.2, 24.4, "error_ratio", 0.03))
    compare("tried-again", pilot.run(timedelta(days=60), pace=HALF_AN_HOUR).transcript())
    shown = [(each.kind, each.seed, each.enrolled, each.share, each.criteria) for each in pilot.replay.exposures]
    friends, followers, half, *back, again, and_again, half_again, everybody = shown
    assert (friends, followers, half) == (again, and_again, half_again), "each step has the same people at every try"
    assert [kind for kind, *_ in back] == ["users", "off"]
    assert (len(friends[2]), len(followers[2]), everybody[0]) == (25, 250, "full")
