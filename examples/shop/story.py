"""What has to happen in the demo, and whether it did: pure checks over what was seen of each feature.

A `Chapter` is fed with sights, each the clients' record first and then the operator's status: status is written before
users are let in, so that at any moment the clients may have what that status says, and nothing more.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import floor
from typing import Any

from pilotage.resources.rollout import PilotRollout, Step
from pilotage.resources.status import HistoryEntry

LONGEST_DECISION_SECONDS = 20.0
"""From the fault to the decision: window 3 s, `for` 4 s, scrape and interval 1 s each; the rest is a slow machine."""

LONGEST_WAY_BACK_SECONDS = 5.0
"""From the decision to the last answer with the treatment that any client got."""

_LEAST_OF_PERCENT = 0.9
"""A step by percent is a share of the hash's buckets: it never means more users than planned, but some fewer."""


@dataclass(frozen=True, slots=True)
class Clients:
    """What the clients of one feature saw (see `seen.Seen`)."""

    inside: int = 0
    most: int = 0
    dropped: int = 0
    first_dropped_at: datetime | None = None
    last_treatment_at: datetime | None = None

    @classmethod
    def from_wire(cls, data: dict[str, Any]) -> "Clients":
        """Read what the load generator tells."""
        return cls(
            inside=data["inside"],
            most=data["most"],
            dropped=data["dropped"],
            first_dropped_at=_moment(data["first_dropped_at"]),
            last_treatment_at=_moment(data["last_treatment_at"]),
        )


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


@dataclass(frozen=True, slots=True)
class Sight:
    """One feature at one moment: first the clients were asked, then the operator."""

    clients: Clients
    rollout: PilotRollout


@dataclass(slots=True)
class Chapter:
    """One feature's part of the story.

    Attributes:
        population: how many users the shop has.
        reached: admitted users, each number once, in the order in which it was decided.
        problems: what must not happen and did, each once.
        news: the decisions that were not told yet.
    """

    population: int
    reached: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    news: list[HistoryEntry] = field(default_factory=list)
    _told: int = 0

    def look(self, sight: Sight) -> None:
        """Take in what was seen, and check what must always hold."""
        history = sight.rollout.status.history
        self.news += [entry for entry in history if entry.sequence > self._told]
        self._told = max([self._told, *(entry.sequence for entry in history)])
        self._note_exposure(sight.rollout)
        self._check_clients(sight)

    def take_news(self) -> list[HistoryEntry]:
        """The decisions since the last call."""
        news, self.news = self.news, []
        return news

    def _note_exposure(self, rollout: PilotRollout) -> None:
        status = rollout.status
        exposure, step = status.exposure, status.step
        if exposure is None or step is None or not exposure.users:
            return
        planned = planned_users(rollout.spec.steps[step.index], self.population)
        if exposure.users > planned:
            self._blame(f"step {step.name} admitted {exposure.users} users, while the plan says {planned}")
        if not self.reached or exposure.users != self.reached[-1]:
            self.reached.append(exposure.users)

    def _check_clients(self, sight: Sight) -> None:
        clients, rollback = sight.clients, sight.rollout.status.rollback
        allowed = max(self.reached, default=0)
        if clients.most > allowed:
            self._blame(f"{clients.most} clients had the treatment at a time, while {allowed} users were admitted")
        # Users are back before the rollback is written: who lost it before that is known only then, or at the end.
        if rollback and clients.first_dropped_at and clients.first_dropped_at < rollback.decided_time:
            self._blame_dropped(clients)

    def _blame_dropped(self, clients: Clients) -> None:
        self._blame(f"{clients.dropped} clients had the treatment and lost it while the rollout grew")

    def _blame(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)

    def end_completed(self, sight: Sight) -> None:
        """Check that the feature went the whole way, step by step, and that everybody really has it."""
        status = sight.rollout.status
        if status.phase != "Completed":
            self._blame(f"it was to be completed, but is {status.phase}: {status.message}")
        self._check_reached(sight.rollout.spec.steps)
        if sight.clients.dropped:
            self._blame_dropped(sight.clients)
        if sight.clients.inside < self.population:
            self._blame(f"only {sight.clients.inside} of {self.population} clients saw the treatment at the end")

    def end_taken_back(self, sight: Sight, *, steps: int, fault_at: datetime) -> None:
        """Check that the feature was taken back soon after the fault, and from everybody.

        Args:
            sight: the last one.
            steps: how many steps it was to take before the fault.
            fault_at: when the treatment began to fail.
        """
        status = sight.rollout.status
        self._check_reached(sight.rollout.spec.steps[:steps])
        if status.rollback is None or status.phase != "RolledBack":
            self._blame(f"it was to be rolled back, but is {status.phase}: {status.message}")
            return
        waited = (status.rollback.decided_time - fault_at).total_seconds()
        if not 0 < waited <= LONGEST_DECISION_SECONDS:
            self._blame(
                f"the rollback was decided {waited:.1f} s after the fault, not within {LONGEST_DECISION_SECONDS:g} s"
            )
        if sight.clients.inside:
            self._blame(f"{sight.clients.inside} clients still have the treatment")
        back = seconds_to_last_answer(sight)
        if back is not None and back > LONGEST_WAY_BACK_SECONDS:
            self._blame(f"clients got the treatment until {back:.1f} s after the decision")

    def _check_reached(self, steps: Sequence[Step]) -> None:
        """Each step in its turn: counted users to the last one, percent as near as the users' buckets allow."""
        plan = plan_of(steps, self.population)
        least = [
            _LEAST_OF_PERCENT * users if step.users is None else users for step, users in zip(steps, plan, strict=True)
        ]
        if len(self.reached) != len(plan) or any(a < b for a, b in zip(self.reached, least, strict=True)):
            self._blame(f"users were to be admitted as {plan}, but were as {self.reached}")


def seconds_to_last_answer(sight: Sight) -> float | None:
    """From the rollback's decision to the last treatment that a client got; 0 if none came later, None without one."""
    rollback, last = sight.rollout.status.rollback, sight.clients.last_treatment_at
    if rollback is None or last is None:
        return None
    return max((last - rollback.decided_time).total_seconds(), 0.0)


def plan_of(steps: Sequence[Step], population: int) -> list[int]:
    """How many users each step means."""
    return [planned_users(step, population) for step in steps]


def planned_users(step: Step, population: int) -> int:
    """How many users the step means: never more may have the treatment."""
    return step.users if step.users is not None else floor(population * float(step.percent or 100) / 100)
