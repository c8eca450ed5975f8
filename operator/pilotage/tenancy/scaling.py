"""Scaling: how many replicas a workload should have, by a metric that is averaged over its instances.

A rule of two thresholds with what it lacks. Beyond the upper one the replicas rise at once, by the ratio, until the
metric is back at its value. Between the thresholds they follow slowly, one change per cooldown, and fewer only where a
whole window proves that fewer would do: without that, a workload may sit at 51 % of its value for ever. What is lost or
has just come back removes nothing.

Hysteresis: replicas are removed only where the highest load of the window fits the rest, and added only where the mean
of the window, or one reading beyond the threshold, does not fit: no load that stays within its window's range makes
them go back and forth.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil, floor, isfinite
from typing import Literal

RISE_FACTOR = 3
RISE_PODS = 4
"""Within one cooldown replicas rise at most to this multiple, or by this many where that is more."""

SETTLED = 1.1
"""A rise is complete when the metric is within this factor of its value; 10 % is the tolerance of Kubernetes' HPA."""

GROW_SHARE = 0.1
SHRINK_SHARE = 0.25
SHED_SHARE = 0.5
"""Most that one step changes: added between the thresholds, removed between them, removed below the lower one."""

LOST_SECONDS = 60.0
"""A metric is lost when its newest reading is older; a pause between two readings that is longer is a gap."""

SILENT_SECONDS = 15.0
"""While the newest reading is older, nothing is removed: what was seen last may have been a slip."""

Reason = Literal[
    "Steady", "Rising", "Growing", "Shrinking", "Shedding", "Bounded", "MetricLost", "WindowOpen", "Cooling",
    "UsersLeaving", "ScaledToZero",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Targets:
    """What a policy asks for.

    Attributes:
        value: that the metric, averaged over the ready instances, is kept at; above 0.
        minimum: replicas at least.
        maximum: replicas at most.
        up_factor: of the value, above which replicas rise at once; above 1.
        down_factor: of the value, below which replicas are shed in larger steps; below half of `up_factor`.
        up_seconds: cooldown of the way up.
        down_seconds: cooldown of the way down, and the window that has to prove it.
    """

    value: float
    minimum: int
    maximum: int
    up_factor: float = 1.2
    down_factor: float = 0.5
    up_seconds: float = 300.0
    down_seconds: float = 600.0


@dataclass(frozen=True, slots=True)
class Load:
    """One reading: the metric times the instances it was averaged over."""

    at: datetime
    total: float


@dataclass(frozen=True, slots=True)
class Changes:
    """What was changed last; kept in status, so that a restart forgets no cooldown.

    Attributes:
        up_at: when replicas were added.
        down_at: when replicas were removed.
        rise_at: when the last rise began.
        rise_from: replicas that there were then.
    """

    up_at: datetime | None = None
    down_at: datetime | None = None
    rise_at: datetime | None = None
    rise_from: int = 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """How many replicas there should be, and why."""

    replicas: int
    reason: Reason
    message: str
    changes: Changes


def load_of(average: float | None, ready: int, at: datetime) -> Load | None:
    """The load by a reading of the average; None if it says nothing: absent, NaN, infinite, negative."""
    if average is None or not isfinite(average) or average < 0 or ready < 1:
        return None
    return Load(at, average * ready)


def scale(
    targets: Targets, replicas: int, loads: Sequence[Load], last: Changes, now: datetime, *, leaving: bool = False
) -> Wanted:
    """How many replicas there should be.

    Args:
        targets: what the policy asks for.
        replicas: that are asked for at present, ready or not.
        loads: readings, oldest first; what is lost is not among them.
        last: what was changed last.
        now: the time of the decision.
        leaving: users are being taken back: no capacity is taken away before they have left.
    """
    if replicas == 0:
        return Wanted(0, "ScaledToZero", "scaled to zero by somebody: left alone until it has replicas again", last)
    wanted = _by_bounds(targets, replicas, last, now) or _by_load(targets, replicas, loads, last, now)
    if leaving and wanted.replicas < replicas:
        return Wanted(replicas, "UsersLeaving", "users are being taken back: replicas go after them", last)
    return wanted


def window_of(loads: Sequence[Load], now: datetime, seconds: float) -> tuple[Load, ...]:
    """The readings of the last `seconds` and the one before, as far as there is no gap; older ones say nothing."""
    kept: list[Load] = []
    after, begins_at = now, now - timedelta(seconds=seconds)
    for load in reversed(loads):
        if after <= begins_at or after - load.at > timedelta(seconds=LOST_SECONDS):
            break
        kept.append(load)
        after = load.at
    return tuple(reversed(kept))


def _by_bounds(targets: Targets, replicas: int, last: Changes, now: datetime) -> Wanted | None:
    """The bounds are kept whatever the metric says."""
    if replicas < targets.minimum:
        changes = Changes(now, last.down_at, last.rise_at, last.rise_from)
        return Wanted(targets.minimum, "Bounded", f"raised to the minimum of {targets.minimum}", changes)
    if replicas > targets.maximum:
        changes = Changes(last.up_at, now, last.rise_at, last.rise_from)
        return Wanted(targets.maximum, "Bounded", f"lowered to the maximum of {targets.maximum}", changes)
    return None


def _by_load(targets: Targets, replicas: int, loads: Sequence[Load], last: Changes, now: datetime) -> Wanted:
    window = window_of(loads, now, targets.down_seconds)
    if not window:
        return Wanted(replicas, "MetricLost", "the metric is lost: replicas stay as they are", last)
    return (
        _rise(targets, replicas, window[-1], last, now)
        or _grow(targets, replicas, window, last, now)
        or _shrink(targets, replicas, window, last, now)
    )


def _rise(targets: Targets, replicas: int, load: Load, last: Changes, now: datetime) -> Wanted | None:
    """Beyond the upper threshold: at once and by the ratio; what has begun is completed within the cooldown."""
    begun = _within(last.rise_at, now, targets.up_seconds)
    factor = min(SETTLED, targets.up_factor) if begun else targets.up_factor
    if load.total <= factor * targets.value * replicas:
        return None
    base = last.rise_from if begun else replicas
    most = min(max(base * RISE_FACTOR, base + RISE_PODS), targets.maximum)
    wanted = min(_fit(load.total, targets), most)
    if wanted <= replicas:
        return None
    changes = Changes(now, last.down_at, last.rise_at if begun else now, base)
    said = f"at {_percent(load.total, replicas, targets)} of the value: {replicas} to {wanted} replicas"
    return Wanted(wanted, "Rising", said, changes)


def _grow(targets: Targets, replicas: int, window: Sequence[Load], last: Changes, now: datetime) -> Wanted | None:
    """Between the thresholds: the mean of a cooldown does not fit."""
    recent = _recent(window, now, targets.up_seconds)
    if not _covers(window, now, targets.up_seconds) or _within(last.up_at, now, targets.up_seconds):
        return None
    mean = sum(load.total for load in recent) / len(recent)
    most = min(replicas + max(1, floor(replicas * GROW_SHARE)), targets.maximum)
    wanted = min(_fit(mean, targets), most)
    if wanted <= replicas:
        return None
    changes = Changes(now, last.down_at, last.rise_at, last.rise_from)
    said = f"at {_percent(mean, replicas, targets)} of the value: {replicas} to {wanted} replicas"
    return Wanted(wanted, "Growing", said, changes)


def _shrink(targets: Targets, replicas: int, window: Sequence[Load], last: Changes, now: datetime) -> Wanted:
    """Fewer would do, by the highest load of a whole window."""
    newest = _fit(window[-1].total, targets)  # the highest is no less: most of the time this is all that is needed
    need = max(newest if newest >= replicas else _fit(highest(window, now), targets), targets.minimum)
    if need >= replicas:
        return Wanted(replicas, "Steady", f"{replicas} replicas are right", last)
    if now - window[-1].at > timedelta(seconds=min(SILENT_SECONDS, targets.down_seconds / 2)):
        return Wanted(replicas, "WindowOpen", f"{need} would do, but the metric is silent: nothing is removed", last)
    if not _covers(window, now, targets.down_seconds):
        said = f"{need} would do by what is known; replicas are removed after {targets.down_seconds:.0f} s of metrics"
        return Wanted(replicas, "WindowOpen", said, last)
    if any(_within(at, now, targets.down_seconds) for at in (last.up_at, last.down_at)):
        return Wanted(replicas, "Cooling", f"{need} would do; the cooldown is not over", last)
    recent = _recent(window, now, targets.up_seconds)
    mean = sum(load.total for load in recent) / len(recent)
    idle = mean < targets.down_factor * targets.value * replicas
    step = max(1, floor(replicas * (SHED_SHARE if idle else SHRINK_SHARE)))
    wanted = max(need, replicas - step)
    changes = Changes(last.up_at, now, last.rise_at, last.rise_from)
    said = f"at {_percent(mean, replicas, targets)} of the value: {replicas} to {wanted} replicas"
    return Wanted(wanted, "Shedding" if idle else "Shrinking", said, changes)


def highest(window: Sequence[Load], now: datetime) -> float:
    """The highest load of a window; where it falls all along, readings count as what they would be now.

    The fall is the slope of the least-squares line: without it, a window of ten minutes holds back what ten minutes of
    a falling load set free.
    """
    ages = [(load.at - now).total_seconds() for load in window]
    centre = sum(ages) / len(ages)
    spread = sum((age - centre) ** 2 for age in ages)
    mean = sum(load.total for load in window) / len(window)
    rise = sum((age - centre) * (load.total - mean) for age, load in zip(ages, window, strict=True))
    slope = min(rise / spread, 0.0) if spread else 0.0
    return max(load.total - slope * age for age, load in zip(ages, window, strict=True))


def _fit(total: float, targets: Targets) -> int:
    """Replicas that carry a load at the value; within a billionth, so that 5 times 0.2 needs no second one."""
    return max(ceil(min(total / targets.value, float(targets.maximum)) - 1e-9), 1)


def _recent(window: Sequence[Load], now: datetime, seconds: float) -> Sequence[Load]:
    return [load for load in window if load.at > now - timedelta(seconds=seconds)] or window[-1:]


def _covers(window: Sequence[Load], now: datetime, seconds: float) -> bool:
    """Whether a window without a gap reaches back for so long."""
    return now - window[0].at >= timedelta(seconds=seconds)


def _within(at: datetime | None, now: datetime, seconds: float) -> bool:
    return at is not None and now - at < timedelta(seconds=seconds)


def _percent(total: float, replicas: int, targets: Targets) -> str:
    return f"{total / (targets.value * replicas):.0%}"
