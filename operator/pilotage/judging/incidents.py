"""Incidents as judging sees them: intervals of time with a severity, and how many there are at any moment.

An incident is open from its start until it is resolved, both included: one that begins and ends at the same moment was
there, and one that ends when another begins leaves no gap.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeVar

from pilotage.resources.incident import Severity

State = Literal["open", "resolved", "any"]
Interval = tuple[datetime, datetime]
_Step = TypeVar("_Step")


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident.

    Attributes:
        severity: how bad it is.
        started_at: when it began.
        resolved_at: when it was over; None while nobody knows.
        name: of the PilotIncident.
    """

    severity: Severity
    started_at: datetime
    resolved_at: datetime | None = None
    name: str = ""

    def is_open(self, now: datetime) -> bool:
        """Whether it has begun and is not over."""
        return self.started_at <= now and (self.resolved_at is None or now < self.resolved_at)


@dataclass(frozen=True, slots=True)
class Streak:
    """How long something has held without a break.

    Attributes:
        holds: whether it holds now.
        since: from when on it does; None if it always did, or doesn't.
    """

    holds: bool
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """How many incidents are in a state, over time.

    Attributes:
        state: `open` counts those that have begun and are not over, `resolved` those that are over, `any` both.
        starts: when they began, ascending.
        ends: when they were over, ascending.
    """

    state: State
    starts: tuple[datetime, ...]
    ends: tuple[datetime, ...]

    @classmethod
    def of(cls, incidents: Iterable[Incident], severity: Severity | None, state: State) -> "Counts":
        """Those of one severity, or of any."""
        counted = [each for each in incidents if severity in (None, each.severity)]
        ends = (each.resolved_at for each in counted if each.resolved_at is not None)
        return cls(state, tuple(sorted(each.started_at for each in counted)), tuple(sorted(ends)))

    def after(self, moment: datetime) -> int:
        """How many there are from this moment on: what is resolved then is not open any more."""
        if self.state == "resolved":
            return bisect_right(self.ends, moment)
        begun = bisect_right(self.starts, moment)
        return begun if self.state == "any" else begun - bisect_right(self.ends, moment)

    def at(self, moment: datetime) -> int:
        """How many there are in this very moment: what begins then and what is resolved then are both open."""
        if self.state != "open":
            return self.after(moment)
        return bisect_right(self.starts, moment) - bisect_left(self.ends, moment)

    def moved_within(self, since: datetime, until: datetime) -> tuple[datetime, ...]:
        """When incidents came into the state in (since, until], ascending: were resolved, or else began."""
        moves = self.ends if self.state == "resolved" else self.starts
        return moves[bisect_right(moves, since) : bisect_right(moves, until)]

    def streak(
        self,
        holds: Callable[[int], bool],
        surely: Callable[[int], bool],
        now: datetime,
        recorded_since: datetime | None = None,
    ) -> Streak:
        """Since when the count has been such that something holds.

        Args:
            holds: what a count has to be.
            surely: the same where there may have been more than are counted.
            now: the present; what is said to come later doesn't count yet.
            recorded_since: counts are complete from here on; None if they always were.
        """
        if not holds(self.after(now)):
            return Streak(holds=False)
        complete_at = now if recorded_since is None else min(recorded_since, now)
        last: datetime | None = None
        for moment in sorted({each for each in (*self.starts, *self.ends, complete_at) if each <= now}, reverse=True):
            right = holds if recorded_since is None or moment >= complete_at else surely
            if not right(self.after(moment)):
                return Streak(holds=True, since=last)
            if not right(self.at(moment)):
                return Streak(holds=True, since=moment)
            last = moment
        always = holds(0) if recorded_since is None else surely(0)
        return Streak(holds=True, since=None if always else last)


def incident_intervals(incidents: Iterable[Incident], since: datetime, until: datetime) -> tuple[Interval, ...]:
    """When there was an open incident, within (since, until): ascending, no two touching.

    What has no end goes on until `until`; what lies outside is left out.
    """
    merged: list[Interval] = []
    for each in sorted(incidents, key=lambda incident: incident.started_at):
        begin, end = max(each.started_at, since), min(each.resolved_at or until, until)
        if begin > end:
            continue
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((begin, end))
    return tuple(merged)


def without_incidents(
    history: Sequence[_Step | None], incidents: Iterable[Incident], *, end_at: datetime, step_seconds: float
) -> tuple[_Step | None, ...]:
    """The history with None for each step that an open incident touches: nobody should learn what is normal from it.

    Args:
        history: one entry a step, oldest first; None where there are no data.
        incidents: that were declared.
        end_at: when the newest step ends.
        step_seconds: length of a step; each ends where the next begins.
    """
    step = timedelta(seconds=step_seconds)
    begin_at = end_at - len(history) * step
    kept = list(history)
    for begin, end in incident_intervals(incidents, begin_at, end_at):
        first = max(0, (begin - begin_at) // step)
        last = min(len(kept) - 1, (end - begin_at) // step)
        kept[first : last + 1] = [None] * (last + 1 - first)
    return tuple(kept)
