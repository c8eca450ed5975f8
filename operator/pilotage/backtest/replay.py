"""Replay: one rollout on a virtual clock, through the plan, the rules and the decision of the operator. Pure.

What the rules see comes from an `Observer`, what delivery finds from a `Deliver`; all else is the operator's: a
decision is stored as the API server stores it, what was brought about is noticed by another decision at once, and
judgements fall on the same moments.
"""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from pilotage.resources.indicators import IndicatorTemplateSpec
from pilotage.resources.rollout import PilotRollout
from pilotage.resources.status import Finding, HistoryEntry, PilotRolloutStatus
from pilotage.rollout.cadence import on_grid, phase_of
from pilotage.rollout.decide import Decision, decide, exposure_of
from pilotage.rollout.exposure import Exposure
from pilotage.rollout.force import is_delivered
from pilotage.rollout.plan import Plan, read_plan
from pilotage.rollout.situation import Delivered, Seen

_MOST_AT_ONCE = 16
"""Decisions at one moment; more would be a loop that no clock ends."""


class Observer(Protocol):
    """What the operator would have seen, but for delivery."""

    def see(self, rollout: PilotRollout, plan: Plan, now: datetime) -> Seen:
        """Findings, population and users at `now`."""
        ...

    def gist(self, rollout: PilotRollout, plan: Plan, now: datetime) -> Hashable:
        """All of it that a decision can depend on; None where only `see` can tell."""
        ...


Deliver = Callable[[PilotRollout, datetime], Delivered]
"""What delivery finds at a moment; the rollout has its last decision in its status."""


class DeliveredAfter:
    """Delivery that brings each decision into force so long after it was taken."""

    def __init__(self, delay_seconds: float = 0.0) -> None:
        self._delay = timedelta(seconds=delay_seconds)
        self._decided: tuple[int, datetime] = (0, datetime.min.replace(tzinfo=UTC))

    def __call__(self, rollout: PilotRollout, now: datetime) -> Delivered:
        """What is in force at `now`."""
        delivery = rollout.status.delivery
        if delivery is None:
            return Delivered()
        target = f"ConfigMap/{rollout.spec.delivery.flags.name}"
        due_at = self.due_at(rollout, now)
        return Delivered(target, delivery.revision) if due_at is not None and now >= due_at else Delivered(target)

    def due_at(self, rollout: PilotRollout, now: datetime) -> datetime | None:
        """When the last decision is in force; it is remembered from when it is first asked for."""
        delivery = rollout.status.delivery
        if delivery is None:
            return None
        if self._decided[0] != delivery.revision:
            self._decided = delivery.revision, now
        return self._decided[1] + self._delay


@dataclass
class Replay:
    """One rollout, its clock and its world.

    Attributes:
        rollout: with the status that was decided last.
        templates: IndicatorTemplates by name.
        observer: tells what is seen.
        now: the moment.
        delivery: tells what is in force.
        thorough: decide at every judgement; else only where the decision could differ from the last one.
        record: all decisions that were transitions, without a limit.
        exposures: each that was to be brought about.
        writes: how often the status changed.
        wake_at: when the last decision wanted the next one.
        seconds_by_phase: how long the rollout was in each phase.
        seconds_by_step: how long it was in each step.
    """

    rollout: PilotRollout
    templates: Mapping[str, IndicatorTemplateSpec]
    observer: Observer
    now: datetime
    delivery: DeliveredAfter | Deliver = field(default_factory=DeliveredAfter)
    thorough: bool = True
    record: list[HistoryEntry] = field(default_factory=list)
    exposures: list[Exposure] = field(default_factory=list)
    writes: int = 0
    wake_at: datetime | None = None
    seconds_by_phase: dict[str, float] = field(default_factory=dict)
    seconds_by_step: dict[str, float] = field(default_factory=dict)
    _plan: tuple[object, Plan] | None = None
    _gist: Hashable = None

    @property
    def plan(self) -> Plan:
        """The plan, read anew where the spec changed."""
        key = (id(self.rollout.spec), id(self.templates))
        if self._plan is None or self._plan[0] != key:
            self._plan = key, read_plan(self.rollout, self.templates)
        return self._plan[1]

    def run(self, until: datetime, *, pace: timedelta | None = None) -> "Replay":
        """Decide as often as the decisions ask for it, up to `until`, or until nothing can happen any more.

        Args:
            until: the last moment of a decision.
            pace: decide no more often than so, where months have to pass quickly.
        """
        while True:
            self.settle()
            following = self.following(pace)
            if following is None or following > until:
                self._pass_time(until)
                return self
            self._pass_time(following)

    def settle(self) -> None:
        """All decisions of this moment: what is brought about at once is noticed at once."""
        for _ in range(_MOST_AT_ONCE):
            self.decide_once()
            following = self.following()
            if following is None or following > self.now:
                return
        msg = f"{_MOST_AT_ONCE} decisions at {self.now} and no end: {self.rollout.status.message}"
        raise AssertionError(msg)

    def decide_once(self) -> None:
        """One decision, as the operator would take it; the status that it writes is read back from JSON."""
        plan = self.plan
        gist = None if self.thorough else self._gist_of(plan)
        if gist is not None and gist == self._gist and self._is_calm():
            self.wake_at = self._next_judgement(plan)
            return
        seen = replace(self.observer.see(self.rollout, plan, self.now), delivered=self._delivered())
        decision = decide(plan, self.rollout, seen, self.now)
        self.wake_at = decision.wake_at
        # After a transition the same gist may lead on; only what was decided without one is decided the same again.
        self._gist = None if self._store(decision) else gist

    def following(self, pace: timedelta | None = None) -> datetime | None:
        """The moment of the next decision; None where nothing can happen any more."""
        due_at = None
        if not is_delivered(self.rollout.status) and isinstance(self.delivery, DeliveredAfter):
            due_at = self.delivery.due_at(self.rollout, self.now)
        if self.wake_at is None:
            return due_at
        wake_at = self.wake_at
        if wake_at > self.now:
            seconds = self.plan.interval_seconds
            phase = phase_of(self.rollout.metadata.namespace, self.plan)
            grid = on_grid(wake_at.timestamp(), self.now.timestamp(), seconds, phase)
            wake_at = datetime.fromtimestamp(grid, self.now.tzinfo) if grid < wake_at.timestamp() else wake_at
        if due_at is not None:
            return max(min(due_at, wake_at), self.now)
        return max(wake_at, self.now + pace) if pace else wake_at

    def _next_judgement(self, plan: Plan) -> datetime:
        until = self.rollout.status.next_check_time
        following = self.now + timedelta(seconds=plan.interval_seconds)
        return until if until and self.now < until < following else following

    def _store(self, decision: Decision) -> bool:
        """Keep the decision; tells whether it was a transition."""
        before = self.rollout.status
        if decision.status == before:
            return False
        self.writes += 1
        sequence = before.history[-1].sequence if before.history else 0
        # Round trip: what is not in the written status is not remembered.
        stored = PilotRolloutStatus.model_validate_json(
            decision.status.model_dump_json(by_alias=True, exclude_none=True)
        )
        new = [entry for entry in stored.history if entry.sequence > sequence]
        self.record += new
        self.rollout = self.rollout.model_copy(update={"status": stored})
        want = exposure_of(self.rollout, stored)
        if want is not None and (not self.exposures or self.exposures[-1] != want):
            self.exposures.append(want)
        return bool(new)

    def _gist_of(self, plan: Plan) -> Hashable:
        return self.observer.gist(self.rollout, plan, self.now)

    def _is_calm(self) -> bool:
        """Whether time alone changes nothing yet: then the same gist leads to the same decision.

        Only how long a hold or a criterion still takes, how long load has been over, and how old evidence is after a
        rollback depend on the clock.
        """
        status = self.rollout.status
        waits = status.next_check_time is not None and self.now >= status.next_check_time
        watched = status.phase in ("RollingBack", "RolledBack") or status.throttled
        return is_delivered(status) and not waits and not watched

    def _delivered(self) -> Delivered:
        return self.delivery(self.rollout, self.now)

    def _pass_time(self, until: datetime) -> None:
        seconds = (until - self.now).total_seconds()
        status = self.rollout.status
        phase, step = status.phase or "", status.step.name if status.step else ""
        self.seconds_by_phase[phase] = self.seconds_by_phase.get(phase, 0.0) + seconds
        self.seconds_by_step[step] = self.seconds_by_step.get(step, 0.0) + seconds
        self.now = until


def gist_of(findings: tuple[Finding, ...], population: int | None) -> Hashable:
    """What of findings a decision that is no transition can depend on."""
    return tuple((found.verdict, found.earliest) for found in findings), population


def fresh(rollout: PilotRollout) -> PilotRollout:
    """The rollout as if nothing had been decided for it yet; where people are asked, they agree at once."""
    steps = tuple(step.model_copy(update={"gates": ()}) for step in rollout.spec.steps)
    spec = rollout.spec.model_copy(update={"steps": steps})
    return rollout.model_copy(update={"spec": spec, "status": PilotRolloutStatus()})
