"""Reserving, the gate: all that runs of rollouts and the watch say to the promises of tenants, in one place."""

from pilotage.controller.schedule import Key
from pilotage.controller.tenants.reserving import Reserving, ReservingParts
from pilotage.controller.tenants.reserving_ends import Refresh, ReservingEnds
from pilotage.resources.rollout import PilotRollout
from pilotage.resources.tenant import TenantQuota
from pilotage.rollout.tenant_seen import TenantSeen
from pilotage.tenancy.reserving import Claim


class TenantGate:
    """Promises, from the claim to the end.

    Args:
        parts: what it works with.
        refresh: reads a rollout anew into the store.
    """

    def __init__(self, parts: ReservingParts, refresh: Refresh) -> None:
        self.reserving = Reserving(parts)
        self.ends = ReservingEnds(parts, self.reserving.in_hand, refresh)

    async def run(self) -> None:
        """Take out what has ended, until cancelled."""
        await self.ends.run()

    def see(self, rollout: PilotRollout) -> TenantSeen | None:
        """The tenant of a rollout; None where it has none."""
        return self.reserving.see(rollout)

    async def reserve(self, rollout: PilotRollout, claim: Claim) -> TenantSeen:
        """The tenant with its answer to a claim.

        Raises:
            KubeError: it could not be written: nothing may follow from it.
            NotLeadingError: this replica does not lead.
        """
        return await self.reserving.reserve(rollout, claim)

    def written(self, rollout: PilotRollout) -> None:
        """A decision was written: it may wait for its tenant, or end what it was promised."""
        self.reserving.note(rollout)
        self.ends.ask_for(Key.of(rollout))

    def finished(self, key: Key) -> None:
        """The run has ended."""
        self.reserving.finished(key)

    async def left(self, rollout: PilotRollout) -> None:
        """The rollout is let go, and nobody is in by it.

        Raises:
            NotLeadingError: this replica does not lead.
        """
        await self.ends.release(Key.of(rollout), rollout.metadata.uid)

    def forget(self, key: Key) -> None:
        """The rollout is gone."""
        self.reserving.forget(key)
        self.ends.ask_for(key)

    def on_tenant(self, before: TenantQuota | None, name: str) -> None:
        """The watch brought a TenantQuota that was known as `before`."""
        self.reserving.on_tenant(before, name)
        self.ends.ask(name)

    def begin(self) -> None:
        """This replica leads."""
        self.ends.begin()

    def cease(self) -> None:
        """Another replica leads, or nobody."""
        self.reserving.forget_all()
        self.ends.cease()
