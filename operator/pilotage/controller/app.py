"""The operator process: makes the parts, connects them, runs them, and takes them down in the right order.

Every replica watches and knows everything; only the leader's queue is filled. That makes a follower's start as leader a
matter of milliseconds.
"""

import asyncio
import logging
import random
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pilotage.controller.capacity import Capacities
from pilotage.controller.clock import Clock
from pilotage.controller.decisions import DecisionStore
from pilotage.controller.effects import Effects
from pilotage.controller.elector import Elector
from pilotage.controller.events import EventPoster
from pilotage.controller.evidence import Gatherer
from pilotage.controller.incidents import IncidentStore, recorded_since
from pilotage.controller.informer import Informer
from pilotage.controller.ledger import Ledger
from pilotage.controller.ledger_file import LedgerFile
from pilotage.controller.listing import (
    KINDS,
    SETTLE_SECONDS,
    SWEEP_SECONDS,
    Known,
    list_all,
    sweep,
    until_answered,
    wait_for_kinds,
)
from pilotage.controller.neighbours import Neighbours, tenancy_of
from pilotage.controller.probes import LONGEST_RUN_SECONDS, Probes
from pilotage.controller.reconcile import Reconciler, Tools
from pilotage.controller.record import Recorder
from pilotage.controller.resting import may_wait
from pilotage.controller.rollouts import Rollouts
from pilotage.controller.rush import Rush
from pilotage.controller.schedule import Key, Urgency
from pilotage.controller.store import RolloutStore, TemplateStore, key_of
from pilotage.controller.telemetry import ROLLOUTS
from pilotage.controller.tenants.matchers import Matchers
from pilotage.controller.tenants.reserving import ReservingParts
from pilotage.controller.tenants.reserving_gate import TenantGate
from pilotage.controller.tenants.shell import TenantShell
from pilotage.controller.workers import Workers
from pilotage.controller.workqueue import WorkQueue
from pilotage.delivery.scale import Workloads
from pilotage.delivery.target import Target
from pilotage.kube import Kube, KubeError
from pilotage.metrics.following import Asks
from pilotage.resources.decision import PilotDecision
from pilotage.resources.incident import PilotIncident
from pilotage.resources.rollout import PilotRollout
from pilotage.resources.tenant import TenantQuota

_LOG = logging.getLogger(__name__)
_LAST_EVENTS_SECONDS = 1.0
_SHARE_OF_ONE = 0.75
"""Of the workers, so many a namespace may keep busy: another's rollout always finds one."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What differs from one replica, or one installation, to the other.

    Attributes:
        identity: of this replica; no other that runs at the same time may have the same.
        lease_namespace: where the Lease is.
        lease_name: the Lease's name.
        tenant_roles: what the names of the chart's ClusterRoles for tenants begin with.
        prometheus: its URL, for autoscalers that ask it themselves; empty if not known.
        tenant_label: has the namespace's name in all series, and is enforced in rollouts' own queries; none if empty.
        http_host: address for probes and metrics.
        http_port: 0 takes a free one.
        workers: runs at once.
        record: the file that every decision is written to; None for no file.
        record_rotate_bytes: its size at which a new part begins; 0 for never.
        record_keep: how many older parts are kept.
        out: where the record's lines go as they come; None for the log alone.
        max_advancing: how many rollouts advance at once in the cluster; None for any number.
    """

    identity: str
    lease_namespace: str
    lease_name: str = "pilotage-operator"
    tenant_roles: str = "pilotage-tenant"
    prometheus: str = ""
    tenant_label: str = ""
    http_host: str = "127.0.0.1"
    http_port: int = 8080
    workers: int = 1024
    record: Path | None = None
    record_rotate_bytes: int = 64 << 20
    record_keep: int = 20
    out: BinaryIO | None = None
    max_advancing: int | None = None


class Operator:
    """One replica.

    Args:
        kube: the API server.
        source: where evidence comes from.
        target: how users are reached.
        settings: of this replica.
        clock: what time it is.
    """

    def __init__(self, kube: Kube, source: Asks, target: Target, settings: Settings, clock: Clock) -> None:
        self._kube = kube
        self._clock = clock
        self._chance = random.Random()  # noqa: S311 - jitter, no secret
        self._neighbours = Neighbours(settings.max_advancing)
        self._store = RolloutStore(self._neighbours)
        self._templates = TemplateStore()
        self._incidents = IncidentStore()
        self._decisions = DecisionStore()
        self._queue = WorkQueue(clock, at_once=max(1, int(settings.workers * _SHARE_OF_ONE)))
        self._elector = Elector(
            kube, clock, identity=settings.identity, namespace=settings.lease_namespace, name=settings.lease_name
        )
        rush = Rush(clock)
        self._poster = EventPoster(kube, clock, instance=settings.identity, rush=rush)
        self._ledger: Ledger | None = None
        if settings.record is not None:
            file = LedgerFile(settings.record, rotate_bytes=settings.record_rotate_bytes, keep=settings.record_keep)
            self._ledger = Ledger(file, clock, self._elector.leads)
        self._recorder = Recorder(self._poster, clock, out=settings.out, ledger=self._ledger)
        self.tenants = TenantShell(
            kube,
            clock,
            self._elector,
            source=source,
            templates=self._templates.specs,
            rollouts=self._store,
            namespace=settings.lease_namespace,
            poster=self._poster,
            instance=settings.identity,
            roles=settings.tenant_roles,
            prometheus=settings.prometheus,
            out=settings.out,
            ledger=self._ledger,
        )
        rollouts = Rollouts(kube, self._store, self._elector, rush)
        self._gate = TenantGate(
            ReservingParts(
                tenants=self.tenants.store,
                quotas=self.tenants.quotas,
                store=self._store,
                ask=self._ask_for_run,
                clock=clock,
                measured=self.tenants.has_measured,
            ),
            rollouts.refresh,
        )
        self.tenants.on_change = lambda tenant: self._gate.on_tenant(tenant, tenant.metadata.name)
        self._effects = Effects(target, rollouts, self._elector, clock, rush)
        workloads = Workloads(kube, self._elector)
        self._capacities = Capacities(workloads, self.tenants.store, self._queue, clock)
        self._reconciler = Reconciler(
            Tools(
                store=self._store,
                templates=self._templates.specs,
                queue=self._queue,
                gatherer=Gatherer(
                    kube,
                    source,
                    self._incidents,
                    clock,
                    templates=self._templates.specs,
                    matchers=Matchers(self.tenants.store, settings.tenant_label).of,
                ),
                effects=self._effects,
                rollouts=rollouts,
                recorder=self._recorder,
                clock=clock,
                decisions=self._decisions.of,
                tenants=self._gate,
                neighbours=self._neighbours,
                capacities=self._capacities,
            )
        )
        self._workers = Workers(self._queue, self._reconciler, count=settings.workers)
        self._informer = Informer(kube, clock, self._on_event)
        self._neighbours.wake = self._wake
        self._neighbours.tenant_of = lambda namespace: tenancy_of(self.tenants.store.of_namespace(namespace))
        self._sweep_now = asyncio.Event()
        self._informer.on_restart = self._sweep_now.set
        self._elector.on_started, self._elector.on_stopped = self._begin, self._cease
        self._all_known = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.probes = Probes(
            settings.http_host, settings.http_port, healthy=self.what_is_wrong, ready=self.what_is_missing
        )
        ROLLOUTS.set_function(lambda: len(self._store))

    async def run(self, stop: asyncio.Event) -> bool:
        """Run until told to stop, or until a part of it ends that never should; tells which: True if told.

        Raises:
            OSError: the address for probes is not free.
        """
        await self.probes.start()
        _LOG.info("probes and metrics on port %d", self.probes.port)
        parts: dict[str, Coroutine[Any, Any, None]] = {
            "elector": self._elector.run(),
            "events": self._poster.run(),
            "workers": self._workers.run(),
            "tenants": self.tenants.run(),
            "reservations": self._gate.run(),
            "informer": self._watch(),
            "listing": self._list(),
        }
        if self._ledger is not None:
            parts["record"] = self._ledger.run()
        self._tasks = {name: asyncio.create_task(part, name=name) for name, part in parts.items()}
        told = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait({told, *self._tasks.values()}, return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        for task in done - {told}:
            _LOG.error("%s has ended", task.get_name(), exc_info=None if task.cancelled() else task.exception())
        await self._shut_down()
        return told in done

    def what_is_wrong(self) -> str:
        """Why this process should be started anew; empty if it shouldn't. A blocked event loop does not even answer."""
        dead = [name for name, task in self._tasks.items() if task.done()]
        if dead:
            return f"{', '.join(dead)} has ended"
        age = max(self._queue.longest_run_seconds, self.tenants.longest_run_seconds)
        return f"a run hangs for {age:.0f} s" if age > LONGEST_RUN_SECONDS else ""

    def what_is_missing(self) -> str:
        """Why this replica could not lead now; empty if it could."""
        if not self._all_known.is_set():
            return "rollouts, templates, incidents, decisions and tenants are not listed yet"
        return "" if self._informer.running else "the watch is interrupted"

    async def _shut_down(self) -> None:
        """First what brings work, then the work, then the right to work, at last the connections."""
        await self._end("informer", "listing")
        await self._end("workers", "tenants", "reservations")
        self._capacities.forget_all()
        await self._recorder.settle()
        await self._end("record")
        try:
            async with asyncio.timeout(_LAST_EVENTS_SECONDS):
                await self._poster.drain()
        except TimeoutError:
            _LOG.warning("some Events were not posted")
        await self._end("events", "elector")
        await self.probes.stop()

    async def _end(self, *names: str) -> None:
        tasks = [self._tasks[name] for name in names if name in self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self) -> None:
        """What comes after the list is watched from after the list on; what came in between, the first sweep finds."""
        await self._all_known.wait()
        await self._informer.run()

    async def _list(self) -> None:
        """Know all that exists; then look for what the watch has lost, now and then and after each list of it."""
        await wait_for_kinds(self._kube, self._clock)
        await list_all(self._kube, self._clock, self._on_event)
        since = await until_answered(self._clock, lambda: recorded_since(self._kube), "can't list incidents")
        self._incidents.recorded_since = since
        self._all_known.set()
        _LOG.info("rollouts that are listed: %d", len(self._store))
        self._begin()
        self._sweep_now.set()
        while True:
            await self._clock.wait(self._sweep_now, SWEEP_SECONDS * self._chance.uniform(0.75, 1.25))
            while self._sweep_now.is_set():
                self._sweep_now.clear()
                await self._clock.sleep(SETTLE_SECONDS)
            try:
                await self._sweep()
            except KubeError as error:
                _LOG.warning("can't sweep: %s", error)
                self._sweep_now.set()

    async def _sweep(self) -> None:
        stores: tuple[Known, ...] = (self._templates, self.tenants.store, self._incidents, self._decisions, self._store)
        for kind, store in zip(KINDS, stores, strict=True):
            await sweep(self._kube, kind, store, self._on_event)

    def _begin(self) -> None:
        """This replica leads and knows everything: look at all that is on its way now, at what rests over some time."""
        if not (self._elector.leads() and self._all_known.is_set()):
            return
        self.tenants.begin()
        self._gate.begin()
        for key in self._store:
            kept = self._store.peek(key)
            if kept is not None and may_wait(kept, self._decisions.of(key), self._clock.now()):
                self._reconciler.leave(key)
            else:
                self._queue.add(key, Urgency.TIMER)

    def _cease(self) -> None:
        """Another replica leads, or nobody."""
        self._queue.clear()
        self.tenants.cease()
        self._gate.cease()
        self._capacities.forget_all()
        self._effects.forget_all()
        self._neighbours.forget_decided()
        self._recorder.forget_all()

    def _on_event(self, plural: str, kind: str | None, body: dict[str, Any]) -> None:
        gone, version = kind == "DELETED", int(body["metadata"]["resourceVersion"])
        if kind is None and self._informer.running:
            self._sweep_now.set()  # the watch lists: it does not say what is gone
        if plural == PilotRollout.plural:
            self._on_rollout(key_of(body), body, version, gone=gone)
            return
        if plural == PilotIncident.plural:
            self._ask_for_concerned(
                self._incidents.remove(key_of(body), version) if gone else self._incidents.put(body)
            )
            return
        if plural == PilotDecision.plural:
            self._on_decision(body, version, gone=gone)
            return
        if plural == TenantQuota.plural:
            name = body["metadata"]["name"]
            before = self.tenants.store.get(name)
            self.tenants.on_event(body, version, gone=gone)
            self._gate.on_tenant(before, name)
            return
        name = body["metadata"]["name"]
        if self._templates.remove(name, version) if gone else self._templates.put(body):
            self.tenants.on_template()
            for key in self._store.using(name):
                self._ask_for_run(key)

    def _on_rollout(self, key: Key, body: dict[str, Any], version: int, *, gone: bool) -> None:
        if not gone:
            if self._store.put(body):
                self._ask_for_run(key)
        elif self._store.remove(key, version):
            self._reconciler.forget(key)

    def _on_decision(self, body: dict[str, Any], version: int, *, gone: bool) -> None:
        if gone:
            self._decisions.remove(key_of(body), version)
        elif (rollout := self._decisions.put(body)) is not None and rollout in self._store:
            self._ask_for_run(rollout)

    def _ask_for_concerned(self, concerned: Iterable[Key]) -> None:
        for each in concerned:
            for key in self._store.counting_incidents(each):
                self._ask_for_run(key)

    def _wake(self, keys: Iterable[Key]) -> None:
        """What these have waited for has changed."""
        for key in keys:
            self._ask_for_run(key)

    def _ask_for_run(self, key: Key) -> None:
        if self._all_known.is_set() and self._elector.leads():
            self._queue.add(key, Urgency.CHANGE)
