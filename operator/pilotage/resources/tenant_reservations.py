"""What a step of a rollout needs of a tenant's resources, and what is reserved for it before it is taken."""

from typing import Annotated

from pydantic import Field

from pilotage.resources.base import ATOMIC, Duration, IndicatorName, Model, Time
from pilotage.resources.status import Count, Short
from pilotage.resources.tenant_amounts import Quantity, ResourceName, Told

RESERVATIONS_LIMIT = 256


class Need(Model):
    """What one more user needs of a resource, and when that shows."""

    per_user: Quantity = 0
    """perUser is the least that is reserved for each new user; of a total, for a whole month. A rollout may say more;
    only an IndicatorTemplate that measures it makes it less."""
    settle: Duration = "10m"
    """settle is how long after a step is in force its users show in the measured usage. So long what was reserved for
    them stays reserved: days where they fill a store bit by bit."""


class ReservedAmount(Model):
    """What is reserved of one resource."""

    resource: Told
    """resource that is reserved."""
    amount: Told
    """amount as a plain decimal."""


class Reservation(Model):
    """What one step of one rollout has reserved; it counts as used until it is released or expires."""

    id: Short
    """id of the reservation: the rollout's uid, the step and what else tells it from others."""
    namespace: Short
    """namespace of the rollout."""
    rollout: Short
    """rollout that it was made for."""
    step: Short
    """step that it was made for."""
    users: Count = 0
    """users that the step lets in newly."""
    amounts: Annotated[tuple[ReservedAmount, ...], Field(max_length=16, json_schema_extra=ATOMIC)] = ()
    """amounts that are reserved, by resource."""
    reserved_time: Time
    """reservedTime is when it was made."""
    expires_time: Time
    """expiresTime is when it ends by itself, if its step was not taken until then."""
    in_force_time: Time | None = None
    """inForceTime is since when the step's users were seen to have the feature: it ends when they show in used."""


class RolloutNeed(Model):
    """What a rollout's users need of one of the tenant's resources."""

    resource: ResourceName
    """resource of the TenantQuota."""
    per_user: Quantity
    """perUser is the estimate for one more user, before there is data; of a total (such as money), for a month."""
    indicator: IndicatorName | None = None
    """indicator measures what each variant uses of it, in the resource's unit (of a total: in a month). What the
    feature adds is then treatment's use for each of its users, less control's."""


class StepNeed(Model):
    """What a step's new users need of one of the tenant's resources, all together."""

    resource: ResourceName
    """resource of the TenantQuota."""
    amount: Quantity
    """amount is the estimate, before there is data."""
