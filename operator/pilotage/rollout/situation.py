"""Situation: all that a decision may know, gathered by the shell and given as frozen data.

`Seen` is what was observed; `Situation` adds the plan and what was decided before. `Move` is what a policy answers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pilotage.judging.inference.noise import NoiseProfile
from pilotage.judging.rules import Rule
from pilotage.resources.rollout import PilotRolloutSpec
from pilotage.resources.scores import ScoreStatus
from pilotage.resources.status import Action, ExposureStatus, Finding, Phase, PilotRolloutStatus
from pilotage.rollout.admission import Crowd, User
from pilotage.rollout.capacity_seen import CapacitySeen
from pilotage.rollout.people import HumanDecision
from pilotage.rollout.plan import Plan
from pilotage.rollout.several import Several
from pilotage.rollout.tenant_needs import Rates
from pilotage.rollout.tenant_seen import TenantSeen
from pilotage.tenancy.reserving import Claim

NEEDS_A_PERSON = (
    "InvalidSpec",
    "AfterCycle",
    "StepVanished",
    "EditNotTaken",
    "NotEnoughUsers",
    "StepShrinks",
    "NeverOpens",
    "TenantMismatch",
)
"""Reasons that stay until somebody changes the spec, or who there is; their messages begin with the field."""

NOBODY = ExposureStatus(kind="off", users=0)


@dataclass(frozen=True, slots=True)
class Delivered:
    """What delivery found.

    Attributes:
        target: the object that carries the decision, such as `ConfigMap/pilot-flags`.
        revision_in_force: the revision that the data plane was seen to serve to every probe; None if not known.
        message: what keeps the decision from being in force, a fixed text.
        contradicted: the data plane was seen to serve something else.
        taken_back: what it serves is our own "off for everybody", of a later revision.
        held_back: what kept a rollout that is being deleted from being let go, a fixed text.
        seen_at: when that revision was first seen in force; None for now.
    """

    target: str = ""
    revision_in_force: int | None = None
    message: str = ""
    contradicted: bool = False
    taken_back: bool = False
    held_back: str = ""
    seen_at: datetime | None = None


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
        profiles: the service's noise that was learned now, by the texts of the rules.
        scores: one for each score of the plan, in its order.
        traffic: requests per second of treatment and control together, by the names of the sequential rules.
        decisions: people's decisions on this rollout that still exist, in any order.
        tenant: that the namespace belongs to; None if it belongs to none.
        rates: by resource of the tenant, what each variant was measured to use.
        several: the other rollouts, as far as they concern this one.
        capacity: how the workload that serves the users stands; None if that is not known.
    """

    findings: tuple[Finding, ...] = ()
    population: int | None = None
    users: tuple[User, ...] | None = None
    unread: str = ""
    delivered: Delivered = field(default_factory=Delivered)
    deleting: bool = False
    profiles: Mapping[str, NoiseProfile] = field(default_factory=dict)
    scores: tuple[ScoreStatus, ...] = ()
    traffic: Mapping[str, float] = field(default_factory=dict)
    decisions: tuple[HumanDecision, ...] = ()
    tenant: TenantSeen | None = None
    rates: Mapping[str, Rates] = field(default_factory=dict)
    several: Several = field(default_factory=Several)
    capacity: CapacitySeen | None = None


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
        claim: what has to be reserved before this can be decided; then it is decided again.
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
    claim: Claim | None = None


@dataclass(frozen=True, slots=True)
class Situation:
    """The input of every policy.

    Attributes:
        plan: what the spec means.
        spec: as people wrote it.
        namespace: of the rollout.
        name: of the rollout.
        status: what was decided last, with what was noticed since.
        seen: what was observed.
        now: the time of the decision.
        generation: of the spec.
        author: who changed the spec last; empty if that is not known.
        born_at: when the rollout was created; None if that is not known.
        uid: of the rollout.
    """

    plan: Plan
    spec: PilotRolloutSpec
    namespace: str
    name: str
    status: PilotRolloutStatus
    seen: Seen
    now: datetime
    generation: int = 0
    author: str = ""
    born_at: datetime | None = None
    uid: str = ""

    @property
    def exposure(self) -> ExposureStatus:
        """Who has the feature by the last decision."""
        return self.status.exposure or NOBODY

    @property
    def exposed(self) -> bool:
        """Whether anybody has the feature by the last decision."""
        return self.exposure.kind != "off"

    @property
    def observes(self) -> bool:
        """Whether nothing that is decided reaches anybody."""
        return self.spec.mode == "observe" and (self.status.cohort is None or self.status.mode == "observe")

    @property
    def shows_step(self) -> bool:
        """Whether the last decision lets in the users of the step, and not those of the step before."""
        return shows_step(self.status)

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
        """The rules that count now, each with its finding; not those that only tell, or are on trial."""
        return tuple((rule, finding) for rule, finding in self.shown if rule.decides)

    @property
    def on_trial(self) -> tuple[tuple[Rule, Finding], ...]:
        """The rules that are on trial now, each with its finding."""
        return tuple((rule, finding) for rule, finding in self.shown if rule.on_trial)

    @property
    def shown(self) -> tuple[tuple[Rule, Finding], ...]:
        """The rules of now, each with its finding: a step's own criteria count only in that step."""
        step = self.status.step.name if self.status.step else None
        findings = self.seen.findings or tuple(_not_asked(rule) for rule in self.plan.rules)
        return tuple(
            (rule, finding.model_copy(update={"mode": "observe"}) if rule.on_trial else finding)
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
        seconds = planned.hold_seconds + step.extended_seconds if planned else 0
        return step.verified_time + timedelta(seconds=seconds) if planned else None


def shows_step(status: PilotRolloutStatus) -> bool:
    """Whether the exposure is that of the step."""
    return status.step is not None and (status.exposure or NOBODY).step == status.step.name


def _not_asked(rule: Rule) -> Finding:
    """What was not asked is unknown, never fine."""
    return Finding(rule=rule.text, role=rule.role, verdict="unavailable", message="was not asked")


def begins_to_wait(at: Situation, phase: Phase) -> bool:
    """Whether waiting in this phase is a transition: also after what leads to Pending by itself, as starting over does.

    Later changes of the reason stand in status: told as Events, those that come and go would push all else out of the
    history.
    """
    started_over = bool(at.status.history) and at.status.history[-1].action in ("Restart", "Retry")
    return at.status.phase != phase or started_over


def once(at: Situation, action: Action, reason: str) -> Action | None:
    """The action, unless the last entry of the record already says so for this generation."""
    last = at.status.history[-1] if at.status.history else None
    return None if last and last.action == action and last.reason == reason else action
