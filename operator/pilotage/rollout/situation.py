"""Situation: all that a decision may know, gathered by the shell and given as frozen data.

`Seen` is what was observed; `Situation` adds the plan and what was decided before. `Move` is what a policy answers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pilotage.judging.rules import Rule
from pilotage.resources.rollout import PilotRolloutSpec
from pilotage.resources.status import Action, ExposureStatus, Finding, Phase, PilotRolloutStatus
from pilotage.rollout.admission import Crowd, User
from pilotage.rollout.plan import Plan

NOBODY = ExposureStatus(kind="off", users=0)


@dataclass(frozen=True, slots=True)
class Delivered:
    """What delivery found.

    Attributes:
        target: the object that carries the decision, such as `ConfigMap/pilot-flags`.
        revision_in_force: the revision that the data plane was seen to serve to every probe; None if not known.
        message: what keeps the decision from being in force, a fixed text.
    """

    target: str = ""
    revision_in_force: int | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was observed for one decision.

    Attributes:
        findings: one for each rule of the plan, in its order.
        population: what the population's indicator says; None without one or without data.
        users: the directory's users; None without a directory.
        unread: why a declared directory could not be read; empty if it could.
        delivered: what delivery found.
        deleting: the resource is being deleted.
    """

    findings: tuple[Finding, ...] = ()
    population: int | None = None
    users: tuple[User, ...] | None = None
    unread: str = ""
    delivered: Delivered = field(default_factory=Delivered)
    deleting: bool = False


@dataclass(frozen=True, slots=True)
class Move:
    """What a policy answers.

    Attributes:
        phase: where the rollout is then.
        reason: one CamelCase word.
        message: for status; without numbers that change at every judgement.
        action: the transition that it is, None if nothing changes but the explanation.
        detail: for the record, with numbers; the message if empty.
        update: fields of status that change with it.
        waits_for: in a few words, what comes before the next step.
        until: when it can go on at the earliest.
        at_rest: nothing has to be judged or watched any more.
        at_once: decide again without waiting for the next judgement.
    """

    phase: Phase
    reason: str
    message: str
    action: Action | None = None
    detail: str = ""
    update: Mapping[str, Any] = field(default_factory=dict)
    waits_for: str = ""
    until: datetime | None = None
    at_rest: bool = False
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class Situation:
    """The input of every policy."""

    plan: Plan
    spec: PilotRolloutSpec
    namespace: str
    name: str
    status: PilotRolloutStatus
    seen: Seen
    now: datetime

    @property
    def exposure(self) -> ExposureStatus:
        """Who has the feature by the last decision."""
        return self.status.exposure or NOBODY

    @property
    def exposed(self) -> bool:
        """Whether anybody has the feature by the last decision."""
        return self.exposure.kind != "off"

    @property
    def crowd(self) -> Crowd:
        """Who exists, as far as it is known."""
        population = self.spec.audience.population
        known = population.users if population else None
        if self.seen.users is not None:
            denied = set(self.spec.audience.exclude)
            return Crowd(self.seen.users, sum(user.key not in denied for user in self.seen.users))
        return Crowd(None, known if known is not None else self.seen.population)

    @property
    def judged(self) -> tuple[tuple[Rule, Finding], ...]:
        """The rules that count now, each with its finding: a step's own criteria count only in that step."""
        step = self.status.step.name if self.status.step else None
        findings = self.seen.findings or tuple(_not_asked(rule) for rule in self.plan.rules)
        return tuple(
            (rule, finding)
            for rule, finding in zip(self.plan.rules, findings, strict=True)
            if rule.step is None or rule.step == step
        )

    @property
    def hold_ends_at(self) -> datetime | None:
        """When the step has lasted long enough; None while its users are not verified to have the feature."""
        step = self.status.step
        if step is None or step.verified_time is None:
            return None
        planned = next((planned for planned in self.plan.steps if planned.name == step.name), None)
        return step.verified_time + timedelta(seconds=planned.hold_seconds) if planned else None


def _not_asked(rule: Rule) -> Finding:
    """What was not asked is unknown, never fine."""
    return Finding(rule=rule.text, role=rule.role, verdict="unavailable", message="was not asked")


def once(at: Situation, action: Action, reason: str) -> Action | None:
    """The action, unless the last entry of the record already says so for this generation."""
    last = at.status.history[-1] if at.status.history else None
    return None if last and last.action == action and last.reason == reason else action
