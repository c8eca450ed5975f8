"""Keeps a tenant's scaling policies: by an HPA or a ScaledObject of the tenant's, or by the scale subresource.

A policy acts alone or not at all: where anything else scales its target, or a manifest declares the replicas, it is
refused and says so. What the rule remembers stands in status (cooldowns) or is gathered anew (the window of metrics):
after a restart nothing is removed for one window.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pilotage.controller.tenants.keeping import Kept, Seen
from pilotage.controller.tenants.owned import TENANT_LABEL, NotOursError, Owned
from pilotage.controller.tenants.scaling_engines import Done, Engine, RefusedError, Task, path_of
from pilotage.controller.tenants.scaling_metrics import ScalingMetrics
from pilotage.delivery.scale import KEDA, ScaleError, ScaleRefusedError
from pilotage.kube import Kube, KubeError
from pilotage.resources.durations import parse_duration
from pilotage.resources.tenant import TenantQuota
from pilotage.resources.tenant_scaling import ScalingPolicy, ScalingStatus
from pilotage.tenancy.happening import Happened
from pilotage.tenancy.scaling_demands import Demand
from pilotage.tenancy.scaling_state import bounds_of, fresh, happened, settled, stopped
from pilotage.tenancy.standing import Finding, actions_in_force
from pilotage.tenancy.usage import Reading, Unknown

TICK_SECONDS = 15.0
"""How often policies are looked at: as often as Kubernetes' own autoscaler does, or five times in a cooldown."""

CONDITION = "ScalingActive"

_COLLECTIONS = (("autoscaling/v2", "horizontalpodautoscalers"), (KEDA, "scaledobjects"))
_NOT_FOUND, _FORBIDDEN = 404, 403

Demands = Callable[[str], Sequence[Demand]]
"""What the rollouts of a namespace ask."""


@dataclass(slots=True)
class _Told:
    """What one run has to tell."""

    states: list[ScalingStatus] = field(default_factory=list)
    happened: list[Happened] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


class ScalingKeeper:
    """Keeps scaling policies.

    Args:
        kube: asked for autoscalers that are wanted no longer.
        owned: what writes and removes objects of tenants.
        metrics: of the policies.
        objects: the engine of hpa and keda.
        subresource: the engine of scale.
        demands: what rollouts ask.
    """

    name = "scaling"

    def __init__(
        self,
        kube: Kube,
        owned: Owned,
        metrics: ScalingMetrics,
        *,
        objects: Engine,
        subresource: Engine,
        demands: Demands,
    ) -> None:
        self._kube = kube
        self._owned = owned
        self._metrics = metrics
        self._objects = objects
        self._subresource = subresource
        self._demands = demands
        self._swept: dict[str, frozenset[str]] = {}

    async def keep(self, seen: Seen, now: datetime) -> Kept:
        """Carry out each policy, and take away what is no longer wanted."""
        tenant, told = seen.tenant, _Told()
        policies = tenant.spec.scaling
        if not policies and not tenant.status.scaling and self._swept.get(tenant.metadata.name) == frozenset():
            return Kept()
        await self._sweep(seen, told)
        readings = await self._metrics.read(tenant, now)
        taken: dict[tuple[str, str, str], str] = {}
        for policy in policies:
            target = (policy.target.namespace, policy.target.kind, policy.target.name)
            first = taken.setdefault(target, policy.name)
            await self._carry_out(seen, policy, readings.get(policy.name), told, now, first=first)
        return Kept(
            findings=(_finding(told),) if policies or tenant.status.scaling else (),
            happened=tuple(told.happened),
            status={"scaling": tuple(told.states)},
            conflicts=tuple(told.conflicts),
            failures=tuple(told.failures),
            wake_at=now + timedelta(seconds=tick_of(policies)) if policies else None,
        )

    def forget(self, tenant: str) -> None:
        """It is gone, or another replica leads."""
        self._swept.pop(tenant, None)
        self._metrics.forget(tenant)

    async def _carry_out(
        self, seen: Seen, policy: ScalingPolicy, reading: Reading | None, told: _Told, now: datetime, *, first: str
    ) -> None:
        before = next((each for each in seen.tenant.status.scaling if each.name == policy.name), None)
        demands = self._demands(policy.target.namespace)
        bounds = bounds_of(policy, before, demands, capped=is_capped(seen.tenant))
        task = Task(
            tenant=seen.tenant,
            policy=policy,
            bounds=bounds,
            status=fresh(policy, before, bounds),
            reading=reading or Unknown("was not asked"),
            writes=seen.enforces and policy.target.namespace in seen.namespaces,
            now=now,
        )
        done = await self._tend(task, told, first=first)
        made = settled(before, done.status)
        told.states.append(made)
        told.happened += happened(before, made, wrote=done.wrote)

    async def _tend(self, task: Task, told: _Told, *, first: str) -> Done:
        engine = self._subresource if task.policy.engine == "scale" else self._objects
        try:
            if first != task.policy.name:
                message = f"policy {first} scales {task.ref.title} already: one policy for each workload"
                raise RefusedError("TargetTaken", message)
            return await engine.tend(task)
        except RefusedError as error:
            if error.conflict:
                told.conflicts.append(f"scaling policy {task.policy.name}: {error.message}")
            return _stopped(task, error.reason, error.message, refused=True)
        except NotOursError as error:
            told.conflicts.append(str(error))
            return _stopped(task, "NotOurs", str(error), refused=True)
        except ScaleRefusedError as error:
            told.failures.append(f"scaling policy {task.policy.name}: {error}")
            return _stopped(task, "NotAllowed", str(error), refused=True)
        except ScaleError as error:
            told.failures.append(f"scaling policy {task.policy.name}: {error}")
            return _stopped(task, "NotRead", str(error), refused=False)
        except KubeError as error:
            message = f"the API server answered {error.status} {error.reason}"
            told.failures.append(f"scaling policy {task.policy.name}: {message}")
            return _stopped(task, "NotWritten", message, refused=False)

    async def _sweep(self, seen: Seen, told: _Told) -> None:
        """Take away autoscalers of policies that are gone, or have another engine or target now."""
        name = seen.tenant.metadata.name
        wanted = frozenset(filter(None, (path_of(seen.tenant, each) for each in seen.tenant.spec.scaling)))
        if not seen.enforces or self._swept.get(name) == wanted:
            return
        failed = len(told.failures)
        for namespace in seen.namespaces:
            for api, plural in _COLLECTIONS:
                await self._clear(seen.tenant, f"/apis/{api}/namespaces/{namespace}/{plural}", wanted, told)
        self._metrics.forget(name, but=[each.name for each in seen.tenant.spec.scaling])
        if len(told.failures) == failed:
            self._swept[name] = wanted

    async def _clear(self, tenant: TenantQuota, collection: str, wanted: frozenset[str], told: _Told) -> None:
        try:
            query = {"labelSelector": f"{TENANT_LABEL}={tenant.metadata.name}"}
            found = await self._kube.get(collection, query=query)
            for each in found["items"]:
                path = f"{collection}/{each['metadata']['name']}"
                if path not in wanted:
                    await self._owned.remove(tenant, path)
        except KubeError as error:
            if error.status not in (_NOT_FOUND, _FORBIDDEN):  # no KEDA; or no rights, and so nothing of ours
                told.failures.append(f"autoscalers of policies that are gone: {error.reason}")


def _stopped(task: Task, reason: str, message: str, *, refused: bool) -> Done:
    return Done(stopped(task.status, refused=refused, reason=reason, message=message))


def tick_of(policies: Sequence[ScalingPolicy]) -> float:
    """In how many seconds policies are looked at again."""
    cooldowns = [parse_duration(each) for policy in policies for each in (policy.up.cooldown, policy.down.cooldown)]
    return max(min(TICK_SECONDS, min(cooldowns, default=0.0) / 5), 1.0)


def is_capped(tenant: TenantQuota) -> bool:
    """Whether a quota's action `scale` is in force: the tenant gets no more replicas until it is over."""
    actions = actions_in_force(tenant.spec, tenant.status.resources).values()
    return any("scale" in each for each in actions)


def _finding(told: _Told) -> Finding:
    """The condition: True while every policy is carried out."""
    for state in ("Refused", "Unknown", "Frozen"):
        for each in told.states:
            if each.state == state:
                said = f"{each.name}: {each.message}"
                return Finding(CONDITION, "Unknown" if state == "Unknown" else "False", each.reason or state, said)
    return Finding(CONDITION, "True", "AsDeclared" if told.states else "NoPolicies")
