"""Capacity for rollouts: looks at the workload of each that asks for some, and brings it about where nobody else does.

All of it happens beside the rollout's runs, which only read what was seen last: taking users back never waits for a
workload, nor for an API server that does not answer. Where a scaling policy of the tenant has the workload, the
policy's own keeper raises its minimum; here it is only waited for.
"""

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass

from pilotage.controller.clock import Clock
from pilotage.controller.elector import NotLeadingError
from pilotage.controller.schedule import Key, Urgency, fields_of
from pilotage.controller.telemetry import FAILURES
from pilotage.controller.tenants.store import TenantStore
from pilotage.controller.workqueue import WorkQueue
from pilotage.delivery.scale import ScaleError, Workload, WorkloadRef, Workloads
from pilotage.resources.rollout import PilotRollout
from pilotage.resources.tenant_scaling import ScalingPolicy
from pilotage.rollout.capacity import replicas_to_write
from pilotage.rollout.capacity_seen import CapacitySeen

_LOG = logging.getLogger(__name__)

YOUNG_SECONDS = 60.0
"""What was seen longer ago says nothing of the present."""

_LOOKS = (0.0, 0.5, 1.0, 1.0, 2.0, 2.0, 4.0)
"""Pauses before each look while replicas are not ready; then with the rollout's next run."""


@dataclass(frozen=True, slots=True)
class _Seen:
    capacity: CapacitySeen
    at: float


class Capacities:
    """Looks, and scales.

    Args:
        workloads: on the API server.
        tenants: whose scaling policies have workloads.
        queue: where a rollout is asked for again when something was seen to be different.
        clock: what time it is.
    """

    def __init__(self, workloads: Workloads, tenants: TenantStore, queue: WorkQueue, clock: Clock) -> None:
        self._workloads = workloads
        self._tenants = tenants
        self._queue = queue
        self._clock = clock
        self._seen: dict[Key, _Seen] = {}
        self._tasks: dict[Key, asyncio.Task[None]] = {}

    def seen(self, key: Key) -> CapacitySeen | None:
        """How the workload stood a moment ago; None if that is not known."""
        seen = self._seen.get(key)
        young = seen is not None and self._clock.monotonic() - seen.at <= YOUNG_SECONDS
        return seen.capacity if seen is not None and young else None

    def tend(self, rollout: PilotRollout) -> None:
        """Look after the capacity that a rollout has decided on; returns at once."""
        key, spec = Key.of(rollout), rollout.spec
        if spec.delivery.workload is None or not any(step.scale for step in spec.steps):
            self.forget(key)
        elif key not in self._tasks:
            task = self._tasks[key] = asyncio.create_task(self._tend(key, rollout), name=f"capacity of {key}")
            task.add_done_callback(lambda ended: self._end(key, ended))

    def forget(self, key: Key) -> None:
        """The rollout is gone, or asks for nothing."""
        self._seen.pop(key, None)
        if (task := self._tasks.get(key)) is not None:
            task.cancel()

    def forget_all(self) -> None:
        """Another replica leads, or this one ends."""
        for key in {*self._seen, *self._tasks}:
            self.forget(key)

    def _end(self, key: Key, ended: "asyncio.Task[None]") -> None:
        if self._tasks.get(key) is ended:
            del self._tasks[key]
        if not ended.cancelled() and (error := ended.exception()) is not None:
            FAILURES.labels("bug").inc()
            _LOG.error("capacity was not looked after", exc_info=error, extra=fields_of(key))

    async def _tend(self, key: Key, rollout: PilotRollout) -> None:
        capacity = rollout.status.capacity
        with suppress(NotLeadingError):
            for pause in _LOOKS:
                await self._clock.sleep(pause)
                seen = await self._look(rollout)
                before = self._seen.get(key)
                self._seen[key] = _Seen(seen, self._clock.monotonic())
                if before is None or before.capacity != seen:
                    self._queue.add(key, Urgency.FOLLOW_UP)
                if capacity is None or seen.obstacle or seen.ready >= capacity.minimum:
                    return

    async def _look(self, rollout: PilotRollout) -> CapacitySeen:
        """How the workload stands, after it was scaled if it has to be."""
        named, capacity = rollout.spec.delivery.workload, rollout.status.capacity
        assert named is not None
        ref = WorkloadRef(rollout.metadata.namespace, named.name, named.kind, named.api_version)
        try:
            workload = await self._workloads.read(ref)
        except ScaleError as error:
            return CapacitySeen(0, 0, str(error))
        wanted = replicas_to_write(capacity, workload.replicas) if capacity is not None else None
        if wanted is None:
            return CapacitySeen(workload.replicas, workload.ready)
        try:
            obstacle = await self._scale(ref, workload, wanted)
        except ScaleError as error:
            obstacle = str(error)
        return CapacitySeen(workload.replicas, workload.ready, obstacle if wanted > workload.replicas else "")

    async def _scale(self, ref: WorkloadRef, workload: Workload, wanted: int) -> str:
        """Set the replicas, unless somebody else does; tells what is in the way, with the remedy."""
        tenant, policy = self._policy_of(ref)
        if policy is not None:
            if wanted <= policy.max:
                return ""
            return f"TenantQuota {tenant} allows it {policy.max} at most: raise max of its scaling policy {policy.name}"
        if scalers := await self._workloads.autoscalers(ref):
            return f"{scalers[0].title} scales it: raise its minimum to {wanted}"
        if workload.declared_by:
            return f"its replicas are in the manifest that {workload.declared_by} applies: set them to {wanted} there"
        await self._workloads.scale(ref, wanted)
        return ""

    def _policy_of(self, ref: WorkloadRef) -> tuple[str, ScalingPolicy | None]:
        """The scaling policy that has the workload, and its TenantQuota."""
        tenant = self._tenants.of_namespace(ref.namespace)
        if tenant is None or tenant.spec.mode != "enforce":
            return "", None
        for policy in tenant.spec.scaling:
            target = policy.target
            if (target.namespace, target.kind, target.name) == (ref.namespace, ref.kind, ref.name):
                return tenant.metadata.name, policy
        return "", None
