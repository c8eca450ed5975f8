"""Kubernetes Events for transitions, as `kubectl describe pilot` shows them. Each is posted once, and never in the way.

An Event's name is made of the rollout's uid and the transition's number: posting it again after a restart meets the
first one and changes nothing. Posting happens beside the workers; what can't be posted is dropped after some tries.
"""

import asyncio
import logging
from typing import Any

from pilotage.controller.clock import Clock
from pilotage.controller.rush import Rush
from pilotage.controller.telemetry import EVENTS
from pilotage.kube import Kube, KubeError
from pilotage.resources.base import API_VERSION, GROUP
from pilotage.resources.rollout import PilotRollout
from pilotage.resources.status import HistoryEntry

_LOG = logging.getLogger(__name__)
_WARNINGS = frozenset({"RollBack", "Throttle", "Stall", "NotInForce"})
_FINAL = frozenset({"Forbidden", "NotFound", "Invalid", "BadRequest"})
_WAITING = 5000
_POSTERS = 4
_TRIES = 8
_LONGEST_PAUSE_SECONDS = 8.0
_NOTE_LIMIT = 1024
_NAME_LIMIT = 200


class EventPoster:
    """Posts Events, a few at once, from a bounded queue.

    Args:
        kube: the API server.
        clock: what time it is.
        instance: identity of this replica.
        rush: what is told stands aside for it.
    """

    def __init__(self, kube: Kube, clock: Clock, *, instance: str, rush: Rush) -> None:
        self._kube = kube
        self._clock = clock
        self._instance = instance
        self._rush = rush
        self._waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue(_WAITING)

    def post(self, rollout: PilotRollout, entry: HistoryEntry) -> None:
        """Have an Event posted soon; never waits."""
        self.put(event_of(rollout, entry, instance=self._instance))

    def put(self, event: dict[str, Any]) -> None:
        """The same, of an Event that is made already; its name makes it one, however often it is posted."""
        try:
            self._waiting.put_nowait(event)
        except asyncio.QueueFull:
            EVENTS.labels("dropped").inc()

    async def run(self) -> None:
        """Post until cancelled."""
        async with asyncio.TaskGroup() as posters:
            for _ in range(_POSTERS):
                posters.create_task(self._post())

    async def _post(self) -> None:
        while True:
            event = await self._waiting.get()
            await self._rush.stand_aside(self._rush.patience())
            EVENTS.labels(await self._try(event)).inc()
            self._waiting.task_done()

    async def drain(self) -> None:
        """Return when all is posted or dropped."""
        await self._waiting.join()

    async def _try(self, event: dict[str, Any]) -> str:
        path = f"/apis/events.k8s.io/v1/namespaces/{event['metadata']['namespace']}/events"
        for tried in range(1, _TRIES + 1):
            try:
                await self._kube.create(path, event)
            except KubeError as error:
                if error.reason == "AlreadyExists":
                    return "known"
                if error.reason in _FINAL or tried == _TRIES:
                    _LOG.warning("an Event can't be posted: %s", error, extra={"detail": error.detail})
                    return "failed"
                await self._clock.sleep(error.retry_after_seconds or min(0.5 * 2**tried, _LONGEST_PAUSE_SECONDS))
            else:
                return "posted"
        raise AssertionError


def event_of(rollout: PilotRollout, entry: HistoryEntry, *, instance: str) -> dict[str, Any]:
    """The Event of a transition, in the rollout's namespace."""
    meta = rollout.metadata
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {
            "name": f"{meta.name[:_NAME_LIMIT].rstrip('.-')}.{meta.uid}.{entry.sequence}",
            "namespace": meta.namespace,
        },
        "eventTime": entry.time.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "type": "Warning" if entry.action in _WARNINGS else "Normal",
        "action": entry.action,
        "reason": entry.reason,
        "note": entry.message[:_NOTE_LIMIT],
        "regarding": {
            "apiVersion": API_VERSION,
            "kind": PilotRollout.kind,
            "namespace": meta.namespace,
            "name": meta.name,
            "uid": meta.uid,
        },
        "reportingController": f"{GROUP}/operator",
        "reportingInstance": instance[:128],
    }
