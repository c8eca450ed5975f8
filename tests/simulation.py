"""Simulation: a rollout on a virtual clock, through the real plan, judge and decision, with made-up metrics.

Only two things are played: what Prometheus would have answered (a function of indicator and time), and delivery (in
force after a second, or never). The outcome is a transcript that tells the story line by line.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from pilotage.judging.evidence import Answer, Answered, NoData, Question, Series
from pilotage.judging.judge import judge
from pilotage.judging.rules import Rule
from pilotage.resources.indicators import IndicatorTemplateSpec
from pilotage.resources.rollout import PilotRollout
from pilotage.resources.status import HistoryEntry
from pilotage.rollout.admission import User
from pilotage.rollout.decide import decide, exposure_of
from pilotage.rollout.exposure import Exposure
from pilotage.rollout.plan import read_plan
from pilotage.rollout.situation import Delivered, Seen

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)  # a Monday

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
    exposures: list[Exposure] = field(default_factory=list)
    record: list[HistoryEntry] = field(default_factory=list)
    writes: int = 0
    wake_at: datetime | None = None

    def decide_once(self) -> None:
        """One decision, as the shell would take it; the status it writes is read back from JSON."""
        plan = read_plan(self.rollout, self.templates)
        findings = tuple(judge(rule, self._answer(rule), self.now) for rule in plan.rules)
        seen = Seen(findings, self.population, self.users, "", self._delivered(), self.deleting)
        decision = decide(plan, self.rollout, seen, self.now)
        before, self.wake_at = self.rollout.status, decision.wake_at
        if decision.status != before:
            self.writes += 1
        sequence = before.history[-1].sequence if before.history else 0
        self.record += [entry for entry in decision.status.history if entry.sequence > sequence]
        # Round trip: what is not in the written status is not remembered.
        stored = type(before).model_validate_json(decision.status.model_dump_json(by_alias=True, exclude_none=True))
        self.rollout = self.rollout.model_copy(update={"status": stored})
        want = exposure_of(self.rollout, stored)
        if want is not None and (not self.exposures or self.exposures[-1] != want):
            self.exposures.append(want)

    def run(self, duration: timedelta, *, pace: timedelta | None = None) -> "Simulation":
        """Decide as often as the decisions ask for it (or at this pace, where weeks have to pass quickly)."""
        end = self.now + duration
        self.decide_once()
        while self.wake_at is not None and self.now < end:
            waits = max(self.wake_at - self.now, timedelta(seconds=1))
            unsettled = self.rollout.status.delivery and not self._settled()
            self.now += timedelta(seconds=1) if unsettled else max(waits, pace or waits)
            self.decide_once()
        return self

    def transcript(self) -> str:
        """The story, one line for each transition."""
        return "".join(f"{line}\n" for entry in self.record for line in _lines(entry))

    def _settled(self) -> bool:
        delivery = self.rollout.status.delivery
        return delivery is None or delivery.revision == delivery.verified_revision

    def _delivered(self) -> Delivered:
        delivery = self.rollout.status.delivery
        if delivery is None or not self.delivers:
            return Delivered(message="the flag service can't be reached")
        return Delivered("ConfigMap/pilot-flags", delivery.revision)

    def _answer(self, rule: Rule) -> Answer:
        if self.outage is not None:
            return self.outage
        series = self._series(rule.indicator, rule.question)
        return Answered((("", series),)) if series.times else NoData("the query returned nothing")

    def _series(self, indicator: str, question: Question) -> Series:
        end = (self.now - START).total_seconds()
        count = int(question.span_seconds // question.step_seconds)
        moments: Sequence[float] = [end - (count - i) * question.step_seconds for i in range(count + 1)]
        found = [(at, value) for at in moments if (value := self.signal(indicator, at)) is not None]
        return Series(tuple(START.timestamp() + at for at, _ in found), tuple(value for _, value in found))


def _lines(entry: HistoryEntry) -> list[str]:
    elapsed = entry.time - START
    when = f"day {elapsed.days:<3} {entry.time:%H:%M}"
    what = f"{entry.action:<10} {entry.step:<16} {entry.admitted:<34} {entry.message}"
    return [f"{when}  {what}".rstrip()]
