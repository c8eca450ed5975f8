"""Keeps tenants' accounts: counts the days, closes the months, and tells status and metrics where the month stands.

Every quarter of an hour, for each tenant that says how its cost is found. What it writes is the account (costs_store);
the status follows from it. A restart remembers nothing and loses nothing.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from prometheus_client import Gauge

from pilotage.controller.store import RolloutStore
from pilotage.controller.tenants.costs_counting import Ask, count
from pilotage.controller.tenants.costs_store import AccountStore, Stored
from pilotage.controller.tenants.keeping import Kept, Seen
from pilotage.kube import KubeError
from pilotage.resources.indicators import IndicatorTemplateSpec
from pilotage.resources.rollout import PilotRollout
from pilotage.resources.tenant import TenantQuota
from pilotage.resources.tenant_cost import CostStatus
from pilotage.tenancy.accounts import SETTLING, Account, AccountError
from pilotage.tenancy.amounts import read_plain
from pilotage.tenancy.billing import (
    CLUSTER,
    Sharing,
    account_of,
    common_account,
    corrected_months,
    corrections_of,
    cost_status,
    counts_cluster,
    sharings_of,
)
from pilotage.tenancy.charges import Charge, charges_of
from pilotage.tenancy.cost import Month
from pilotage.tenancy.metering import Metered, cluster_meters, service_meter, tenant_meters

EVERY_SECONDS = 900.0
"""Cost is money of days: to know it more often is not worth a write of the account."""

_BEHIND_SECONDS = 30.0
"""While days are still to be counted, such as after an outage."""

_LATE = timedelta(days=10)
"""So long after its end a month is still counted and closed, where nobody was there to do it in time."""

_MOST_ROLLOUTS = 64

_LABELS = ["tenant", "currency"]
_SPENT = Gauge("pilotage_tenant_cost_month_to_date", "Cost of a tenant since the month began, in UTC.", _LABELS)
_FORECAST = Gauge("pilotage_tenant_cost_forecast", "Forecast of the cost at the month's end.", _LABELS)
_BUDGET = Gauge("pilotage_tenant_cost_budget", "Budget of a month.", _LABELS)


@dataclass(slots=True)
class _Memory:
    """What is remembered of a tenant until its account is looked at again."""

    generation: int
    due_at: datetime
    kept: Kept


@dataclass(slots=True)
class _Run:
    """One look at a tenant's accounts, and what it met."""

    seen: Seen
    now: datetime
    problems: list[str] = field(default_factory=list)
    complete: bool = True

    @property
    def tenant(self) -> TenantQuota:
        """Whose."""
        return self.seen.tenant


class CostKeeper:
    """Keeps the accounts.

    Args:
        accounts: where they are.
        ask: Prometheus.
        templates: all IndicatorTemplates by name, as they are known.
        rollouts: all rollouts, as they are known.
        every_seconds: how often an account is looked at.
    """

    name = "cost"

    def __init__(
        self,
        accounts: AccountStore,
        ask: Ask,
        templates: Mapping[str, IndicatorTemplateSpec],
        rollouts: RolloutStore,
        *,
        every_seconds: float = EVERY_SECONDS,
    ) -> None:
        self._accounts = accounts
        self._ask = ask
        self._templates = templates
        self._rollouts = rollouts
        self._every = timedelta(seconds=every_seconds)
        self._known: dict[str, _Memory] = {}

    async def keep(self, seen: Seen, now: datetime) -> Kept:
        """Bring the accounts up to date, where it is time."""
        name, generation = seen.tenant.metadata.name, seen.tenant.metadata.generation
        known = self._known.get(name)
        if known is not None and known.generation == generation and now < known.due_at:
            return known.kept
        if seen.tenant.spec.cost is None:
            self.forget(name)
            return Kept(status={"cost": None})
        run = _Run(seen, now)
        try:
            status = await self._look(run)
        except (KubeError, AccountError, TimeoutError) as error:
            said = f"cost: {error}" if isinstance(error, AccountError) else "cost: the account could not be kept"
            return Kept(failures=(said,), wake_at=now + timedelta(seconds=_BEHIND_SECONDS))
        _show(name, status)
        due_at = now + (self._every if run.complete else timedelta(seconds=_BEHIND_SECONDS))
        kept = Kept(status={"cost": status}, wake_at=due_at)
        self._known[name] = _Memory(generation, due_at, kept)
        return kept

    def forget(self, tenant: str) -> None:
        """It is gone, or another replica leads."""
        self._known.pop(tenant, None)
        for gauge in (_SPENT, _FORECAST, _BUDGET):
            gauge.remove_by_labels({"tenant": tenant})

    async def _look(self, run: _Run) -> CostStatus:
        """Count what is due of this month and the last one; the status that follows."""
        month = Month.of(run.now)
        last = await self._last(run, month)
        account, charges = await self._month(run, month)
        await self._correct(run)
        message = "; ".join(dict.fromkeys(run.problems))
        return cost_status(account, charges, message=message, last=last)

    async def _last(self, run: _Run, month: Month) -> Account | None:
        """The month before, counted to its end and closed."""
        before = Month.of(month.begins_at - timedelta(days=1))
        stored = await self._accounts.read("tenant", run.tenant.metadata.name, before)
        if stored is not None and stored.account.closed_time is not None:
            return stored.account
        if _since(run.tenant) >= month.begins_at.date() or run.now > month.begins_at + SETTLING + _LATE:
            return stored.account if stored else None
        account, _ = await self._month(run, before)
        return account

    async def _month(self, run: _Run, month: Month) -> tuple[Account, Sequence[Charge]]:
        """The tenant's account of a month, and its part of what is shared."""
        tenant, others = run.tenant, run.seen.others
        stored = await self._accounts.read("tenant", tenant.metadata.name, month)
        account = account_of(tenant, stored.account if stored else None, month)
        rollouts = rollouts_of(self._rollouts, run.seen.namespaces)
        meters = tenant_meters(tenant, self._templates)
        account = await self._count(run, account, stored, meters, rollouts=rollouts)
        if counts_cluster(tenant, others):
            await self._common(run, CLUSTER, month, cluster_meters())
        shared: list[Account] = []
        for sharing in sharings_of(tenant, others):
            shared += await self._share(run, sharing, month)
        return account, charges_of([account, *shared])

    async def _share(self, run: _Run, sharing: Sharing, month: Month) -> list[Account]:
        """The account of a shared service, and of the others who share it."""
        name, mine = sharing.service.service, run.tenant.metadata.name
        if not sharing.agreed:
            run.problems.append(f"tenants differ in the cost or the weights of {name}: its cost is nobody's")
        if sharing.keeper == mine:
            meter = service_meter(sharing.service, run.tenant, self._templates)
            await self._common(run, name, month, (meter,), sharing)
        service = await self._accounts.read("service", name, month)
        if service is None:
            run.problems.append(f"the cost of {name} is not counted yet")
            return []
        others = [each.metadata.name for each in sharing.tenants if each.metadata.name != mine]
        found = [await self._accounts.read("tenant", other, month) for other in others]
        return [service.account, *(each.account for each in found if each is not None)]

    async def _common(
        self, run: _Run, name: str, month: Month, meters: Sequence[Metered], sharing: Sharing | None = None
    ) -> None:
        """Count what is nobody's own: a shared service, or the cluster."""
        kind, cost = "service" if sharing else "cluster", run.tenant.spec.cost
        stored = await self._accounts.read(kind, name, month)
        account = common_account(
            kind,
            name,
            stored.account if stored else None,
            month,
            currency=cost.currency if cost else "USD",
            split=sharing.split if sharing else None,
        )
        concerned = sharing.tenants if sharing else (run.tenant, *run.seen.others)
        await self._count(run, account, stored, meters, since=min(map(_since, concerned)))

    async def _count(
        self,
        run: _Run,
        account: Account,
        stored: Stored | None,
        meters: Sequence[Metered],
        *,
        rollouts: Sequence[PilotRollout] = (),
        since: date | None = None,
    ) -> Account:
        """Count what is due of an account, close it where its time has come, and write it if it has changed."""
        if account.closed_time is None:
            since = since or _since(run.tenant)
            counted = await count(self._ask, account, meters, rollouts, since=since, now=run.now)
            run.problems += counted.problems
            run.complete = run.complete and counted.complete
            account = counted.account.closed(run.now) if counted.complete else counted.account
        await self._accounts.write(account, stored)
        return account

    async def _correct(self, run: _Run) -> None:
        """Enter corrections into months that are closed."""
        for month in corrected_months(run.tenant):
            stored = await self._accounts.read("tenant", run.tenant.metadata.name, month)
            if stored is not None:
                corrected = stored.account.corrected(corrections_of(run.tenant, month, run.now))
                await self._accounts.write(corrected, stored)


def rollouts_of(store: RolloutStore, namespaces: Collection[str]) -> tuple[PilotRollout, ...]:
    """The rollouts of a tenant that were decided last: to read ten thousand of them would keep others waiting."""
    keys = [key for key in store if key.namespace in namespaces]
    kept = [(found.decided_at, key) for key in keys if (found := store.peek(key)) is not None]
    newest = sorted(kept, reverse=True)[:_MOST_ROLLOUTS]
    return tuple(rollout for _, key in newest if (rollout := store.get(key)) is not None)


def _since(tenant: TenantQuota) -> date:
    """The day since when there is the tenant."""
    created = tenant.metadata.creation_timestamp
    return created.date() if created is not None else date.min


def _show(tenant: str, status: CostStatus) -> None:
    """The gauges; what is not known has no sample."""
    for gauge, text in ((_SPENT, status.month_to_date), (_FORECAST, status.forecast), (_BUDGET, status.budget)):
        gauge.remove_by_labels({"tenant": tenant})
        amount = read_plain(text)
        if amount is not None:
            gauge.labels(tenant, status.currency).set(float(amount))
