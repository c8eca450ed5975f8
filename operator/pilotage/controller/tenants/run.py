"""One run for one tenant: measure, decide, write the decision, then let the keepers bring about what it says.

The order is that of a rollout's run. What is decided is written before anything follows from it; what keepers did and
met is written afterwards, if it says anything new. At rest, a run asks Prometheus and writes nothing.
"""

import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from pilotage.controller.clock import Clock
from pilotage.controller.schedule import Key, Urgency
from pilotage.controller.telemetry import FAILURES
from pilotage.controller.tenants.keeping import Keeper, Kept, Seen
from pilotage.controller.tenants.measuring import Meter
from pilotage.controller.tenants.quotas import TenantGoneError, TenantQuotas
from pilotage.controller.tenants.store import TenantStore
from pilotage.controller.tenants.telling import TenantTeller
from pilotage.controller.workqueue import WorkQueue
from pilotage.kube import KubeError
from pilotage.resources.tenant import TenantQuota
from pilotage.resources.tenant_status import TenantQuotaStatus
from pilotage.tenancy.happening import recorded
from pilotage.tenancy.observing import Measured, finished, observed, worth_writing
from pilotage.tenancy.standing import stamped
from pilotage.tenancy.usage import max_age_seconds

_LOG = logging.getLogger(__name__)

LONGEST_PAUSE_SECONDS = 30.0
"""So often usage is looked at, or more often where samples may not be older than some minutes."""

KEEPING_PAUSES = 4
"""Keepers look for drift every so many runs; at once where anything was decided."""


@dataclass(slots=True)
class _Memory:
    """What is remembered of a tenant between runs; a restart loses it and nothing else."""

    measured: bool = False
    kept_at: datetime | None = None
    generation: int = 0
    conflicts: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    wake_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class TenantTools:
    """What a run works with."""

    store: TenantStore
    quotas: TenantQuotas
    meter: Meter
    keepers: Sequence[Keeper]
    teller: TenantTeller
    queue: WorkQueue
    clock: Clock
    chance: random.Random
    on_change: Callable[[TenantQuota], None] = field(default=lambda _tenant: None)
    """Called when a decision was written: rollouts of the tenant may be waiting for it."""


class TenantReconciler:
    """Runs for one tenant at a time; many at once for different ones."""

    def __init__(self, tools: TenantTools) -> None:
        self._tools = tools
        self._memories: dict[str, _Memory] = {}

    async def run(self, key: Key) -> None:
        """Measure, decide, write, keep; ask for the next run.

        Raises:
            NotLeadingError: this replica does not lead (any more).
        """
        tenant = self._tools.store.get(key.name)
        if tenant is None or tenant.metadata.deletion_timestamp is not None:
            self.forget(key.name)
            return
        try:
            wake_at = await self._run(tenant)
        except TenantGoneError:
            self.forget(key.name)
            return
        except KubeError as error:
            _LOG.warning("%s", error, extra={"tenant": key.name, "reason": error.reason, "detail": error.detail})
            FAILURES.labels("api").inc()
            self._tools.queue.retry(key)
            return
        self._tools.queue.succeeded(key)
        pause = (wake_at - self._tools.clock.now()).total_seconds()
        # A clock that was stepped back meanwhile is no reason to sleep until it is there again.
        self._tools.queue.add(key, Urgency.TIMER, after_seconds=min(pause, LONGEST_PAUSE_SECONDS))

    def has_measured(self, name: str) -> bool:
        """Whether a tenant was measured since this replica leads."""
        memory = self._memories.get(name)
        return memory is not None and memory.measured

    def forget(self, name: str) -> None:
        """The tenant is gone."""
        self._memories.pop(name, None)
        self._tools.queue.forget(Key("", name))
        self._tools.quotas.forget(name)
        self._tools.meter.forget(name)
        self._tools.teller.forget(self._tools.store.get(name), name)
        for keeper in self._tools.keepers:
            keeper.forget(name)

    def forget_all(self) -> None:
        """Another replica leads."""
        for name in list(self._memories):
            self._tools.meter.forget(name)
            for keeper in self._tools.keepers:
                keeper.forget(name)
        self._memories.clear()
        self._tools.teller.forget_all()

    async def _run(self, tenant: TenantQuota) -> datetime:
        """When to run next."""
        name, now = tenant.metadata.name, self._tools.clock.now()
        memory = self._memories.setdefault(name, _Memory())
        usages = await self._tools.meter.read(tenant, now)
        measured = Measured(
            readings=usages.readings,
            trends=usages.trends,
            claims=self._claims(tenant),
            conflicts=memory.conflicts,
            failures=memory.failures,
        )
        seen_now: list[TenantQuotaStatus] = []

        def decide(current: TenantQuota) -> TenantQuotaStatus:
            made = observed(current, measured, now)
            seen_now[:] = [made]
            return worth_writing(current.status, made, now)

        written = await self._tools.quotas.change(name, decide)
        self._tools.teller.tell(written)
        self._tools.teller.show(written.model_copy(update={"status": seen_now[-1]}))
        decided = written.metadata.resource_version != tenant.metadata.resource_version
        first, memory.measured = not memory.measured, True
        if decided or first:
            self._tools.on_change(written)
        pause = timedelta(seconds=pause_seconds(written, self._tools.chance.uniform(0.9, 1.0)))
        if self._keeping_is_due(written, memory, pause, now, decided=decided):
            await self._keep(written, memory, measured, now)
        ends = [each.grace_until for each in written.status.resources if each.grace_until is not None]
        ends += [each.expires_time for each in written.spec.grants if each.expires_time > now]
        return min([now + pause, *ends, *([memory.wake_at] if memory.wake_at else [])])

    def _claims(self, tenant: TenantQuota) -> dict[str, tuple[str, ...]]:
        name = tenant.metadata.name
        claiming = {each: self._tools.store.claiming(each) for each in tenant.spec.namespaces}
        return {each: tuple(other for other in names if other != name) for each, names in claiming.items()}

    @staticmethod
    def _keeping_is_due(
        tenant: TenantQuota, memory: _Memory, pause: timedelta, now: datetime, *, decided: bool
    ) -> bool:
        if decided or memory.failures or memory.kept_at is None or memory.generation != tenant.metadata.generation:
            return True
        if memory.wake_at is not None and memory.wake_at <= now:
            return True
        return now - memory.kept_at >= KEEPING_PAUSES * pause

    async def _keep(self, tenant: TenantQuota, memory: _Memory, measured: Measured, now: datetime) -> None:
        seen = Seen(
            tenant=tenant,
            namespaces=tuple(
                each.name for each in tenant.status.namespaces if each.state not in ("Conflict", "Leaving")
            ),
            others=tuple(
                other
                for name in self._tools.store
                if name != tenant.metadata.name and (other := self._tools.store.get(name)) is not None
            ),
        )
        kept: list[Kept] = []
        for keeper in self._tools.keepers:
            kept.append(await self._ask(keeper, seen, now))
            seen = _after(seen, kept[-1])
        memory.kept_at, memory.generation = now, tenant.metadata.generation
        memory.conflicts = tuple(said for each in kept for said in each.conflicts)
        memory.failures = tuple(said for each in kept for said in each.failures)
        memory.wake_at = min((each.wake_at for each in kept if each.wake_at is not None), default=None)
        measured = replace(measured, conflicts=memory.conflicts, failures=memory.failures)

        def tell(current: TenantQuota) -> TenantQuotaStatus:
            fields = {name: value for each in kept for name, value in each.status.items()}
            happened = [one for each in kept for one in each.happened]
            fields["transitions"] = recorded(current.status.transitions, happened, now)
            if not memory.failures:  # all is cleared where the tenant has left
                named = fields.get("namespaces", current.status.namespaces)
                fields["namespaces"] = tuple(each for each in named if each.state != "Leaving")
            made = finished(current, current.status.model_copy(update=fields), measured, now)
            findings = [one for each in kept for one in each.findings]
            generation = tenant.metadata.generation
            made = made.model_copy(
                update={"conditions": stamped(made.conditions, findings, generation=generation, now=now)}
            )
            return worth_writing(current.status, made, now)

        self._tools.teller.tell(await self._tools.quotas.change(tenant.metadata.name, tell))

    async def _ask(self, keeper: Keeper, seen: Seen, now: datetime) -> Kept:
        """What a keeper has done; what the API server refuses it unexpectedly is its failure, and stops no other."""
        try:
            return await keeper.keep(seen, now)
        except KubeError as error:
            tenant = seen.tenant.metadata.name
            _LOG.warning("%s: %s", keeper.name, error, extra={"tenant": tenant, "detail": error.detail})
            FAILURES.labels("api").inc()
            return Kept(failures=(f"{keeper.name}: the API server answered {error.status} {error.reason}",))


def _after(seen: Seen, kept: Kept) -> Seen:
    """What the next keeper may know: also what the one before has found out about the namespaces."""
    if not kept.status:
        return seen
    status = seen.tenant.status.model_copy(update=dict(kept.status))
    enrolled = tuple(each.name for each in status.namespaces if each.state == "Enrolled")
    return replace(seen, tenant=seen.tenant.model_copy(update={"status": status}), namespaces=enrolled)


def pause_seconds(tenant: TenantQuota, chance: float) -> float:
    """How long until usage is looked at again: a tenth of the shortest `maxAge`, from 1 s to 30 s.

    Args:
        tenant: whose resources count.
        chance: spreads tenants, 0.9 to 1.
    """
    ages = [max_age_seconds(each.max_age) for each in tenant.spec.resources]
    return min(max(min(ages, default=LONGEST_PAUSE_SECONDS * 10) / 10, 1.0), LONGEST_PAUSE_SECONDS) * chance
