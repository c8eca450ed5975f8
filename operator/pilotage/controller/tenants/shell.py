"""All that runs for TenantQuotas in one replica: the store on each of them, the queue and its workers on the leader."""

import logging
import random
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from pilotage.controller.clock import Clock
from pilotage.controller.events import EventPoster
from pilotage.controller.ledger import Ledger
from pilotage.controller.rollouts import Leadership
from pilotage.controller.schedule import Key, Urgency
from pilotage.controller.store import RolloutStore
from pilotage.controller.tenants.keepers import KeeperParts, build_keepers
from pilotage.controller.tenants.measuring import Meter
from pilotage.controller.tenants.quotas import TenantQuotas
from pilotage.controller.tenants.run import TenantReconciler, TenantTools
from pilotage.controller.tenants.store import TenantStore
from pilotage.controller.tenants.telling import TenantTeller
from pilotage.controller.workers import Workers
from pilotage.controller.workqueue import WorkQueue
from pilotage.kube import Kube
from pilotage.metrics.following import Asks
from pilotage.resources.indicators import IndicatorTemplateSpec
from pilotage.resources.tenant import TenantQuota

_LOG = logging.getLogger(__name__)
_WORKERS = 8
_SPREAD_SECONDS = 5.0


class TenantShell:
    """The parts of one replica that are about tenants.

    Args:
        kube: the API server.
        clock: what time it is.
        leadership: asked before each write.
        source: where usage comes from.
        templates: all IndicatorTemplates by name, as they are known.
        rollouts: all rollouts, as they are known.
        namespace: the operator's own.
        poster: of Events.
        instance: identity of this replica.
        roles: what the names of the chart's ClusterRoles for tenants begin with.
        prometheus: URL of Prometheus for autoscalers that ask it themselves; empty if not known.
        out: where lines of the record go as they come; None for the log alone.
        ledger: the record's file; None without one.
        chance: source of jitter.
    """

    def __init__(
        self,
        kube: Kube,
        clock: Clock,
        leadership: Leadership,
        *,
        source: Asks,
        templates: Mapping[str, IndicatorTemplateSpec],
        rollouts: RolloutStore,
        namespace: str,
        poster: EventPoster,
        instance: str,
        roles: str,
        prometheus: str = "",
        out: BinaryIO | None = None,
        ledger: Ledger | None = None,
        chance: random.Random | None = None,
    ) -> None:
        self._kube = kube
        self._clock = clock
        self._chance = chance or random.Random()  # noqa: S311 - jitter, no secret
        self.store = TenantStore()
        self.quotas = TenantQuotas(kube, self.store, leadership)
        self.on_change: Callable[[TenantQuota], None] = lambda _tenant: None
        self._queue = WorkQueue(clock, name="tenants")
        parts = KeeperParts(
            kube, leadership, clock, source, templates, self.store, rollouts, namespace, roles, prometheus
        )
        self._reconciler = TenantReconciler(
            TenantTools(
                store=self.store,
                quotas=self.quotas,
                meter=Meter(source, templates),
                keepers=build_keepers(parts),
                teller=TenantTeller(poster, clock, instance=instance, out=out, ledger=ledger),
                queue=self._queue,
                clock=clock,
                chance=self._chance,
                on_change=self._tell_change,
            )
        )
        self._workers = Workers(self._queue, self._reconciler, count=_WORKERS)
        self._active = False

    async def run(self) -> None:
        """Work until cancelled; then finish the runs that have begun."""
        await self._workers.run()

    @property
    def longest_run_seconds(self) -> float:
        """Age of the oldest run that goes on; 0 if there is none."""
        return self._queue.longest_run_seconds

    def has_measured(self, name: str) -> bool:
        """Whether a tenant was measured since this replica leads: what its status says may be older."""
        return self._reconciler.has_measured(name)

    def begin(self) -> None:
        """This replica leads and knows everything."""
        self._active = True
        for name in self.store:
            self._queue.add(Key("", name), Urgency.TIMER, after_seconds=self._chance.uniform(0, self._spread()))

    def cease(self) -> None:
        """Another replica leads, or nobody."""
        self._active = False
        self._queue.clear()
        self._reconciler.forget_all()

    def on_event(self, body: Mapping[str, Any], version: int, *, gone: bool) -> None:
        """What the watch brought."""
        name = body["metadata"]["name"]
        before = self.store.get(name)
        if gone:
            if self.store.remove(name, version):
                self._reconciler.forget(name)
        elif not self.store.put(body):
            return
        self._ask(name)
        # Who claims a namespace concerns all who claim it, and who claimed it before.
        for tenant in (before, self.store.get(name)):
            for namespace in tenant.spec.namespaces if tenant else ():
                for other in self.store.claiming(namespace):
                    self._ask(other)

    def on_template(self) -> None:
        """An IndicatorTemplate has changed: usage may be known now, or no longer."""
        for name in self.store:
            self._ask(name)

    def _tell_change(self, tenant: TenantQuota) -> None:
        self.on_change(tenant)  # set after this was made

    def _ask(self, name: str) -> None:
        if self._active and name in self.store:
            self._queue.add(Key("", name), Urgency.CHANGE)

    def _spread(self) -> float:
        """A few tenants are looked at at once, many over some seconds."""
        return min(_SPREAD_SECONDS, len(self.store) / 50)
