"""What a rollout says of its promise, and how promises stand in the TenantQuota's status."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from pilotage.resources.rollout import PilotRollout
from pilotage.resources.tenant import TenantQuota
from pilotage.rollout.tenant_holding import holder_of
from pilotage.rollout.tenant_seen import ledger_of, rooms_of, seen_of, with_ledger
from pilotage.tenancy.forecast import month_of
from pilotage.tenancy.reserving import Claim, Holder, Ledger, Reservation, claim_id
from tests.builders import make_rollout

NOW = datetime(2026, 3, 11, 9, 30, tzinfo=UTC)
TWO, FIVE = "2026-03-11T09:02:00Z", "2026-03-11T09:05:00Z"
BEGUN, VERIFIED = datetime(2026, 3, 11, 9, 2, tzinfo=UTC), datetime(2026, 3, 11, 9, 5, tzinfo=UTC)


def promise(step: str = "half", *, widens: bool = False, at: datetime = NOW, in_force: bool = False) -> Reservation:
    claim = Claim(claim_id("uid-search", step, 1, widens=widens), "shop/search", step, {"qps": Decimal(6)}, users=5)
    return Reservation(claim, at, at + timedelta(minutes=10), at if in_force else None)


def rollout(**status: Any) -> PilotRollout:
    made = make_rollout().step("half", percent=50).step("all", percent=100).obj().to_wire()
    return PilotRollout.model_validate(made | {"status": status})


def exposed(shown_step: str, /, **more: Any) -> dict[str, Any]:
    shown = {"kind": "percent", "step": shown_step, "share": 500_000_000}
    return {"exposure": shown, "trail": [shown], **more}


IN_STEP = {"index": 0, "name": "half", "enteredTime": TWO}
BACK = {"revision": 2, "verifiedRevision": 1, "direction": "back"}


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ({}, Holder("waiting")),
        ({"phase": "Holding", **exposed("before")}, Holder("waiting")),
        ({"phase": "RolledBack"}, Holder("gone")),
        ({"phase": "RollingBack", "delivery": BACK}, Holder("taken")),
        (exposed("half", step=IN_STEP), Holder("taken")),
        (exposed("half", step={**IN_STEP, "verifiedTime": FIVE}), Holder("taken", VERIFIED)),
        (exposed("half", step={"index": 1, "name": "all", "enteredTime": TWO}), Holder("taken", BEGUN)),
        ({**exposed("half", step={**IN_STEP, "verifiedTime": FIVE}), "exposure": {"kind": "off"}}, Holder("taken")),
    ],
    ids=["not begun", "a step before", "taken back", "on the way back", "entered", "in force", "gone on", "shed"],
)
def test_a_promise_counts_until_nobody_can_come_by_it(status: dict[str, Any], says: Holder) -> None:
    assert holder_of(rollout(**status), promise()) == says


def test_one_that_is_gone_or_was_made_anew_holds_nothing_unless_its_users_may_have_stayed() -> None:
    assert holder_of(None, promise()) == Holder("gone")
    assert holder_of(None, promise(in_force=True)) == Holder("taken", NOW)
    other = make_rollout().step("half", percent=50).obj()
    again = other.model_copy(update={"metadata": other.metadata.model_copy(update={"uid": "another"})})
    assert holder_of(again, promise()) == Holder("gone")


def test_users_who_were_in_force_and_are_no_longer_in_hold_nothing() -> None:
    assert holder_of(rollout(phase="Holding"), promise(in_force=True)) == Holder("gone")


def test_a_promise_to_widen_a_step_waits_until_the_step_begins_anew() -> None:
    early = rollout(**exposed("half", step={**IN_STEP, "verifiedTime": FIVE}))
    assert holder_of(early, promise(widens=True, at=NOW)) == Holder("waiting")
    anew = promise(widens=True, at=BEGUN - timedelta(seconds=1))
    assert holder_of(early, anew) == Holder("taken", VERIFIED)


def quota(**fields: Any) -> TenantQuota:
    resources = [
        {"name": "qps", "hard": "1k", "usage": {"query": "q"}, "need": {"perUser": "0.5", "settle": "1h"}},
        {"name": "cost", "hard": 5000, "currency": "USD", "usage": {"query": "q"}, "onSoft": "hold", "soft": 4000},
    ]
    told = [
        {"name": "qps", "used": "400", "hard": "1000", "observedTime": TWO},
        {"name": "cost", "used": "1000", "forecast": "3000", "hard": "5000", "level": "within", "observedTime": TWO},
    ]
    body = {
        "metadata": {"name": "search-prod", "uid": "t", "generation": 1, "resourceVersion": "1"},
        "spec": {"namespaces": ["shop"], "resources": resources},
        "status": {"resources": told},
    }
    return TenantQuota.model_validate({**body, **fields})


def test_money_is_compared_by_its_forecast_for_the_end_of_the_month() -> None:
    qps, cost = rooms_of(quota(), NOW)
    assert (qps.used, qps.limit, qps.settle_seconds, qps.budget) == (Decimal(400), Decimal(1000), 3600.0, False)
    assert (cost.used, cost.limit, cost.budget) == (Decimal(3000), Decimal(5000), True)
    assert (qps.month, cost.month) == (None, month_of(NOW))


def test_what_nobody_measures_is_not_known_and_neither_is_what_has_no_forecast() -> None:
    assert [room.used for room in rooms_of(quota(), NOW, known=False)] == [None, None]
    blind = [{"name": "qps", "used": "", "unknownSince": TWO}, {"name": "cost", "used": "1000", "observedTime": TWO}]
    assert [room.used for room in rooms_of(quota(status={"resources": blind}), NOW)] == [None, None]


def test_a_resource_holds_by_the_action_that_is_declared_for_its_level() -> None:
    assert seen_of(quota(), NOW).holding == {}
    over = {"name": "cost", "used": "4500", "hard": "5000", "level": "soft", "message": "4.5k of 5k"}
    assert seen_of(quota(status={"resources": [over]}), NOW).holding == {"cost": "4.5k of 5k"}


def test_of_march_21_days_are_left_on_its_11th() -> None:
    seen = seen_of(quota(), NOW)
    assert (seen.month_left, set(seen.totals)) == (Decimal(21) / 31, {"cost"})
    assert seen.floors == {"qps": Decimal("0.5")}


def test_promises_come_back_from_status_as_they_were_written_and_leave_less() -> None:
    ledger = Ledger((promise(), promise("all", in_force=True)))
    made = with_ledger(quota(), ledger)
    assert ledger_of(quota().model_copy(update={"status": made})) == ledger
    [qps, _] = made.resources
    assert (qps.reserved, qps.available) == ("12", "588")
