"""PilotRollout's spec: one feature's way from nobody to everybody, as a user writes it.

What can be said wrongly is refused by the API server where its schema and CEL can see it (`rollout_rules`); the rest
(units, users compared with percent) is found by `pilotage.rollout.plan` and shown as the condition `Stalled`.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, StringConstraints

from pilotage.resources.arm_rules import KEEPS_ARMS, THREE_VARIANTS
from pilotage.resources.base import (
    ATOMIC,
    SET,
    Duration,
    FlagKey,
    IndicatorName,
    Model,
    Name,
    ObjectName,
    Resource,
    TimeZone,
    UserKey,
    VariantName,
    Window,
    keyed_by,
)
from pilotage.resources.bounds import Bound, Holdback, Quantile
from pilotage.resources.burn_rates import BurnRates
from pilotage.resources.calendar import Schedule
from pilotage.resources.capacity import NEEDS_WORKLOAD, StepScale, Workload
from pilotage.resources.cel import Validation, reads, validations
from pilotage.resources.edit_rules import KEEPS_STEPS
from pilotage.resources.gates import GateNames, Gates
from pilotage.resources.grammar import AUDIENCE_PATTERN, CRITERION_PATTERN
from pilotage.resources.indicators import Indicator
from pilotage.resources.rollbacks import NAMED_STEP, NO_TARGET, OnRollback
from pilotage.resources.rollout_rules import COUNTING, KEEPS_ENFORCING, ONE_LIST, ONE_SIZE, ORDER, PERCENT, REFERENCES
from pilotage.resources.schema import INT_OR_STRING
from pilotage.resources.scores import Scores
from pilotage.resources.slips import CRITERION_SLIPS
from pilotage.resources.status import Mode, PilotRolloutStatus
from pilotage.resources.tenant_reservations import RolloutNeed, StepNeed

Criterion = Annotated[
    str,
    StringConstraints(pattern=CRITERION_PATTERN, max_length=160),
    reads(
        CRITERION_PATTERN,
        "write a criterion as INDICATOR OP VALUE[UNIT] and, if wanted, `for DURATION` or `in DURATION`, such as"
        " `error_ratio > 1% for 10m`, or with a function: `lift(conversions) > 10% significant`,"
        " `score(customer) >= 8.0`, `incidents(critical, open) == 0`",
        CRITERION_SLIPS,
    ),
]
"""`INDICATOR OP VALUE[UNIT] [for DURATION | in DURATION]`, such as `error_ratio > 1% for 10m`, or a function of
`lift`, `score`, `incidents`."""

Criteria = Annotated[tuple[Criterion, ...], Field(max_length=16, json_schema_extra=ATOMIC)]

Percent = Annotated[
    int | str,
    Field(json_schema_extra={INT_OR_STRING: True, "maxLength": 10}),
    PERCENT,
]
"""Percent of the audience: 30, or "0.5" for shares below one percent."""

Users = Annotated[int, Field(ge=1, le=1_000_000_000, json_schema_extra={"format": "int64"})]


class Feature(Model):
    """Which flag is rolled out."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            Validation("self.treatment != self.control", "treatment and control must differ", field=".treatment"),
        )
    )

    flag: Annotated[
        FlagKey, Validation("self == oldSelf", "flag can't change: delete this PilotRollout and make another")
    ]
    """flag is the flag's key, as applications evaluate it."""
    treatment: VariantName = "on"
    """treatment is the variant with the feature; applications read it as true."""
    control: VariantName = "off"
    """control is the variant without it; applications read it as false."""
    rest: VariantName = "rest"
    """rest is the variant, without the feature too, of those who are not compared where audience.control is equal."""
    revision: Annotated[
        int, Field(ge=1, le=1_000_000), Validation("self >= oldSelf", "revision can only be raised, to start over")
    ] = 1
    """revision starts the rollout over from its first step when it is raised, for example after the cause of a
    rollback was mended."""


class Population(Model):
    """How many users there are: turns users into percent and back."""

    model_config = ConfigDict(
        json_schema_extra=validations(Validation("has(self.users) != has(self.indicator)", "give users or indicator"))
    )

    users: Users | None = None
    """users is the number, where it is known."""
    indicator: IndicatorName | None = None
    """indicator names the indicator that counts them; asked when a step begins."""


class Directory(Model):
    """The users known by name."""

    config_map: ObjectName
    """configMap in the rollout's namespace whose key `users.json` holds an array of objects: `key`, and the attributes
    that cohorts ask for."""


class Cohort(Model):
    """A named group of users, by their attributes."""

    name: Name
    """name that steps use."""
    criteria: Annotated[
        str,
        StringConstraints(pattern=AUDIENCE_PATTERN, max_length=256),
        reads(
            AUDIENCE_PATTERN,
            "write terms joined by `and` and `or`, such as `orders > 10 and device == 'mobile'`; a term may also be"
            " `country in ['de', 'at']`; there are no parentheses",
        ),
    ]
    """criteria on the evaluation context, such as `orders > 10` or `device == 'mobile' and country in ['de', 'at']`."""


class Assignment(Model):
    """What shows that users get the variant that they should get."""

    indicator: IndicatorName
    """indicator that counts by variant the distinct users who were exposed in `$window`."""


class Audience(Model):
    """Who may be let in."""

    model_config = ConfigDict(json_schema_extra=validations(ONE_LIST))

    bucket_by: Annotated[
        str,
        StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.]*$", max_length=63),
        Validation("self == oldSelf", "bucketBy can't change: it would hand the feature to other users"),
    ] = "targetingKey"
    """bucketBy is the attribute of the evaluation context that makes a user sticky."""
    population: Population | None = None
    """population turns users into percent and back. Not needed where a directory lists all users."""
    directory: Directory | None = None
    """directory lists the known users; with it, steps by users admit exactly that many."""
    include: Annotated[tuple[UserKey, ...], Field(max_length=200, json_schema_extra=SET)] = ()
    """include lists users who are let in with the first step; they count as admitted."""
    exclude: Annotated[tuple[UserKey, ...], Field(max_length=1000, json_schema_extra=SET)] = ()
    """exclude lists users who are never let in."""
    cohorts: Annotated[tuple[Cohort, ...], Field(max_length=16, json_schema_extra=keyed_by("name"))] = ()
    """cohorts that steps can name."""
    holdback: Holdback | None = None
    """holdback is the share of all users, such as `2%`, that stays control whatever a step lets in, also at 100
    percent: so that a shared incident can be told from a fault to the end, and lasting effects measured. It can only be
    lowered; that counts from the next step."""
    control: Literal["rest", "equal"] = "rest"
    """control says who is compared with treatment: `rest` is everybody else; `equal` is as many users as treatment has,
    drawn by the same hash from the same cohorts, and all others get the variant feature.rest."""
    assignment: Assignment | None = None
    """assignment compares the users of each variant with the admitted share: where they don't fit, no comparison of the
    variants means anything, and the rollout is held."""


class Evaluators(Model):
    """What shows that the applications' evaluators hash alike."""

    indicator: IndicatorName
    """indicator that counts evaluators by the variant of the flag `pilotage.bucketing` that they got; its variantLabel
    names the label that holds it."""


class FlagDelivery(Model):
    """The OpenFeature flag document that carries the decision."""

    name: Annotated[
        str,
        StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63),
        Validation(
            "self == oldSelf",
            "name can't change: the flag would stay behind, and no rollback would reach it;"
            " delete this PilotRollout and make another",
        ),
    ] = "pilot-flags"
    """name of the FeatureFlag, or of the ConfigMap where that kind is not installed. Several rollouts may share it."""
    hash_generation: Literal["raw", "cbor"] = "cbor"
    """hashGeneration is how the applications' evaluators hash the bucketing key: `raw` (flagd up to 0.16, Go,
    JavaScript) or `cbor` (Python and newer). Used where exact users are computed from the directory."""
    evaluators: Evaluators | None = None
    """evaluators are compared with hashGeneration: where one hashes otherwise, it lets in other users, and the rollout
    is held."""


class Delivery(Model):
    """How the decision reaches users."""

    flags: FlagDelivery = FlagDelivery()
    """flags is the document that holds the flag."""
    workload: Workload | None = None
    """workload that serves the feature's users, in the rollout's namespace: what steps with `scale` are about."""
    lease_seconds: Annotated[int | None, Field(ge=5, le=86_400, json_schema_extra={"format": "int32"})] = None
    """leaseSeconds is for how long users keep a step that is not proven while nobody knows how it fares: where
    operator, cluster or metrics die, they fall back to the step before by themselves, by the clock of the evaluators.
    At least three intervals; without it, a step stays as it is."""


class Objective(Model):
    """An objective (SLO) that every step is held to."""

    indicator: IndicatorName
    """indicator that is bounded."""
    objective: Bound
    """objective is the bound that good values keep, such as `< 1%`."""
    warning: Bound | None = None
    """warning is a bound whose violation only holds the rollout, such as `> 0.5%`."""
    critical: Bound | None = None
    """critical is a bound whose violation rolls back whatever onBreach says, such as `> 5%`."""
    quantile: Quantile | None = None
    """quantile that is bounded, where the indicator is a histogram: 95 with `< 500ms` says that at most 5% of the
    events may be above 500ms, which must be a boundary of the buckets."""
    window: Window | None = None
    """window that `$window` stands for in the indicator's queries; the indicator's own if not given."""
    for_: Annotated[Duration | None, Field(alias="for")] = None
    """for is how long a bound must be violated without a break; six intervals if not given."""
    on_breach: Literal["rollback", "hold"] = "hold"
    """onBreach says what follows when the objective is missed: rollback, or hold where it is."""
    judge: Literal["sequential", "threshold"] | None = None
    """judge is how: `sequential` weighs every request of treatment against the objective and against control;
    `threshold` compares the window's value and asks that it be bad for all of `for`. Where nothing is said, errors and
    total that are counted in `$window` are judged sequentially, unless the objective names a window of its own."""
    sensitivity: Literal["strict", "balanced"] = "balanced"
    """sensitivity of the sequential judge: strict defends the objective alone, balanced half of it."""
    mode: Mode = "enforce"
    """mode is `observe` to judge, show and record this objective and its bounds, and to let them decide nothing."""
    minimum_requests: Annotated[int | None, Field(ge=0, le=1_000_000_000, json_schema_extra={"format": "int64"})] = None
    """minimumRequests of treatment that a step has to see before it is left; if not given, as many as show a fault of
    five times the defended ratio. For the sequential judge."""


class Step(Model):
    """One step: who is in, and for how long it is proven."""

    model_config = ConfigDict(json_schema_extra=validations(*ONE_SIZE))

    name: Annotated[Name, NO_TARGET]
    """name of the step."""
    users: Users | None = None
    """users is how many users are in, in all."""
    percent: Percent | None = None
    """percent of the cohorts' users (of all users, without cohorts), 0 < percent <= 100; a fraction is a
    string, such as `"0.5"`."""
    cohorts: Annotated[tuple[Name, ...], Field(max_length=16, json_schema_extra=SET)] = ()
    """cohorts that may come in with this step; everybody if empty. Cohorts alone let all of their users in."""
    hold: Duration = "0s"
    """hold is how long the step lasts at least, counted from when its users were seen to have the feature."""
    go: Criteria = ()
    """go are further criteria that must hold before this step is left."""
    gates: GateNames = ()
    """gates that people must have approved before this step is entered."""
    scale: StepScale | None = None
    """scale is the capacity that must be ready before this step is entered. It goes after its users."""
    needs: Annotated[tuple[StepNeed, ...], Field(max_length=16, json_schema_extra=keyed_by("resource"))] = ()
    """needs of the step's new users, all together, where perUser in spec.needs can't tell."""


class Readiness(Model):
    """What is told of a rollout before people decide to go on."""

    blockers: Criteria = ()
    """blockers are criteria any of which, where it applies, says that the rollout is not ready, and holds it."""
    warnings: Criteria = ()
    """warnings are criteria that are told where they apply, and hold nothing."""


class Observed(Model):
    """A criterion on trial: it is judged, shown and recorded, and decides nothing."""

    role: Literal["go", "noGo", "rollback", "throttle"]
    """role is the list of the spec that it would stand in; to put it into force, move it there."""
    criterion: Criterion
    """criterion, such as `error_ratio > 1% for 10m`."""


class OnDelete(Model):
    """What the deletion of the rollout leaves behind."""

    exposure: Literal["auto", "keep", "off"] = "auto"
    """exposure that remains: `keep` as it is, `off` for everybody, `auto` keeps that of a completed rollout and ends
    any other."""


class PilotRolloutSpec(Model):
    """What shall happen."""

    model_config = ConfigDict(
        json_schema_extra=validations(*REFERENCES, *COUNTING, THREE_VARIANTS, NEEDS_WORKLOAD, NAMED_STEP)
    )

    tenant: ObjectName | None = None
    """tenant is the name of the TenantQuota that lists this namespace. The namespace belongs to it whether that is said
    or not; where another name is said, no step begins."""
    feature: Feature
    """feature that is rolled out."""
    audience: Audience = Audience()
    """audience says who may be let in."""
    delivery: Delivery = Delivery()
    """delivery says how the decision reaches users."""
    after: Annotated[tuple[ObjectName, ...], Field(max_length=16, json_schema_extra=SET)] = ()
    """after names rollouts of the same namespace that are completed before this one begins."""
    interval: Annotated[
        Duration,
        Validation(
            # CEL knows no days and weeks: duration() of them would be an evaluation error, not a message.
            "self.matches('^([0-9]+(ms|s|m|h))+$')"
            " && duration(self) >= duration('1s') && duration(self) <= duration('1h')",
            "interval must be between 1s and 1h, such as 15s",
        ),
    ] = "15s"
    """interval between two judgements; no shorter than the scrape interval."""
    time_zone: TimeZone = "UTC"
    """timeZone whose days are counted where a criterion's `for` is of whole days, from `2d` on, and by whose clocks the
    schedule goes: an IANA name such as Europe/Berlin."""
    schedule: Schedule = Schedule()
    """schedule says when users may be let in; what takes users back never waits for it."""
    indicators: Annotated[tuple[Indicator, ...], Field(max_length=32, json_schema_extra=keyed_by("name"))] = ()
    """indicators are what is measured, each by PromQL; objectives and criteria name them."""
    needs: Annotated[tuple[RolloutNeed, ...], Field(max_length=16, json_schema_extra=keyed_by("resource"))] = ()
    """needs are what users with the feature need of the tenant's resources. It is reserved before a step begins."""
    objectives: Annotated[tuple[Objective, ...], Field(max_length=32, json_schema_extra=ATOMIC)] = ()
    """objectives that every step is held to."""
    steps: Annotated[
        tuple[Step, ...],
        Field(min_length=1, max_length=32, json_schema_extra={**keyed_by("name"), **validations(*ORDER)}),
    ]
    """steps in order, from nobody to everybody; each keeps all users whom the one before let in."""
    go: Criteria = ()
    """go are the criteria that must all hold before any step is left, such as `satisfaction >= 8.5 for 7d`."""
    no_go: Criteria = ()
    """noGo are criteria any of which holds the rollout where it is, such as `satisfaction < 8 for 14d`."""
    rollback: Criteria = ()
    """rollback are criteria any of which takes users back, such as `error_ratio > 1% for 10m`."""
    throttle: Criteria = ()
    """throttle are criteria any of which sheds users to the step before until it is over, such as
    `peak_load > 85% for 10m`."""
    observe: Annotated[tuple[Observed, ...], Field(max_length=16, json_schema_extra=ATOMIC)] = ()
    """observe lists criteria on trial, which decide nothing."""
    burn_rates: BurnRates = ()
    """burnRates of the service's error budgets: no step begins or is left while one of them is too high."""
    scores: Scores = ()
    """scores put several indicators into one number from 0 to 10, shown in status; criteria name them as
    `score(customer) >= 8.0`."""
    readiness: Readiness | None = None
    """readiness is assessed in status: blockers, among them objectives that are missed and go criteria that are not
    met, and warnings."""
    gates: Gates = ()
    """gates that steps name: where people decide, and who has to agree."""
    on_rollback: OnRollback = OnRollback()
    """onRollback says what a rollback does."""
    acknowledged_rollback: Annotated[int | None, Field(ge=1, json_schema_extra={"format": "int64"})] = None
    """acknowledgedRollback is the number of the rollback (status.rollback.sequence) that a person has looked into: that
    is recorded, and the reason is shown no longer once the rollout has gone on."""
    on_delete: OnDelete = OnDelete()
    """onDelete says what the deletion of this rollout leaves behind."""
    mode: Mode = "enforce"
    """mode is `observe` to judge and record what would be done, and touch nothing: nobody is let in, and no flag is
    written. With `enforce` it then starts with the first step; once users may be in, there is no way back to
    observe."""
    paused: bool = False
    """paused stops growth; users keep what they have, and are still taken back or shed where a rule says so."""


class PilotRollout(Resource):
    """One feature's way from nobody to everybody: cohort by cohort, judged at every step, taken back when it breaks."""

    model_config = ConfigDict(json_schema_extra=validations(KEEPS_ENFORCING, *KEEPS_ARMS, *KEEPS_STEPS))

    kind: ClassVar[str] = "PilotRollout"
    plural: ClassVar[str] = "pilotrollouts"
    short_names: ClassVar[tuple[str, ...]] = ("pilot", "pilots")
    printer_columns: ClassVar[tuple[dict[str, Any], ...]] = (
        {"name": "Phase", "type": "string", "jsonPath": ".status.phase"},
        {"name": "Step", "type": "string", "jsonPath": ".status.summary.step"},
        {"name": "Users", "type": "string", "jsonPath": ".status.summary.users"},
        {"name": "Percent", "type": "string", "jsonPath": ".status.summary.percent"},
        {"name": "Verdict", "type": "string", "jsonPath": ".status.summary.verdict"},
        {"name": "Waits for", "type": "string", "jsonPath": ".status.summary.waitsFor"},
        {"name": "Until", "type": "string", "jsonPath": ".status.nextCheckTime"},
        {"name": "Flag", "type": "string", "jsonPath": ".spec.feature.flag", "priority": 1},
        {"name": "Message", "type": "string", "jsonPath": ".status.message", "priority": 1},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    )

    spec: PilotRolloutSpec
    """spec is what is wanted: the feature, its users, its steps, and what they are judged by."""
    status: PilotRolloutStatus = PilotRolloutStatus()
    """status is what was observed and decided; only the operator writes it."""
