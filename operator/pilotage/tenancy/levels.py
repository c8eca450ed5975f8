"""How full a tenant is: levels with hysteresis, warnings told once, grace, and the actions that are in force.

A level is entered when usage is above its limit, and left when usage has fallen below it by `hysteresis` percent of
that limit: what swings inside that band changes nothing. Unknown usage changes no level: it is neither zero nor within;
what is in force stays in force, and the grace of a violation runs on.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from pilotage.resources.durations import format_duration, parse_duration
from pilotage.resources.tenant_amounts import Grant
from pilotage.resources.tenant_status import Level, ResourceStatus
from pilotage.resources.tenant_usage import Action, QuotaResource
from pilotage.tenancy.amounts import humane, parse_amount, plain, read_plain
from pilotage.tenancy.happening import Happened
from pilotage.tenancy.usage import Known, Reading, Unknown

ORDER: tuple[Level, ...] = ("unknown", "within", "warning", "soft", "hard")
"""From the least to the worst."""

_DONE: dict[Action, str] = {
    "alert": "people are told",
    "hold": "rollouts of this tenant don't advance",
    "throttle": "requests are throttled",
    "scale": "its workloads are scaled",
}
_HUNDRED = Decimal(100)


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a resource that are in force.

    Attributes:
        hard: with grants.
        soft: with grants; None where there is none.
        granted: what expires of them.
    """

    hard: Decimal
    soft: Decimal | None = None
    granted: Decimal = Decimal(0)


def limits_of(resource: QuotaResource, grants: Iterable[Grant], now: datetime) -> Limits:
    """The limits with the grants that have not expired."""
    granted = sum(
        (parse_amount(each.amount) for each in grants if each.resource == resource.name and each.expires_time > now),
        Decimal(0),
    )
    soft = None if resource.soft is None else parse_amount(resource.soft) + granted
    return Limits(hard=parse_amount(resource.hard) + granted, soft=soft, granted=granted)


def in_force(resource: QuotaResource, status: ResourceStatus) -> frozenset[Action]:
    """The actions that are in force by a resource's level: above hard, those of soft are too; grace delays onHard.

    In a dry run, they are those that would be.
    """
    if status.level not in ("soft", "hard"):
        return frozenset()
    actions: set[Action] = {"alert"}
    if status.level == "soft" or resource.soft is not None:
        actions.add(resource.on_soft)
    if status.level == "hard" and status.grace_until is None:
        actions.add(resource.on_hard)
    return frozenset(actions)


def judged(
    resource: QuotaResource,
    before: ResourceStatus | None,
    reading: Reading,
    *,
    limits: Limits,
    reserved: Decimal,
    forecast: Decimal | None,
    now: datetime,
) -> tuple[ResourceStatus, tuple[Happened, ...]]:
    """Where the tenant stands with a resource now, and what people have to be told about it.

    Args:
        resource: as the spec has it.
        before: as it stood last; None the first time.
        reading: of its usage.
        limits: in force now.
        reserved: for steps that were begun.
        forecast: of usage at the period's end; None if it can't be told.
        now: the moment.
    """
    known = before or ResourceStatus(name=resource.name)
    reading = _carried(resource, known, reading, now)
    status = known.model_copy(
        update={
            "unit": resource.currency or resource.unit,
            "hard": plain(limits.hard),
            "soft": "" if limits.soft is None else plain(limits.soft),
            "granted": plain(limits.granted) if limits.granted else "",
            "reserved": plain(reserved) if reserved else "",
            "forecast": "" if forecast is None else plain(forecast, places=2),
        }
    )
    if isinstance(reading, Unknown):
        status = _unknown(status, reading, now)
    else:
        status = _known(resource, status, known, reading, limits=limits, reserved=reserved)
        status = _dated(resource, status, known, now)
    status = _graced(status, now)
    status = status.model_copy(update={"action": _action(resource, status)})
    told = tuple(_told(resource, known, status))
    message = reading.reason if isinstance(reading, Unknown) else _stands(resource, status)
    return status.model_copy(update={"message": message}), told


def percent_of(used: Decimal, limit: Decimal) -> Decimal | None:
    """Percent of a limit; None of a limit of zero, of which nothing can be told in percent."""
    return used * _HUNDRED / limit if limit else None


def _carried(resource: QuotaResource, known: ResourceStatus, reading: Reading, now: datetime) -> Reading:
    """Where nobody could be asked, the last sample serves until it is too old."""
    if isinstance(reading, Known) or not reading.unasked or known.observed_time is None:
        return reading
    used = read_plain(known.used)
    young = now - known.observed_time <= timedelta(seconds=parse_duration(resource.max_age))
    return Known(used, known.observed_time) if used is not None and young else reading


def _unknown(status: ResourceStatus, reading: Unknown, now: datetime) -> ResourceStatus:
    return status.model_copy(
        update={
            "used": "",
            "available": "",
            "percent": "",
            "forecast": "",
            "unknown_since": status.unknown_since or now,
            "message": reading.reason,
        }
    )


def _known(
    resource: QuotaResource,
    status: ResourceStatus,
    known: ResourceStatus,
    reading: Known,
    *,
    limits: Limits,
    reserved: Decimal,
) -> ResourceStatus:
    percent = percent_of(reading.value, limits.hard)
    # A limit that was moved is judged afresh: the band below the old one says nothing about the new one.
    remembers = (known.hard, known.soft) == (status.hard, status.soft)
    warned = _warned(resource, known.warned_at if remembers else None, percent)
    return status.model_copy(
        update={
            "used": plain(reading.value),
            "available": plain(max(limits.hard - reading.value - reserved, Decimal(0))),
            "percent": "" if percent is None else plain(percent, places=1),
            "observed_time": reading.at,
            "unknown_since": None,
            "warned_at": warned,
            "level": _level(resource, known.level if remembers else "unknown", reading.value, limits, warned=warned),
        }
    )


def _level(resource: QuotaResource, before: Level, used: Decimal, limits: Limits, *, warned: int | None) -> Level:
    band = Decimal(resource.hysteresis) / _HUNDRED

    def exceeded(limit: Decimal, *, entered: bool) -> bool:
        return used > limit or (entered and used > limit * (1 - band))

    if exceeded(limits.hard, entered=before == "hard"):
        return "hard"
    if limits.soft is not None and exceeded(limits.soft, entered=before in ("soft", "hard")):
        return "soft"
    return "within" if warned is None else "warning"


def _warned(resource: QuotaResource, before: int | None, percent: Decimal | None) -> int | None:
    """The highest warning that is reached, or that was reached and is not left yet."""
    if percent is None:
        return None
    band = resource.hysteresis
    reached = [at for at in resource.warn_at if percent >= at or (at <= (before or 0) and percent > at - band)]
    return max(reached, default=None)


def _dated(resource: QuotaResource, status: ResourceStatus, known: ResourceStatus, now: datetime) -> ResourceStatus:
    """Since when the limit is exceeded, and until when the hard one has no consequence."""
    if status.level not in ("soft", "hard"):
        return status.model_copy(update={"violation_since": None, "grace_until": None})
    if status.level == known.level:
        return status
    grace = parse_duration(resource.grace) if status.level == "hard" else 0.0
    until = now + timedelta(seconds=grace) if grace else None
    return status.model_copy(update={"violation_since": now, "grace_until": until})


def _graced(status: ResourceStatus, now: datetime) -> ResourceStatus:
    over = status.grace_until is not None and status.grace_until <= now
    return status.model_copy(update={"grace_until": None}) if over else status


def _action(resource: QuotaResource, status: ResourceStatus) -> str:
    """The one action that is shown: that of the highest limit, which may be delayed by grace."""
    actions = in_force(resource, status)
    if not actions:
        return "none"
    first: Action = resource.on_hard if status.level == "hard" else resource.on_soft
    for action in (first, resource.on_soft):
        if action in actions:
            return action
    return "alert"


def _told(resource: QuotaResource, before: ResourceStatus, after: ResourceStatus) -> Iterator[Happened]:
    yield from _told_of_knowing(before, after)
    yield from _told_of_warnings(before, after)
    yield from _told_of_limits(before, after)
    gone = in_force(resource, before) - in_force(resource, after)
    come = in_force(resource, after) - in_force(resource, before)
    for action in sorted(come - {"alert"}):
        message = f"{resource.name}: {_stands(resource, after)}; {_DONE[action]}"
        yield Happened(action.capitalize(), _reason(after), message, resource.name)
    for action in sorted(gone - {"alert"}):
        yield Happened("Release", action.capitalize(), f"{resource.name}: {action} is over", resource.name)


def _told_of_knowing(before: ResourceStatus, after: ResourceStatus) -> Iterator[Happened]:
    name = after.name
    if after.unknown_since is not None and before.unknown_since is None:
        yield Happened("UsageUnknown", "NoData", f"{name}: usage is unknown: {after.message}", name)
    if after.unknown_since is None and before.unknown_since is not None:
        yield Happened("UsageKnown", "Data", f"{name}: usage is known again: {_amount(after)}", name)


def _told_of_warnings(before: ResourceStatus, after: ResourceStatus) -> Iterator[Happened]:
    if (after.warned_at or 0) > (before.warned_at or 0):
        message = f"{after.name}: {after.percent}% of {_limit(after.hard)} is used: beyond {after.warned_at}%"
        yield Happened("Warn", f"Above{after.warned_at}Percent", message, after.name)


def _told_of_limits(before: ResourceStatus, after: ResourceStatus) -> Iterator[Happened]:
    then, now = before.level, after.level
    if now == then:
        if before.grace_until is not None and after.grace_until is None and now == "hard":
            yield Happened("GraceOver", "HardLimit", f"{after.name}: the grace of the hard limit is over", after.name)
        return
    if now == "hard":
        grace = ""
        if after.grace_until is not None and after.violation_since is not None:
            left = (after.grace_until - after.violation_since).total_seconds()
            grace = f"; {format_duration(left)} of grace"
        message = f"{after.name}: {_amount(after)} is above the hard limit of {_limit(after.hard)}{grace}"
        yield Happened("ExceedHard", "HardLimit", message, after.name)
    elif now == "soft":
        message = f"{after.name}: {_amount(after)} is above the soft limit of {_limit(after.soft)}"
        yield Happened("ExceedSoft", "SoftLimit", message, after.name)
    elif then in ("soft", "hard", "warning") and (now == "within" or then != "warning"):
        yield Happened("Recover", "WithinLimits", f"{after.name}: {_amount(after)}: back within its limits", after.name)


def _reason(status: ResourceStatus) -> str:
    return "HardLimit" if status.level == "hard" else "SoftLimit"


def _stands(resource: QuotaResource, status: ResourceStatus) -> str:
    grace = f"; {resource.on_hard} follows when grace is over" if status.grace_until is not None else ""
    return f"{_amount(status)} of {_limit(status.hard)}{grace}"


def _amount(status: ResourceStatus) -> str:
    used = read_plain(status.used)
    return "usage" if used is None else humane(used)


def _limit(text: str) -> str:
    limit = read_plain(text)
    return "" if limit is None else humane(limit)
