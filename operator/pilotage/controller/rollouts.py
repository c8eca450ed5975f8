"""The operator's writes to PilotRollouts: status and finalizer. Each asks for leadership first, and names the version.

Both are merge patches with `metadata.resourceVersion`: the API server refuses them (409) if anybody wrote since we
read, which also keeps a replica that has lost the lease unknowingly from overwriting its successor. A merge patch keeps
what it doesn't name; what has gone from the status is therefore named as null, and only what has changed is sent.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

from pilotage.controller.rush import Rush
from pilotage.controller.schedule import Key
from pilotage.controller.store import RolloutStore
from pilotage.kube import Kube, KubeError
from pilotage.resources.base import API_VERSION, GROUP
from pilotage.resources.rollout import PilotRollout
from pilotage.resources.status import PilotRolloutStatus

FINALIZER = f"{GROUP}/exposure"
"""Held from before the first user has the feature until the stated final state is left."""

_MANAGER = "pilotage"
_AT_ONCE = 8
"""Patches under way at once. Each costs the API server some 20 ms of its CPU: more would only wait there instead of
here, until their time is over, and keep from it what cannot wait, such as the renewal of the Lease."""
_URGENT_AT_ONCE = 16
"""The same for those that users wait for to be taken back."""


class Leadership(Protocol):
    """What a writer must know about the election."""

    @property
    def guard_seconds(self) -> float:
        """How long a write that began under a valid lease may take."""
        ...

    def require(self) -> None:
        """Raise NotLeadingError unless this replica leads."""
        ...


class Rollouts:
    """PilotRollouts on the API server; what is answered goes into the store."""

    def __init__(self, kube: Kube, store: RolloutStore, leadership: Leadership, rush: Rush) -> None:
        self._kube = kube
        self._store = store
        self._leadership = leadership
        self._rush = rush
        self._lanes = {True: asyncio.Semaphore(_URGENT_AT_ONCE), False: asyncio.Semaphore(_AT_ONCE)}

    async def write_status(
        self, rollout: PilotRollout, status: PilotRolloutStatus, *, urgent: bool = False
    ) -> PilotRollout:
        """The rollout with this status; nothing is sent if it is the one that it has.

        Args:
            rollout: as it was read.
            status: as it shall be.
            urgent: users are to be taken back, and that waits for this.

        Raises:
            KubeError: it was not written; `Conflict` if the rollout has changed meanwhile.
            NotLeadingError: this replica does not lead.
        """
        if status == rollout.status:
            return rollout
        changes = merge_patch(rollout.status.to_wire(), status.to_wire())
        if not changes:  # they differ by microseconds, which are not written
            return rollout
        return await self._patch(rollout, "/status", {"status": changes}, {}, urgent=urgent)

    async def hold(self, rollout: PilotRollout) -> PilotRollout:
        """The rollout with our finalizer."""
        if FINALIZER in rollout.metadata.finalizers:
            return rollout
        return await self._patch(rollout, "", {}, {"finalizers": [*rollout.metadata.finalizers, FINALIZER]})

    async def let_go(self, rollout: PilotRollout) -> None:
        """Take our finalizer away: if it is the last one, the rollout is gone."""
        kept = [each for each in rollout.metadata.finalizers if each != FINALIZER]
        await self._patch(rollout, "", {}, {"finalizers": kept})

    async def refresh(self, key: Key) -> None:
        """Read the rollout anew into the store; what is not found is removed from it."""
        try:
            self._store.put(await self._kube.get(PilotRollout.path(*key)))
        except KubeError as error:
            if error.reason != "NotFound":
                raise
            kept = self._store.peek(key)
            if kept is not None:
                self._store.remove(key, kept.version)

    async def _patch(
        self,
        rollout: PilotRollout,
        subresource: str,
        body: dict[str, Any],
        metadata: dict[str, Any],
        *,
        urgent: bool = False,
    ) -> PilotRollout:
        until = self._rush.patience()
        async with self._lanes[urgent]:
            if not urgent:
                await self._rush.stand_aside(until)
            return await self._send(rollout, subresource, body, metadata)

    async def _send(
        self, rollout: PilotRollout, subresource: str, body: dict[str, Any], metadata: dict[str, Any]
    ) -> PilotRollout:
        self._leadership.require()
        meta = rollout.metadata
        body = {
            "apiVersion": API_VERSION,
            "kind": PilotRollout.kind,
            "metadata": {"resourceVersion": meta.resource_version, **metadata},
            **body,
        }
        path = PilotRollout.path(*Key.of(rollout)) + subresource
        try:
            async with asyncio.timeout(self._leadership.guard_seconds):
                answer = await self._kube.patch(path, body, content_type="merge", field_manager=_MANAGER)
        except TimeoutError as error:
            raise KubeError(0, "Timeout", path=path) from error
        self._store.put(answer)
        return PilotRollout.model_validate(answer)


def merge_patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON merge patch (RFC 7386) that turns one object into the other; empty if they are equal."""
    patch: dict[str, Any] = {name: None for name in old if name not in new}
    for name, value in new.items():
        before = old.get(name)
        if isinstance(before, dict) and isinstance(value, dict):
            inner = merge_patch(before, value)
            if inner:
                patch[name] = inner
        elif name not in old or before != value:
            patch[name] = value
    return patch
