"""Keeps a copy of the tenant's standing in each of its namespaces, for those who may not read the TenantQuota itself.

It is a ConfigMap `tenant-quota` that belongs to the TenantQuota: who changes it finds it repaired. By it is also
learned how a namespace stands: that it is missing, or that the operator has no rights there.
"""

import json
from datetime import datetime
from typing import Any

from pilotage.controller.tenants.keeping import Kept, Seen
from pilotage.controller.tenants.owned import NotOursError, Owned, OwnedObject
from pilotage.kube import KubeError
from pilotage.resources.tenant import TenantQuota
from pilotage.resources.tenant_status import NamespaceStatus
from pilotage.tenancy.happening import Happened

NAME = "tenant-quota"
_NOT_FOUND, _FORBIDDEN = 404, 403


class ProjectionKeeper:
    """Keeps the projection.

    Args:
        owned: what writes it.
    """

    name = "projection"

    def __init__(self, owned: Owned) -> None:
        self._owned = owned

    async def keep(self, seen: Seen, now: datetime) -> Kept:  # noqa: ARG002 - keepers are told the time
        """Write it where it is missing or has drifted; take it from namespaces that have left the tenant."""
        tenant = seen.tenant
        known = {each.name: each for each in tenant.status.namespaces}
        states: list[NamespaceStatus] = []
        conflicts: list[str] = []
        happened: list[Happened] = []
        for name in tenant.spec.namespaces:
            if name not in seen.namespaces:
                states.append(known.get(name) or NamespaceStatus(name=name, state="Pending"))
                continue
            state, said = await self._place(tenant, name)
            states.append(state)
            conflicts += [said] if said else []
            before = known.get(name)
            if before is not None and before.state == "Pending" and state.state == "Enrolled":
                happened.append(Happened("Enrol", "NamespaceEnrolled", f"namespace {name} is enrolled"))
        gone = [each for each in tenant.status.namespaces if each.state == "Leaving"]
        states += gone
        failures = await self._leave(tenant, [each.name for each in gone])
        # Where two claim a namespace, neither is shown there.
        failures += await self._leave(tenant, [each.name for each in states if each.state == "Conflict"])
        return Kept(
            happened=tuple(happened),
            status={"namespaces": tuple(states)},
            conflicts=tuple(conflicts),
            failures=tuple(failures),
        )

    def forget(self, tenant: str) -> None:
        """It is gone; the garbage collector takes what it owned."""

    async def _place(self, tenant: TenantQuota, namespace: str) -> tuple[NamespaceStatus, str]:
        """How the namespace stands, and what stands in the way there."""
        try:
            await self._owned.keep(tenant, projection_of(tenant, namespace))
        except NotOursError as error:
            return NamespaceStatus(name=namespace, state="Enrolled", message=str(error)), str(error)
        except KubeError as error:
            if error.status == _NOT_FOUND:
                message = f"namespace {namespace} does not exist: create it, or take it out of namespaces"
                return NamespaceStatus(name=namespace, state="Missing", message=message), ""
            if error.status == _FORBIDDEN:
                message = f"the operator may not write in namespace {namespace}: enrol it (docs/tenants.md)"
                return NamespaceStatus(name=namespace, state="Forbidden", message=message), ""
            raise
        return NamespaceStatus(name=namespace, state="Enrolled"), ""

    async def _leave(self, tenant: TenantQuota, namespaces: list[str]) -> list[str]:
        """Take it away where it is this tenant's; tells what could not be done."""
        failures: list[str] = []
        for namespace in namespaces:
            try:
                await self._owned.remove(tenant, path_of(namespace))
            except KubeError as error:
                if error.status not in (_NOT_FOUND, _FORBIDDEN):  # where there are no rights, there is nothing of ours
                    failures.append(f"the projection in namespace {namespace} could not be removed: {error.reason}")
        return failures


def path_of(namespace: str) -> str:
    """Of the projection."""
    return f"/api/v1/namespaces/{namespace}/configmaps/{NAME}"


def projection_of(tenant: TenantQuota, namespace: str) -> OwnedObject:
    """The ConfigMap: a line for people, and all of it as JSON for programs."""
    status = tenant.status
    told: dict[str, Any] = {
        "tenant": tenant.metadata.name,
        "displayName": tenant.spec.display_name,
        "state": tenant.spec.state,
        "mode": tenant.spec.mode,
        "resources": [each.to_wire() for each in status.resources],
        "conditions": [
            {name: value for name, value in each.to_wire().items() if name in ("type", "status", "reason", "message")}
            for each in status.conditions
        ],
    }
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME, "namespace": namespace},
        "data": {
            "tenant": tenant.metadata.name,
            "state": tenant.spec.state,
            "usage": status.summary.usage,
            "action": status.summary.action,
            "quota.json": json.dumps(told, indent=1, sort_keys=True, ensure_ascii=False),
        },
    }
    return OwnedObject(path_of(namespace), body)
