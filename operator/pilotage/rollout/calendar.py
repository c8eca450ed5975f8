"""The calendar: whether users may be let in at a moment, why not, and when they may next. Freezes win over windows."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Literal

from pilotage.judging.questions import RuleError
from pilotage.judging.zones import find_zone
from pilotage.resources.rollout import PilotRolloutSpec
from pilotage.rollout.periods import ScheduleError, Span, Stretches, instant, read_local, read_period, stretches

Reason = Literal["NotStarted", "Frozen", "OutsideWindow", "NeverOpens"]

LONGEST_WAIT = timedelta(days=366)
"""What does not open within this time never does."""

_SOON = timedelta(days=40)
"""Nearly every calendar opens by then; only where one does not, a whole year is searched."""


@dataclass(frozen=True, slots=True)
class Closure:
    """Why nobody may be let in now.

    Attributes:
        reason: one CamelCase word.
        message: for people; begins with the field where a person has to correct it.
        waits_for: in a few words.
        opens_at: the next moment at which users may be let in; None if there is none within a year.
    """

    reason: Reason
    message: str
    waits_for: str
    opens_at: datetime | None


@dataclass(frozen=True, slots=True)
class Calendar:
    """When users may be let in.

    Attributes:
        zone: whose clocks count.
        starts_at: no earlier than this.
        windows: in one of them; at any time if there are none.
        freezes: in none of them.
    """

    zone: tzinfo = UTC
    starts_at: datetime | None = None
    windows: tuple[Span, ...] = ()
    freezes: tuple[Span, ...] = ()

    def closure(self, now: datetime) -> Closure | None:
        """Why nobody may be let in at `now`; None if it is open."""
        if self.starts_at is None and not self.windows and not self.freezes:
            return None
        opens_at = self.opens_at(now)
        if opens_at == now:
            return None
        if opens_at is None:
            return self._never()
        opening = f"users are let in from {self._said(opens_at)} on"
        if self.starts_at is not None and now < self.starts_at:
            return Closure("NotStarted", f"spec.schedule.startTime is not yet: {opening}", "start time", opens_at)
        frozen = self._frozen_by(now)
        if frozen:
            return Closure("Frozen", f"frozen by {frozen}: {opening}", f"end of freeze {frozen}", opens_at)
        return Closure("OutsideWindow", f"outside spec.schedule.windows: {opening}", "window", opens_at)

    def opens_at(self, now: datetime) -> datetime | None:
        """The first moment from `now` on at which users may be let in; None if there is none within a year."""
        earliest = max(now, self.starts_at) if self.starts_at is not None else now
        return self._opens_within(earliest, _SOON) or self._opens_within(earliest, LONGEST_WAIT)

    def _opens_within(self, earliest: datetime, wait: timedelta) -> datetime | None:
        # By months, so that what was found for one decision serves the next ones too.
        since = date(earliest.year, earliest.month, 1)
        until = (earliest + wait).date() + timedelta(days=31 - earliest.day)
        windows = [stretches(span, since, until) for span in self.windows]
        freezes = [stretches(span, since, until) for span in self.freezes]
        latest = earliest + wait
        candidates = sorted({earliest, *_between(earliest, latest, windows, freezes)})
        return next(
            (
                moment
                for moment in candidates
                if (not windows or any(each.end_at(moment) for each in windows))
                and not any(each.end_at(moment) for each in freezes)
            ),
            None,
        )

    def _frozen_by(self, now: datetime) -> str:
        """The name of the freeze that lasts longest; empty if none does."""
        since = date(now.year, now.month, 1)
        found = [(end, span.name) for span in self.freezes if (end := stretches(span, since, now.date()).end_at(now))]
        return max(found)[1] if found else ""

    def _never(self) -> Closure:
        field = "spec.schedule.windows" if self.windows else "spec.schedule.freezes"
        message = "leaves no time within a year in which users may be let in: add a window, or shorten the freezes"
        return Closure("NeverOpens", f"{field}: {message}", "a calendar that opens", None)

    def _said(self, moment: datetime) -> str:
        return f"{moment.astimezone(self.zone):%a %Y-%m-%d %H:%M %Z}"


ALWAYS_OPEN = Calendar()


def _between(
    earliest: datetime, latest: datetime, windows: list[Stretches], freezes: list[Stretches]
) -> Iterator[datetime]:
    """The moments at which it can open: a window begins, or a freeze ends."""
    for begins in (each.begins for each in windows):
        yield from (begin for begin in begins if earliest < begin <= latest)
    for ends in (each.ends for each in freezes):
        yield from (end for end in ends if earliest < end <= latest)


def read_calendar(spec: PilotRolloutSpec) -> Calendar:
    """The calendar of a spec.

    Raises:
        ScheduleError: a part of it can't be followed.
    """
    schedule = spec.schedule
    try:
        zone = find_zone(spec.time_zone)
    except RuleError as error:
        raise ScheduleError(error.field, error.message) from error
    starts_at = None
    if schedule.start_time is not None:
        starts_at = instant(read_local(schedule.start_time, "spec.schedule.startTime"), zone)
    spans = {
        kind: tuple(read_period(each, f"spec.schedule.{kind}[{index}]", zone) for index, each in enumerate(periods))
        for kind, periods in (("windows", schedule.windows), ("freezes", schedule.freezes))
    }
    return Calendar(zone, starts_at, spans["windows"], spans["freezes"])
