"""A tenant's status as a whole: one write for a transition, conditions that never say more than is known."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pilotage.judging.evidence import Answered, Series
from pilotage.resources.tenant import TenantQuota
from pilotage.resources.tenant_status import TRANSITIONS_LIMIT, TenantQuotaStatus
from pilotage.tenancy.observing import Measured, observed, worth_writing
from pilotage.tenancy.throttling import throttles_of
from pilotage.tenancy.usage import Known, Reading, Unknown, read

START = datetime(2026, 11, 11, tzinfo=UTC)


def tenant(**spec: Any) -> TenantQuota:
    resources = [
        {"name": "vectors", "hard": "1k", "soft": 850, "usage": {"query": "up"}},
        {"name": "money", "hard": 10000, "currency": "USD", "usage": {"query": "up"}},
    ]
    return TenantQuota.model_validate(
        {"metadata": {"name": "search", "uid": "u", "generation": 3}, "spec": {"resources": resources, **spec}}
    )


def known(value: float, at: datetime = START) -> Known:
    return Known(Decimal(str(value)), at)


class World:
    """A tenant whose status is written as the shell writes it."""

    def __init__(self, **spec: Any) -> None:
        self.tenant = tenant(**spec)
        self.now = START
        self.writes = 0

    def look(
        self,
        claims: Mapping[str, tuple[str, ...]] | None = None,
        after: timedelta = timedelta(seconds=1),
        **readings: float | Reading,
    ) -> TenantQuotaStatus:
        self.now += after
        given = {
            name: each if isinstance(each, Known | Unknown) else known(each, self.now)
            for name, each in readings.items()
        }
        made = observed(self.tenant, Measured(readings=given, claims=claims or {}), self.now)
        written = worth_writing(self.tenant.status, made, self.now)
        self.writes += written != self.tenant.status
        self.tenant = self.tenant.model_copy(update={"status": written})
        return written

    def condition(self, kind: str) -> tuple[str, str]:
        (found,) = [each for each in self.tenant.status.conditions if each.type == kind]
        return found.status, found.reason


def test_the_line_tells_the_fullest_first_and_what_is_unknown() -> None:
    world = World()
    status = world.look(vectors=840, money=Unknown("no data"))
    assert status.summary.usage == "money ?, vectors 84%"
    assert status.summary.worst == "unknown"
    status = world.look(vectors=400, money=4000)
    assert status.summary.usage == "vectors 40%, money 40%"
    assert status.summary.cost == "4,000 of 10,000 USD"
    assert status.observed_generation == 3


def test_conditions_that_can_not_be_told_are_unknown_and_not_true() -> None:
    world = World()
    world.look(vectors=Unknown("no data"), money=Unknown("no data"))
    assert world.condition("UsageKnown") == ("False", "NoData")
    for kind in ("WithinSoft", "WithinHard", "BudgetForecastOK"):
        assert world.condition(kind)[0] == "Unknown"
    world.look(vectors=1100, money=Unknown("no data"))
    assert world.condition("WithinHard") == ("False", "HardLimit")


def test_a_budget_that_will_not_last_is_told_while_little_is_spent() -> None:
    world = World()
    world.look(vectors=1, money=4000)  # after ten of thirty days: 12,000 at the end
    assert world.condition("BudgetForecastOK") == ("False", "BudgetForecastExceeded")
    assert world.condition("WithinHard") == ("True", "Within")
    world.look(vectors=1, money=3000)
    assert world.condition("BudgetForecastOK") == ("True", "WithinBudget")


def test_a_condition_keeps_its_time_while_it_stays() -> None:
    world = World()
    first = world.look(vectors=1, money=1)
    later = world.look(vectors=2, money=2, after=timedelta(hours=1))
    assert [c.last_transition_time for c in later.conditions] == [c.last_transition_time for c in first.conditions]


@given(st.lists(st.integers(min_value=100, max_value=700), max_size=40))
def test_usage_that_moves_within_its_limits_is_written_now_and_then(values: list[int]) -> None:
    world = World()
    world.look(vectors=100, money=100)
    world.writes = 0
    for value in values:
        world.look(vectors=value, money=100)
    assert world.writes <= len(values) / 10 + 1


def test_at_rest_one_write_in_ten_minutes_keeps_the_time_fresh() -> None:
    world = World()
    world.look(vectors=100, money=100)
    world.writes = 0
    for _ in range(120):
        world.look(vectors=100, money=Unknown("down", unasked=True), after=timedelta(seconds=30))
    assert world.writes <= 120 * 30 / 600 + 2


def test_every_transition_is_written_at_once() -> None:
    world = World()
    world.look(vectors=100, money=100)
    for value, level in ((1001, "hard"), (100, "within"), (1001, "hard")):
        status = world.look(vectors=value, money=100)
        assert status.resources[0].level == level
    sequences = [each.sequence for each in status.transitions]
    assert sequences == list(range(1, len(sequences) + 1))


def test_old_transitions_leave_and_their_numbers_go_on() -> None:
    world = World()
    for number in range(40):
        status = world.look(vectors=1001 if number % 2 else 10, money=1)
    assert len(status.transitions) == TRANSITIONS_LIMIT
    sequences = [each.sequence for each in status.transitions]
    assert sequences == list(range(sequences[0], sequences[0] + TRANSITIONS_LIMIT))
    assert sequences[0] > 1


def test_a_dry_run_tells_what_would_be_and_throttles_nothing() -> None:
    spec: dict[str, Any] = {
        "mode": "dryRun",
        "resources": [{"name": "qps", "hard": 10, "usage": {"query": "up"}, "onHard": "throttle"}],
    }
    world = World(**spec)
    status = world.look(qps=20)
    assert status.summary.action == "(throttle)"
    assert world.condition("Enforcing") == ("False", "DryRun")
    assert [each.reason for each in status.transitions if each.action == "Throttle"] == ["DryRun"]
    assert throttles_of(world.tenant) == ()
    enforcing = World(**{**spec, "mode": "enforce"})
    enforcing.look(qps=20)
    assert [each.requests for each in throttles_of(enforcing.tenant)] == [10]


def test_a_namespace_that_others_claim_is_in_conflict_until_it_is_settled() -> None:
    world = World(namespaces=["shop", "cafe"])
    status = world.look({"shop": ("other",)}, vectors=1, money=1)
    assert [(each.name, each.state) for each in status.namespaces] == [("shop", "Conflict"), ("cafe", "Pending")]
    assert world.condition("Ready") == ("False", "NamespaceClaimed")
    status = world.look(vectors=1, money=1)
    assert {each.state for each in status.namespaces} == {"Pending"}
    assert [each.action for each in status.transitions] == ["Conflict", "Settled"]


VALUES = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False), st.sampled_from([0.0, 1e-300, 1e30, 1e300, 5e-324, -0.0])
)
HARD = st.sampled_from([0, "0.000000001", "999999999999999Ei", 1000])


@given(VALUES, HARD, st.lists(VALUES, min_size=24, max_size=24))
def test_whatever_metrics_say_the_status_can_be_written(value: float, hard: int | str, history: list[float]) -> None:
    """Usage can be forged by whoever is scraped; a status that the API server refuses would stop all of the tenant."""
    limited = {"name": "qps", "hard": hard, "soft": 0, "usage": {"query": "up"}}
    money = {"name": "money", "hard": hard, "currency": "USD", "usage": {"query": "up"}}
    found = tenant(resources=[limited, money], namespaces=["shop"])
    at = START.timestamp()
    reading = read(Answered((("", Series((at,), (value,))),)))
    trend = Series(tuple(at - 3600.0 * (23 - hour) for hour in range(24)), tuple(history))
    others = tuple("x" * 253 for _ in range(40))
    measured = Measured(readings={"qps": reading, "money": reading}, trends={"qps": trend}, claims={"shop": others})
    status = observed(found, measured, START)
    assert TenantQuotaStatus.model_validate(status.to_wire()) == status


def test_a_namespace_that_leaves_stays_known_until_it_is_cleared() -> None:
    world = World(namespaces=["shop", "cafe"])
    world.look(vectors=1, money=1)
    enrolled = tuple(
        each.model_copy(update={"state": "Enrolled"}) if each.name == "shop" else each
        for each in world.tenant.status.namespaces
    )
    status = world.tenant.status.model_copy(update={"namespaces": enrolled})
    world.tenant = tenant(namespaces=[]).model_copy(update={"status": status})
    for _ in range(2):
        status = world.look(vectors=1, money=1)
        assert [(each.name, each.state) for each in status.namespaces] == [("shop", "Leaving")]
    assert world.condition("Ready") == ("True", "Kept")


def test_a_grant_that_ends_is_told() -> None:
    grant = {"resource": "vectors", "amount": "1k", "expiresTime": START + timedelta(minutes=5), "reason": "launch"}
    world = World(grants=[grant])
    world.look(vectors=1200, money=1)
    status = world.look(vectors=1200, money=1, after=timedelta(minutes=5))
    assert [each.action for each in status.transitions] == ["GrantEnded", "Warn", "ExceedHard", "Hold"]


def test_reservations_take_from_what_is_available() -> None:
    world = World()
    reservation = {
        "id": "a",
        "namespace": "shop",
        "rollout": "search",
        "step": "few",
        "amounts": [{"resource": "vectors", "amount": "250.5"}],
        "reservedTime": START,
        "expiresTime": START,
    }
    status = TenantQuotaStatus.model_validate({"reservations": [reservation]})
    world.tenant = world.tenant.model_copy(update={"status": status})
    vectors = world.look(vectors=700, money=1).resources[0]
    assert (vectors.reserved, vectors.available) == ("250.5", "49.5")
    seen = vectors.observed_time
    assert world.look(vectors=700, money=1, after=timedelta(seconds=59)).resources[0].observed_time == seen
    # By the time at which usage was seen, promises end: with one, it is a minute old at most.
    assert world.look(vectors=700, money=1).resources[0].observed_time == world.now
