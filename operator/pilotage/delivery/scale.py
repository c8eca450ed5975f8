"""Replicas of a workload: how many there are, what else scales it, and the scale subresource itself.

The scale subresource is written only where nothing else has a say: no autoscaler targets the workload, and `replicas`
stands in no manifest that somebody applies. Else two writers would undo each other for ever.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pilotage.kube import Kube, KubeError

FIELD_MANAGER = "pilotage-scaling"
ROLE = "pilotage-scaling"

KEDA = "keda.sh/v1alpha1"
_HPA = "autoscaling/v2"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_NOT_FOUND, _FORBIDDEN = 404, 403


class ScaleError(Exception):
    """A workload that could not be read or scaled; the message is a fixed text for people, fit for status."""


class ScaleRefusedError(ScaleError):
    """The workload is not ours to scale; a person has to change something."""


@dataclass(frozen=True, slots=True)
class WorkloadRef:
    """A workload by name."""

    namespace: str
    name: str
    kind: str = "Deployment"
    api_version: str = "apps/v1"

    @property
    def title(self) -> str:
        """Such as `Deployment vector-search`."""
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Workload:
    """A workload as it stands.

    Attributes:
        replicas: that are asked for.
        ready: that are ready.
        declared_by: who applies a manifest with `replicas` in it; empty if nobody does.
    """

    replicas: int
    ready: int
    declared_by: str = ""


@dataclass(frozen=True, slots=True)
class Autoscaler:
    """What scales a workload.

    Attributes:
        kind: HorizontalPodAutoscaler or ScaledObject.
        name: of it.
        owners: uids of its owners.
        maker: name of the ScaledObject that KEDA made it of; empty if none.
    """

    kind: str
    name: str
    owners: frozenset[str] = frozenset()
    maker: str = ""

    @property
    def title(self) -> str:
        """Such as `HorizontalPodAutoscaler search`."""
        return f"{self.kind} {self.name}"


class Lease(Protocol):
    """Who may write, and for how long a write that has begun may take."""

    @property
    def guard_seconds(self) -> float:
        """Until another replica could lead."""
        ...

    def require(self) -> None:
        """Pass while this replica leads; raises if it does not."""
        ...


class Workloads:
    """Workloads on the API server.

    Args:
        kube: client whose rights suffice.
        lease: asked before each write, which ends before another replica can lead.
    """

    def __init__(self, kube: Kube, lease: Lease) -> None:
        self._kube = kube
        self._lease = lease
        self._plurals: dict[tuple[str, str], str] = {}

    async def read(self, ref: WorkloadRef) -> Workload:
        """The workload as it stands.

        Raises:
            ScaleRefusedError: it can't be scaled, or our rights don't suffice.
            ScaleError: it could not be read.
        """
        try:
            found = await self._kube.get(await self._path(ref))
        except KubeError as error:
            raise _explained(error, ref) from error
        return workload_of(found)

    async def autoscalers(self, ref: WorkloadRef) -> tuple[Autoscaler, ...]:
        """All HPAs and ScaledObjects that target the workload.

        Raises:
            ScaleRefusedError: our rights don't suffice.
            ScaleError: they could not be read.
        """
        found: list[Autoscaler] = []
        for api, plural in ((_HPA, "horizontalpodautoscalers"), (KEDA, "scaledobjects")):
            try:
                listed = await self._kube.get(f"/apis/{api}/namespaces/{ref.namespace}/{plural}")
            except KubeError as error:
                if error.status == _NOT_FOUND:  # KEDA is not installed
                    continue
                raise _explained(error, ref) from error
            found += [autoscaler_of(each, listed["kind"]) for each in listed["items"] if targets(each, ref)]
        return tuple(found)

    async def serves(self, api_version: str) -> bool:
        """Whether the API server serves a group.

        Raises:
            ScaleError: it could not be asked.
        """
        try:
            await self._kube.get(f"/apis/{api_version}")
        except KubeError as error:
            if error.status == _NOT_FOUND:
                return False
            raise ScaleError("the API server could not be asked for its kinds") from error
        return True

    async def scale(self, ref: WorkloadRef, replicas: int) -> None:
        """Set the replicas, under a field manager of our own.

        By force, which takes the field from whoever scaled it by hand; those who declare it were asked for before.

        Raises:
            ScaleRefusedError: our rights don't suffice, or a quota forbids it.
            ScaleError: it could not be written; try again.
            NotLeadingError: this replica does not lead.
        """
        body = {
            "apiVersion": "autoscaling/v1",
            "kind": "Scale",
            "metadata": {"name": ref.name, "namespace": ref.namespace},
            "spec": {"replicas": replicas},
        }
        try:
            path = f"{await self._path(ref)}/scale"
            self._lease.require()
            async with asyncio.timeout(self._lease.guard_seconds):
                await self._kube.patch(path, body, content_type="apply", field_manager=FIELD_MANAGER, force=True)
        except KubeError as error:
            raise _explained(error, ref) from error
        except TimeoutError as error:
            raise ScaleError("the API server did not answer in time") from error

    async def _path(self, ref: WorkloadRef) -> str:
        group = f"/apis/{ref.api_version}" if "/" in ref.api_version else f"/api/{ref.api_version}"
        plural = self._plurals.get((ref.api_version, ref.kind))
        if plural is None:
            plural = plural_of(await self._kube.get(group), ref)
            self._plurals[ref.api_version, ref.kind] = plural
        return f"{group}/namespaces/{ref.namespace}/{plural}/{ref.name}"


def plural_of(discovered: Mapping[str, Any], ref: WorkloadRef) -> str:
    """The resource of a kind, by what the API server says of the group.

    Raises:
        ScaleRefusedError: there is no such kind, or it has no scale subresource.
    """
    resources = discovered.get("resources") or ()
    names = {each["name"] for each in resources}
    plural = next((each["name"] for each in resources if each["kind"] == ref.kind and "/" not in each["name"]), "")
    if f"{plural}/scale" not in names:
        raise ScaleRefusedError(f"{ref.kind} of {ref.api_version} can't be scaled: it has no scale subresource")
    return plural


def workload_of(found: Mapping[str, Any]) -> Workload:
    """The parts of a workload that count; what says no replicas has one."""
    status = found.get("status", {})
    return Workload(
        replicas=found["spec"].get("replicas", 1),
        ready=status.get("readyReplicas", 0),
        declared_by=declared_by(found["metadata"]),
    )


def declared_by(metadata: Mapping[str, Any]) -> str:
    """Who applies `spec.replicas`: a server-side applier, or one of the older way, which leaves what it applied."""
    for entry in metadata.get("managedFields", ()):
        owned = entry.get("fieldsV1", {}).get("f:spec", {})
        if entry["operation"] == "Apply" and entry["manager"] != FIELD_MANAGER and "f:replicas" in owned:
            return str(entry["manager"])
    try:
        applied = json.loads(metadata.get("annotations", {}).get(_LAST_APPLIED, "{}"))
        return "kubectl apply" if "replicas" in applied.get("spec", {}) else ""
    except (ValueError, AttributeError, TypeError):  # anybody may write what they like there
        return ""


def autoscaler_of(found: Mapping[str, Any], listed: str) -> Autoscaler:
    """What it is, and whose."""
    owners = found["metadata"].get("ownerReferences", ())
    return Autoscaler(
        kind=listed.removesuffix("List"),
        name=found["metadata"]["name"],
        owners=frozenset(each["uid"] for each in owners),
        maker=next((each["name"] for each in owners if each["kind"] == "ScaledObject"), ""),
    )


def targets(found: Mapping[str, Any], ref: WorkloadRef) -> bool:
    """Whether an autoscaler is about this workload; versions of its group don't matter."""
    target = found["spec"]["scaleTargetRef"]
    kind, api = target.get("kind") or "Deployment", target.get("apiVersion") or "apps/v1"
    return (kind, target["name"], _group(api)) == (ref.kind, ref.name, _group(ref.api_version))


def _group(api_version: str) -> str:
    return api_version.rpartition("/")[0]


def _explained(error: KubeError, ref: WorkloadRef) -> ScaleError:
    """What became of a request, as a fixed text."""
    match error.status:
        case 0:
            return ScaleError("the API server could not be asked")
        case _ if error.status == _NOT_FOUND:
            return ScaleError(f"there is no {ref.title} in the namespace {ref.namespace}")
        case _ if error.status == _FORBIDDEN:
            return ScaleRefusedError(
                f"{ref.title} may not be scaled: enrol the namespace (bind ClusterRole {ROLE} there)"
            )
    return ScaleError(f"{ref.title} could not be scaled: the API server answered {error.status} {error.reason}")
