"""Plan: the spec as the state machine reads it, with every number, unit and name checked.

What the API server's schema can't see is found here, and said with the field and the remedy: `PlanError` becomes the
condition `Stalled`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from pilotage.judging.evidence import Question
from pilotage.judging.questions import RuleError, indicator_question
from pilotage.judging.reading import readable_rules
from pilotage.judging.rules import Rule
from pilotage.judging.score import Score
from pilotage.judging.score_spec import readable_scores
from pilotage.resources.durations import parse_duration
from pilotage.resources.indicators import IndicatorTemplateSpec
from pilotage.resources.rollbacks import TARGETS
from pilotage.resources.rollout import PilotRollout, PilotRolloutSpec, Step
from pilotage.rollout.admission import PlannedStep
from pilotage.rollout.audience import AudienceError, to_json_logic
from pilotage.rollout.calendar import ALWAYS_OPEN, Calendar, read_calendar
from pilotage.rollout.periods import ScheduleError
from pilotage.rollout.tenant_needs import PlannedNeed, read_needs

_LEASE_INTERVALS = 3


class PlanError(Exception):
    """A spec that can't be carried out.

    Attributes:
        field: path in the resource, such as `spec.rollback[0]`.
        message: what is wrong and what to write instead.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


@dataclass(frozen=True, slots=True)
class Plan:
    """A spec that has been read, as far as it can be.

    Attributes:
        interval_seconds: between two judgements.
        steps: in order; none where they can't be carried out.
        rules: criteria and objectives that can be judged, whatever is wrong elsewhere; findings come in their order.
        population: what to ask for the number of users, where an indicator tells it.
        scores: health scores that can be told, in the spec's order.
        calendar: when users may be let in.
        problem: the first thing that is wrong; None if the spec can be carried out.
        unread: what is wrong with the first rule that can't be judged; None if all can.
        needs: of the tenant's resources.
        variants: treatment and control, by which what they use is told apart.
    """

    interval_seconds: float
    steps: tuple[PlannedStep, ...]
    rules: tuple[Rule, ...]
    population: Question | None
    calendar: Calendar = ALWAYS_OPEN
    problem: PlanError | None = None
    unread: PlanError | None = None
    scores: tuple[Score, ...] = ()
    needs: tuple[PlannedNeed, ...] = ()
    variants: tuple[str, str] = ("on", "off")

    @property
    def questions(self) -> tuple[Question, ...]:
        """All that Prometheus has to be asked at a judgement, each question once."""
        asked = [question for rule in self.rules for question in rule.questions]
        asked += [question for score in self.scores for question in score.questions]
        asked += [need.question for need in self.needs if need.question]
        return tuple(dict.fromkeys(asked))


def read_plan(rollout: PilotRollout, templates: Mapping[str, IndicatorTemplateSpec]) -> Plan:
    """The plan of a rollout.

    Args:
        rollout: as it is in the API server.
        templates: the IndicatorTemplates by name.
    """
    spec, meta = rollout.spec, rollout.metadata
    rules, wrong = readable_rules(spec, templates, namespace=meta.namespace, name=meta.name)
    unread = [PlanError(error.field, error.message) for error in wrong]
    problems = list(unread)
    population: Question | None = None
    steps: tuple[PlannedStep, ...] = ()
    needs: tuple[PlannedNeed, ...] = ()
    try:
        population = _read_population(rollout, templates)
        steps = _read_steps(spec)
        needs = read_needs(rollout, templates)
    except PlanError as error:
        problems.append(error)
    except RuleError as error:
        problems.append(PlanError(error.field, error.message))
    calendar = ALWAYS_OPEN
    try:
        calendar = read_calendar(spec)
    except ScheduleError as error:
        problems.append(PlanError(error.field, error.message))
    if spec.mode == "observe" and rollout.status.cohort is not None and rollout.status.mode != "observe":
        # The API server refuses it, unless the first step was decided at the same moment.
        said = "users may be in already: they keep what they have and are still guarded; set it to enforce again"
        problems.insert(0, PlanError("spec.mode", said))
    return Plan(
        interval_seconds=parse_duration(spec.interval),
        steps=steps,
        rules=rules,
        population=population,
        calendar=calendar,
        problem=next(iter(problems), None),
        unread=next(iter(unread), None),
        scores=readable_scores(spec, templates, namespace=meta.namespace, name=meta.name),
        needs=needs,
        variants=(spec.feature.treatment, spec.feature.control),
    )


def _read_population(rollout: PilotRollout, templates: Mapping[str, IndicatorTemplateSpec]) -> Question | None:
    spec, meta = rollout.spec, rollout.metadata
    if spec.audience.population is None or spec.audience.population.indicator is None:
        return None
    try:
        return indicator_question(
            spec, templates, spec.audience.population.indicator, namespace=meta.namespace, name=meta.name
        )
    except RuleError as error:
        raise PlanError(error.field, error.message) from error


def _read_steps(spec: PilotRolloutSpec) -> tuple[PlannedStep, ...]:
    criteria = _read_cohorts(spec)
    steps = tuple(_read_step(index, step, criteria) for index, step in enumerate(spec.steps))
    _check_audience(spec)
    _check_steps(spec, steps)
    _check_way_back(spec)
    _check_lease(spec)
    return steps


def _read_cohorts(spec: PilotRolloutSpec) -> dict[str, str]:
    for index, cohort in enumerate(spec.audience.cohorts):
        try:
            to_json_logic(cohort.criteria)
        except AudienceError as error:
            raise PlanError(f"spec.audience.cohorts[{index}].criteria", str(error)) from error
    return {cohort.name: cohort.criteria for cohort in spec.audience.cohorts}


def _read_step(index: int, step: Step, criteria: Mapping[str, str]) -> PlannedStep:
    for place, name in enumerate(step.cohorts):
        if name not in criteria:
            field = f"spec.steps[{index}].cohorts[{place}]"
            raise PlanError(field, f"cohort {name!r} is not defined: add it to spec.audience.cohorts")
    share = None
    if step.users is None:
        share = Fraction(str(step.percent)) / 100 if step.percent is not None else Fraction(1)
    return PlannedStep(
        index=index,
        name=step.name,
        users=step.users,
        share=share,
        cohorts=step.cohorts,
        criteria=tuple(criteria[name] for name in step.cohorts),
        hold_seconds=parse_duration(step.hold),
    )


def _check_audience(spec: PilotRolloutSpec) -> None:
    audience = spec.audience
    both = set(audience.include) & set(audience.exclude)
    if both:
        raise PlanError(
            "spec.audience.exclude", f"{min(both)!r} is both included and excluded: remove it from one list"
        )


def _check_steps(spec: PilotRolloutSpec, steps: tuple[PlannedStep, ...]) -> None:
    """Numbers that are known now; what only a directory or an indicator tells is checked when the step begins."""
    population = spec.audience.population
    known = population.users if population else None
    reached = 0
    for step in steps:
        field = f"spec.steps[{step.index}]"
        if step.users is not None and not spec.audience.directory:
            _check_counted_step(step, spec, field)
        if known is None or step.cohorts:
            continue
        users = step.users if step.users is not None else int((step.share or 0) * known)
        if users > known:
            raise PlanError(
                f"{field}.users", f"{users} users of a population of {known}: lower it or correct population"
            )
        if users < reached:
            raise PlanError(field, f"lets in {users} users, fewer than the {reached} of the step before: raise it")
        reached = users


def _check_way_back(spec: PilotRolloutSpec) -> None:
    to = spec.on_rollback.to
    if to not in TARGETS and to not in {step.name for step in spec.steps}:
        raise PlanError("spec.onRollback.to", f"there is no step {to}: write zero, previous or the name of a step")


def _check_lease(spec: PilotRolloutSpec) -> None:
    """It is renewed at a judgement after half of its time, and one judgement may fail."""
    least = math.ceil(_LEASE_INTERVALS * parse_duration(spec.interval))
    if spec.delivery.lease_seconds is not None and spec.delivery.lease_seconds < least:
        message = f"must be at least {least}, three times spec.interval: raise it, or judge more often"
        raise PlanError("spec.delivery.leaseSeconds", message)


def _check_counted_step(step: PlannedStep, spec: PilotRolloutSpec, field: str) -> None:
    if spec.audience.population is None:
        message = "users can't be counted: add audience.directory (exact) or audience.population (an estimate)"
        raise PlanError(f"{field}.users", message)
    if step.cohorts:
        message = (
            "users of cohorts can't be counted by population alone: add audience.directory, which lists users with"
            " their attributes, or use percent"
        )
        raise PlanError(f"{field}.users", message)
