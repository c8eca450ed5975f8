"""PilotRollout's status: what was observed and decided, and all that the operator remembers.

A restart reads nothing else: the cohort is frozen here, the clock is here, and every effect follows from here.
"""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from pilotage.resources.base import (
    ATOMIC,
    Condition,
    Message,
    Model,
    Time,
    UserKey,
    keyed_by,
)
from pilotage.resources.capacity import CapacityStatus
from pilotage.resources.scores import ScoreStatus
from pilotage.resources.tenant_standing import TenantStanding

Phase = Literal[
    "Pending", "Progressing", "AwaitingApproval", "Holding", "Paused", "RollingBack", "RolledBack", "Completed"
]

Mode = Literal["enforce", "observe"]

Verdict = Literal["pass", "breach", "pending", "no-data", "unavailable"]

Role = Literal[
    "objective",
    "warning",
    "critical",
    "go",
    "noGo",
    "rollback",
    "throttle",
    "burnRate",
    "assignment",
    "bucketing",
    "blocker",
    "readinessWarning",
]
"""What a rule is for: where it stands in the spec."""

WORST_FIRST: tuple[Verdict, ...] = ("breach", "unavailable", "no-data", "pending", "pass")
"""What has to be said of several verdicts is said of the worst."""

HISTORY_LIMIT = 20

DECISIONS_LIMIT = 32

APPROVALS_LIMIT = 64

Short = Annotated[str, StringConstraints(max_length=253)]

CriteriaText = Annotated[str, StringConstraints(max_length=256)]

Count = Annotated[int, Field(ge=0, json_schema_extra={"format": "int64"})]


Action = Literal[
    "Start",
    "Advance",
    "Hold",
    "Resume",
    "Pause",
    "Throttle",
    "Restore",
    "Widen",
    "RollBack",
    "RolledBack",
    "Complete",
    "Restart",
    "Retry",
    "Acknowledge",
    "Stall",
    "Release",
    "NotInForce",
    "InForce",
    "Observe",
    "Await",
    "Approve",
    "Extend",
    "Return",
    "Skip",
    "Refuse",
]
"""What a decision did: a transition, of which there is one record and one Event."""


class Summary(Model):
    """What one line of `kubectl get pilots` tells."""

    step: Short = ""
    """step as `2/6 week-3`."""
    users: Short = ""
    """users admitted, such as `20`; `?` where their number is not known."""
    percent: Short = ""
    """percent admitted, `30%`."""
    verdict: Short = ""
    """verdict over all criteria: the worst of them."""
    waits_for: Short = ""
    """waitsFor says in a few words what comes before the next step."""


class Skip(Model):
    """That a step is left before its time and its go criteria, and how far."""

    to_step: Short
    """toStep is the step to go on to, one step after the other."""
    by: Short
    """by is who decided it."""


class StepStatus(Model):
    """The step that the rollout is in."""

    index: Count
    """index in spec.steps, from 0."""
    name: Short
    """name of the step."""
    entered_time: Time
    """enteredTime is when the step was decided."""
    verified_time: Time | None = None
    """verifiedTime is when its users were seen to have the feature: the hold counts from here. It moves on by the time
    in which something else was in force."""
    counted_time: Time | None = None
    """countedTime is from when on requests are evidence for the sequential judge, where that began before this step:
    with the first users, or with those who stayed after a rollback."""
    regained_time: Time | None = None
    """regainedTime is when its users had the feature again after something else had been in force: from here on users
    are counted by variant."""
    extended_seconds: Count = 0
    """extendedSeconds is by how much people have prolonged its hold."""
    skip: Skip | None = None
    """skip is set where somebody decided to leave the step before its time."""


Parts = Annotated[int, Field(ge=0, le=1_000_000_000, json_schema_extra={"format": "int64"})]
"""A share, in parts per billion."""


class GrantStatus(Model):
    """A share of some cohorts that an earlier step granted."""

    share: Annotated[int, Field(ge=0, le=1_000_000_000, json_schema_extra={"format": "int64"})]
    """share of the cohorts' buckets, in parts per billion."""
    control: Parts = 0
    """control is the share of these buckets, from the end, that is compared with it."""
    cohorts: Annotated[tuple[Short, ...], Field(max_length=16, json_schema_extra=ATOMIC)] = ()
    """cohorts that the share is limited to; everybody if empty."""
    criteria: Annotated[tuple[CriteriaText, ...], Field(max_length=16, json_schema_extra=ATOMIC)] = ()
    """criteria of these cohorts when it was decided: an edited cohort counts from the next step."""


class AskedStatus(Model):
    """How many users a step asked for when it was decided; its spec may have been edited since."""

    users: Count | None = None
    """users, where it counted them."""
    percent: Short | None = None
    """percent of the cohorts' users, where it did not."""


class ExposureStatus(Model):
    """Who has the feature, as decided; the flag follows from it."""

    kind: Literal["off", "users", "percent", "full"] = "off"
    """kind of exposure."""
    step: Short = ""
    """step that it belongs to; empty for nobody."""
    enrolled: Count = 0
    """enrolled is how many of cohort.enrolled are in."""
    share: Annotated[int, Field(ge=0, le=1_000_000_000, json_schema_extra={"format": "int64"})] = 0
    """share of the eligible users' buckets that is in, in parts per billion."""
    cohorts: Annotated[tuple[Short, ...], Field(max_length=16, json_schema_extra=ATOMIC)] = ()
    """cohorts that the share is limited to; everybody if empty."""
    criteria: Annotated[tuple[CriteriaText, ...], Field(max_length=16, json_schema_extra=ATOMIC)] = ()
    """criteria of these cohorts when it was decided: an edited cohort counts from the next step."""
    kept: Annotated[tuple[GrantStatus, ...], Field(max_length=32, json_schema_extra=ATOMIC)] = ()
    """kept are shares of earlier steps that this one does not cover, such as all of a cohort."""
    users: Count | None = None
    """users who are admitted by it; an estimate where the population is one, absent where it is not known."""
    held_back: Parts = 0
    """heldBack is the share of all buckets, the last ones, that stays control whatever the step lets in."""
    control: Parts = 0
    """control is the share of the eligible users' buckets, from the last one on and with those held back, that is
    compared with it; 0 where all others are."""
    controls: Count = 0
    """controls is how many of cohort.controls are control by name."""
    control_users: Count | None = None
    """controlUsers are the known users who are control; absent where all others are, or where they are not known."""
    asked: AskedStatus | None = None
    """asked is what the step asked for: another number in spec is an edit of it."""


class CohortStatus(Model):
    """What keeps users sticky; frozen when the rollout starts."""

    seed: Short
    """seed that is put before the bucketing key."""
    order: Annotated[tuple[Short, ...], Field(max_length=8, json_schema_extra=ATOMIC)]
    """order of the variants in the bucketing rule."""
    hash_generation: Literal["raw", "cbor"]
    """hashGeneration of the evaluators."""
    bucket_by: Short
    """bucketBy is the attribute that is hashed."""
    enrolled: Annotated[tuple[UserKey, ...], Field(max_length=1000, json_schema_extra=ATOMIC)] = ()
    """enrolled users in the order in which they were let in."""
    control: Literal["rest", "equal"] = "rest"
    """control says whether all others are compared with treatment, or an arm of its size."""
    rest: Short = ""
    """rest is the variant of those who are in no arm; empty where all others are control."""
    controls: Annotated[tuple[UserKey, ...], Field(max_length=1000, json_schema_extra=ATOMIC)] = ()
    """controls are the users who are control by name, in the order in which they came to it."""
    excluded: Short = ""
    """excluded is a digest of audience.exclude as it is in force: an edit of that list takes effect at once."""


class LeaseStatus(Model):
    """For how long users have a step that is not proven, if nobody renews it."""

    time: Time
    """time when they fall back to the step before by themselves."""
    state: Literal["Known", "Silent"] = "Known"
    """state is Silent where it is not renewed because no rule that guards the users has data."""
    lapses: Count = 0
    """lapses is how often the lease has run out for want of data in this step."""


class DeliveryStatus(Model):
    """What became of the decision."""

    target: Short = ""
    """target object, such as `ConfigMap/pilot-flags`."""
    revision: Count = 0
    """revision of the decided exposure; one more with each change."""
    verified_revision: Count = 0
    """verifiedRevision is the last revision that was seen in force at the flag service."""
    direction: Literal["forward", "back"] = "forward"
    """direction of this revision; one that takes users back is written by force, whoever else writes there."""
    message: Message = ""
    """message says what keeps it from being in force."""
    lost_time: Time | None = None
    """lostTime is since when something else is seen in force; absent while the decision is."""
    lease: LeaseStatus | None = None
    """lease of a step that is not proven; absent where spec.delivery.leaseSeconds is, and where it needs none."""


class Finding(Model):
    """What one criterion says."""

    rule: Annotated[str, StringConstraints(max_length=256)]
    """rule as it is written in the spec, such as `error_ratio > 1% for 10m`."""
    role: Role
    """role of the rule."""
    verdict: Verdict
    """verdict: pass, breach, pending (its time is not over yet), no-data, or unavailable (Prometheus can't be asked).
    For noGo, rollback and throttle, pass means that the rule does not apply."""
    value: Short = ""
    """value last seen, with its unit."""
    since: Time | None = None
    """since when it says so without a break."""
    earliest: Time | None = None
    """earliest is when it can be met at the earliest."""
    message: Message = ""
    """message explains it, with numbers."""
    mode: Mode | None = None
    """mode is `observe` where the rule is on trial and decides nothing."""
    bound: Short | None = None
    """bound that the value is compared with, such as `> 1%`."""
    evidence: Short | None = None
    """evidence is the share of what decides, such as `63%`; for a rule with `for`, the time held of the time needed,
    such as `4m of 10m`."""
    distance: Short | None = None
    """distance of the value from the bound, such as `0.6 percentage points below`."""
    remedy: Message | None = None
    """remedy is what would change the verdict, such as `120 more requests (about 6m)`."""


class NoiseStatus(Model):
    """What the sequential judge learned of a service's noise, once for a step."""

    rule: Annotated[str, StringConstraints(max_length=256)]
    """rule that it is for, such as `errors < 1% for 90s`."""
    step: Short
    """step that it was learned for."""
    hours: Count
    """hours of history that it rests on."""
    baseline: Short
    """baseline is the service's long-run ratio of errors, such as `0.0012`."""
    thresholds: Annotated[tuple[Short, ...], Field(max_length=16, json_schema_extra=ATOMIC)] = ()
    """thresholds of evidence, by fault size (1.5, 2, 3, 5, 10, 25, 80 times the defended ratio); 9 is a calm service,
    `inf` a size that only holds."""
    note: Message = ""
    """note says which faults take longer to see, and why."""


class OutlookStatus(Model):
    """What a planned step can prove before it is left, by the traffic that was counted last."""

    step: Short
    """step that it is about."""
    rule: Annotated[str, StringConstraints(max_length=256)]
    """rule that needs longest, such as `errors < 1%`."""
    proves: Literal["Enough", "TooLittle", "Unknown"]
    """proves is Enough where the step lasts long enough to see a fault of three times the objective 9 times of 10."""
    lasts: Short
    """lasts is how long the step is held at least, such as `14d`."""
    traffic: Short = ""
    """traffic expected of the step's users, such as `2 requests a minute`; empty where nobody knows."""
    sees: Short = ""
    """sees is the smallest fault of 2, 5 and 10 times the objective that shows within the hold 9 times of 10."""
    needs: Short = ""
    """needs is how long the step would have to last to see three times the objective 9 times of 10."""
    message: Message = ""
    """message is the warning where the hold is too short, and the reason where nobody knows."""


class ReadinessStatus(Model):
    """Whether the rollout may go on, as far as criteria tell."""

    state: Literal["Ready", "NotReady", "Unknown"]
    """state is NotReady where there are blockers, Unknown where something can't be told."""
    blockers: Annotated[tuple[Message, ...], Field(max_length=32, json_schema_extra=ATOMIC)] = ()
    """blockers, each as its rule and what it says."""
    warnings: Annotated[tuple[Message, ...], Field(max_length=32, json_schema_extra=ATOMIC)] = ()
    """warnings, each as its rule and what it says."""
    unknown: Annotated[tuple[Message, ...], Field(max_length=32, json_schema_extra=ATOMIC)] = ()
    """unknown is what can't be told, for want of data."""


class TurnStatus(Model):
    """Whether it is this rollout's turn to advance, of all that could."""

    state: Literal["Taken", "Awaited"] = "Taken"
    """state is Taken while users are in a step that is not proven yet, Awaited while as many others as may."""
    since: Time
    """since when: who waits longest comes first."""
    limit: Literal["tenant", "cluster"] | None = None
    """limit that is reached, while it is awaited."""


class RollbackStatus(Model):
    """Why and when users were taken back; stays until it is acknowledged and the rollout went on, or starts over."""

    sequence: Count = 0
    """sequence of the decision, which spec.acknowledgedRollback names."""
    decided_time: Time
    """decidedTime is when the rollback was decided."""
    verified_time: Time | None = None
    """verifiedTime is when the users were seen to be back."""
    acknowledged_time: Time | None = None
    """acknowledgedTime is when a person had looked into it."""
    acknowledged_by: Short | None = None
    """acknowledgedBy is who said so by a PilotDecision."""
    from_step: Short
    """fromStep is the step that broke."""
    to_step: Short = ""
    """toStep is the step that users went back to; empty for nobody."""
    reason: Short
    """reason is one CamelCase word."""
    message: Message
    """message names the rule and its evidence."""


class Approval(Model):
    """One person's approval of a gate of the next step; it counts for this attempt and this spec only."""

    gate: Short
    """gate that is approved."""
    role: Short = ""
    """role in which it was approved, where the gate has a quorum."""
    by: Short
    """by is who approved it."""
    generation: Count
    """generation of the spec that was approved."""
    time: Time
    """time of the decision."""
    decision: Short
    """decision is the name of the PilotDecision."""


class AwaitedApproval(Model):
    """What the rollout waits for while people have not agreed."""

    step: Short
    """step that is waited for."""
    since: Time
    """since when everything else holds."""
    deadline_time: Time | None = None
    """deadlineTime is the deadline that comes first; absent without one."""
    overdue: bool = False
    """overdue says that a deadline has passed."""
    missing: Annotated[tuple[Short, ...], Field(max_length=8, json_schema_extra=ATOMIC)] = ()
    """missing says of each closed gate who has to agree, such as `gate security: needs 1 of security`."""


class PauseStatus(Model):
    """That somebody paused growth by a PilotDecision."""

    by: Short
    """by is who paused it."""
    reason: Message
    """reason that was given."""
    time: Time
    """time of the decision."""


class DoneDecision(Model):
    """A PilotDecision that was carried out, or refused."""

    uid: Short
    """uid of the PilotDecision."""
    time: Time
    """time of its creation."""


class DecisionsStatus(Model):
    """Which PilotDecisions were carried out, so that each acts once."""

    since: Time | None = None
    """since: decisions up to this time are done, whether they are still named here or not."""
    attempt_time: Time | None = None
    """attemptTime is when the present step was entered or the rollout started over; what was approved before counts for
    nothing that comes after."""
    done: Annotated[tuple[DoneDecision, ...], Field(max_length=DECISIONS_LIMIT, json_schema_extra=ATOMIC)] = ()
    """done are the last ones that were carried out, or refused."""


class HistoryEntry(Model):
    """One decision with its evidence."""

    time: Time
    """time of the decision."""
    sequence: Count
    """sequence numbers decisions without a gap."""
    generation: Count = 0
    """generation of the spec that was decided by."""
    mode: Mode | None = None
    """mode is `observe` where nothing of it reached anybody."""
    action: Action
    """action that was decided."""
    step: Short = ""
    """step that it led to or happened in."""
    reason: Short
    """reason is one CamelCase word."""
    message: Message
    """message for people."""
    admitted: Short = ""
    """admitted after it, such as `20 users`."""
    evidence: Annotated[tuple[Short, ...], Field(max_length=16, json_schema_extra=ATOMIC)] = ()
    """evidence: what the criteria said at that time."""


class PilotRolloutStatus(Model):
    """What was observed and decided."""

    observed_generation: Count = 0
    """observedGeneration is the spec's generation that this status speaks of."""
    phase: Phase | None = None
    """phase of the rollout in one word."""
    message: Message = ""
    """message explains the phase."""
    summary: Summary | None = None
    """summary for one line."""
    mode: Mode | None = None
    """mode in which this was decided; absent before the first step. With `observe`, exposure, step and trail are what
    would be, and nobody is in."""
    revision: Count = 0
    """revision is the spec.feature.revision that is being rolled out."""
    step: StepStatus | None = None
    """step that the rollout is in; absent before the first."""
    exposure: ExposureStatus | None = None
    """exposure as decided."""
    trail: Annotated[tuple[ExposureStatus, ...], Field(max_length=32, json_schema_extra=ATOMIC)] = ()
    """trail holds the exposure of each step that was entered, in order: the way back leads to the same people."""
    population: Count | None = None
    """population that was seen when the step began."""
    throttled: bool = False
    """throttled says that users were shed to the last proven step."""
    calm_time: Time | None = None
    """calmTime is since when load is seen to be over, while users are shed."""
    sheds: Count = 0
    """sheds is how often users were shed in this step: each time they come back later."""
    cohort: CohortStatus | None = None
    """cohort is frozen when the rollout starts."""
    delivery: DeliveryStatus | None = None
    """delivery tells whether the decision is in force."""
    capacity: CapacityStatus | None = None
    """capacity that steps have asked for."""
    next_check_time: Time | None = None
    """nextCheckTime is when the rollout may go on at the earliest."""
    criteria: Annotated[tuple[Finding, ...], Field(max_length=256, json_schema_extra=ATOMIC)] = ()
    """criteria as they were judged when a verdict changed last; refreshed every few minutes."""
    scores: Annotated[tuple[ScoreStatus, ...], Field(max_length=8, json_schema_extra=keyed_by("name"))] = ()
    """scores as they were when criteria were taken, or a rating changed."""
    readiness: ReadinessStatus | None = None
    """readiness by these criteria, where spec.readiness asks for it."""
    judged_time: Time | None = None
    """judgedTime is when criteria were taken."""
    noise: Annotated[tuple[NoiseStatus, ...], Field(max_length=32, json_schema_extra=ATOMIC)] = ()
    """noise that the sequential judge learned for the step."""
    outlook: Annotated[tuple[OutlookStatus, ...], Field(max_length=32, json_schema_extra=keyed_by("step"))] = ()
    """outlook tells of this step and the later ones what each can prove before it is left."""
    rollback: RollbackStatus | None = None
    """rollback, where users were taken back."""
    retries: Count = 0
    """retries of this revision after a rollback."""
    approvals: Annotated[tuple[Approval, ...], Field(max_length=APPROVALS_LIMIT, json_schema_extra=ATOMIC)] = ()
    """approvals of the next step's gates; they stay when the PilotDecision is deleted."""
    tenant: TenantStanding | None = None
    """tenant, and how the rollout stands with its quota; absent where no TenantQuota lists the namespace."""
    turn: TurnStatus | None = None
    """turn to advance; absent where the step is proven, or nobody is to be let in."""
    awaiting: AwaitedApproval | None = None
    """awaiting tells what approval is missing, while the phase is AwaitingApproval."""
    pause: PauseStatus | None = None
    """pause by a PilotDecision, until another one resumes."""
    decisions: DecisionsStatus | None = None
    """decisions by people that were carried out."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16, json_schema_extra=keyed_by("type"))] = ()
    """conditions: Ready and Completed (the last step is done), Reconciling (on the way), Stalled (a person is needed),
    Healthy (nothing is broken), Acknowledged (a person has looked into the last rollback), Delivered (what was decided
    is in force), StepsProvable (this step and the later ones last long enough to see a fault of three times the
    objective)."""
    history: Annotated[tuple[HistoryEntry, ...], Field(max_length=HISTORY_LIMIT, json_schema_extra=ATOMIC)] = ()
    """history of the last decisions, oldest first."""
