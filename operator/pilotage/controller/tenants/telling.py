"""Tells the world about tenants' transitions: an Event, a line of the record and a count for each, and the gauges.

Each is told once: an Event's name is made of the TenantQuota's uid and the transition's number, and who sees a tenant
for the first time tells only what happened in the last minute again (its predecessor may have died before telling).
"""

import logging
from dataclasses import dataclass
from typing import Any, BinaryIO

from pilotage.controller.clock import Clock
from pilotage.controller.events import EventPoster
from pilotage.controller.ledger import Ledger
from pilotage.controller.record import REPLAYED
from pilotage.controller.tenants.telemetry import TRANSITIONS, forget_tenant, forget_tenants, show_tenant
from pilotage.resources.base import API_VERSION, GROUP, ObjectMeta
from pilotage.resources.cloudevents import to_line
from pilotage.resources.tenant import TenantQuota
from pilotage.resources.tenant_record import transition_event, transition_gap_event
from pilotage.resources.tenant_status import Transition

_LOG = logging.getLogger(__name__)
WARNINGS = frozenset({"Warn", "ExceedSoft", "ExceedHard", "UsageUnknown", "Conflict", "Throttle", "Hold", "GraceOver"})
EVENTS_NAMESPACE = "default"
"""Where Events about cluster-scoped objects are kept, as Kubernetes' own."""

_NOTE_LIMIT = 1024
_NAME_LIMIT = 200


@dataclass(frozen=True, slots=True)
class TransitionLine:
    """One transition for the record's file.

    Attributes:
        meta: of the TenantQuota.
        entry: what has happened.
    """

    meta: ObjectMeta
    entry: Transition

    def text(self, *, after: int) -> bytes:
        """The line, and before it one that tells of the transitions that are missing since `after`."""
        line = to_line(transition_event(self.meta, self.entry))
        if self.entry.sequence == after + 1:
            return line
        return to_line(transition_gap_event(self.meta, first=after + 1, following=self.entry)) + line


class TenantTeller:
    """Tells each transition once.

    Args:
        poster: of Events.
        clock: what time it is.
        instance: identity of this replica.
        out: where lines of the record go as they come; without it, transitions are logged.
        ledger: the record's file; None without one.
    """

    def __init__(
        self,
        poster: EventPoster,
        clock: Clock,
        *,
        instance: str,
        out: BinaryIO | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        self._poster = poster
        self._clock = clock
        self._instance = instance
        self._out = out
        self._ledger = ledger
        self._told: dict[str, int] = {}

    def tell(self, tenant: TenantQuota) -> None:
        """Tell what is new among a tenant's transitions, and show where it stands."""
        meta, transitions = tenant.metadata, tenant.status.transitions
        told = self._told.get(meta.uid)
        if told is None:
            old = self._clock.now() - REPLAYED
            told = max((each.sequence for each in transitions if each.time < old), default=0)
        for each in transitions:
            if each.sequence > told:
                self._poster.put(event_of(meta, each, instance=self._instance))
                TRANSITIONS.labels(each.action).inc()
                self._say(meta, each)
        self._told[meta.uid] = transitions[-1].sequence if transitions else 0
        if self._ledger is not None:
            self._ledger.offer_lines([TransitionLine(meta, each) for each in transitions], {"tenant": meta.name})
        show_tenant(tenant)

    def show(self, tenant: TenantQuota) -> None:
        """Show where it stands, though nothing was written."""
        show_tenant(tenant)

    def forget(self, tenant: TenantQuota | None, name: str) -> None:
        """It is gone."""
        if tenant is not None:
            self._told.pop(tenant.metadata.uid, None)
        forget_tenant(name)

    def forget_all(self) -> None:
        """Another replica leads."""
        self._told.clear()
        forget_tenants()

    def _say(self, meta: ObjectMeta, transition: Transition) -> None:
        if self._out is not None:
            try:
                self._out.write(to_line(transition_event(meta, transition)))
                self._out.flush()
            except OSError:  # nobody reads it any more; it stands in status
                _LOG.debug("the record's line was not read")
            else:
                return
        _LOG.info("%s: %s", transition.action, transition.message, extra={"tenant": meta.name})


def event_of(meta: ObjectMeta, transition: Transition, *, instance: str) -> dict[str, Any]:
    """The Event of a transition."""
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {
            "name": f"{meta.name[:_NAME_LIMIT].rstrip('.-')}.{meta.uid}.{transition.sequence}",
            "namespace": EVENTS_NAMESPACE,
        },
        "eventTime": transition.time.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "type": "Warning" if transition.action in WARNINGS else "Normal",
        "action": transition.action,
        "reason": transition.reason,
        "note": transition.message[:_NOTE_LIMIT],
        "regarding": {"apiVersion": API_VERSION, "kind": TenantQuota.kind, "name": meta.name, "uid": meta.uid},
        "reportingController": f"{GROUP}/operator",
        "reportingInstance": instance[:128],
    }
