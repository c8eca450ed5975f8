"""How a rollout stands with its tenant's quota, as its status shows it."""

from typing import Annotated, Literal

from pydantic import Field

from pilotage.resources.base import ATOMIC, Model
from pilotage.resources.tenant_amounts import Told

HOLDERS_SHOWN = 5


class NeedStatus(Model):
    """What a step needs of one resource, as a plain decimal in the resource's unit."""

    resource: Told
    """resource that is needed."""
    needed: Told
    """needed for the step's new users, with safety."""
    missing: Told = ""
    """missing is how much more would have to be free, rounded; empty where it fits, or where usage is not known."""
    held_by: Annotated[tuple[Told, ...], Field(max_length=HOLDERS_SHOWN, json_schema_extra=ATOMIC)] = ()
    """heldBy are the rollouts that hold most of it, as `namespace/name`, where it does not fit."""


class TenantStanding(Model):
    """How the rollout stands with its tenant."""

    name: Told
    """name of the TenantQuota that lists the rollout's namespace."""
    step: Told = ""
    """step that was asked for last."""
    answer: Literal["Reserved", "Held", "WouldHold", "Suspended"] | None = None
    """answer to the last step that was asked for: Reserved (it was taken), Held, WouldHold where the TenantQuota
    only reports."""
    needs: Annotated[tuple[NeedStatus, ...], Field(max_length=16, json_schema_extra=ATOMIC)] = ()
    """needs of that step."""
