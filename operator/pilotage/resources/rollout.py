"""PilotRollout's spec: one feature's way from nobody to everybody, as a user writes it.

What can be said wrongly is refused by the API server where its schema and CEL can see it (`rollout_rules`); the rest
(units, users compared with percent) is found by `pilotage.rollout.plan` and shown as the condition `Stalled`.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, StringConstraints

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
    UserKey,
    VariantName,
    Window,
    keyed_by,
)
from pilotage.resources.cel import Validation, reads, validations
from pilotage.resources.grammar import AUDIENCE_PATTERN, BOUND_PATTERN, CRITERION_PATTERN
from pilotage.resources.indicators import Indicator
from pilotage.resources.rollout_rules import COUNTING, ONE_LIST, ONE_SIZE, ORDER, PERCENT, REFERENCES
from pilotage.resources.schema import INT_OR_STRING
from pilotage.resources.status import PilotRolloutStatus

Criterion = Annotated[
    str,
    StringConstraints(pattern=CRITERION_PATTERN, max_length=160),
    reads(
        CRITERION_PATTERN,
        "write a criterion as INDICATOR OP VALUE[UNIT] and, if wanted, `for DURATION` or `in DURATION`, such as"
        " `error_ratio > 1% for 10m`",
    ),
]
"""`INDICATOR OP VALUE[UNIT] [for DURATION | in DURATION]`, such as `error_ratio > 1% for 10m`."""

Criteria = Annotated[tuple[Criterion, ...], Field(max_length=16, json_schema_extra=ATOMIC)]

Bound = Annotated[
    str,
    StringConstraints(pattern=BOUND_PATTERN, max_length=40),
    reads(BOUND_PATTERN, "write a bound as OP VALUE[UNIT], such as `< 1%`, `<= 50ms` or `>= 8.5`"),
]
"""`OP VALUE[UNIT]`, such as `< 1%`."""

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


class Delivery(Model):
    """How the decision reaches users."""

    flags: FlagDelivery = FlagDelivery()
    """flags is the document that holds the flag."""


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
    window: Window | None = None
    """window that `$window` stands for in the indicator's queries; the indicator's own if not given."""
    for_: Annotated[Duration | None, Field(alias="for")] = None
    """for is how long a bound must be violated without a break; six intervals if not given."""
    on_breach: Literal["rollback", "hold"] = "hold"
    """onBreach says what follows when the objective is missed: rollback, or hold where it is."""


class Step(Model):
    """One step: who is in, and for how long it is proven."""

    model_config = ConfigDict(json_schema_extra=validations(*ONE_SIZE))

    name: Name
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


class OnRollback(Model):
    """What a rollback does."""

    to: Literal["previous", "zero"] = "zero"
    """to is where users go: to the previous step, or to nobody."""


class OnDelete(Model):
    """What the deletion of the rollout leaves behind."""

    exposure: Literal["auto", "keep", "off"] = "auto"
    """exposure that remains: `keep` as it is, `off` for everybody, `auto` keeps that of a completed rollout and ends
    any other."""


class PilotRolloutSpec(Model):
    """What shall happen."""

    model_config = ConfigDict(json_schema_extra=validations(*REFERENCES, *COUNTING))

    feature: Feature
    """feature that is rolled out."""
    audience: Audience = Audience()
    """audience says who may be let in."""
    delivery: Delivery = Delivery()
    """delivery says how the decision reaches users."""
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
    indicators: Annotated[tuple[Indicator, ...], Field(max_length=32, json_schema_extra=keyed_by("name"))] = ()
    """indicators are what is measured, each by PromQL; objectives and criteria name them."""
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
    on_rollback: OnRollback = OnRollback()
    """onRollback says what a rollback does."""
    on_delete: OnDelete = OnDelete()
    """onDelete says what the deletion of this rollout leaves behind."""
    paused: bool = False
    """paused stops growth; users keep what they have, and are still taken back or shed where a rule says so."""


class PilotRollout(Resource):
    """One feature's way from nobody to everybody: cohort by cohort, judged at every step, taken back when it breaks."""

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
