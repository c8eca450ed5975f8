"""Carries out the elections of `lease.py` on a coordination.k8s.io/v1 Lease, and tells who asks whether we lead."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from prometheus_client import Gauge

from pilotage.controller import lease
from pilotage.controller.clock import Clock
from pilotage.controller.lease import Claim, Standing, Terms
from pilotage.kube import Kube, KubeError

_LOG = logging.getLogger(__name__)
_LEADER = Gauge("pilotage_leader", "1 while this replica leads, else 0.")


class NotLeadingError(Exception):
    """A write was stopped: this replica does not lead, or not for sure."""


class Elector:
    """Campaigns for a Lease as long as `run` runs.

    Args:
        kube: the API server.
        clock: what time it is.
        identity: of this replica; no other that runs at the same time may have the same.
        namespace: of the Lease.
        name: of the Lease.
        terms: how long things last.
    """

    def __init__(
        self, kube: Kube, clock: Clock, *, identity: str, namespace: str, name: str, terms: Terms | None = None
    ) -> None:
        self._kube = kube
        self._clock = clock
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._name = name
        self._namespace = namespace
        self._standing = Standing(identity, terms or Terms())
        self._body: dict[str, Any] = {}
        self._led = False
        self.on_started: Callable[[], None] = lambda: None
        self.on_stopped: Callable[[], None] = lambda: None

    def leads(self) -> bool:
        """Whether this replica leads now; costs nothing."""
        return self._standing.leads(self._clock.monotonic())

    def require(self) -> None:
        """Pass only while this replica leads; asked before each write.

        Raises:
            NotLeadingError: it doesn't.
        """
        if not self.leads():
            raise NotLeadingError

    @property
    def guard_seconds(self) -> float:
        """How long a write that began under a valid lease may take."""
        return self._standing.terms.guard_seconds

    async def run(self) -> None:
        """Campaign and renew until cancelled; then give the Lease back, if it is ours."""
        try:
            while True:
                await self._clock.sleep(lease.pause_seconds(self._standing, self._clock.monotonic()))
                before = self._standing
                await self._act()
                if self._led and not before.leads(self._clock.monotonic()):
                    self._tell(leads=False)  # it ran out meanwhile: whoever wanted to write was stopped
                self._tell()
        finally:
            await self._release()

    async def _act(self) -> None:
        act, asked_at = lease.next_act(self._standing, self._clock.monotonic()), self._clock.monotonic()
        try:
            async with asyncio.timeout(self._standing.terms.renew_seconds / 2):
                if act == "read":
                    claim = await self._read()
                    self._standing = lease.after_reading(self._standing, claim, self._clock.monotonic())
                else:
                    claim = await self._write(act)
                    self._standing = lease.after_writing(self._standing, claim, asked_at)
        except (KubeError, TimeoutError) as error:
            lost = isinstance(error, KubeError) and error.reason in {"Conflict", "AlreadyExists", "NotFound"}
            if not lost:
                _LOG.warning("the Lease can't be asked: %s", error or "no answer in time", extra={"act": act})
            after = lease.after_losing if lost else lease.after_silence
            self._standing = after(self._standing, self._clock.monotonic())

    async def _read(self) -> Claim | None:
        try:
            self._body = await self._kube.get(f"{self._collection}/{self._name}")
        except KubeError as error:
            if error.status == 404:  # noqa: PLR2004 - HTTP's number
                self._body = {}
                return None
            raise
        return _claim_of(self._body)

    async def _write(self, act: lease.Act) -> Claim:
        body = self._wanted(act)
        if act == "create":
            self._body = await self._kube.create(self._collection, body)
        else:
            self._body = await self._kube.replace(f"{self._collection}/{self._name}", body)
        return _claim_of(self._body)

    def _wanted(self, act: lease.Act) -> dict[str, Any]:
        now = self._clock.now().isoformat(timespec="microseconds").replace("+00:00", "Z")
        spec = dict(self._body.get("spec", {}))
        spec |= {
            "holderIdentity": self._standing.identity,
            "leaseDurationSeconds": self._standing.terms.lease_seconds,
            "renewTime": now,
        }
        if act != "renew":
            spec["acquireTime"] = now
            spec["leaseTransitions"] = spec.get("leaseTransitions", -1) + 1
        metadata = self._body.get("metadata") or {"name": self._name, "namespace": self._namespace}
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}

    async def _release(self) -> None:
        """Stop acting first, then say so: the next leader may start the moment it reads this."""
        holds = self._standing.claim is not None and self._standing.claim.holder == self._standing.identity
        self._standing = lease.after_release(self._standing)
        self._tell()
        if not holds:
            return
        try:
            async with asyncio.timeout(self._standing.terms.renew_seconds / 2):
                while not await self._given_back():
                    self._body = await self._kube.get(f"{self._collection}/{self._name}")
                    if _claim_of(self._body).holder != self._standing.identity:
                        return
        except (KubeError, TimeoutError) as error:
            _LOG.warning("the Lease was not given back, it will expire: %s", error or "no answer in time")

    async def _given_back(self) -> bool:
        """Whether the Lease took the release; not where it changed since: a renewal may have been cut off in flight."""
        body = self._wanted("renew")
        body["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
        try:
            await self._kube.replace(f"{self._collection}/{self._name}", body)
        except KubeError as error:
            if error.reason == "Conflict":
                return False
            raise
        return True

    def _tell(self, *, leads: bool | None = None) -> None:
        leads = self.leads() if leads is None else leads
        _LEADER.set(leads)
        if leads == self._led:
            return
        self._led = leads
        _LOG.info("this replica %s", "leads" if leads else "follows", extra={"identity": self._standing.identity})
        (self.on_started if leads else self.on_stopped)()


def _claim_of(body: dict[str, Any]) -> Claim:
    spec = body.get("spec", {})
    return Claim(
        holder=spec.get("holderIdentity") or "",
        version=body["metadata"]["resourceVersion"],
        lease_seconds=float(spec.get("leaseDurationSeconds") or 0),
    )
