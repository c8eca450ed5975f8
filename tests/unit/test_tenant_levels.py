"""Levels of usage: hysteresis, warnings, grace, actions; each transition told once, and unknown never within."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.resources.tenant_amounts import Grant
from pilotage.resources.tenant_status import ResourceStatus
from pilotage.resources.tenant_usage import QuotaResource
from pilotage.tenancy.happening import Happened
from pilotage.tenancy.levels import in_force, judged, limits_of
from pilotage.tenancy.usage import Known, Reading, Unknown

START = datetime(2026, 11, 10, tzinfo=UTC)
NONE = Decimal(0)


def resource(**more: Any) -> QuotaResource:
    given: dict[str, Any] = {"name": "vectors", "hard": 1000, "soft": 850, "usage": {"query": "up"}, **more}
    return QuotaResource.model_validate(given)


class World:
    """One resource, looked at again and again."""

    def __init__(self, **spec: Any) -> None:
        self.resource = resource(**spec)
        self.grants: tuple[Grant, ...] = ()
        self.now = START
        self.status: ResourceStatus | None = None
        self.told: list[Happened] = []

    def look(self, reading: float | Reading, *, after: timedelta = timedelta(seconds=15)) -> ResourceStatus:
        self.now += after
        if not isinstance(reading, Known | Unknown):
            reading = Known(Decimal(str(reading)), self.now)
        limits = limits_of(self.resource, self.grants, self.now)
        self.status, told = judged(
            self.resource, self.status, reading, limits=limits, reserved=NONE, forecast=None, now=self.now
        )
        self.told += told
        return self.status

    @property
    def actions(self) -> list[str]:
        return [each.action for each in self.told]


def test_levels_follow_usage_up_and_down() -> None:
    world = World(onHard="throttle")
    levels = [world.look(value).level for value in (500, 820, 900, 1001, 960, 940, 800, 700)]
    assert levels == ["within", "warning", "soft", "hard", "hard", "soft", "warning", "within"]
    assert world.actions == [
        *("Warn", "ExceedSoft", "Warn", "ExceedHard", "Throttle"),
        *("ExceedSoft", "Release", "Recover", "Recover"),
    ]


def test_a_limit_that_is_reached_is_not_exceeded() -> None:
    assert World().look(1000).level == "soft"
    assert World(soft=None).look(1000).level == "warning"


@given(st.lists(st.floats(min_value=951, max_value=1000), max_size=50))
def test_swinging_inside_the_band_changes_nothing(values: list[float]) -> None:
    world = World(warnAt=[])
    world.look(1001)
    told = len(world.told)
    for value in values:
        assert world.look(value).level == "hard"
    assert len(world.told) == told


@given(st.lists(st.floats(min_value=76, max_value=84), max_size=50))
def test_a_warning_is_told_once_while_usage_swings_around_it(values: list[float]) -> None:
    world = World(hard=100, soft=None)
    world.look(81)
    for value in values:
        world.look(value)
    assert world.actions.count("Warn") == 1


READINGS = st.one_of(
    st.floats(min_value=0, max_value=2000).map(lambda value: Known(Decimal(repr(value)), START)),
    st.just(Unknown("no data")),
)


@given(st.lists(READINGS, max_size=60), st.sampled_from(["alert", "hold", "throttle", "scale"]))
def test_each_transition_is_told_once_and_only_transitions_are(readings: list[Reading], action: str) -> None:
    world = World(onHard=action, onSoft="hold")
    for reading in readings:
        before, told = world.status, len(world.told)
        after = world.look(reading)
        world.look(reading)  # the same once more says nothing
        assert world.told[told:] == [] or before is None or after != before
        again = len(world.told)
        world.look(reading)
        assert len(world.told) == again
    entered, left = world.actions.count("UsageUnknown"), world.actions.count("UsageKnown")
    assert entered - left in (0, 1)


@given(st.lists(READINGS, max_size=60))
def test_unknown_is_never_zero_nor_within(readings: list[Reading]) -> None:
    world = World()
    for reading in readings:
        before = world.status
        status = world.look(reading)
        if isinstance(reading, Unknown):
            assert (status.used, status.percent, status.available, status.forecast) == ("", "", "", "")
            assert status.unknown_since is not None
            assert status.level == (before.level if before else "unknown")
            assert before is None or in_force(world.resource, status) == in_force(world.resource, before)
        else:
            assert status.unknown_since is None
            assert status.level != "unknown"


@given(st.lists(READINGS, max_size=60))
def test_what_is_in_force_is_released_as_often_as_it_began(readings: list[Reading]) -> None:
    world = World(onHard="throttle", onSoft="hold")
    for reading in readings:
        world.look(reading)
    begun = world.actions.count("Throttle") + world.actions.count("Hold")
    on = len(in_force(world.resource, world.status) - {"alert"}) if world.status else 0
    assert begun - world.actions.count("Release") == on


def test_grace_delays_the_action_and_not_the_telling() -> None:
    world = World(grace="1h", onHard="hold", soft=None)
    status = world.look(1100)
    assert (status.level, status.action) == ("hard", "alert")
    assert in_force(world.resource, status) == {"alert"}
    assert status.grace_until == world.now + timedelta(hours=1)
    assert "1h of grace" in world.told[-1].message
    assert world.look(1100, after=timedelta(minutes=59)).action == "alert"
    status = world.look(1100, after=timedelta(minutes=1))
    assert (status.action, status.grace_until) == ("hold", None)
    assert world.actions == ["Warn", "ExceedHard", "GraceOver", "Hold"]


def test_grace_runs_on_while_usage_is_unknown() -> None:
    world = World(grace="1h", soft=None)
    world.look(1100)
    status = world.look(Unknown("no data"), after=timedelta(hours=2))
    assert status.action == "hold"


def test_above_hard_what_soft_asks_for_is_in_force_too() -> None:
    world = World(onSoft="hold", onHard="throttle", grace="1h")
    assert in_force(world.resource, world.look(1100)) == {"alert", "hold"}
    assert in_force(world.resource, world.look(1100, after=timedelta(hours=1))) == {"alert", "hold", "throttle"}


def test_a_quota_lowered_below_its_usage_is_a_violation_and_no_error() -> None:
    world = World()
    assert world.look(500).level == "within"
    world.resource = resource(soft=None, hard=400)
    status = world.look(500)
    assert (status.level, status.available, status.percent) == ("hard", "0", "125")
    assert world.actions[-2:] == ["ExceedHard", "Hold"]


def test_a_limit_that_was_raised_is_judged_afresh() -> None:
    world = World(soft=None)
    assert world.look(1010).level == "hard"
    world.resource = resource(soft=None, hard=1050)
    assert world.look(1010).level == "warning"  # within 5 % of the new limit, which was never exceeded


def test_a_grant_counts_until_it_expires() -> None:
    world = World(soft=None)
    until = START + timedelta(hours=1)
    world.grants = (
        Grant.model_validate({"resource": "vectors", "amount": "1k", "expiresTime": until, "reason": "launch"}),
        Grant.model_validate({"resource": "other", "amount": "1M", "expiresTime": until, "reason": "launch"}),
    )
    status = world.look(1100)
    assert (status.hard, status.granted, status.level) == ("2000", "1000", "within")
    status = world.look(1100, after=timedelta(hours=1))
    assert (status.hard, status.granted, status.level) == ("1000", "", "hard")


def test_where_nobody_could_be_asked_the_last_sample_serves_until_it_is_too_old() -> None:
    world = World(maxAge="5m")
    world.look(500)
    status = world.look(Unknown("Prometheus can't be reached", unasked=True), after=timedelta(minutes=4))
    assert (status.used, status.unknown_since) == ("500", None)
    status = world.look(Unknown("Prometheus can't be reached", unasked=True), after=timedelta(minutes=2))
    assert (status.used, status.unknown_since, status.message) == ("", world.now, "Prometheus can't be reached")


def test_a_limit_of_nothing_is_exceeded_by_anything() -> None:
    world = World(hard=0, soft=None)
    assert (world.look(0).level, world.look(1).level) == ("within", "hard")
    assert world.status is not None
    assert world.status.percent == ""


def test_reserved_headroom_is_not_available() -> None:
    status, _ = judged(
        resource(),
        None,
        Known(Decimal(700), START),
        limits=limits_of(resource(), (), START),
        reserved=Decimal(250),
        forecast=Decimal("812.5"),
        now=START,
    )
    assert (status.available, status.reserved, status.forecast) == ("50", "250", "812.5")


@pytest.mark.parametrize("action", ["hold", "throttle", "scale"])
def test_every_action_is_told_with_what_it_does(action: str) -> None:
    world = World(onHard=action, soft=None)
    world.look(1200)
    assert world.told[-1].action == action.capitalize()
    assert "1.2k of 1k" in world.told[-1].message
