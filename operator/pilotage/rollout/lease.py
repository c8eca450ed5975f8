"""Lease: what is not proven yet lasts only while somebody knows how it fares.

A step that is not proven is delivered with an end, and with the step before it for what comes after: evaluators compare
the end with their own clock. It is renewed while its rules are known. Where the operator, the cluster or the metrics
die, nobody renews it, and users fall back by themselves, to what was proven. The clock of the step stands still
meanwhile, as it does where anything else undoes a step (`force`).

Who counts are the rules that would take users back. One that Prometheus can't be asked for ends the lease. No data is
what a quiet night looks like: it ends the lease only where none of these rules has any, and the users have been in for
as long as the lease. Then, users who have fallen back can show no data either: they come back after a pause that
doubles each time, so that what is never measured fades out.
"""

from datetime import datetime, timedelta

from pilotage.judging.rules import Rule
from pilotage.resources.durations import format_duration
from pilotage.resources.rollout import PilotRolloutSpec
from pilotage.resources.status import ExposureStatus, Finding, LeaseStatus, PilotRolloutStatus
from pilotage.rollout.force import Truth, has_lapsed
from pilotage.rollout.situation import NOBODY, Situation, shows_step

_UNPROVEN = ("Progressing", "Holding", "Paused", "AwaitingApproval")
_MOST_DOUBLINGS = 10


def with_lease(status: PilotRolloutStatus, at: Situation) -> PilotRolloutStatus:
    """The new status with the end of what it decides, where it needs one.

    Args:
        status: what was decided now.
        at: what is known, with the status before.
    """
    if status.delivery is None:
        return status
    lease = None
    if at.spec.delivery.lease_seconds is not None and not at.seen.deleting and is_unproven(status):
        lease = _renewed(at, at.spec.delivery.lease_seconds)
    if lease == status.delivery.lease:
        return status
    return status.model_copy(update={"delivery": status.delivery.model_copy(update={"lease": lease})})


def is_unproven(status: PilotRolloutStatus) -> bool:
    """Whether users are in a step that nobody has left forwards yet."""
    exposed = (status.exposure or NOBODY).kind != "off"
    return status.phase in _UNPROVEN and status.mode != "observe" and exposed and shows_step(status)


def fallback_of(status: PilotRolloutStatus) -> ExposureStatus:
    """Who keeps the feature when the lease runs out: those of the step before."""
    index = status.step.index if status.step else 0
    return status.trail[index - 1] if 1 <= index <= len(status.trail) else NOBODY


def _renewed(at: Situation, seconds: int) -> LeaseStatus:
    old = at.status.delivery.lease if at.status.delivery else None
    whole = at.now.replace(microsecond=0) + timedelta(seconds=seconds)
    if old is None:
        return LeaseStatus(time=whole)
    if timedelta(seconds=seconds / 2) < old.time - at.now <= timedelta(seconds=seconds):
        return old
    if why_not_known(at):
        return old
    silent = is_silent(at, seconds)
    if silent and at.now < old.time:
        return old.model_copy(update={"state": "Silent"})
    if not silent or old.state == "Known":
        return LeaseStatus(time=whole, lapses=0 if has_data(at) else old.lapses)
    pause = timedelta(seconds=seconds * 2 ** min(old.lapses, _MOST_DOUBLINGS))
    return LeaseStatus(time=whole, lapses=old.lapses + 1) if at.now - old.time >= pause else old


def _guards(at: Situation) -> list[tuple[Rule, Finding]]:
    """The rules that would take users back; where there are none, those that say that something is wrong."""
    back = [(rule, found) for rule, found in at.judged if rule.on_breach == "rollback"]
    return back or [(rule, found) for rule, found in at.judged if rule.role != "go"]


def why_not_known(at: Situation) -> str:
    """What can't be asked now, in a few fixed words; empty if everything can."""
    unknown = next((rule for rule, found in _guards(at) if found.verdict == "unavailable"), None)
    return f"{unknown.field}: {unknown.text} can't be asked" if unknown else ""


def has_data(at: Situation) -> bool:
    """Whether any of the rules has data; where there are none, nothing is to be known."""
    guards = _guards(at)
    return not guards or any(found.verdict not in ("no-data", "unavailable") for _, found in guards)


def is_silent(at: Situation, seconds: float) -> bool:
    """Whether none of the rules has data although users have been in for as long as the lease."""
    step = at.status.step
    if has_data(at):
        return False
    since = (step.regained_time or step.verified_time) if step else None
    return since is not None and at.now - since >= timedelta(seconds=seconds)


def lease_condition(status: PilotRolloutStatus, at: Situation) -> tuple[Truth, str, str] | None:
    """Status, reason and message of the condition LeaseHeld; None where nothing has an end."""
    lease = status.delivery.lease if status.delivery else None
    if lease is None or status.step is None:
        return None
    back = f"users of step {status.step.name} fall back to {fallback_of(status).step or 'nobody'}"
    why = why_not_known(at) or ("no rule that guards them has data" if lease.state == "Silent" else "")
    if has_lapsed(status, at.now):
        again = f"; tried again after {_pause_of(at.spec, lease)}" if lease.state == "Silent" else ""
        return "False", "Lapsed", f"{back}: {why or 'nobody renewed it'}{again}"[:1024]
    if why:
        return "Unknown", "NotRenewed", f"{back} at {lease.time:%Y-%m-%dT%H:%M:%SZ}: {why}"[:1024]
    return "True", "Renewed", ""


def _pause_of(spec: PilotRolloutSpec, lease: LeaseStatus) -> str:
    return format_duration((spec.delivery.lease_seconds or 0) * 2 ** min(lease.lapses, _MOST_DOUBLINGS))


def seconds_of(until: datetime) -> int:
    """A time as evaluators count it."""
    return int(until.timestamp())
