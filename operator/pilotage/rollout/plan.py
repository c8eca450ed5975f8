"""Plan: the spec as the state machine reads it, with every number, unit and name checked.

What the API server's schema can't see is found here, and said with the field and the remedy: `PlanError` becomes the
condition `Stalled`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from pilotage.judging.evidence import Question
from pilotage.judging.questions import RuleError, indicator_question
from pilotage.judging.rules import Rule, readable_rules
from pilotage.resources.durations import parse_duration
from pilotage.resources.indicators import IndicatorTemplateSpec
from pilotage.resources.rollout import PilotRollout, PilotRolloutSpec, Step
from pilotage.rollout.admission import PlannedStep
from pilotage.rollout.audience import AudienceError, to_json_logic


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
        problem: the first thing that is wrong; None if the spec can be carried out.
    """

    interval_seconds: float
    steps: tuple[PlannedStep, ...]
    rules: tuple[Rule, ...]
    population: Question | None
    problem: PlanError | None = None

    @property
    def questions(self) -> tuple[Question, ...]:
        """All that Prometheus has to be asked at a judgement, each question once."""
        return tuple(dict.fromkeys(rule.question for rule in self.rules))


def read_plan(rollout: PilotRollout, templates: Mapping[str, IndicatorTemplateSpec]) -> Plan:
    """The plan of a rollout.

    Args:
        rollout: as it is in the API server.
        templates: the IndicatorTemplates by name.
    """
    spec, meta = rollout.spec, rollout.metadata
    rules, wrong = readable_rules(spec, templates, namespace=meta.namespace, name=meta.name)
    problems = [PlanError(error.field, error.message) for error in wrong]
    population: Question | None = None
    steps: tuple[PlannedStep, ...] = ()
    try:
        population = _read_population(rollout, templates)
        steps = _read_steps(spec)
    except PlanError as error:
        problems.append(error)
    return Plan(parse_duration(spec.interval), steps, rules, population, problems[0] if problems else None)


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
