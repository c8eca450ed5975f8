"""Tenant, holding: what a rollout says of a promise that was made to it, so that it ends when it should.

A promise counts until nobody can come by it any more, or until its users must show in what is measured.
"""

from pilotage.resources.rollout import PilotRollout
from pilotage.resources.status import PilotRolloutStatus
from pilotage.rollout.situation import shows_step
from pilotage.tenancy.reserving import WIDENING, Holder, Reservation

_WAITING, _TAKEN, _GONE = Holder("waiting"), Holder("taken"), Holder("gone")


def holder_of(rollout: PilotRollout | None, reservation: Reservation) -> Holder:
    """What is known of the promise's step.

    Args:
        rollout: that has the name of the one that the promise was made to, as it is now; None if there is none.
        reservation: the promise.
    """
    if rollout is None or rollout.metadata.uid != reservation.claim.uid:
        # It may have left its users in. Where it did not, its promise was given back before it went.
        return Holder("taken", reservation.in_force_at) if reservation.in_force_at else _GONE
    status = rollout.status
    delivery = status.delivery
    if delivery and delivery.direction == "back" and delivery.verified_revision != delivery.revision:
        return _TAKEN  # until its users are seen to be back, they are in
    if any(entered.step == reservation.claim.step for entered in status.trail):
        return _entered(status, reservation)
    left = status.phase == "RolledBack" or rollout.metadata.deletion_timestamp or reservation.in_force_at
    return _GONE if left else _WAITING


def _entered(status: PilotRolloutStatus, reservation: Reservation) -> Holder:
    step = status.step
    if step is None:
        return _TAKEN
    if reservation.claim.id.endswith(WIDENING) and step.entered_time < reservation.created_at:
        return _WAITING  # the step does not begin anew before its edit is taken
    if step.name != reservation.claim.step:
        return Holder("taken", step.entered_time)  # a later step was entered: this one was in force before that
    return Holder("taken", step.verified_time) if shows_step(status) else _TAKEN
