"""Standing: how far a finding is from deciding, and what would change it, in words for people. Pure."""

import math
from dataclasses import dataclass
from typing import Final

from pilotage.judging.units import format_value
from pilotage.resources.durations import format_duration
from pilotage.resources.indicators import Unit
from pilotage.resources.status import Finding

_LONGEST: Final = 1024
_TWO_MINUTES: Final = 120.0
_TWO_HOURS: Final = 7200.0


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a finding stands; empty parts have nothing to say.

    Attributes:
        bound: what the value is compared with, such as `> 1%`.
        evidence: share of what decides, such as `63%`, or for a `for` the time held of the time needed: `4m of 10m`.
        distance: of the value from the bound, such as `0.6 percentage points below`.
        remedy: what would change it, such as `120 more requests (about 6m)`.
    """

    bound: str = ""
    evidence: str = ""
    distance: str = ""
    remedy: str = ""

    @classmethod
    def of(cls, found: Finding) -> "Standing":
        """What a finding says of itself."""
        return cls(found.bound or "", found.evidence or "", found.distance or "", found.remedy or "")

    def as_fields(self) -> dict[str, str]:
        """The fields of a `Finding` that have something to say, no longer than they may be."""
        said = {name: getattr(self, name) for name in ("bound", "evidence", "distance", "remedy")}
        return {name: text[: _LONGEST if name == "remedy" else 253] for name, text in said.items() if text}


NOTHING: Final = Standing()


def distance_of(value: float, bound: float, unit: Unit | None) -> str:
    """How far a value lies from a bound, with its unit: `2.1 percentage points above`, `12ms below`, `at the bound`."""
    apart = value - bound
    if not math.isfinite(apart):
        return ""
    if apart == 0:
        return "at the bound"
    if unit == "ratio":
        points = format_value(abs(apart) * 100, None)
        text = f"{points} percentage point{'' if points == '1' else 's'}"
    else:
        text = format_value(abs(apart), unit)
    return f"{text} {'above' if apart > 0 else 'below'}"


def held_of(seconds: float, needed_seconds: float) -> str:
    """The time held of the time needed, `4m of 10m`; empty where no time is needed."""
    if needed_seconds <= 0:
        return ""
    return f"{format_duration(min(seconds, needed_seconds))} of {format_duration(needed_seconds)}"


def roughly(seconds: float) -> str:
    """A duration as people say one that is estimated: two digits at most, `40s`, `6m`, `4h10m`, `3d`."""
    if seconds < _TWO_MINUTES:
        return format_duration(math.ceil(seconds / 5) * 5)
    if seconds < _TWO_HOURS:
        return format_duration(math.ceil(seconds / 60) * 60)
    if seconds < 12 * 3600:
        return format_duration(math.ceil(seconds / 600) * 600)
    if seconds < 3 * 86400:
        return format_duration(math.ceil(seconds / 3600) * 3600)
    return format_duration(math.ceil(seconds / 86400) * 86400)


def to_be_asked(reason: str) -> str:
    """What would change a finding that Prometheus could not be asked for."""
    return "queries that Prometheus accepts" if "rejects the query" in reason else "an answer of Prometheus"
