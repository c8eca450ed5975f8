"""Objects that belong to a TenantQuota: applied, repaired and taken away; what belongs to anybody else is not touched.

An object is a tenant's if its ownerReference names the TenantQuota by uid: labels can be set by tenants, and a name may
come back. Only then it is applied by force, which repairs drift, and only then it is deleted, with its uid as the
precondition. The garbage collector removes all of them with the TenantQuota.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

from pilotage.controller.rollouts import Leadership
from pilotage.kube import Kube, KubeError
from pilotage.resources.base import API_VERSION
from pilotage.resources.tenant import TenantQuota

FIELD_MANAGER = "pilotage-tenants"
TENANT_LABEL = "pilotage.dev/tenant"
_NOT_FOUND = 404

Done = Literal["unchanged", "created", "repaired", "deleted", "absent"]


class NotOursError(Exception):
    """The object is there and belongs to somebody else; the message is a sentence for status."""


@dataclass(frozen=True, slots=True)
class OwnedObject:
    """An object as it shall be.

    Attributes:
        path: of the object at the API server.
        body: of the object, without status; owner, labels and name are added.
        exact: fields of the body that may hold nothing else, where an addition would widen what is allowed.
    """

    path: str
    body: Mapping[str, Any]
    exact: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Such as `ConfigMap shop/tenant-quota`."""
        return title_of(self.body["kind"], self.path)


class Owned:
    """Keeps objects of tenants."""

    def __init__(self, kube: Kube, leadership: Leadership) -> None:
        self._kube = kube
        self._leadership = leadership

    async def read(self, path: str) -> dict[str, Any] | None:
        """The object; None if there is none.

        Raises:
            KubeError: it could not be read.
        """
        try:
            return await self._kube.get(path)
        except KubeError as error:
            if error.status != _NOT_FOUND:
                raise
            return None

    async def keep(self, tenant: TenantQuota, wanted: OwnedObject) -> Done:
        """Bring the object about and repair what has drifted; one read if all is as it should be.

        Raises:
            NotOursError: an object of that name is there and is not this tenant's.
            KubeError: it could not be read or written.
            NotLeadingError: this replica does not lead.
        """
        body = owned_body(tenant, wanted)
        found = await self.read(wanted.path)
        if found is not None and not is_owned(tenant, found):
            message = f"{wanted.title} is not this TenantQuota's: rename or delete it, and it is made anew"
            raise NotOursError(message)
        if found is not None and covers(found, body) and _is_exact(found, wanted):
            return "unchanged"
        async with self._guarded(wanted.path):
            if found is None:
                await self._apply(wanted.path, body)
                return "created"
            # The uid is a precondition: what was deleted and made anew by somebody meanwhile is not taken over.
            uid = found["metadata"]["uid"]
            same = {**body, "metadata": {**body["metadata"], "uid": uid}}
            mended = await self._apply(wanted.path, same, force=True)
            if not _is_exact(mended, wanted):
                # What others have added stays theirs at an apply: only a new object is free of it.
                await self._kube.delete(wanted.path, uid=uid)
                await self._apply(wanted.path, body)
        return "repaired"

    async def _apply(self, path: str, body: dict[str, Any], *, force: bool = False) -> dict[str, Any]:
        return await self._kube.patch(path, body, content_type="apply", field_manager=FIELD_MANAGER, force=force)

    async def remove(self, tenant: TenantQuota, path: str) -> Done:
        """Take the object away, if it is this tenant's.

        Raises:
            KubeError: it could not be read or deleted.
            NotLeadingError: this replica does not lead.
        """
        found = await self.read(path)
        if found is None or not is_owned(tenant, found) or found["metadata"].get("deletionTimestamp"):
            return "absent"
        async with self._guarded(path):
            await self._kube.delete(path, uid=found["metadata"]["uid"])
        return "deleted"

    @asynccontextmanager
    async def _guarded(self, path: str) -> AsyncIterator[None]:
        """A write under the lease: it ends before another replica may lead."""
        self._leadership.require()
        try:
            async with asyncio.timeout(self._leadership.guard_seconds):
                yield
        except TimeoutError as error:
            raise KubeError(0, "Timeout", path=path) from error


def owned_body(tenant: TenantQuota, wanted: OwnedObject) -> dict[str, Any]:
    """The object to apply: with its name, labels, and the TenantQuota as its owner."""
    given = wanted.body.get("metadata", {})
    metadata = {
        **given,
        "labels": {
            "app.kubernetes.io/managed-by": "pilotage",
            TENANT_LABEL: tenant.metadata.name,
            **given.get("labels", {}),
        },
        # Argo CD must not take what stands beside its objects for something to prune.
        "annotations": {
            "argocd.argoproj.io/compare-options": "IgnoreExtraneous",
            **given.get("annotations", {}),
        },
        "ownerReferences": [owner_reference(tenant)],
    }
    return {**wanted.body, "metadata": metadata}


def owner_reference(tenant: TenantQuota) -> dict[str, Any]:
    """Of the TenantQuota: cluster-scoped, so that it may own objects of any namespace."""
    return {
        "apiVersion": API_VERSION,
        "kind": TenantQuota.kind,
        "name": tenant.metadata.name,
        "uid": tenant.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def is_owned(tenant: TenantQuota, found: Mapping[str, Any]) -> bool:
    """Whether the object is this tenant's."""
    owners = found["metadata"].get("ownerReferences", ())
    return any(each.get("uid") == tenant.metadata.uid and each.get("kind") == TenantQuota.kind for each in owners)


def covers(found: Any, wanted: Any) -> bool:
    """Whether all that is wanted is there; what others have added beside it does not count."""
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(
            name in found and covers(found[name], value) for name, value in wanted.items()
        )
    if isinstance(wanted, list | tuple):
        return (
            isinstance(found, list)
            and len(found) == len(wanted)
            and all(covers(there, value) for there, value in zip(found, wanted, strict=True))
        )
    return bool(found == wanted)


def _is_exact(found: Mapping[str, Any], wanted: OwnedObject) -> bool:
    return all(found.get(name) == wanted.body[name] for name in wanted.exact)


def title_of(kind: str, path: str) -> str:
    """Such as `ConfigMap shop/tenant-quota`, of an object's path."""
    parts = path.split("/")
    namespace = parts[parts.index("namespaces") + 1] if "namespaces" in parts[:-1] else ""
    return f"{kind} {namespace}/{parts[-1]}" if namespace else f"{kind} {parts[-1]}"
