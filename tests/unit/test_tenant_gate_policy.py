"""The tenant's gate by tables: what holds a step, what it says, and what never waits for it."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage.resources.tenant_standing import TenantStanding
from pilotage.rollout.decide import Decision, decide
from pilotage.rollout.tenant_needs import Rates
from pilotage.rollout.tenant_seen import TenantSeen
from pilotage.tenancy.reserving import Claim, Ledger, Reservation, Room
from tests.builders import RolloutBuilder
from tests.pilot import NOW, Pilot, guarded

TENANT = TenantSeen(names=("search-prod",), rooms=(Room("qps", Decimal(100), Decimal(40), NOW),))
NEEDS = [{"resource": "qps", "perUser": 1}]


class Tenant(Pilot):
    """A rollout of a tenant whose ledger answers claims, as the shell has it do."""

    def __init__(self, builder: RolloutBuilder, tenant: TenantSeen = TENANT) -> None:
        super().__init__(builder)
        self.tenant = tenant
        self.rates: dict[str, Rates] = {}
        self.claims: list[Claim] = []
        self.users_known = True

    def decided(self) -> Decision:
        seen = replace(self.look(), tenant=self.tenant, rates=self.rates)
        seen = seen if self.users_known else replace(seen, users=None)
        decision = decide(self.plan, self.rollout, seen, self.now)
        if decision.claim is None:
            return decision
        self.claims.append(decision.claim)
        answer = self.tenant.ledger.reserve(decision.claim, self.tenant.rooms, self.now)
        self.changes(ledger=answer.ledger)
        answered = replace(self.tenant, asked=decision.claim.id, answer=answer)
        decision = decide(self.plan, self.rollout, replace(seen, tenant=answered), self.now)
        assert decision.claim is None
        return decision

    def changes(self, **fields: Any) -> None:
        """Something about the tenant changes."""
        self.tenant = replace(self.tenant, **fields)

    def uses(self, used: int | None, *, limit: int = 100) -> None:
        known = None if used is None else Decimal(used)
        self.changes(rooms=(Room("qps", Decimal(limit), known, self.now),))

    def held_by_others(self, amount: int) -> None:
        """Another rollout is promised so much."""
        claim = Claim("uid-x/half/1", "shop/checkout", "half", {"qps": Decimal(amount)})
        self.changes(ledger=Ledger((Reservation(claim, NOW, NOW + timedelta(days=1)),)))

    @property
    def wanted(self) -> dict[str, int]:
        """What was claimed last."""
        return {resource: int(amount) for resource, amount in self.claims[-1].amounts.items()}

    @property
    def why(self) -> tuple[str, str]:
        """Reason and message of where it is."""
        _, reason, message = self.condition("Ready")
        return reason, message

    @property
    def standing(self) -> TenantStanding:
        assert self.rollout.status.tenant is not None
        return self.rollout.status.tenant


def needing(**fields: Any) -> RolloutBuilder:
    return guarded().with_spec(needs=NEEDS, **fields)


@pytest.fixture
def pilot() -> Tenant:
    """Whose steps need 12, 12 and 216 of the 60 that are free."""
    return Tenant(needing())


def test_a_step_is_taken_with_a_promise_for_its_new_users_and_says_so(pilot: Tenant) -> None:
    pilot.settle()
    assert (pilot.step, pilot.admitted) == ("few", 10)
    [claim] = pilot.claims
    assert (claim.id, claim.users, pilot.wanted) == ("uid-search/few/1", 10, {"qps": 12})
    assert (pilot.standing.name, pilot.standing.step, pilot.standing.answer) == ("search-prod", "few", "Reserved")


def test_only_those_who_are_new_are_asked_for(pilot: Tenant) -> None:
    pilot.settle().settle(after=61)
    assert pilot.step == "some"
    assert pilot.wanted == {"qps": 12}
    assert pilot.tenant.ledger.reserved("qps") == 24


def test_a_step_that_does_not_fit_holds_and_says_how_much_is_missing_and_who_holds_it(pilot: Tenant) -> None:
    pilot.settle()
    pilot.held_by_others(55)
    pilot.settle(after=61)
    assert (pilot.phase, pilot.step) == ("Holding", "few")
    assert pilot.why == (
        "QuotaHeadroomInsufficient",
        (
            "tenant search-prod has no room for step some: qps needs 12, 5 of 100 is free, 7 is missing;"
            " held by shop/checkout 55"
        ),
    )
    [need] = pilot.standing.needs
    assert (need.missing, need.held_by, pilot.standing.answer) == ("7", ("shop/checkout",), "Held")
    assert pilot.waits_for == "tenant: qps"
    assert pilot.actions == ["Start", "Hold"]


def test_it_goes_on_when_there_is_room_again(pilot: Tenant) -> None:
    pilot.uses(95)
    pilot.settle()
    assert (pilot.phase, pilot.step) == ("Pending", "-")
    pilot.uses(80)
    pilot.settle(after=10)
    assert (pilot.phase, pilot.step) == ("Progressing", "few")


def test_usage_that_is_not_known_holds_a_step_and_no_rollback(pilot: Tenant) -> None:
    pilot.settle()
    pilot.uses(None)
    pilot.settle(after=61)
    assert pilot.why == (
        "UsageUnknown",
        "usage of qps by tenant search-prod is not known: step some waits until it is",
    )
    pilot.settle(after=10, rollback="breach")
    assert (pilot.phase, pilot.admitted) == ("RolledBack", 0)


def test_a_leader_that_has_not_measured_yet_lets_nobody_in_and_tells_nobody_that_it_holds(pilot: Tenant) -> None:
    pilot.settle()
    pilot.uses(None)
    pilot.changes(measured=False)
    pilot.settle(after=61)
    assert (pilot.phase, pilot.step, pilot.actions) == ("Progressing", "few", ["Start"])
    pilot.uses(40)
    pilot.changes(measured=True)
    pilot.settle(after=1)
    assert (pilot.step, pilot.actions) == ("some", ["Start", "Advance"])


@pytest.mark.parametrize("state", ["active", "suspended", "archived"])
@pytest.mark.parametrize("used", [None, 10**9])
def test_a_rollback_is_never_held(pilot: Tenant, state: str, used: int | None) -> None:
    pilot.settle()
    pilot.uses(used)
    pilot.changes(state=state, holding={"qps": "too much"})
    pilot.decide(after=1, rollback="breach")
    assert pilot.admitted == 0
    assert pilot.phase in ("RollingBack", "Holding", "Pending")
    pilot.settle(after=1)
    assert pilot.admitted == 0
    assert pilot.rollout.status.delivery
    assert pilot.rollout.status.delivery.direction == "back"


def test_a_tenant_in_violation_holds_whoever_asks_even_for_nothing() -> None:
    pilot = Tenant(guarded(), replace(TENANT, holding={"storage": "6 of 5 TB are used"}))
    pilot.settle()
    assert pilot.why == (
        "TenantViolation",
        "rollouts of tenant search-prod are held while it uses too much: storage: 6 of 5 TB are used",
    )


def test_the_months_forecast_holds_although_only_a_part_is_spent() -> None:
    cost = Room("monthly-cost", Decimal(10000), Decimal(12000), NOW, budget=True, unit="USD")
    pilot = Tenant(guarded(), replace(TENANT, rooms=(cost,), totals=frozenset({"monthly-cost"})))
    pilot.settle()
    assert pilot.why == (
        "BudgetForecastExceeded",
        (
            "tenant search-prod has no room for step few: monthly-cost needs 0, by the month's forecast 0 of 10k USD is"
            " free, 2k is missing"
        ),
    )


def test_money_is_asked_for_what_is_left_of_the_month() -> None:
    cost = Room("monthly-cost", Decimal(10000), Decimal(9000), NOW, budget=True, unit="USD")
    tenant = replace(TENANT, rooms=(cost,), totals=frozenset({"monthly-cost"}), month_left=Decimal("0.25"))
    pilot = Tenant(guarded().with_spec(needs=[{"resource": "monthly-cost", "perUser": 100}]), tenant)
    pilot.settle()
    assert pilot.wanted == {"monthly-cost": 300}


def test_a_tenant_that_is_suspended_takes_users_back_and_holds_until_it_is_active(pilot: Tenant) -> None:
    pilot.settle().settle(after=61)
    pilot.changes(state="suspended")
    pilot.decide(after=1)
    assert (pilot.phase, pilot.admitted, pilot.actions[-1]) == ("Holding", 0, "Return")
    pilot.settle(after=10).settle(after=10)
    assert pilot.why == ("TenantSuspended", "tenant search-prod is suspended: no step begins")
    assert pilot.actions == ["Start", "Advance", "Return"]
    assert pilot.decision.wake_at is None
    pilot.changes(state="active")
    pilot.settle(after=10)
    assert (pilot.phase, pilot.step) == ("Progressing", "few")
    assert pilot.standing.answer == "Reserved"


def test_the_safe_state_is_the_one_that_the_rollout_declares_and_it_goes_on_from_there() -> None:
    pilot = Tenant(needing(onRollback={"to": "previous"}))
    pilot.settle().settle(after=61)
    pilot.changes(state="suspended")
    pilot.settle(after=1).settle(after=300)
    assert (pilot.phase, pilot.step, pilot.admitted) == ("Holding", "few", 10)
    pilot.settle(after=10, rollback="breach")
    assert pilot.admitted == 0


def test_what_is_completed_stays_while_its_tenant_is_suspended() -> None:
    pilot = Tenant(guarded())
    pilot.settle().settle(after=61).settle(after=61).settle(after=61)
    pilot.changes(state="suspended")
    pilot.settle(after=1)
    assert pilot.phase == "Completed"


def test_a_rollout_of_a_suspended_tenant_does_not_begin(pilot: Tenant) -> None:
    pilot.changes(state="suspended")
    pilot.settle()
    assert (pilot.phase, pilot.step, pilot.actions) == ("Pending", "-", ["Hold"])


def test_a_rollout_of_an_archived_tenant_is_closed_and_stays_so(pilot: Tenant) -> None:
    pilot.settle()
    pilot.changes(state="archived")
    pilot.settle(after=1)
    assert (pilot.phase, pilot.admitted) == ("RolledBack", 0)
    assert pilot.condition("Stalled")[1:] == ("TenantArchived", "tenant search-prod is archived: the rollout is closed")
    assert pilot.decision.wake_at is None
    pilot.changes(state="active")
    pilot.settle(after=60)
    assert pilot.phase == "RolledBack"


@pytest.mark.parametrize(("said", "stays"), [({}, False), ({"onDelete": {"exposure": "keep"}}, True)])
def test_archiving_leaves_what_deletion_would_leave(said: dict[str, Any], *, stays: bool) -> None:
    pilot = Tenant(needing(**said))
    pilot.settle()
    pilot.changes(state="archived")
    pilot.settle(after=61)
    assert pilot.admitted == (10 if stays else 0)
    assert pilot.step == ("few" if stays else "-")


def test_a_rollout_that_names_another_tenant_is_stalled_and_told_whose_it_is() -> None:
    pilot = Tenant(needing(tenant="victim"))
    pilot.settle()
    assert pilot.condition("Stalled") == (
        "True",
        "TenantMismatch",
        (
            "spec.tenant: TenantQuota victim does not list namespace shop: it belongs to search-prod; correct the name,"
            " or ask the platform team to add the namespace"
        ),
    )
    assert not pilot.claims
    pilot.edit(tenant="search-prod").settle(after=10)
    assert pilot.step == "few"


def test_who_names_no_tenant_belongs_to_it_all_the_same(pilot: Tenant) -> None:
    assert pilot.rollout.spec.tenant is None
    pilot.uses(100)
    pilot.settle()
    assert pilot.why[0] == "QuotaHeadroomInsufficient"


def test_a_rollout_that_names_a_tenant_where_there_is_none_does_not_begin() -> None:
    pilot = Tenant(guarded().with_spec(tenant="search-prod"), TenantSeen(names=()))
    pilot.settle()
    assert pilot.why[0] == "TenantMismatch"


def test_a_namespace_that_two_tenants_claim_holds_and_says_so(pilot: Tenant) -> None:
    pilot.changes(names=("a", "b"))
    pilot.settle()
    assert pilot.why == (
        "TenantConflict",
        "namespace shop is listed by the TenantQuotas a, b: no step begins before it is one's alone",
    )


def test_a_need_of_a_resource_that_the_tenant_does_not_have_is_told_by_its_field() -> None:
    pilot = Tenant(guarded().with_spec(needs=[{"resource": "gpus", "perUser": 1}]))
    pilot.settle()
    assert pilot.why == (
        "TenantMismatch",
        "spec.needs[0].resource: tenant search-prod has no resource gpus (it has: qps)",
    )


def test_a_dry_run_lets_the_step_through_and_tells_that_it_would_be_held(pilot: Tenant) -> None:
    pilot.uses(95)
    pilot.changes(enforces=False)
    pilot.settle()
    assert (pilot.step, pilot.standing.answer, pilot.claims) == ("few", "WouldHold", [])
    assert pilot.standing.needs[0].missing == "7"


@pytest.mark.parametrize("state", ["suspended", "archived"])
def test_a_dry_run_takes_nobody_back(pilot: Tenant, state: str) -> None:
    pilot.settle()
    pilot.changes(enforces=False, state=state)
    pilot.settle(after=1)
    assert pilot.admitted == 10


def test_a_rollout_that_only_observes_reserves_nothing() -> None:
    pilot = Tenant(needing(mode="observe"))
    pilot.settle().settle(after=61)
    assert (pilot.step, pilot.claims) == ("some", [])


def test_users_who_were_shed_come_back_only_where_there_is_room(pilot: Tenant) -> None:
    pilot.settle().settle(after=61).settle(after=5, throttle="breach")
    assert pilot.admitted == 10
    pilot.since = pilot.now
    pilot.uses(100)
    pilot.decide(after=60, throttle="pass")
    assert pilot.why[0] == "QuotaHeadroomInsufficient"
    pilot.uses(40)
    pilot.settle(after=10)
    assert pilot.admitted == 20
    assert [each.id for each in pilot.claims][-2:] == ["uid-search/some/1", "uid-search/some/1"]


def test_a_step_that_is_widened_asks_for_the_new_ones_beside_what_it_was_promised(pilot: Tenant) -> None:
    pilot.settle()
    steps = [{"name": "few", "users": 30, "hold": "1m"}, *pilot.rollout.spec.to_wire()["steps"][1:]]
    steps[1] = {"name": "some", "users": 40, "hold": "1m"}
    pilot.edit(steps=steps).settle(after=5)
    assert pilot.admitted == 30
    assert (pilot.claims[-1].id, pilot.wanted) == ("uid-search/few/2/more", {"qps": 24})
    assert pilot.tenant.ledger.reserved("qps") == 36


def test_what_treatment_uses_more_than_control_is_what_the_next_users_need(pilot: Tenant) -> None:
    pilot.settle()
    pilot.rates = {"qps": Rates(Decimal(20), Decimal(190))}
    pilot.edit(
        indicators=[*pilot.rollout.spec.to_wire()["indicators"], {"name": "qps", "query": "qps_by_variant"}],
        needs=[{"resource": "qps", "perUser": 50, "indicator": "qps"}],
    ).settle(after=61)
    assert pilot.step == "some"
    assert pilot.wanted == {"qps": 12}, "(20/10 - 190/190) x 10 x 1.2"


def test_where_control_is_as_large_as_treatment_only_they_are_compared() -> None:
    audience = {"directory": {"configMap": "users"}, "control": "equal"}
    pilot = Tenant(needing(audience=audience))
    pilot.settle()
    pilot.rates = {"qps": Rates(Decimal(20), Decimal(10))}
    pilot.edit(
        indicators=[*pilot.rollout.spec.to_wire()["indicators"], {"name": "qps", "query": "qps_by_variant"}],
        needs=[{"resource": "qps", "perUser": 50, "indicator": "qps"}],
    ).settle(after=61)
    assert pilot.wanted == {"qps": 12}, "(20/10 - 10/10) x 10 x 1.2"


def test_a_step_of_unknown_size_needs_an_estimate_of_its_own() -> None:
    half = {"name": "half", "percent": 50}
    pilot = Tenant(needing(audience={}, steps=[half]))
    pilot.users_known = False
    pilot.settle()
    assert pilot.why == (
        "NeedUnknown",
        (
            "spec.steps[0]: what it needs of qps can't be told, because it is not known how many users it lets in: add"
            " audience.population, or needs of the step"
        ),
    )
    pilot.edit(steps=[{**half, "needs": [{"resource": "qps", "amount": 10}]}]).settle(after=10)
    assert (pilot.step, pilot.wanted) == ("half", {"qps": 12})


verdicts = st.sampled_from(["pass", "breach", "pending", "no-data", "unavailable"])
happenings = st.lists(
    st.one_of(
        st.tuples(st.just("verdict"), st.sampled_from(["go", "noGo", "rollback", "throttle", "objective"]), verdicts),
        st.tuples(st.just("state"), st.sampled_from(["active", "active", "suspended", "archived"])),
        st.tuples(st.just("uses"), st.sampled_from([None, 0, 40, 95, 200])),
        st.tuples(st.just("holding"), st.sampled_from([{}, {}, {"qps": "too much"}])),
        st.tuples(st.just("enforces"), st.sampled_from([True, True, False])),
        st.tuples(st.just("time"), st.sampled_from([1, 61, 300])),
    ),
    max_size=40,
)


@settings(max_examples=50)
@given(happenings, st.sampled_from(["zero", "previous"]))
def test_whatever_happens_nobody_comes_in_without_a_promise_and_a_rollback_takes_everybody_back_that_it_would(
    story: list[tuple[Any, ...]], to: str
) -> None:
    pilot = Tenant(needing(onRollback={"to": to}))
    pilot.settle()
    for what, *said in story:
        match what:
            case "verdict":
                pilot.verdicts[said[0]] = said[1]
            case "state":
                pilot.changes(state=said[0])
            case "uses":
                pilot.uses(said[0])
            case "holding" | "enforces":
                pilot.changes(**{what: said[0]})
        before, phase, claims = pilot.admitted or 0, pilot.phase, len(pilot.claims)
        pilot.decide(after=said[0] if what == "time" else 1)
        after = pilot.admitted or 0
        if after > before and pilot.tenant.enforces:
            assert len(pilot.claims) == claims + 1
            assert (pilot.tenant.state, pilot.tenant.holding) == ("active", {})
            assert pilot.standing.answer == "Reserved"
        if pilot.verdicts.get("rollback") == "breach" and phase == "Progressing":
            assert after < before or before == 0
