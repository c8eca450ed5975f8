"""Reserving, the ends: promises are taken out of their TenantQuota when they have ended, and at no other time.

What ends one is said by its rollout, by what is measured, or by the time that an untaken promise may wait. Before it
is taken out, its rollout is read anew: what is known here may be older than what another leader has written. Promises
that a run has in hand are left alone. Several ends cost one write; where nothing is promised, nothing is done.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from pilotage.controller.elector import NotLeadingError
from pilotage.controller.schedule import Key
from pilotage.controller.tenants.quotas import TenantGoneError
from pilotage.controller.tenants.reserving import ReservingParts
from pilotage.kube import KubeError
from pilotage.resources.tenant import TenantQuota
from pilotage.resources.tenant_status import TenantQuotaStatus
from pilotage.rollout.tenant_holding import holder_of
from pilotage.rollout.tenant_seen import ledger_of, rooms_of, with_ledger
from pilotage.tenancy.reserving import Ledger

_LOG = logging.getLogger(__name__)

GATHER_SECONDS = 1.0
"""So long ends are gathered before they are written: steps of many rollouts come into force at the same time."""

RETRY_SECONDS = 10.0

Refresh = Callable[[Key], Awaitable[None]]
"""Reads a rollout anew into the store."""


@dataclass(frozen=True, slots=True)
class _Found:
    ledger: Ledger
    after: Ledger

    @property
    def ended(self) -> set[Key]:
        """The rollouts whose promises end, or shrink."""
        kept = {each.claim.id: each.claim.amounts for each in self.after.reservations}
        changed = (each.claim for each in self.ledger.reservations if kept.get(each.claim.id) != each.claim.amounts)
        return {key_of_holder(claim.holder) for claim in changed}


class ReservingEnds:
    """Tends the promises of all tenants."""

    def __init__(self, parts: ReservingParts, in_hand: Callable[[], frozenset[str]], refresh: Refresh) -> None:
        self._parts = parts
        self._in_hand = in_hand
        self._refresh = refresh
        self._active = False
        self._due: dict[str, float] = {}
        self._asked = asyncio.Event()

    def ask(self, name: str, *, after_seconds: float = GATHER_SECONDS) -> None:
        """Have a tenant's promises looked at, if it has any."""
        tenant = self._parts.tenants.get(name)
        if not self._active or tenant is None or not tenant.status.reservations:
            return
        at = self._parts.clock.monotonic() + max(0.0, after_seconds)
        if at < self._due.get(name, float("inf")):
            self._due[name] = at
            self._asked.set()

    def ask_for(self, key: Key) -> None:
        """Something about a rollout has changed."""
        for name in self._parts.tenants.claiming(key.namespace):
            tenant = self._parts.tenants.get(name)
            if tenant and any((each.namespace, each.rollout) == key for each in tenant.status.reservations):
                self.ask(name)

    def begin(self) -> None:
        """This replica leads: nobody has looked for a while."""
        self._active = True
        for name in self._parts.tenants:
            self.ask(name)

    def cease(self) -> None:
        """Another replica leads, or nobody."""
        self._active = False
        self._due.clear()

    async def run(self) -> None:
        """Look at what is due, for ever."""
        while True:
            self._asked.clear()
            now = self._parts.clock.monotonic()
            due = [name for name, at in self._due.items() if at <= now]
            for name in due:
                del self._due[name]
                await self._tend_or_retry(name)
            if not due:
                at = min(self._due.values(), default=None)
                await self._parts.clock.wait(self._asked, None if at is None else at - now)

    async def _tend_or_retry(self, name: str) -> None:
        try:
            await self.tend(name)
        except TenantGoneError:
            return
        except NotLeadingError:
            self.cease()
        except KubeError as error:
            _LOG.warning("reservations can't be tended: %s", error, extra={"tenant": name, "reason": error.reason})
            self.ask(name, after_seconds=RETRY_SECONDS)

    async def tend(self, name: str) -> None:
        """Take out what has ended.

        Raises:
            TenantGoneError: there is no such tenant.
            KubeError: a rollout could not be read, or the TenantQuota not written; nothing was taken out.
            NotLeadingError: this replica does not lead.
        """
        tenant = self._parts.tenants.get(name)
        if tenant is None:
            return
        found = self._look(tenant)
        if found.after is not found.ledger:
            for key in sorted(found.ended):
                await self._refresh(key)
            tenant = await self._parts.quotas.change(name, self._without_ended)
        self._ask_for_next(tenant)

    async def release(self, key: Key, uid: str) -> None:
        """Give back all that a rollout is promised: nobody is in by it any more. What fails ends by itself, later."""

        def without(tenant: TenantQuota) -> TenantQuotaStatus:
            ledger = ledger_of(tenant)
            kept = tuple(each for each in ledger.reservations if each.claim.uid != uid)
            return with_ledger(tenant, Ledger(kept))

        for name in self._parts.tenants.claiming(key.namespace):
            tenant = self._parts.tenants.get(name)
            if tenant is None or not any(each.claim.uid == uid for each in ledger_of(tenant).reservations):
                continue
            try:
                await self._parts.quotas.change(name, without)
            except (KubeError, TenantGoneError) as error:
                _LOG.warning("a reservation is given back later: %s", error, extra={"tenant": name})

    def _without_ended(self, tenant: TenantQuota) -> TenantQuotaStatus:
        return with_ledger(tenant, self._look(tenant).after)

    def _look(self, tenant: TenantQuota) -> _Found:
        ledger, in_hand = ledger_of(tenant), self._in_hand()
        holders = {
            each.claim.id: holder_of(self._parts.store.get(key_of_holder(each.claim.holder)), each)
            for each in ledger.reservations
            if each.claim.id not in in_hand
        }
        now = self._parts.clock.now()
        return _Found(ledger, ledger.tend(holders, rooms_of(tenant, now), now))

    def _ask_for_next(self, tenant: TenantQuota) -> None:
        """Untaken promises end by time; the others when something changes, which asks by itself."""
        untaken = [each.expires_time for each in tenant.status.reservations if each.in_force_time is None]
        if untaken:
            self.ask(tenant.metadata.name, after_seconds=max(_seconds_to(min(untaken), self._parts.clock.now()), 60.0))


def key_of_holder(holder: str) -> Key:
    """The rollout that is named `namespace/name`."""
    namespace, _, name = holder.partition("/")
    return Key(namespace, name)


def _seconds_to(moment: datetime, now: datetime) -> float:
    return (moment - now).total_seconds()
