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

Phase = Literal["Pending", "Progressing", "Holding", "Paused", "RollingBack", "RolledBack", "Completed"]

Verdict = Literal["pass", "breach", "pending", "no-data", "unavailable"]

WORST_FIRST: tuple[Verdict, ...] = ("breach", "unavailable", "no-data", "pending", "pass")
"""What has to be said of several verdicts is said of the worst."""

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
    "RollBack",
    "RolledBack",
    "Complete",
    "Restart",
    "Stall",
    "Release",
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


class StepStatus(Model):
    """The step that the rollout is in."""

    index: Count
    """index in spec.steps, from 0."""
    name: Short
    """name of the step."""
    entered_time: Time
    """enteredTime is when the step was decided."""
    verified_time: Time | None = None
    """verifiedTime is when its users were seen to have the feature: the hold counts from here."""


class GrantStatus(Model):
    """A share of some cohorts that an earlier step granted."""

    share: Annotated[int, Field(ge=0, le=1_000_000_000, json_schema_extra={"format": "int64"})]
    """share of the cohorts' buckets, in parts per billion."""
    cohorts: Annotated[tuple[Short, ...], Field(max_length=16, json_schema_extra=ATOMIC)] = ()
    """cohorts that the share is limited to; everybody if empty."""
    criteria: Annotated[tuple[CriteriaText, ...], Field(max_length=16, json_schema_extra=ATOMIC)] = ()
    """criteria of these cohorts when it was decided: an edited cohort counts from the next step."""


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
    excluded: Short = ""
    """excluded is a digest of audience.exclude as it is in force: an edit of that list takes effect at once."""


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


class Finding(Model):
    """What one criterion says."""

    rule: Annotated[str, StringConstraints(max_length=256)]
    """rule as it is written in the spec, such as `error_ratio > 1% for 10m`."""
    role: Literal["objective", "warning", "critical", "go", "noGo", "rollback", "throttle"]
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


class RollbackStatus(Model):
    """Why and when users were taken back; stays until the rollout starts over."""

    decided_time: Time
    """decidedTime is when the rollback was decided."""
    verified_time: Time | None = None
    """verifiedTime is when the users were seen to be back."""
    from_step: Short
    """fromStep is the step that broke."""
    to_step: Short = ""
    """toStep is the step that users went back to; empty for nobody."""
    reason: Short
    """reason is one CamelCase word."""
    message: Message
    """message names the rule and its evidence."""


class HistoryEntry(Model):
    """One decision with its evidence."""

    time: Time
    """time of the decision."""
    sequence: Count
    """sequence numbers decisions without a gap."""
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


HISTORY_LIMIT = 20


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
    cohort: CohortStatus | None = None
    """cohort is frozen when the rollout starts."""
    delivery: DeliveryStatus | None = None
    """delivery tells whether the decision is in force."""
    next_check_time: Time | None = None
    """nextCheckTime is when the rollout may go on at the earliest."""
    criteria: Annotated[tuple[Finding, ...], Field(max_length=256, json_schema_extra=ATOMIC)] = ()
    """criteria as they were judged when a verdict changed last; refreshed every few minutes."""
    judged_time: Time | None = None
    """judgedTime is when criteria were taken."""
    rollback: RollbackStatus | None = None
    """rollback, where users were taken back."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16, json_schema_extra=keyed_by("type"))] = ()
    """conditions: Ready and Completed (the last step is done), Reconciling (on the way), Stalled (a person is needed),
    Healthy (nothing is broken)."""
    history: Annotated[tuple[HistoryEntry, ...], Field(max_length=HISTORY_LIMIT, json_schema_extra=ATOMIC)] = ()
    """history of the last decisions, oldest first."""
