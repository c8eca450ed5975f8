"""Tenant, saying: why a tenant has no room for a step, in words: how much is missing, and who holds it.

Amounts are said with three digits: status is not written anew for each request that comes or goes.
"""

from dataclasses import dataclass

from pilotage.resources.tenant_standing import HOLDERS_SHOWN, NeedStatus
from pilotage.rollout.tenant_seen import TenantSeen
from pilotage.tenancy.amounts import humane
from pilotage.tenancy.reserving import NONE, Claim, Outcome, Shortage

_TOLD = 63


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a step is not taken.

    Attributes:
        reason: one CamelCase word.
        message: for people.
        needs: what the step needs, and what of it is missing.
    """

    reason: str
    message: str
    needs: tuple[NeedStatus, ...] = ()


def say_conflict(tenant: TenantSeen, namespace: str) -> Refusal:
    """Several TenantQuotas list the namespace: nobody knows whose headroom counts."""
    names = ", ".join(tenant.names)
    message = f"namespace {namespace} is listed by the TenantQuotas {names}: no step begins before it is one's alone"
    return Refusal("TenantConflict", message)


def say_violation(tenant: TenantSeen) -> Refusal:
    """A limit is exceeded whose action is to hold the tenant's rollouts."""
    resource, what = next(iter(tenant.holding.items()))
    said = f"{resource}: {what}" if what else f"its {resource} is above its limit"
    return Refusal("TenantViolation", f"rollouts of tenant {tenant.name} are held while it uses too much: {said}")


def say_unknown_need(index: int, resource: str) -> Refusal:
    """It is not known how many users the step lets in."""
    message = (
        f"spec.steps[{index}]: what it needs of {resource} can't be told, because it is not known how many users it"
        " lets in: add audience.population, or needs of the step"
    )
    return Refusal("NeedUnknown", message)


def say_why(tenant: TenantSeen, claim: Claim, outcome: Outcome) -> Refusal:
    """Why the ledger refuses; what is not known comes first, because all else rests on it."""
    needs = tell_needs(claim, outcome.shortages)
    if outcome.full:
        message = f"tenant {tenant.name} has too many steps under way that are not seen in its usage yet"
        return Refusal("QuotaHeadroomInsufficient", message, needs)
    unknown = ", ".join(short.room.resource for short in outcome.shortages if short.available is None)
    if unknown:
        message = f"usage of {unknown} by tenant {tenant.name} is not known: step {claim.step} waits until it is"
        return Refusal("UsageUnknown", message, needs)
    headroom = any(not short.room.budget for short in outcome.shortages)
    said = "; ".join(_say_short(short) for short in outcome.shortages)
    return Refusal(
        "QuotaHeadroomInsufficient" if headroom else "BudgetForecastExceeded",
        f"tenant {tenant.name} has no room for step {claim.step}: {said}",
        needs,
    )


def _say_short(short: Shortage) -> str:
    room, missing, free = short.room, short.missing or NONE, max(NONE, short.available or NONE)
    unit = "" if room.unit in ("", "count") else f" {room.unit}"
    forecast = "by the month's forecast " if room.budget else ""
    held = ", ".join(f"{holder} {humane(amount)}" for holder, amount in short.holders[:HOLDERS_SHOWN])
    more = len(short.holders) - HOLDERS_SHOWN
    others = f" and {more} more" if more > 0 else ""
    return (
        f"{room.resource} needs {humane(short.needed)}, {forecast}{humane(free)} of {humane(room.limit)}{unit} is free,"
        f" {humane(missing)} is missing{f'; held by {held}{others}' if held else ''}"
    )


def tell_needs(claim: Claim, shortages: tuple[Shortage, ...]) -> tuple[NeedStatus, ...]:
    """What is claimed, and what of it is missing, for status."""
    short = {each.room.resource: each for each in shortages}
    return tuple(_tell(name, claim, short.get(name)) for name in dict.fromkeys((*claim.amounts, *short)))


def _tell(resource: str, claim: Claim, short: Shortage | None) -> NeedStatus:
    needed = humane(claim.amounts.get(resource, NONE))
    if short is None or short.missing is None:
        return NeedStatus(resource=resource, needed=needed)
    return NeedStatus(
        resource=resource,
        needed=needed,
        missing=humane(short.missing),
        held_by=tuple(holder[:_TOLD] for holder, _ in short.holders[:HOLDERS_SHOWN]),
    )
