"""The ways to carry a scaling policy out: an autoscaler of the tenant's, or the scale subresource."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from pilotage.controller.tenants.owned import Owned, OwnedObject
from pilotage.controller.tenants.scaling_metrics import ScalingMetrics
from pilotage.delivery.scale import (
    KEDA,
    Autoscaler,
    ScaleError,
    Workload,
    WorkloadRef,
    Workloads,
)
from pilotage.kube import KubeError
from pilotage.resources.tenant import TenantQuota
from pilotage.resources.tenant_scaling import ScalingPolicy, ScalingStatus
from pilotage.tenancy.amounts import plain
from pilotage.tenancy.autoscalers import (
    InForce,
    PolicyError,
    horizontal_pod_autoscaler,
    name_of,
    scaled_object,
    targets_of,
    without_tolerance,
)
from pilotage.tenancy.scaling import load_of, scale
from pilotage.tenancy.scaling_state import Bounds, changes_of, metered, scaled
from pilotage.tenancy.usage import Known, Reading, Unknown, UsageError

_PLURALS = {"hpa": ("autoscaling/v2", "horizontalpodautoscalers"), "keda": (KEDA, "scaledobjects")}
_UNDECLARED = "not declared in schema"


class RefusedError(Exception):
    """A policy that is not carried out until a person changes something.

    Attributes:
        reason: one CamelCase word.
        message: a sentence with the remedy.
        conflict: something else scales the target, or declares its replicas.
    """

    def __init__(self, reason: str, message: str, *, conflict: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.conflict = conflict


@dataclass(frozen=True, slots=True)
class Task:
    """One policy to carry out now.

    Attributes:
        tenant: whose it is.
        policy: as the spec has it.
        bounds: in force.
        status: to fill in.
        reading: of its metric, for the engine `scale`.
        writes: whether anything may be changed; a dry run only tells.
        now: the time.
    """

    tenant: TenantQuota
    policy: ScalingPolicy
    bounds: Bounds
    status: ScalingStatus
    reading: Reading
    writes: bool
    now: datetime

    @property
    def ref(self) -> WorkloadRef:
        """The target."""
        target = self.policy.target
        return WorkloadRef(target.namespace, target.name, target.kind, target.api_version)

    @property
    def path(self) -> str:
        """Of the policy's autoscaler; empty with the engine `scale`."""
        return path_of(self.tenant, self.policy)


@dataclass(frozen=True, slots=True)
class Done:
    """How the policy stands, and whether replicas were written."""

    status: ScalingStatus
    wrote: bool = False


class Engine(Protocol):
    """Carries policies out."""

    async def tend(self, task: Task) -> Done:
        """Bring the policy about.

        Raises:
            RefusedError: a person has to change something.
            ScaleError: it is tried again.
            KubeError: it is tried again.
            NotLeadingError: this replica does not lead.
        """
        ...


class ObjectEngine:
    """By an HPA or a ScaledObject that belongs to the TenantQuota.

    Args:
        owned: what writes objects of tenants.
        workloads: the API server's workloads.
        metrics: to know a policy's query.
        prometheus: URL of Prometheus as KEDA reaches it; empty if not known.
    """

    def __init__(self, owned: Owned, workloads: Workloads, metrics: ScalingMetrics, *, prometheus: str) -> None:
        self._owned = owned
        self._workloads = workloads
        self._metrics = metrics
        self._prometheus = prometheus
        self._knows_tolerance = True

    async def tend(self, task: Task) -> Done:
        """Apply the autoscaler, and tell what it says."""
        await self._check(task)
        body = self._body(task)
        workload = await self._workloads.read(task.ref)
        if task.writes:
            await self._apply(task, body)
        found = await self._owned.read(task.path)
        return Done(_told_by(task, workload, found or {}))

    async def _check(self, task: Task) -> None:
        """Nothing else scales the target: of two HPAs, both stop."""
        if task.policy.engine == "keda" and not await self._workloads.serves(KEDA):
            raise RefusedError("KedaMissing", "KEDA is not installed: install it, or set engine to hpa or scale")
        for each in await self._workloads.autoscalers(task.ref):
            if not is_ours(task, each):
                if task.writes:
                    await self._owned.remove(task.tenant, task.path)
                raise RefusedError("AutoscalerPresent", _present(each, task.ref), conflict=True)

    def _body(self, task: Task) -> dict[str, Any]:
        try:
            query = self._metrics.query(task.tenant, task.policy) if task.policy.engine == "keda" else ""
            force = InForce(
                task.bounds.minimum, task.bounds.maximum, task.bounds.leaving, query=query, prometheus=self._prometheus
            )
            name = task.tenant.metadata.name
            if task.policy.engine == "keda":
                return scaled_object(name, task.policy, force)
            made = horizontal_pod_autoscaler(name, task.policy, force)
        except (PolicyError, UsageError) as error:
            raise RefusedError("InvalidPolicy", str(error)) from error
        return made if self._knows_tolerance else without_tolerance(made)

    async def _apply(self, task: Task, body: dict[str, Any]) -> None:
        try:
            done = await self._owned.keep(task.tenant, OwnedObject(task.path, body))
        except KubeError as error:
            if not (self._knows_tolerance and "tolerance" in str(body) and _UNDECLARED in error.detail):
                raise
            self._knows_tolerance = False
            await self._owned.keep(task.tenant, OwnedObject(task.path, without_tolerance(body)))
            return
        if done != "unchanged" and self._knows_tolerance and task.policy.engine == "hpa":
            # Where its gate is off, the API server drops the field without a word, and it would be written for ever.
            self._knows_tolerance = "tolerance" in str(await self._owned.read(task.path))


class ScaleEngine:
    """By the scale subresource, where nothing else has a say.

    Args:
        workloads: the API server's workloads.
        metrics: the windows.
    """

    def __init__(self, workloads: Workloads, metrics: ScalingMetrics) -> None:
        self._workloads = workloads
        self._metrics = metrics

    async def tend(self, task: Task) -> Done:
        """Read, decide, scale."""
        for each in await self._workloads.autoscalers(task.ref):
            if task.tenant.metadata.uid in each.owners or each.maker:
                raise ScaleError(f"{each.title} is being taken away first")
            raise RefusedError("AutoscalerPresent", _present(each, task.ref), conflict=True)
        workload = await self._workloads.read(task.ref)
        if workload.declared_by:
            raise RefusedError("ReplicasDeclared", _declared(workload, task.ref), conflict=True)
        return await self._scale(task, workload)

    async def _scale(self, task: Task, workload: Workload) -> Done:
        try:
            targets = targets_of(task.policy, minimum=task.bounds.minimum, maximum=task.bounds.maximum)
        except PolicyError as error:
            raise RefusedError("InvalidPolicy", str(error)) from error
        reading, now = task.reading, task.now
        load = load_of(float(reading.value), workload.ready, reading.at) if isinstance(reading, Known) else None
        loads = self._metrics.loads(
            task.tenant.metadata.name, task.policy, load, keep_seconds=max(targets.up_seconds, targets.down_seconds)
        )
        wanted = scale(targets, workload.replicas, loads, changes_of(task.status), now, leaving=task.bounds.leaving)
        writes = task.writes and wanted.replicas != workload.replicas
        if writes:
            await self._workloads.scale(task.ref, wanted.replicas)
        value = plain(reading.value, places=3) if isinstance(reading, Known) else ""
        status = scaled(
            metered(task.status, now, lost=wanted.reason == "MetricLost"),
            wanted,
            value=value,
            replicas=wanted.replicas if writes else workload.replicas,
            ready=workload.ready,
        )
        return Done(_explained(status, wanted.reason, reading), wrote=writes)


def path_of(tenant: TenantQuota, policy: ScalingPolicy) -> str:
    """Of the policy's autoscaler; empty with the engine `scale`."""
    if policy.engine == "scale":
        return ""
    api, plural = _PLURALS[policy.engine]
    return f"/apis/{api}/namespaces/{policy.target.namespace}/{plural}/{name_of(tenant.metadata.name, policy)}"


def is_ours(task: Task, found: Autoscaler) -> bool:
    """Whether it is the policy's own, or what KEDA made of it."""
    name = name_of(task.tenant.metadata.name, task.policy)
    return (found.name == name and task.tenant.metadata.uid in found.owners) or found.maker == name


def _present(found: Autoscaler, ref: WorkloadRef) -> str:
    return f"{found.title} scales {ref.title} already: delete it, or take this policy away"


def _declared(workload: Workload, ref: WorkloadRef) -> str:
    return (
        f"replicas of {ref.title} are in the manifest that {workload.declared_by} applies: take spec.replicas out of it"
    )


def _explained(status: ScalingStatus, reason: str, reading: Reading) -> ScalingStatus:
    """The status, which also says why the metric is lost."""
    if reason != "MetricLost" or not isinstance(reading, Unknown):
        return status
    return status.model_copy(update={"message": f"{status.message}; {reading.reason}"[:1024]})


def _told_by(task: Task, workload: Workload, found: dict[str, Any]) -> ScalingStatus:
    """The status by what the autoscaler says of itself."""
    told = found.get("status", {})
    conditions = {each.get("type"): each for each in told.get("conditions") or ()}
    active = conditions.get("ScalingActive") or conditions.get("Ready") or {}
    lost = active.get("status") == "False"
    desired = told.get("desiredReplicas")
    state = "Frozen" if lost or task.bounds.leaving else "Scaling" if workload.ready < workload.replicas else "Steady"
    reason = str(active.get("reason", ""))[:63] if lost else "UsersLeaving" if task.bounds.leaving else "Applied"
    message = f"{task.policy.engine} {task.path.rpartition('/')[2]} scales it"
    if lost:
        message = f"{message}, but reads no metric ({reason}): replicas stay as they are"
    elif workload.declared_by:
        message = f"{message}; {_declared(workload, task.ref)}, or it is reset at each sync"
    status = metered(task.status, task.now, lost=lost)
    return status.model_copy(
        update={
            "replicas": workload.replicas,
            "desired": desired if isinstance(desired, int) and desired >= 0 else None,
            "state": state,
            "reason": reason,
            "message": message,
        }
    )
