"""Keeps what a TenantQuota asks for in the tenant's namespaces: access, compute limits, and a closed network.

The operator has rights in a namespace only where the platform team has enrolled it. A namespace in which something may
be is remembered in status before anything is made there, so that it is cleared when it leaves the tenant, even if the
operator was not running then. With the TenantQuota, the garbage collector takes everything.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from pilotage.controller.tenants.keeping import Kept, Seen
from pilotage.controller.tenants.owned import NotOursError, Owned, OwnedObject, title_of
from pilotage.kube import KubeError
from pilotage.resources.tenant import TenantQuota
from pilotage.tenancy.access import ROLE_BINDING, ROLES, bindings, name_of
from pilotage.tenancy.compute import LIMIT_RANGE, LIMITS_NAME, QUOTA_NAME, RESOURCE_QUOTA, limits
from pilotage.tenancy.happening import Happened
from pilotage.tenancy.isolation import NAME as POLICY_NAME
from pilotage.tenancy.isolation import NETWORK_POLICY, policies
from pilotage.tenancy.objects import Wanted

_LOG = logging.getLogger(__name__)
_NOT_FOUND, _FORBIDDEN, _INVALID = 404, 403, 422

_ALL = (
    *((ROLE_BINDING, name_of(role)) for role in ROLES),
    (RESOURCE_QUOTA, QUOTA_NAME),
    (LIMIT_RANGE, LIMITS_NAME),
    (NETWORK_POLICY, POLICY_NAME),
)
"""All that may be in a namespace."""


@dataclass(slots=True)
class _Told:
    """What one run has to tell."""

    occupied: set[str]
    happened: list[Happened] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    again: bool = False


class AccessKeeper:
    """Keeps RoleBindings, ResourceQuotas, LimitRanges and NetworkPolicies.

    Args:
        owned: what writes them.
        roles: what the names of the chart's ClusterRoles for tenants begin with.
        system: namespace of the flag service, which every application may reach.
    """

    name = "access"

    def __init__(self, owned: Owned, *, roles: str, system: str) -> None:
        self._owned = owned
        self._roles = roles
        self._system = system
        self._kept: dict[str, dict[str, int]] = {}
        """By tenant and namespace, the generation by which all was as it should be: what differs then has drifted."""

    async def keep(self, seen: Seen, now: datetime) -> Kept:
        """Make, repair, and take away; a dry run leaves everything as it is."""
        if not seen.enforces:
            return Kept()
        tenant = seen.tenant
        told = _Told(set(tenant.status.occupied))
        for namespace in seen.namespaces:
            await self._tend(seen, namespace, told)
        # A namespace that somebody else claims too is left as it is: nobody acts there.
        for namespace in sorted(told.occupied.difference(tenant.spec.namespaces)):
            await self._clear(tenant, namespace, told)
        return Kept(
            happened=tuple(told.happened),
            status={"occupied": tuple(sorted(told.occupied))},
            conflicts=tuple(told.conflicts),
            failures=tuple(told.failures),
            wake_at=now if told.again else None,
        )

    def forget(self, tenant: str) -> None:
        """It is gone, or another replica leads."""
        self._kept.pop(tenant, None)

    def _wanted(self, seen: Seen, namespace: str) -> tuple[Wanted, ...]:
        spec = seen.tenant.spec
        return (
            *policies(spec, namespace, namespaces=seen.namespaces, system=self._system),
            *limits(spec, namespace),
            *bindings(spec, namespace, roles=self._roles),
        )

    async def _tend(self, seen: Seen, namespace: str, told: _Told) -> None:
        """Make one of the tenant's namespaces as it shall be."""
        tenant, wanted = seen.tenant, self._wanted(seen, namespace)
        try:
            if namespace in told.occupied:
                await self._make(tenant, namespace, wanted, told)
            elif wanted:
                await self._owned.read(wanted[0].path)  # refused where the namespace is not enrolled
                told.occupied.add(namespace)
                told.again = True
        except KubeError as error:
            _tell(told, tenant, namespace, error)

    async def _make(self, tenant: TenantQuota, namespace: str, wanted: tuple[Wanted, ...], told: _Told) -> None:
        kept, generation = self._kept.setdefault(tenant.metadata.name, {}), tenant.metadata.generation
        settled = kept.get(namespace) == generation
        clean = True
        for each in wanted:
            clean &= await self._bring_about(tenant, each, told, settled=settled)
        if not settled:
            for path in _paths(namespace, without=wanted):
                await self._owned.remove(tenant, path)
        if clean:
            kept[namespace] = generation
        if not wanted:
            told.occupied.discard(namespace)

    async def _bring_about(self, tenant: TenantQuota, wanted: Wanted, told: _Told, *, settled: bool) -> bool:
        """Whether one object is as it shall be now; what had drifted is told."""
        try:
            done = await self._owned.keep(tenant, OwnedObject(wanted.path, wanted.body, wanted.exact))
        except NotOursError as error:
            told.conflicts.append(str(error))
            return False
        except KubeError as error:
            if error.status != _INVALID:
                raise
            title = title_of(wanted.sort.kind, wanted.path)
            _LOG.warning("%s: %s", title, error.detail, extra={"tenant": tenant.metadata.name})
            message = f"{title} is refused as invalid: correct the TenantQuota (the operator's log has the reason)"
            told.failures.append(message)
            return False
        if settled and done in ("created", "repaired"):
            was = "missing" if done == "created" else "changed by somebody"
            title = title_of(wanted.sort.kind, wanted.path)
            told.happened.append(Happened("Repair", "DriftRepaired", f"{title} was {was} and is as it should be again"))
        return True

    async def _clear(self, tenant: TenantQuota, namespace: str, told: _Told) -> None:
        """Take everything of the tenant's away from a namespace that has left it."""
        try:
            for path in _paths(namespace):
                await self._owned.remove(tenant, path)
        except KubeError as error:
            _tell(told, tenant, namespace, error)
            return
        told.occupied.discard(namespace)
        self._kept.get(tenant.metadata.name, {}).pop(namespace, None)


def _paths(namespace: str, *, without: tuple[Wanted, ...] = ()) -> Iterator[str]:
    kept = {each.path for each in without}
    for sort, name in _ALL:
        if (path := sort.path(namespace, name)) not in kept:
            yield path


def _tell(told: _Told, tenant: TenantQuota, namespace: str, error: KubeError) -> None:
    """Why nothing could be done in a namespace. That it does not exist, the projection tells."""
    if error.status == _NOT_FOUND:
        return
    if error.status == _FORBIDDEN and namespace in tenant.spec.namespaces:
        told.failures.append(
            f"the operator has no rights for access and limits in namespace {namespace}: the platform team enrols it by"
            f" `kubectl apply --namespace={namespace} -f charts/manifests/enrolment-tenant.yaml`"
        )
    elif error.status == _FORBIDDEN:
        told.failures.append(
            f"namespace {namespace} has left the tenant, and the operator has no rights there any more: remove what is"
            f" labelled pilotage.dev/tenant={tenant.metadata.name}, or enrol it until the operator has done that"
        )
    else:
        told.failures.append(f"namespace {namespace} could not be kept: {error.reason}")
