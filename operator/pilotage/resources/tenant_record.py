"""The record's lines about tenants: each transition as a CloudEvent, as those of rollouts' decisions are."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from pilotage.resources.base import GROUP, Message, Model, ObjectMeta
from pilotage.resources.status import Count
from pilotage.resources.tenant import TenantQuota
from pilotage.resources.tenant_status import Transition

_PREFIX = ".".join(reversed(GROUP.split(".")))

TRANSITION_SCHEMA = f"tag:{GROUP},2026:transition.v1"
"""Names the schema of a transition's data (docs/record.schema.json)."""

TRANSITION_GAP_SCHEMA = f"tag:{GROUP},2026:transition-gap.v1"
"""Names the schema of a gap's data, in the same file."""


class TenantTransition(Transition):
    """One transition of a tenant: what status.transitions says of it, and of which TenantQuota."""

    name: str
    """name of the TenantQuota."""
    uid: str
    """uid of the TenantQuota: another one of the same name has another."""


class TransitionGap(Model):
    """Transitions that are missing in this record: they had left status.transitions before they could be written."""

    name: str
    """name of the TenantQuota."""
    uid: str
    """uid of the TenantQuota."""
    first: Annotated[Count, Field(ge=1)]
    """first sequence number that is missing."""
    last: Annotated[Count, Field(ge=1)]
    """last sequence number that is missing."""
    message: Message
    """message for people."""


TENANT_MODELS: Mapping[str, type[Model]] = {TRANSITION_SCHEMA: TenantTransition, TRANSITION_GAP_SCHEMA: TransitionGap}
"""By the names of their schemas."""


def transition_event(meta: ObjectMeta, transition: Transition) -> dict[str, Any]:
    """The CloudEvent of a transition of the TenantQuota with this metadata."""
    data = TenantTransition.model_validate({**dict(transition), "name": meta.name, "uid": meta.uid}).to_wire()
    return {
        "specversion": "1.0",
        "id": f"{meta.uid}.{transition.sequence}",
        "type": f"{_PREFIX}.tenant.{transition.action.lower()}.v1",
        "time": data["time"],
        "dataschema": TRANSITION_SCHEMA,
        **_about(meta),
        "data": data,
    }


def transition_gap_event(meta: ObjectMeta, *, first: int, following: Transition) -> dict[str, Any]:
    """The CloudEvent that says which transitions are missing.

    Args:
        meta: of the TenantQuota.
        first: sequence number of the first one.
        following: the transition that comes next; the event has its time.
    """
    last = following.sequence - 1
    gap = TransitionGap(
        name=meta.name,
        uid=meta.uid,
        first=first,
        last=last,
        message=f"transitions {first} to {last} are not in this record: they were made before it began, or while it"
        " could not be written",
    )
    return {
        "specversion": "1.0",
        "id": f"{meta.uid}.{first}-{last}",
        "type": f"{_PREFIX}.tenant.gap.v1",
        "time": following.to_wire()["time"],
        "dataschema": TRANSITION_GAP_SCHEMA,
        **_about(meta),
        "data": gap.to_wire(),
    }


def _about(meta: ObjectMeta) -> dict[str, str]:
    return {"source": TenantQuota.path(name=meta.name), "subject": meta.name, "datacontenttype": "application/json"}
