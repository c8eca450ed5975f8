"""Tenant, gate: no step begins that the tenant has no room for; what takes users back never asks.

What a step needs is told first, then promised by the ledger, then the step is taken: a policy that finds room answers
with a claim, the shell has it granted or refused by the TenantQuota itself, and the decision is made anew with that
answer. So what is decided rests on a promise, never on a number that somebody else reads at the same time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from pilotage.resources.rollout import Step
from pilotage.resources.status import ExposureStatus, Phase
from pilotage.resources.tenant_standing import NeedStatus, TenantStanding
from pilotage.rollout.situation import Move, Situation, begins_to_wait
from pilotage.rollout.tenant_needs import Rates, demand_of
from pilotage.rollout.tenant_saying import Refusal, say_conflict, say_unknown_need, say_violation, say_why, tell_needs
from pilotage.rollout.tenant_seen import TenantSeen
from pilotage.tenancy.amounts import parse_amount
from pilotage.tenancy.need import need_of
from pilotage.tenancy.reserving import NONE, Claim, claim_id

_TOLD = 63


@dataclass(frozen=True, slots=True)
class Gate:
    """What the tenant says to a step.

    Attributes:
        move: that comes in the place of the step: to hold, or to claim first; None if the step may be taken.
        update: fields of status that tell of it, with the step.
    """

    move: Move | None = None
    update: Mapping[str, Any] = field(default_factory=dict)


def ask_tenant(at: Situation, index: int, exposure: ExposureStatus, *, widens: bool = False) -> Gate:
    """Whether there is room for a step.

    Args:
        at: what is known.
        index: of the step that would be entered, or entered again.
        exposure: who would be in then.
        widens: whether they are more than the step let in, and not those whom it has let in before.
    """
    tenant, step = at.seen.tenant, at.spec.steps[index]
    if tenant is None:
        return Gate()
    found = _examine(at, tenant, index, exposure, widens=widens)
    if isinstance(found, Refusal):
        if tenant.enforces:
            return Gate(_hold(at, tenant, step, found))
        return Gate(update=_standing(tenant, step, "WouldHold", found.needs))
    reserves = bool(found.amounts) and tenant.enforces and not at.observes
    if reserves and tenant.asked != found.id:
        return Gate(Move(_waiting(at), "Reserving", f"reserving what step {step.name} needs", claim=found))
    return Gate(update=_standing(tenant, step, "Reserved" if reserves else None, tell_needs(found, ())))


def await_room(at: Situation, index: int, exposure: ExposureStatus, *, widens: bool = False) -> Move | None:
    """The move that comes before users are let in, again or beyond their step; None if there is room."""
    return ask_tenant(at, index, exposure, widens=widens).move


def _examine(
    at: Situation, tenant: TenantSeen, index: int, exposure: ExposureStatus, *, widens: bool
) -> Refusal | Claim:
    """What the step claims, if there is room for it by all that is known."""
    if not tenant.name:
        return say_conflict(tenant, at.namespace)
    if tenant.holding:
        return say_violation(tenant)
    step = at.spec.steps[index]
    needs = _needs_of(at, tenant, step, exposure)
    if isinstance(needs, str):
        return say_unknown_need(index, needs)
    claim = Claim(
        id=claim_id(at.uid, step.name, at.generation, widens=widens),
        holder=f"{at.namespace}/{at.name}",
        step=step.name,
        amounts={resource: need for resource, need in needs.items() if need},
        users=max(0, (exposure.users or 0) - (at.exposure.users or 0)),
        widens=widens,
    )
    if tenant.asked == claim.id and tenant.answer is not None:
        outcome = tenant.answer
    else:
        outcome = tenant.ledger.reserve(claim, tenant.rooms, at.now)
    return claim if outcome.granted else say_why(tenant, claim, outcome)


def _needs_of(at: Situation, tenant: TenantSeen, step: Step, exposure: ExposureStatus) -> dict[str, Decimal] | str:
    """What the step needs, by resource; or a resource whose need can't be told."""
    now, then = at.exposure.users, exposure.users
    added = None if now is None or then is None else then - now
    planned = {need.resource: need for need in at.plan.needs}
    said = {need.resource: parse_amount(need.amount) for need in step.needs}
    needs: dict[str, Decimal] = {}
    for name in (room.resource for room in tenant.rooms):
        rates = at.seen.rates.get(name, Rates())
        known = demand_of(name, planned.get(name), rates, at.exposure, at.crowd.population)
        demand = replace(
            known,
            amount=said.get(name),
            floor=tenant.floors.get(name, NONE),
            portion=tenant.month_left if name in tenant.totals else known.portion,
        )
        need = need_of(demand, added)
        if need is None:
            return name
        needs[name] = need
    return needs


def _hold(at: Situation, tenant: TenantSeen, step: Step, why: Refusal) -> Move:
    # A new leader has measured in a second what the last one knew: that is no news of the rollout.
    phase = _waiting(at) if tenant.measured else at.status.phase or "Pending"
    short = ", ".join(need.resource for need in why.needs if need.missing)
    return Move(
        phase=phase,
        reason=why.reason,
        message=why.message[:1024],
        action="Hold" if tenant.measured and begins_to_wait(at, phase) else None,
        update=_standing(tenant, step, "Held", why.needs),
        waits_for=f"tenant: {short or why.reason}",
    )


def _waiting(at: Situation) -> Phase:
    return "Holding" if at.status.step else "Pending"


def _standing(tenant: TenantSeen, step: Step, answer: Any, needs: tuple[NeedStatus, ...]) -> dict[str, TenantStanding]:
    name = ", ".join(tenant.names)[:_TOLD]
    return {"tenant": TenantStanding(name=name, step=step.name, answer=answer, needs=needs)}
