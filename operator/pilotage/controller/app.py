"""The operator process: makes the parts, connects them, runs them, and takes them down in the right order.

Every replica watches and knows everything; only the leader's queue is filled. That makes a follower's start as leader a
matter of milliseconds.
"""

import asyncio
import logging
import random
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from pilotage.controller.clock import Clock
from pilotage.controller.effects import Effects
from pilotage.controller.elector import Elector
from pilotage.controller.events import EventPoster
from pilotage.controller.evidence import Gatherer, Source
from pilotage.controller.informer import Informer
from pilotage.controller.listing import SWEEP_SECONDS, sweep, wait_for_kinds, wait_until_listed
from pilotage.controller.probes import LONGEST_RUN_SECONDS, Probes
from pilotage.controller.reconcile import RESYNC_SECONDS, Reconciler, Tools
from pilotage.controller.record import REPLAYED, Recorder
from pilotage.controller.rollouts import Rollouts
from pilotage.controller.schedule import Key, Urgency
from pilotage.controller.store import RolloutStore, TemplateStore, key_of
from pilotage.controller.telemetry import ROLLOUTS
from pilotage.controller.workers import Workers
from pilotage.controller.workqueue import WorkQueue
from pilotage.delivery.target import Target
from pilotage.kube import Kube, KubeError
from pilotage.resources.rollout import PilotRollout

_LOG = logging.getLogger(__name__)
_LAST_EVENTS_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What differs from one replica, or one installation, to the other.

    Attributes:
        identity: of this replica; no other that runs at the same time may have the same.
        lease_namespace: where the Lease is.
        lease_name: the Lease's name.
        http_host: address for probes and metrics.
        http_port: 0 takes a free one.
        workers: runs at once.
    """

    identity: str
    lease_namespace: str
    lease_name: str = "pilotage-operator"
    http_host: str = "127.0.0.1"
    http_port: int = 8080
    workers: int = 64


class Operator:
    """One replica.

    Args:
        kube: the API server.
        source: where evidence comes from.
        target: how users are reached.
        settings: of this replica.
        clock: what time it is.
    """

    def __init__(self, kube: Kube, source: Source, target: Target, settings: Settings, clock: Clock) -> None:
        self._kube = kube
        self._clock = clock
        self._chance = random.Random()  # noqa: S311 - jitter, no secret
        self._store = RolloutStore()
        self._templates = TemplateStore()
        self._queue = WorkQueue(clock)
        self._elector = Elector(
            kube, clock, identity=settings.identity, namespace=settings.lease_namespace, name=settings.lease_name
        )
        self._poster = EventPoster(kube, clock, instance=settings.identity)
        self._recorder = Recorder(self._poster, clock)
        rollouts = Rollouts(kube, self._store, self._elector)
        self._effects = Effects(target, rollouts, self._elector, clock)
        self._reconciler = Reconciler(
            Tools(
                store=self._store,
                templates=self._templates.specs,
                queue=self._queue,
                gatherer=Gatherer(kube, source, clock),
                effects=self._effects,
                rollouts=rollouts,
                recorder=self._recorder,
                clock=clock,
                chance=self._chance,
            )
        )
        self._workers = Workers(self._queue, self._reconciler, count=settings.workers)
        self._informer = Informer(kube, clock, self._on_event)
        self._sweep_now = asyncio.Event()
        self._informer.on_restart = self._sweep_now.set
        self._elector.on_started, self._elector.on_stopped = self._begin, self._cease
        self._served = asyncio.Event()
        self._listed = False
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
            "informer": self._watch(),
            "listing": self._list(),
        }
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
        age = self._queue.longest_run_seconds
        return f"a run hangs for {age:.0f} s" if age > LONGEST_RUN_SECONDS else ""

    def what_is_missing(self) -> str:
        """Why this replica could not lead now; empty if it could."""
        if not self._listed:
            return "rollouts and templates are not listed yet"
        return "" if self._informer.running else "the watch is interrupted"

    async def _shut_down(self) -> None:
        """First what brings work, then the work, then the right to work, at last the connections."""
        await self._end("informer", "listing")
        await self._end("workers")
        try:
            async with asyncio.timeout(_LAST_EVENTS_SECONDS):
                await self._poster.drain()
        except TimeoutError:
            _LOG.warning("some Events were not posted")
        await self._end("events", "elector")
        await self.probes.stop()

    async def _end(self, *names: str) -> None:
        tasks = [self._tasks[name] for name in names]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self) -> None:
        await wait_for_kinds(self._kube, self._clock)
        self._served.set()
        await self._informer.run()

    async def _list(self) -> None:
        """Know when all was listed; then look for what vanished, now and then and after each interruption."""
        await self._served.wait()
        await wait_until_listed(self._kube, self._clock, self._store, self._templates)
        self._listed = True
        _LOG.info("listed: %d rollouts", len(self._store))
        self._begin()
        while True:
            await self._clock.wait(self._sweep_now, SWEEP_SECONDS * self._chance.uniform(0.75, 1.25))
            self._sweep_now.clear()
            try:
                await sweep(self._kube, self._store, self._templates, self._reconciler.forget)
            except KubeError as error:
                _LOG.warning("can't sweep: %s", error)

    def _begin(self) -> None:
        """This replica leads and knows everything: look at all that is on its way now, at what rests over some time."""
        if not (self._elector.leads() and self._listed):
            return
        told = self._clock.now() - REPLAYED  # what was decided later, the last leader may have told nobody
        for key in self._store:
            kept = self._store.peek(key)
            if kept is not None and kept.settled and kept.decided_at < told:
                self._queue.add(key, Urgency.RESYNC, after_seconds=self._chance.uniform(0, RESYNC_SECONDS))
            else:
                self._queue.add(key, Urgency.TIMER)

    def _cease(self) -> None:
        """Another replica leads, or nobody."""
        self._queue.clear()
        self._effects.forget_all()
        self._recorder.forget_all()

    def _on_event(self, plural: str, kind: str | None, body: dict[str, Any]) -> None:
        gone, version = kind == "DELETED", int(body["metadata"]["resourceVersion"])
        if plural == PilotRollout.plural:
            self._on_rollout(key_of(body), body, version, gone=gone)
            return
        name = body["metadata"]["name"]
        if self._templates.remove(name, version) if gone else self._templates.put(body):
            for key in self._store.using(name):
                self._ask_for_run(key)

    def _on_rollout(self, key: Key, body: dict[str, Any], version: int, *, gone: bool) -> None:
        if not gone:
            if self._store.put(body):
                self._ask_for_run(key)
        elif self._store.remove(key, version):
            self._reconciler.forget(key)

    def _ask_for_run(self, key: Key) -> None:
        if self._listed and self._elector.leads():
            self._queue.add(key, Urgency.CHANGE)
