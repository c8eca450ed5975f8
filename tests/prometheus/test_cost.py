"""Accounts of tenants, counted from a real Prometheus and kept on a real API server: over days, gaps and restarts."""

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from pilotage.controller.store import RolloutStore
from pilotage.controller.tenants.costs import CostKeeper
from pilotage.controller.tenants.costs_store import AccountStore
from pilotage.controller.tenants.keeping import Kept, Seen
from pilotage.kube import Kube
from pilotage.metrics.source import PrometheusSource
from pilotage.resources.tenant import TenantQuota
from pilotage.resources.tenant_cost import CostStatus
from pilotage.tenancy.accounts import Account, read_account
from pilotage.tenancy.charges import charges_of, total_cents
from pilotage.tenancy.cost import from_cents
from pilotage.tenancy.economics import costs_by_step
from testbed import Cluster, PrometheusServer
from testbed.history import History, prometheus_with_history

START = datetime(2026, 10, 30, tzinfo=UTC)
NOON = datetime(2026, 11, 6, 12, tzinfo=UTC)
SCRAPE = timedelta(seconds=150)
pytestmark = pytest.mark.cluster("prometheus")


def moments(until: datetime) -> list[datetime]:
    return [START + n * SCRAPE for n in range(int((until - START) / SCRAPE) + 1)]


def record(history: History) -> None:
    """A week: qps is not scraped for six hours of the 3rd, storage not on the whole 4th."""
    times = moments(NOON)
    third, fourth = datetime(2026, 11, 3, tzinfo=UTC), datetime(2026, 11, 4, tzinfo=UTC)
    day, settle = timedelta(days=1), timedelta(seconds=301)
    seen = [at for at in times if not third <= at < third + timedelta(hours=6)]
    history.add("qps", [(at.timestamp(), 3000.0) for at in seen], namespace="shop")
    kept = [at for at in times if not fourth - settle <= at < fourth + day]
    history.add("stored_bytes", [(at.timestamp(), 1024.0 * 2**30) for at in kept], namespace="shop")
    history.add("stored_bytes", [(at.timestamp(), 3072.0 * 2**30) for at in times], namespace="recs")
    history.add("calls_total", [(at.timestamp(), n * 1500.0) for n, at in enumerate(times)], namespace="shop")
    history.add("database_hourly_cost", [(at.timestamp(), 4.0) for at in times])


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with prometheus_with_history() as (server, history):
        record(history)
        history.write()
        yield server.url


class Leads:
    guard_seconds = 10.0

    def require(self) -> None:
        """This test is the only writer."""


class World:
    """A cluster with accounts in a namespace, and who keeps them."""

    def __init__(self, kube: Kube, cluster: Cluster, namespace: str) -> None:
        self.kube, self.cluster, self.namespace = kube, cluster, namespace
        self.accounts = AccountStore(kube, Leads(), namespace)

    def keeper(self, source: PrometheusSource, *rollouts: dict[str, Any]) -> CostKeeper:
        known = RolloutStore()
        for rollout in rollouts:
            known.put(rollout)
        return CostKeeper(self.accounts, source.ask, {}, known, every_seconds=0)

    def stored(self) -> dict[str, Account]:
        listed = json.loads(self.cluster.kubectl("get", "configmaps", f"--namespace={self.namespace}", "-o", "json"))
        found = [item for item in listed["items"] if "pilotage.dev/account" in item["metadata"].get("labels", {})]
        return {item["metadata"]["name"]: read_account(item["data"]) for item in found}


@pytest.fixture
async def world(cluster: Cluster, namespace: str) -> AsyncIterator[World]:
    async with await Kube.connect(cluster.kubeconfig) as kube:
        yield World(kube, cluster, namespace)


def tenant(name: str, namespace: str, cost: dict[str, Any], *, created: datetime = START, **spec: Any) -> TenantQuota:
    def usage(metric: str) -> dict[str, Any]:
        return {"query": f'sum({metric}{{namespace=~"$namespaces"}})'}

    return TenantQuota.model_validate(
        {
            "metadata": {"name": name, "uid": f"uid-{name}", "generation": 1, "creationTimestamp": created.isoformat()},
            "spec": {
                "namespaces": [namespace],
                "resources": [
                    {"name": "qps", "hard": "10k", "usage": usage("qps")},
                    {"name": "storage", "hard": "5Ti", "usage": usage("stored_bytes")},
                ],
                "cost": cost,
                **spec,
            },
        }
    )


RATES = {
    "rates": {"qps": "0.01", "storage": "0.10", "api-calls": "0.40"},
    "meters": [
        {"name": "storage", "per": "1Gi", "unit": "GiB", "category": "storage"},
        {
            "name": "api-calls",
            "usage": {"query": 'sum(increase(calls_total{namespace=~"$namespaces"}[$window]))'},
            "per": "1M",
            "basis": "each",
        },
    ],
}


async def kept(keeper: CostKeeper, seen: Seen, now: datetime) -> CostStatus:
    """What status says when nothing is left to be counted."""
    for _ in range(8):
        found: Kept = await keeper.keep(seen, now)
        assert not found.failures, found.failures
        if found.wake_at == now:
            break
    status = found.status["cost"]
    assert isinstance(status, CostStatus)
    return status


def amount_of(account: Account, meter: str, day: int) -> Decimal | None:
    (found,) = [each for each in account.days if each.date.day == day]
    (line,) = [line for line in found.lines if line.meter == meter]
    return line.amount


async def test_a_months_days_are_counted_priced_and_kept(world: World, source: PrometheusSource) -> None:
    search = tenant("search", "shop", {**RATES, "budget": 5000})
    status = await kept(world.keeper(source), Seen(search, ("shop",)), NOON)
    november = world.stored()["pilotage-cost.tenant.search.2026-11"]
    assert [day.date.day for day in november.days] == [1, 2, 3, 4, 5, 6]
    assert [day.settled for day in november.days] == [True] * 5 + [False]
    # 3,000 qps are $30 a month, 1,024 GiB $102.40; 864,000 calls a day are $0.3456.
    assert amount_of(november, "qps", 2) == Decimal(1)
    assert abs((amount_of(november, "storage", 2) or Decimal(0)) - Decimal("3.4133333333")) < Decimal("1E-9")
    assert abs((amount_of(november, "api-calls", 2) or Decimal(0)) - Decimal("0.3456")) < Decimal("0.0001")
    assert amount_of(november, "qps", 6) == Decimal("0.5")
    # Of the 3rd a quarter was not seen, and is charged like the rest; of the 4th nothing is known of storage.
    (third,) = [line for line in november.days[2].lines if line.meter == "qps"]
    assert Decimal("0.74") < third.observed < Decimal("0.76")
    assert third.amount == 1
    assert amount_of(november, "storage", 4) is None
    assert status.message == "1 of its daily amounts is not known: the month is at least this"
    expected = Decimal("5.5") * 1 + Decimal("4.5") * Decimal(1024) / 300 + Decimal("5.5") * Decimal("0.3456")
    assert abs(Decimal(status.month_to_date) - expected) < Decimal("0.02")
    assert status.counted_time == NOON
    assert status.budget == "5000"
    assert status.last_month == "2026-10"
    assert len(world.stored()["pilotage-cost.tenant.search.2026-10"].days) == 2


async def test_the_month_so_far_survives_a_restart_and_a_prometheus_that_has_forgotten(
    world: World, source: PrometheusSource, prometheus: PrometheusServer
) -> None:
    search = tenant("search", "shop", RATES)
    before = await kept(world.keeper(source), Seen(search, ("shop",)), NOON)
    accounts = world.stored()
    async with PrometheusSource(prometheus.url) as forgetful:
        after = await kept(world.keeper(forgetful), Seen(search, ("shop",)), NOON + timedelta(minutes=20))
    assert after.month_to_date == before.month_to_date
    assert world.stored() == accounts


async def test_an_outage_of_prometheus_changes_nothing_and_is_told(world: World, source: PrometheusSource) -> None:
    search = tenant("search", "shop", RATES)
    before = await kept(world.keeper(source), Seen(search, ("shop",)), NOON)
    async with PrometheusSource("http://127.0.0.1:9", deadline_seconds=2) as nobody:
        found = await world.keeper(nobody).keep(Seen(search, ("shop",)), NOON + timedelta(days=1))
    status = found.status["cost"]
    assert status.month_to_date == before.month_to_date
    assert "Prometheus can't be asked" in status.message


async def test_a_closed_month_is_never_counted_again_and_takes_corrections_once(
    world: World, source: PrometheusSource
) -> None:
    search = tenant("search", "shop", RATES)
    await kept(world.keeper(source), Seen(search, ("shop",)), NOON)
    october = world.stored()["pilotage-cost.tenant.search.2026-10"]
    assert october.closed_time == NOON
    dearer = {**RATES, "rates": {**RATES["rates"], "qps": "99"}}  # type: ignore[dict-item]
    bill = {"name": "bill", "day": "2026-10-31", "meter": "qps", "amount": "-0.25", "reason": "the provider's bill"}
    corrected = tenant("search", "shop", {**dearer, "corrections": [bill]})
    for _ in range(2):
        await kept(world.keeper(source), Seen(corrected, ("shop",)), NOON + timedelta(minutes=20))
    after = world.stored()["pilotage-cost.tenant.search.2026-10"]
    assert after.days == october.days
    assert [(each.name, each.amount) for each in after.corrections] == [("bill", Decimal("-0.25"))]
    november = world.stored()["pilotage-cost.tenant.search.2026-11"]
    assert amount_of(november, "qps", 2) == 1, "a new rate counts from the day on which it is written"
    assert (amount_of(november, "qps", 6) or 0) > 1000


async def test_a_shared_database_is_split_by_the_storage_of_those_who_share_it(
    world: World, source: PrometheusSource
) -> None:
    service = {
        "service": "database",
        "cost": {"query": "sum(database_hourly_cost)"},
        "weights": [{"resource": "storage", "weight": 1}],
    }
    search = tenant("search", "shop", {"rates": {"qps": "0.01"}, "allocate": [service]})
    recs = tenant("recs", "recs", {"allocate": [service]}, created=datetime(2026, 11, 3, tzinfo=UTC))
    keeper = world.keeper(source)
    for _ in range(2):  # the first look of one comes before the other's
        of_recs = await kept(keeper, Seen(recs, ("recs",), (search,)), NOON)
        of_search = await kept(keeper, Seen(search, ("shop",), (recs,)), NOON)
    november = [account for account in world.stored().values() if account.month == "2026-11"]
    (database,) = [account for account in november if account.bearer.kind == "service"]
    # $96 a day: recs keeps three quarters of what is stored; on the 4th nobody knows what search stores.
    shares = {(c.bearer, c.day.day): c.cost for c in charges_of(november) if c.account is database}
    assert [shares["recs", day] for day in (3, 4, 5)] == [72, 0, 72]
    assert shares["search", 2] == 96, "recs was no tenant yet"
    assert ("recs", 2) not in shares
    rows = [charge for charge in charges_of(november) if charge.account is database]
    assert sum(charge.cents for charge in rows) == total_cents(database)
    assert from_cents(sum(c.cents for c in rows if c.bearer == "__unallocated__")) == 96
    assert {line.meter for line in of_recs.lines} >= {"service database"}
    assert {line.meter for line in of_search.lines} == {"qps", "service database"}


async def test_tenants_who_differ_in_the_weights_of_a_service_leave_it_to_nobody(
    world: World, source: PrometheusSource
) -> None:
    def sharing(resource: str) -> dict[str, Any]:
        weights = [{"resource": resource, "weight": 1}]
        return {"allocate": [{"service": "database", "cost": {"query": "database_hourly_cost"}, "weights": weights}]}

    search, recs = tenant("search", "shop", sharing("storage")), tenant("recs", "recs", sharing("qps"))
    status = await kept(world.keeper(source), Seen(recs, ("recs",), (search,)), NOON)
    assert "tenants differ in the cost or the weights of database" in status.message
    november = [account for account in world.stored().values() if account.month == "2026-11"]
    bearers = {charge.bearer for charge in charges_of(november) if charge.account.bearer.kind == "service"}
    assert bearers == {"__unallocated__"}


def rollout(name: str, namespace: str, *moves: tuple[str, str, str]) -> dict[str, Any]:
    """A rollout as the watch brings it, by its decisions: time, step, admitted."""
    history = [
        {
            "time": at,
            "sequence": n,
            "action": "Advance",
            "step": step,
            "reason": "Advance",
            "message": "",
            "admitted": users,
        }
        for n, (at, step, users) in enumerate(moves, start=1)
    ]
    steps = [{"name": step, "users": n} for n, (_, step, _) in enumerate(moves, start=1)]
    metadata = {"name": name, "namespace": namespace, "uid": name, "resourceVersion": "1"}
    spec = {"feature": {"flag": name}, "steps": steps}
    return {"metadata": metadata, "spec": spec, "status": {"history": history}}


async def test_the_cost_of_a_user_is_kept_by_step_of_each_rollout_of_the_tenant(
    world: World, source: PrometheusSource
) -> None:
    search = tenant("search", "shop", {"rates": {"qps": "0.57"}})  # 3,000 qps: $1,710 a month
    assistant = rollout(
        "assistant",
        "shop",
        ("2026-11-01T00:00:00Z", "week-5", "35 users"),
        ("2026-11-04T00:00:00Z", "week-7", "50 users"),
    )
    elsewhere = rollout("assistant", "recs", ("2026-11-01T00:00:00Z", "week-5", "9,999 users"))
    await kept(world.keeper(source, assistant, elsewhere), Seen(search, ("shop",)), NOON)
    november = world.stored()["pilotage-cost.tenant.search.2026-11"]
    costs = costs_by_step([november])
    assert [(each.rollout, each.step, each.days, str(each.per_user)) for each in costs] == [
        ("shop/assistant", "week-5", 3, "48.86"),
        ("shop/assistant", "week-7", Decimal("2.5"), "34.20"),
    ]


async def test_a_tenant_without_cost_has_no_account(world: World, source: PrometheusSource) -> None:
    search = tenant("search", "shop", {})
    without = search.model_copy(update={"spec": search.spec.model_copy(update={"cost": None})})
    found = await world.keeper(source).keep(Seen(without, ("shop",)), NOON)
    assert found.status == {"cost": None}
    assert world.stored() == {}
