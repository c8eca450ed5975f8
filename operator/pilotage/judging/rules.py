"""Rules: what a rollout's spec wants judged. Each kind of rule knows what to ask and what to make of the answers."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Literal

from pilotage.judging.evidence import Evidence, Question
from pilotage.judging.standing import NOTHING, Standing
from pilotage.resources import status
from pilotage.resources.status import Finding, Verdict

Role = status.Role
Consequence = Literal["rollback", "hold", "throttle", "tell"]

CONSEQUENCE: Mapping[Role, Consequence] = {
    "warning": "hold",
    "critical": "rollback",
    "go": "hold",
    "noGo": "hold",
    "rollback": "rollback",
    "throttle": "throttle",
    "burnRate": "hold",
    "assignment": "hold",
    "bucketing": "hold",
    "blocker": "hold",
    "readinessWarning": "tell",
}
"""What follows from a breach; an objective says so itself. What only tells is shown, and decides nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(ABC):
    """One criterion, objective, warning or critical bound, ready to be judged.

    Attributes:
        text: as it is written, such as `error_ratio > 1% for 10m`.
        role: what it is for.
        field: its path, such as `spec.rollback[0]`.
        on_breach: what follows from a breach; `hold` for go criteria.
        indicator: the indicator that it bounds; empty if it bounds none directly.
        step: the step whose exit it guards; None if it guards all.
        for_seconds: how long it must apply (or hold) without a break; 0 if the present decides.
        zone: whose days are meant, where time is counted in days.
        on_trial: judged and shown, but `on_breach` does not follow.
    """

    text: str
    role: Role
    field: str
    on_breach: Consequence
    indicator: str = ""
    step: str | None = None
    for_seconds: float = 0.0
    zone: tzinfo = UTC
    on_trial: bool = False

    @property
    @abstractmethod
    def questions(self) -> tuple[Question, ...]:
        """What has to be asked at every judgement."""

    @property
    @abstractmethod
    def reach_seconds(self) -> float:
        """How far back its evidence reaches: that long after a change it still speaks of what was before."""

    @property
    def bound(self) -> float | None:
        """Where the indicator's bound is drawn, in its base unit; None if there is nothing to draw."""
        return None

    @property
    def decides(self) -> bool:
        """Whether anything follows from it; else it is only shown."""
        return self.on_breach != "tell" and not self.on_trial

    @property
    def kind(self) -> Literal["must-hold", "must-not-apply"]:
        """`must-hold` (go) is met only by `for` without a break; `must-not-apply` breaks only by `for` without one."""
        return "must-hold" if self.role == "go" else "must-not-apply"

    @property
    def is_pending_alarming(self) -> bool:
        """Whether `pending` means that it applies already, and only its time is not over: growth stops at once.

        Else it is only unproven: the step goes on, and is not left.
        """
        return True

    @abstractmethod
    def judge(self, evidence: Evidence, now: datetime) -> Finding:
        """What the rule says at `now`; missing data never passes and never breaches.

        Args:
            evidence: with answers to the rule's questions, asked at `now`.
            now: the moment of the judgement, with a zone.
        """

    def finding(
        self,
        verdict: Verdict,
        message: str,
        *,
        value: str = "",
        since: datetime | None = None,
        earliest: datetime | None = None,
        standing: Standing = NOTHING,
    ) -> Finding:
        """The finding of this rule."""
        return Finding(
            rule=self.text,
            role=self.role,
            verdict=verdict,
            value=value,
            since=since,
            earliest=earliest,
            message=message,
            **standing.as_fields(),
        )
