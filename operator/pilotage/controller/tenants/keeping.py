"""What a keeper is: it keeps one part of what belongs to a tenant as it should be.

A run for a tenant measures, decides (pure), writes the decision to status, and then asks each keeper in turn. A keeper
is level-triggered and idempotent: it looks at what is there, brings about what is missing, repairs what has drifted,
takes away what is no longer wanted, and says what it did. It decides nothing that status does not say, and it never
raises for what the API server refuses: that is a failure or a conflict to tell.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from pilotage.resources.tenant import TenantQuota
from pilotage.tenancy.happening import Happened
from pilotage.tenancy.standing import Finding


@dataclass(frozen=True, slots=True)
class Seen:
    """What a keeper may know.

    Attributes:
        tenant: with the status that was just written.
        namespaces: the tenant's namespaces in which anything may be done: they exist, nobody else claims them, and the
            operator has rights there. (The projection, which finds that out, sees all that nobody else claims.)
        others: TenantQuotas besides, for what tenants share.
    """

    tenant: TenantQuota
    namespaces: tuple[str, ...]
    others: tuple[TenantQuota, ...] = ()

    @property
    def enforces(self) -> bool:
        """Whether anything may be changed for this tenant: a dry run says only what would be."""
        return self.tenant.spec.mode == "enforce" and self.tenant.metadata.deletion_timestamp is None


@dataclass(frozen=True, slots=True)
class Kept:
    """What a keeper has done and seen.

    Attributes:
        findings: conditions of its own; those of TenantQuota are made of all parts (`tenancy.standing`).
        happened: transitions that people are told about, once each.
        status: fields of TenantQuotaStatus that this keeper alone writes, such as `{"scaling": (...)}`.
        conflicts: objects that belong to somebody else, a sentence each: the condition FieldConflict.
        failures: what could not be done and is tried again, a sentence each: the condition Ready.
        wake_at: when it wants to be asked next at the latest.
    """

    findings: tuple[Finding, ...] = ()
    happened: tuple[Happened, ...] = ()
    status: Mapping[str, Any] = field(default_factory=dict)
    conflicts: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    wake_at: datetime | None = None


class Keeper(Protocol):
    """Keeps one part."""

    @property
    def name(self) -> str:
        """What it keeps, in one word, for logs: projection, throttle, access, scaling."""
        ...

    async def keep(self, seen: Seen, now: datetime) -> Kept:
        """Bring its part about; what is written needs the lease, so that `NotLeadingError` may pass through."""
        ...

    def forget(self, tenant: str) -> None:
        """The tenant is gone, or another replica leads: forget what was remembered of it."""
        ...
