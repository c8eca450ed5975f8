"""Writes of TenantQuotas' status: the only place that does, for all who have something to say there.

A status is changed by a function of the TenantQuota as it is now. It carries the resourceVersion: where anybody wrote
since, the API server refuses it, the TenantQuota is read again and the function is asked again. So a reservation that
was granted is never overwritten by an observation that was made before it, and the other way round.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from pilotage.controller.rollouts import Leadership, merge_patch
from pilotage.controller.tenants.store import TenantStore
from pilotage.kube import Kube, KubeError
from pilotage.resources.base import API_VERSION
from pilotage.resources.tenant import TenantQuota
from pilotage.resources.tenant_status import TenantQuotaStatus

Change = Callable[[TenantQuota], TenantQuotaStatus]
"""Makes the status that a TenantQuota shall have; called again, with what is there then, after a conflict."""

MANAGER = "pilotage"
_TRIES = 5


class TenantGoneError(Exception):
    """There is no such TenantQuota (any more)."""


class TenantQuotas:
    """TenantQuotas on the API server; what is answered goes into the store."""

    def __init__(self, kube: Kube, store: TenantStore, leadership: Leadership) -> None:
        self._kube = kube
        self._store = store
        self._leadership = leadership
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def change(self, name: str, change: Change) -> TenantQuota:
        """The TenantQuota with the status that `change` makes of it; nothing is sent if that is the one that it has.

        Changes of one TenantQuota wait for each other, so that fifty steps that reserve at once are fifty writes and
        no conflicts.

        Raises:
            TenantGoneError: there is none.
            KubeError: it was not written.
            NotLeadingError: this replica does not lead.
        """
        async with self._locks[name]:
            for tried in range(1, _TRIES + 1):
                tenant = self._store.get(name)
                if tenant is None:
                    raise TenantGoneError(name)
                try:
                    return await self._write(tenant, change(tenant))
                except KubeError as error:
                    if error.reason not in ("Conflict", "NotFound") or tried == _TRIES:
                        raise
                await self.refresh(name)
        raise AssertionError

    async def refresh(self, name: str) -> None:
        """Read the TenantQuota anew into the store; what is not found is removed from it."""
        known = self._store.get(name)
        try:
            self._store.put(await self._kube.get(TenantQuota.path(name=name)))
        except KubeError as error:
            if error.reason != "NotFound":
                raise
            self._store.remove(name, int(known.metadata.resource_version) if known else 0)

    def forget(self, name: str) -> None:
        """It is gone."""
        lock = self._locks.get(name)
        if lock is not None and not lock.locked():
            del self._locks[name]

    async def _write(self, tenant: TenantQuota, status: TenantQuotaStatus) -> TenantQuota:
        changes = merge_patch(tenant.status.to_wire(), status.to_wire())
        if not changes:
            return tenant
        self._leadership.require()
        body: dict[str, Any] = {
            "apiVersion": API_VERSION,
            "kind": TenantQuota.kind,
            "metadata": {"resourceVersion": tenant.metadata.resource_version},
            "status": changes,
        }
        path = TenantQuota.path(name=tenant.metadata.name) + "/status"
        try:
            async with asyncio.timeout(self._leadership.guard_seconds):
                answer = await self._kube.patch(path, body, content_type="merge", field_manager=MANAGER)
        except TimeoutError as error:
            raise KubeError(0, "Timeout", path=path) from error
        self._store.put(answer)
        return TenantQuota.model_validate(answer)
