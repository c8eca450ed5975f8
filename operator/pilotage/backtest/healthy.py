"""Healthy: what the rules would have done to a feature that changes nothing, from many starts over a history (A/A).

One replay says what would have happened once; how often a rule breaks by chance shows only over many starts. They lie
closer together than a rollout lasts, so that they are no independent trials: the numbers describe this history.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median

from pilotage.backtest.history import History
from pilotage.backtest.observer import Records, Shared, Watcher
from pilotage.backtest.replay import DeliveredAfter, Replay, fresh
from pilotage.judging.incidents import Incident
from pilotage.resources.durations import parse_duration
from pilotage.resources.indicators import IndicatorTemplateSpec
from pilotage.resources.rollout import PilotRollout
from pilotage.resources.status import HistoryEntry
from pilotage.rollout.admission import User

Progress = Callable[[int, int], None]
"""Is told how many starts of how many are done."""

_ENDED = ("Completed", "RolledBack")


@dataclass(frozen=True, slots=True)
class Course:
    """How one rollout would have gone.

    Attributes:
        started_at: when it began.
        ended_at: when nothing was left to happen, or it was followed no longer.
        phase: in the end.
        rolled_back: the decision that took users back; None without one.
        field: of the rule that broke.
        held_seconds: how long something held it that was not its plan.
        seconds: from its start to its end.
        waited_seconds: how long it took from each step to the next, by the step that was left.
    """

    started_at: datetime
    ended_at: datetime
    phase: str
    rolled_back: HistoryEntry | None
    field: str
    held_seconds: float
    seconds: float
    waited_seconds: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Healthy:
    """All courses over a history."""

    courses: tuple[Course, ...]
    every_seconds: float
    follow_seconds: float

    @property
    def rolled_back(self) -> tuple[Course, ...]:
        """Those in which users were taken back."""
        return tuple(course for course in self.courses if course.rolled_back)

    @property
    def completed(self) -> int:
        """How many reached their end."""
        return sum(course.phase == "Completed" for course in self.courses)

    @property
    def held_share(self) -> float:
        """Part of all time in which something held that was not the plan."""
        seconds = sum(course.seconds for course in self.courses)
        return sum(course.held_seconds for course in self.courses) / seconds if seconds else 0.0

    @property
    def breaking(self) -> dict[str, int]:
        """How often each rule broke, by its field."""
        found: dict[str, int] = {}
        for course in self.rolled_back:
            found[course.field] = found.get(course.field, 0) + 1
        return found

    def median_seconds(self, step: str) -> float | None:
        """The median time from a step to what follows it; None if it was never left."""
        known = [course.waited_seconds[step] for course in self.courses if step in course.waited_seconds]
        return median(known) if known else None


@dataclass
class Trials:
    """Replays of one rollout's variations over one history.

    Attributes:
        history: what Prometheus knows.
        templates: IndicatorTemplates by name.
        users: of the directory; None without one.
        every_seconds: between two starts.
        follow_seconds: how long each is followed at most.
        delivery_seconds: from a decision until its users have the feature.
        incidents: that concerned the rollout.
        progress: is told how far it is.
    """

    history: History
    templates: Mapping[str, IndicatorTemplateSpec]
    users: tuple[User, ...] | None
    every_seconds: float
    follow_seconds: float
    delivery_seconds: float = 0.0
    incidents: tuple[Incident, ...] = ()
    progress: Progress = lambda _done, _of: None
    _shared: Shared = field(default_factory=Shared)

    def run(self, rollout: PilotRollout, *, first: Collection[datetime] = (), only_one: bool = False) -> Healthy:
        """Replay the rollout from every start.

        Args:
            rollout: a variation of it.
            first: starts that are replayed before the others.
            only_one: stop at the first rollback.
        """
        starts = tuple(self._starts(parse_duration(rollout.spec.interval)))
        starts = (*(at for at in starts if at in first), *(at for at in starts if at not in first))
        courses = []
        for done, start in enumerate(starts):
            self.progress(done, len(starts))
            courses.append(self._course(rollout, start))
            if only_one and courses[-1].rolled_back:
                break
        self.progress(len(starts), len(starts))
        return Healthy(tuple(courses), self.every_seconds, self.follow_seconds)

    def _starts(self, interval: float) -> Iterator[datetime]:
        """On the grid that judgements lie on: so the replays ask for the same moments."""
        at, last = self.history.since.timestamp(), self.history.until.timestamp()
        while at < last:
            yield datetime.fromtimestamp(-(-at // interval) * interval, self.history.since.tzinfo)
            at += self.every_seconds

    def _course(self, rollout: PilotRollout, start: datetime) -> Course:
        watcher = Watcher(Records(self.history, rollout.spec.feature), self.users, self.incidents, self._shared)
        delivery = DeliveredAfter(self.delivery_seconds)
        replay = Replay(fresh(rollout), self.templates, watcher, start, delivery, thorough=False)
        replay.run(min(start + timedelta(seconds=self.follow_seconds), self.history.until))
        return course_of(replay, start)


def course_of(replay: Replay, start: datetime) -> Course:
    """What a replay amounts to."""
    status, record = replay.rollout.status, replay.record
    rolled_back = next((entry for entry in record if entry.action == "RollBack"), None)
    phase = status.phase or ""
    ended_at = record[-1].time if record and phase in _ENDED and replay.following() is None else replay.now
    return Course(
        started_at=start,
        ended_at=ended_at,
        phase=phase,
        rolled_back=rolled_back,
        field=status.rollback.message.partition(" is broken")[0] if status.rollback else "",
        held_seconds=sum(replay.seconds_by_phase.get(name, 0.0) for name in ("Holding", "Pending")),
        seconds=(ended_at - start).total_seconds(),
        waited_seconds=_waited(record),
    )


def _waited(record: list[HistoryEntry]) -> dict[str, float]:
    """From each step's beginning to that of the next, or to the end."""
    waited: dict[str, float] = {}
    entered: HistoryEntry | None = None
    for entry in record:
        if entry.action in ("Start", "Advance", "Complete"):
            if entered is not None:
                waited.setdefault(entered.step, (entry.time - entered.time).total_seconds())
            entered = entry
        elif entry.action == "RollBack":
            entered = None
    return waited
