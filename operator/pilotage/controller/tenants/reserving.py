"""Reserving: steps are promised what they need in the status of their TenantQuota, before they are written anywhere.

The promise is a compare-and-swap on the same object that says what is used and what the limit is: nothing that it rests
on can change unseen. Claims that come while one is being written are written together, so that fifty rollouts that ask
at once cost a few writes and no conflict (see the decision record on where reservations live).

A promise in hand, between its write and that of the step, is never tended by this process; another process finds it in
the status. Whoever was held is woken when there is more room, and by nothing else.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from pilotage.controller.clock import Clock
from pilotage.controller.schedule import Key
from pilotage.controller.store import RolloutStore
from pilotage.controller.tenants.quotas import TenantGoneError, TenantQuotas
from pilotage.controller.tenants.store import TenantStore
from pilotage.kube import KubeError
from pilotage.resources.rollout import PilotRollout
from pilotage.resources.tenant import TenantQuota
from pilotage.resources.tenant_status import TenantQuotaStatus
from pilotage.rollout.tenant_seen import TenantSeen, ledger_of, rooms_of, seen_of, with_ledger
from pilotage.tenancy.reserving import Claim, Outcome

_WAITS = ("Held", "Suspended")


@dataclass(frozen=True, slots=True)
class ReservingParts:
    """What it works with.

    Attributes:
        tenants: all TenantQuotas, as they are known.
        quotas: writes their status.
        store: all rollouts, as they are known.
        ask: has a rollout run, where this replica leads.
        clock: what time it is.
        measured: whether a tenant's usage was measured since this replica leads.
    """

    tenants: TenantStore
    quotas: TenantQuotas
    store: RolloutStore
    ask: Callable[[Key], None]
    clock: Clock
    measured: Callable[[str], bool] = lambda _name: True


@dataclass(slots=True)
class _Asked:
    claim: Claim
    outcome: Outcome | None = None
    failed: bool = False


@dataclass(frozen=True, slots=True)
class _Room:
    """What is free of each resource (None where that is not known), and which of them hold rollouts."""

    free: Mapping[str, Decimal | None] = field(default_factory=dict)
    holding: frozenset[str] = frozenset()

    @classmethod
    def of(cls, tenant: TenantSeen) -> "_Room":
        free = {room.resource: tenant.ledger.available(room) for room in tenant.rooms}
        return cls(free, frozenset(tenant.holding))

    def is_more_than(self, before: "_Room") -> bool:
        """Whether somebody who was held may go on now."""
        if before.holding - self.holding:
            return True
        pairs = ((free, before.free.get(name)) for name, free in self.free.items())
        return any(free is not None and (was is None or free > was) for free, was in pairs)


class Reserving:
    """What runs of rollouts ask about their tenant."""

    def __init__(self, parts: ReservingParts) -> None:
        self._parts = parts
        self._asked: defaultdict[str, list[_Asked]] = defaultdict(list)
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._in_hand: dict[Key, set[str]] = {}
        self._waiting: dict[str, set[Key]] = {}
        self._room: dict[str, _Room] = {}

    def see(self, rollout: PilotRollout) -> TenantSeen | None:
        """The tenant of a rollout, by its namespace; None where it belongs to none and says so of none."""
        names = self._parts.tenants.claiming(rollout.metadata.namespace)
        if len(names) != 1:
            return TenantSeen(names) if names or rollout.spec.tenant else None
        tenant = self._parts.tenants.get(names[0])
        return self._seen(tenant) if tenant is not None else TenantSeen(())

    async def reserve(self, rollout: PilotRollout, claim: Claim) -> TenantSeen:
        """The tenant, with its answer to a claim; what is granted is written, and in hand until `finished`.

        Raises:
            KubeError: it could not be written: nothing may follow from it.
            NotLeadingError: this replica does not lead.
        """
        key = Key.of(rollout)
        names = self._parts.tenants.claiming(key.namespace)
        if len(names) != 1:
            return TenantSeen(names)
        [name] = names
        outcome = await self.promise(key, name, claim)
        tenant = self._parts.tenants.get(name)
        if tenant is None:
            raise KubeError(404, "NotFound", path=TenantQuota.path(name=name))
        return replace(self._seen(tenant), asked=claim.id, answer=outcome)

    async def promise(self, key: Key, name: str, claim: Claim) -> Outcome:
        """A tenant's answer to a claim of a rollout, together with all that wait for it.

        Raises:
            KubeError: it could not be written.
            NotLeadingError: this replica does not lead.
        """
        self._in_hand.setdefault(key, set()).add(claim.id)
        mine = _Asked(claim)
        self._asked[name].append(mine)
        async with self._locks[name]:
            if mine.outcome is None and not mine.failed:
                await self._answer(name, self._asked.pop(name))
        if mine.outcome is None:
            raise KubeError(409, "Conflict", path=TenantQuota.path(name=name))
        return mine.outcome

    def finished(self, key: Key) -> None:
        """The run has ended: its step is written, or it is not taken by this promise."""
        self._in_hand.pop(key, None)

    def in_hand(self) -> frozenset[str]:
        """The promises between their write and that of their step."""
        return frozenset(claim for claims in self._in_hand.values() for claim in claims)

    def note(self, rollout: PilotRollout) -> None:
        """Remember whether a rollout waits for its tenant, as it was written."""
        key, standing = Key.of(rollout), rollout.status.tenant
        if standing is not None and standing.answer in _WAITS:
            self._waiting.setdefault(key.namespace, set()).add(key)
        else:
            self.forget(key)

    def forget(self, key: Key) -> None:
        """The rollout is gone, or does not wait."""
        waiting = self._waiting.get(key.namespace)
        if waiting is not None:
            waiting.discard(key)
            if not waiting:
                del self._waiting[key.namespace]

    def forget_all(self) -> None:
        """Another replica leads."""
        self._waiting.clear()
        self._room.clear()

    def on_tenant(self, before: TenantQuota | None, name: str) -> None:
        """A TenantQuota has changed: wake whom that concerns.

        Args:
            before: as it was known; None if it was not.
            name: of it.
        """
        after = self._parts.tenants.get(name)
        namespaces = {each for tenant in (before, after) if tenant for each in tenant.spec.namespaces}
        if _identity(before) != _identity(after):
            # Another state, limit or list of namespaces may concern also who does not wait for it.
            self._wake(key for key in self._parts.store if key.namespace in namespaces)
        if after is None:
            self._room.pop(name, None)
            return
        room = _Room.of(self._seen(after))
        if room.is_more_than(self._room.get(name, _Room())):
            self._wake(key for namespace in namespaces for key in self._waiting.get(namespace, ()))
        self._room[name] = room

    def _wake(self, keys: Iterable[Key]) -> None:
        for key in list(keys):
            self._parts.ask(key)

    def _seen(self, tenant: TenantQuota) -> TenantSeen:
        name = tenant.metadata.name
        return seen_of(tenant, self._parts.clock.now(), known=self._parts.measured(name))

    async def _answer(self, name: str, asked: list[_Asked]) -> None:
        """Answer all claims by one write; a conflict answers all of them anew."""
        known = self._parts.measured(name)

        def answer(tenant: TenantQuota) -> TenantQuotaStatus:
            now = self._parts.clock.now()
            ledger, rooms = ledger_of(tenant), rooms_of(tenant, now, known=known)
            for each in asked:
                each.outcome = ledger.reserve(each.claim, rooms, now)
                ledger = each.outcome.ledger
            return with_ledger(tenant, ledger)

        try:
            await self._parts.quotas.change(name, answer)
        except TenantGoneError:
            _disavow(asked)
        except BaseException:
            _disavow(asked)  # others wait for this write: none of them may go on by it
            raise


def _disavow(asked: Iterable[_Asked]) -> None:
    for each in asked:
        each.outcome, each.failed = None, True


def _identity(tenant: TenantQuota | None) -> tuple[str, int]:
    return (tenant.metadata.uid, tenant.metadata.generation) if tenant else ("", 0)
