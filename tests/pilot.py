"""A rollout under test: verdicts are said by role, the clock is moved by hand, delivery is noticed or not."""

from datetime import UTC, datetime, timedelta

from pilotage.resources.status import Finding, Verdict
from pilotage.rollout.admission import User
from pilotage.rollout.decide import Decision, decide
from pilotage.rollout.plan import Plan, read_plan
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
        self.obstacle = ""
        self.deleting = False
        self.verdicts: dict[str, Verdict] = {}
        self.since: datetime | None = None
        self.decision: Decision

    @property
    def plan(self) -> Plan:
        return read_plan(self.rollout, {})

    def decide(self, *, after: float = 0, **verdicts: Verdict) -> "Pilot":
        self.now += timedelta(seconds=after)
        self.verdicts.update(verdicts)
        plan = self.plan
        findings = tuple(
            Finding(rule=r.text, role=r.role, verdict=self.verdicts.get(r.role, "pass"), since=self.since)
            for r in plan.rules
        )
        status = self.rollout.status
        revision = status.delivery.revision if status.delivery and self.in_force else None
        seen = Seen(findings, None, USERS, "", Delivered("ConfigMap/x", revision, self.obstacle), self.deleting)
        self.decision = decide(plan, self.rollout, seen, self.now)
        self.rollout = self.rollout.model_copy(update={"status": self.decision.status})
        return self

    def settle(self, *, after: float = 0, **verdicts: Verdict) -> "Pilot":
        """Decide until delivery is noticed."""
        return self.decide(after=after, **verdicts).decide(after=1)

    def edit(self, **fields: object) -> "Pilot":
        self.rollout = edited(self.rollout, **fields)
        return self

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
