"""Tenant, state: what becomes of a rollout whose tenant is suspended or archived, or is not the one that it names.

The safe state is the one that the rollout itself declares: where a rollback leads. What is completed has proven itself
and stays. When the tenant is active again, the rollout goes on from there by itself; what was closed starts over only
with a new revision, as after any rollback.
"""

from dataclasses import replace
from typing import Any

from pilotage.resources.status import Phase, StepStatus
from pilotage.resources.tenant_standing import TenantStanding
from pilotage.rollout.rollback import go_back
from pilotage.rollout.situation import NOBODY, Move, Situation, begins_to_wait, once
from pilotage.rollout.tenant_seen import TenantSeen


def close_archived(at: Situation) -> Move | None:
    """The tenant is archived: the rollout is closed, with what spec.onDelete leaves of it."""
    tenant = at.seen.tenant
    if tenant is None or tenant.state != "archived" or not tenant.enforces or _stays(at):
        return None
    status, why = at.status, f"tenant {tenant.name} is archived"
    if at.exposed:
        move = go_back(at, None, reason="TenantArchived", message=f"{why}: the rollout is closed", why=why)
        return replace(move, update={**move.update, "exposure": NOBODY})
    if status.phase == "RollingBack":
        return None
    if status.phase == "RolledBack" and status.rollback is not None:
        return Move("RolledBack", status.rollback.reason, status.rollback.message, waits_for=why, at_rest=True)
    return Move("Pending", "TenantArchived", f"{why}: no step begins", waits_for="an active tenant", at_rest=True)


def _stays(at: Situation) -> bool:
    """Whether users keep the feature as they would if the rollout were deleted."""
    choice = at.spec.on_delete.exposure
    return at.exposed and (choice == "keep" or (choice == "auto" and at.status.phase == "Completed"))


def suspend(at: Situation) -> Move | None:
    """The tenant is suspended: users go where a rollback leads, and stay there until it is active again."""
    tenant = at.seen.tenant
    if tenant is None or tenant.state == "active" or not tenant.enforces:
        return None
    reason = "TenantSuspended" if tenant.state == "suspended" else "TenantArchived"
    message = f"tenant {tenant.name} is {tenant.state}: no step begins"
    standing = TenantStanding(name=tenant.name, answer="Suspended")
    went = at.status.tenant is not None and at.status.tenant.answer == "Suspended"
    target = _safe_step(at)
    if at.exposed and not went and tenant.state == "suspended":
        back = NOBODY if target is None else at.status.trail[target]
        return Move(
            phase="Holding",
            reason=reason,
            message=f"{message}; users are taken back to {f'step {back.step}' if back.step else 'nobody'}",
            action="Return",
            update={**_way_back(at, target), "tenant": standing},
            waits_for="users to be taken back",
        )
    phase: Phase = "Holding" if at.status.step else "Pending"
    return Move(
        phase=phase,
        reason=reason,
        message=message,
        action="Hold" if begins_to_wait(at, phase) and not went else None,
        update={"tenant": standing},
        waits_for="an active tenant",
        at_rest=not at.exposed,
    )


def _safe_step(at: Situation) -> int | None:
    """The index of the step that a rollback would end at; None for nobody."""
    to, trail = at.spec.on_rollback.to, at.status.trail
    here = at.status.step.index if at.status.step else 0
    shown = min(here if at.shows_step else here - 1, len(trail))
    if to == "previous":
        return shown - 1 if shown >= 1 else None
    return next((index for index, entered in enumerate(trail[: max(0, shown)]) if entered.step == to), None)


def _way_back(at: Situation, index: int | None) -> dict[str, Any]:
    if index is None:
        return {"exposure": NOBODY, "step": None, "trail": (), "throttled": False}
    back = at.status.trail[index]
    return {
        "exposure": back,
        "step": StepStatus(index=index, name=back.step, entered_time=at.now),
        "trail": at.status.trail[: index + 1],
        "throttled": False,
    }


def misplaced(at: Situation) -> Move | None:
    """The rollout names a tenant, or a resource, that is not its own: nothing grows before that is put right."""
    tenant = at.seen.tenant
    problem = _mismatch(at, tenant) if tenant else ""
    if tenant is None or not problem:
        return None
    return Move(
        phase="Holding" if at.exposed else "Pending",
        reason="TenantMismatch",
        message=problem[:1024],
        action=once(at, "Stall", "TenantMismatch"),
        waits_for="a valid spec.tenant",
        at_rest=not at.exposed,
    )


def _mismatch(at: Situation, tenant: TenantSeen) -> str:
    said = at.spec.tenant
    if said is not None and said not in tenant.names:
        theirs = f": it belongs to {tenant.name}" if tenant.name else ""
        return (
            f"spec.tenant: TenantQuota {said} does not list namespace {at.namespace}{theirs}; correct the name, or ask"
            " the platform team to add the namespace"
        )
    known = [room.resource for room in tenant.rooms]
    for index, need in enumerate(at.spec.needs):
        if tenant.name and need.resource not in known:
            has = ", ".join(known) or "none"
            return f"spec.needs[{index}].resource: tenant {tenant.name} has no resource {need.resource} (it has: {has})"
    return ""


def standing_of(at: Situation) -> TenantStanding | None:
    """What status keeps of the tenant where a decision says nothing new: not that it was suspended, once it is not."""
    tenant, before = at.seen.tenant, at.status.tenant
    if tenant is None or not tenant.name or tenant.state == "archived":
        return before if tenant is not None else None
    if before is None or before.name != tenant.name or (before.answer == "Suspended" and tenant.state == "active"):
        return TenantStanding(name=tenant.name)
    return before
