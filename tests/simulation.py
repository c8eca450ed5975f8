"""Simulation: a rollout on a virtual clock, through the real plan, judge and decision, with made-up metrics.

It is the backtest's replay with two things played: what Prometheus would have answered (a function of indicator and
time), and delivery (in force after a second, or never). The outcome is a transcript that tells the story line by line.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from pilotage.backtest.replay import DeliveredAfter, Replay
from pilotage.judging.evidence import Answer, Answered, Evidence, NoData, Question, Series
from pilotage.judging.incidents import Incident
from pilotage.judging.questions import Resolved, resolve_indicators
from pilotage.resources.decision import PilotDecisionSpec
from pilotage.resources.indicators import IndicatorTemplateSpec
from pilotage.resources.rollout import PilotRollout
from pilotage.resources.status import HistoryEntry
from pilotage.rollout.admission import User
from pilotage.rollout.capacity_seen import AMPLE
from pilotage.rollout.judgement import judged
from pilotage.rollout.people import HumanDecision
from pilotage.rollout.plan import Plan
from pilotage.rollout.situation import Delivered, Seen
from pilotage.rollout.staging import stage_of

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)  # a Monday

EVENTS_PER_SECOND = 0.05
"""Of each series of errors (or good) and total."""

Signal = Callable[[str, float], float | None]
"""(indicator, seconds since START) -> value, or None where there is no data."""


@dataclass
class Simulation:
    """One rollout, its clock and its world."""

    rollout: PilotRollout
    signal: Signal = lambda _indicator, _at: None
    templates: Mapping[str, IndicatorTemplateSpec] = field(default_factory=dict)
    users: tuple[User, ...] | None = None
    population: int | None = None
    now: datetime = START
    delivers: bool = True
    deleting: bool = False
    outage: Answer | None = None
    incidents: tuple[Incident, ...] = ()
    decisions: list[HumanDecision] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.replay = Replay(self.rollout, self.templates, self, self.now, _Delivery(self))

    @property
    def record(self) -> list[HistoryEntry]:
        """All transitions so far."""
        return self.replay.record

    def decide(self, day: float, by: str, action: str, **fields: str) -> "Simulation":
        """Somebody makes a PilotDecision that day (fields in camelCase)."""
        said = {"rollout": self.rollout.metadata.name, "action": action, "by": by, "reason": "as agreed", **fields}
        name = f"decision-{len(self.decisions) + 1}"
        spec = PilotDecisionSpec.model_validate(said)
        self.decisions.append(HumanDecision(name, name, START + timedelta(days=day), spec))
        return self

    def run(self, duration: timedelta, *, pace: timedelta | None = None) -> "Simulation":
        """Decide as often as the decisions ask for it (or at this pace, where weeks have to pass quickly)."""
        self.replay.run(self.replay.now + duration, pace=pace)
        return self

    def transcript(self) -> str:
        """The story, one line for each transition."""
        return "".join(f"{line}\n" for entry in self.record for line in _lines(entry))

    def see(self, rollout: PilotRollout, plan: Plan, now: datetime) -> Seen:
        """What the made-up metrics say."""
        meta = rollout.metadata
        known = resolve_indicators(rollout.spec, self.templates, namespace=meta.namespace, name=meta.name)
        names = {one.measurement: one.name for one in known.values() if isinstance(one, Resolved)}
        answers = {question: self._answer(names[question.measurement], question, now) for question in plan.questions}
        evidence = Evidence(answers, stage_of(rollout.status), incidents=self.incidents)
        made = tuple(decision for decision in self.decisions if decision.created_at <= now)
        seen = Seen(users=self.users, deleting=self.deleting, decisions=made, capacity=AMPLE)
        return replace(judged(seen, plan, evidence, now), population=self.population)

    def gist(self, *_: object) -> Hashable:
        """It is decided at every judgement."""
        return None

    def _answer(self, indicator: str, question: Question, now: datetime) -> Answer:
        if self.outage is not None:
            return self.outage
        arms = [(arm, self._series(f"{indicator}{arm and ' '}{arm}", question, now)) for arm in self._arms()]
        found = tuple((arm, series) for arm, series in arms if series.times)
        return Answered(found) if found else NoData("the query returned nothing")

    def _arms(self) -> tuple[str, ...]:
        """What a series may belong to: the signal of a variant is asked for as `conversions treatment`."""
        feature = self.rollout.spec.feature
        return "", feature.treatment, feature.control

    def _series(self, indicator: str, question: Question, now: datetime) -> Series:
        end = (now - START).total_seconds()
        count = int(question.span_seconds // question.step_seconds)
        moments: Sequence[float] = [end - (count - i) * question.step_seconds for i in range(count + 1)]
        found = [(at, value) for at in moments if (value := self.signal(indicator, at)) is not None]
        weights = (EVENTS_PER_SECOND * question.window_seconds,) * len(found) if question.measurement.total else ()
        return Series(tuple(START.timestamp() + at for at, _ in found), tuple(value for _, value in found), weights)


class _Delivery(DeliveredAfter):
    """In force after a second, or never."""

    def __init__(self, simulation: Simulation) -> None:
        super().__init__(1.0)
        self._simulation = simulation

    def __call__(self, rollout: PilotRollout, now: datetime) -> Delivered:
        if not self._simulation.delivers:
            return Delivered(message="the flag service can't be reached")
        return super().__call__(rollout, now)


def _lines(entry: HistoryEntry) -> list[str]:
    elapsed = entry.time - START
    when = f"day {elapsed.days:<3} {entry.time:%H:%M}"
    what = f"{entry.action:<10} {entry.step:<16} {entry.admitted:<34} {entry.message}"
    return [f"{when}  {what}".rstrip()]
