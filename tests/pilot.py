"""A rollout under test: verdicts are said by role, the clock is moved by hand, delivery is noticed or not."""

from datetime import UTC, datetime, timedelta

from pilotage.resources.decision import PilotDecisionSpec
from pilotage.resources.gates import CHANGED_BY
from pilotage.resources.status import Finding, Verdict
from pilotage.rollout.admission import User
from pilotage.rollout.decide import Decision, decide
from pilotage.rollout.people import HumanDecision
from pilotage.rollout.plan import Plan, read_plan
from pilotage.rollout.several import Several
from pilotage.rollout.situation import Delivered, Seen
from tests.builders import RolloutBuilder, edited, make_rollout

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
USERS = tuple(User(f"user-{n}", {"orders": n % 20}) for n in range(200))


class Pilot:
    """A rollout with its clock; verdicts are said by role."""

    def __init__(self, builder: RolloutBuilder) -> None:
        self.rollout = builder.obj()
        self.now = NOW
        self.in_force = True
        self.contradicted = False
        self.obstacle = self.held_back = ""
        self.deleting = False
        self.verdicts: dict[str, Verdict] = {}
        self.since: datetime | None = None
        self.users: tuple[User, ...] | None = USERS
        self.decisions: list[HumanDecision] = []
        self.several = Several()
        self.unread = ""
        self.said = 0
        self.decision: Decision

    @property
    def plan(self) -> Plan:
        return read_plan(self.rollout, {})

    @property
    def delivered(self) -> Delivered:
        """What delivery finds."""
        delivery = self.rollout.status.delivery
        revision = delivery.revision if delivery and self.in_force else None
        return Delivered(
            "ConfigMap/x", revision, self.obstacle, contradicted=self.contradicted, held_back=self.held_back
        )

    def decide(self, *, after: float = 0, **verdicts: Verdict) -> "Pilot":
        self.now += timedelta(seconds=after)
        self.verdicts.update(verdicts)
        self.decision = self.decided()
        self.rollout = self.rollout.model_copy(update={"status": self.decision.status})
        return self

    def look(self) -> Seen:
        """What is seen now."""
        findings = tuple(
            Finding(rule=r.text, role=r.role, verdict=self.verdicts.get(r.role, "pass"), since=self.since)
            for r in self.plan.rules
        )
        return Seen(
            findings,
            None,
            self.users,
            self.unread,
            self.delivered,
            self.deleting,
            decisions=tuple(self.decisions),
            several=self.several,
        )

    def decided(self) -> Decision:
        """What follows from it."""
        return decide(self.plan, self.rollout, self.look(), self.now)

    def settle(self, *, after: float = 0, **verdicts: Verdict) -> "Pilot":
        """Decide until delivery is noticed."""
        return self.decide(after=after, **verdicts).decide(after=1)

    def edit(self, **fields: object) -> "Pilot":
        self.rollout = edited(self.rollout, **fields)
        return self

    def say(self, action: str, by: str = "ann", *, reason: str = "as agreed", **fields: object) -> "Pilot":
        """Somebody makes a PilotDecision now (fields in camelCase); what follows is seen at the next decisions."""
        said = {"rollout": self.rollout.metadata.name, "action": action, "by": by, "reason": reason, **fields}
        self.said += 1
        number = self.said
        spec = PilotDecisionSpec.model_validate(said)
        self.decisions.append(HumanDecision(f"uid-{number}", f"decision-{number}", self.now, spec))
        return self

    def heed(self, *, after: float = 0) -> "Pilot":
        """Decide as often as decisions ask for it at once."""
        self.decide(after=after)
        while self.decision.wake_at == self.now:
            self.decide()
        return self

    def authored_by(self, user: str) -> "Pilot":
        """Say who changed the spec last, as the API server records it."""
        metadata = self.rollout.metadata.model_copy(update={"annotations": {CHANGED_BY: user}})
        self.rollout = self.rollout.model_copy(update={"metadata": metadata})
        return self

    def undo(self, obstacle: str = "somebody else wrote it") -> "Pilot":
        """From now on, something else than the decision is seen in force."""
        self.in_force, self.contradicted, self.obstacle = False, True, obstacle
        return self

    def mend(self) -> "Pilot":
        """From now on, the decision is seen in force."""
        self.in_force, self.contradicted, self.obstacle = True, False, ""
        return self

    def condition(self, kind: str) -> tuple[str, str, str]:
        """Status, reason and message of a condition."""
        [found] = [each for each in self.rollout.status.conditions if each.type == kind]
        return found.status, found.reason, found.message

    @property
    def waits_for(self) -> str:
        return self.rollout.status.summary.waits_for if self.rollout.status.summary else ""

    @property
    def phase(self) -> str:
        return self.rollout.status.phase or ""

    @property
    def step(self) -> str:
        return self.rollout.status.step.name if self.rollout.status.step else "-"

    @property
    def actions(self) -> list[str]:
        return [entry.action for entry in self.rollout.status.history]

    @property
    def admitted(self) -> int | None:
        return self.rollout.status.exposure.users if self.rollout.status.exposure else 0


def said(role: str, verdict: Verdict) -> dict[str, Verdict]:
    """One verdict for the rules of one role."""
    return {role: verdict}


def guarded() -> RolloutBuilder:
    """Three steps of a minute (10 users, 20 users, everybody) under one rule of every role."""
    return (
        make_rollout()
        .with_spec(
            audience={"directory": {"configMap": "users"}},
            objectives=[{"indicator": "errors", "objective": "< 1%", "warning": "> 0.5%", "critical": "> 5%"}],
            go=["errors < 1%"],
            noGo=["errors > 2%"],
            rollback=["errors > 3% for 30s"],
            throttle=["errors > 4% for 20s"],
        )
        .indicator("errors")
        .step("few", users=10, hold="1m")
        .step("some", users=20, hold="1m")
        .step("all", percent=100, hold="1m")
    )
