"""Reads the rules of a rollout's spec; what makes no sense is said with its field and the remedy."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from decimal import Decimal

from pilotage.judging.assignment import assignment_rule
from pilotage.judging.bounds import check_bound, check_warning
from pilotage.judging.burn_rate import burn_rate_rule
from pilotage.judging.choosing import is_sequential, sequential_rule
from pilotage.judging.comparison import lift_rule
from pilotage.judging.criteria import Bound, Criterion, parse_bound, parse_criterion
from pilotage.judging.evidence import Question
from pilotage.judging.explaining import CriterionError
from pilotage.judging.hashing import hashing_rule
from pilotage.judging.histograms import check_quantile, over_quantile
from pilotage.judging.incident_rule import incident_rule
from pilotage.judging.questions import (
    Resolved,
    RuleError,
    check_length,
    check_window,
    coverage_of,
    find,
    over,
    present,
    resolve_indicators,
)
from pilotage.judging.rules import CONSEQUENCE, Role, Rule
from pilotage.judging.score import Score
from pilotage.judging.score_spec import find_score, resolve_scores, score_rule
from pilotage.judging.threshold import ThresholdRule, counts_days
from pilotage.judging.units import FUNCTION_UNIT, mismatch
from pilotage.judging.zones import find_zone
from pilotage.resources.durations import DAY, HOUR, format_duration, parse_duration
from pilotage.resources.indicators import IndicatorTemplateSpec
from pilotage.resources.rollout import Objective, PilotRolloutSpec

OBJECTIVE_INTERVALS = 6
"""An objective without `for` must be missed for this many intervals: one scrape, however bad, decides nothing."""


def readable_rules(
    spec: PilotRolloutSpec, templates: Mapping[str, IndicatorTemplateSpec], *, namespace: str, name: str
) -> tuple[tuple[Rule, ...], tuple[RuleError, ...]]:
    """The rules that make sense, and what is wrong with the others: one mistake must not blind all guards.

    They come in this order: objectives (each with warning and critical), go, the steps' go, the other criteria, gates.

    Args:
        spec: the rollout's spec.
        templates: IndicatorTemplates by name.
        namespace: for `$namespace` in queries.
        name: for `$rollout`.
    """
    known = resolve_indicators(spec, templates, namespace=namespace, name=name)
    made: list[Rule] = []
    wrong = [found for found in known.values() if isinstance(found, RuleError)]
    for index, objective in enumerate(spec.objectives):
        try:
            rules = _objective(spec, known, index, objective)
            made += (replace(rule, on_trial=objective.mode == "observe") for rule in rules)
        except RuleError as error:
            wrong.append(error)
    scores, senseless = resolve_scores(spec, known)
    wrong += senseless
    names = _Names(spec, known, scores)
    for role, field, text, step in _criteria(spec):
        try:
            made.append(replace(_criterion(names, text, role, field), step=step))
        except RuleError as error:
            wrong.append(error)
    for rule in (*_gates(spec, known), *_trials(names)):
        if isinstance(rule, RuleError):
            wrong.append(rule)
        else:
            made.append(rule)
    zone: tzinfo = UTC
    try:
        zone = find_zone(spec.time_zone)
    except RuleError as error:
        wrong.append(error)
    return tuple(replace(rule, zone=zone) for rule in made), tuple(wrong)


def _gates(spec: PilotRolloutSpec, known: Mapping[str, Resolved | RuleError]) -> Iterator[Rule | RuleError]:
    """What guards the beginning and the end of each step, whatever its criteria say."""
    for index, burn_rate in enumerate(spec.burn_rates):
        try:
            yield burn_rate_rule(burn_rate, known, f"spec.burnRates[{index}]")
        except RuleError as error:
            yield error
    for read in (assignment_rule, hashing_rule):
        try:
            found = read(spec, known)
        except RuleError as error:
            yield error
        else:
            if found is not None:
                yield found


def _trials(names: "_Names") -> Iterator[Rule | RuleError]:
    """The criteria on trial."""
    for index, each in enumerate(names.spec.observe):
        field = f"spec.observe[{index}].criterion"
        try:
            yield replace(_criterion(names, each.criterion, each.role, field), on_trial=True)
        except RuleError as error:
            yield error


def _criteria(spec: PilotRolloutSpec) -> Iterator[tuple[Role, str, str, str | None]]:
    """Each criterion as (role, path, text, step)."""
    lists: list[tuple[Role, str, tuple[str, ...], str | None]] = [("go", "spec.go", spec.go, None)]
    lists += [("go", f"spec.steps[{number}].go", step.go, step.name) for number, step in enumerate(spec.steps)]
    lists += [
        ("noGo", "spec.noGo", spec.no_go, None),
        ("rollback", "spec.rollback", spec.rollback, None),
        ("throttle", "spec.throttle", spec.throttle, None),
    ]
    if spec.readiness is not None:
        lists.append(("blocker", "spec.readiness.blockers", spec.readiness.blockers, None))
        lists.append(("readinessWarning", "spec.readiness.warnings", spec.readiness.warnings, None))
    for role, path, texts, step in lists:
        for index, text in enumerate(texts):
            yield role, f"{path}[{index}]", text, step


@dataclass(frozen=True, slots=True)
class _Names:
    """What a criterion may name."""

    spec: PilotRolloutSpec
    indicators: Mapping[str, Resolved | RuleError]
    scores: Mapping[str, Score]


def _criterion(names: _Names, text: str, role: Role, field: str) -> Rule:
    try:
        written = parse_criterion(text)
    except CriterionError as error:
        raise RuleError(field, str(error)) from error
    if written.function:
        return _function(names, written, text, role, field)
    indicator = find(names.indicators, written.indicator, field)
    _check_unit(indicator, written.bound, field)
    seconds = written.duration_seconds
    return ThresholdRule(
        text=text,
        role=role,
        field=field,
        indicator=indicator.name,
        op=written.bound.op,
        threshold=written.bound.value,
        unit=indicator.unit,
        for_seconds=seconds if written.mode == "for" else 0.0,
        on_breach=CONSEQUENCE[role],
        question=_question(indicator, written, role, field),
        variant=names.spec.feature.treatment,
        in_seconds=seconds if written.mode == "in" else 0.0,
    )


def _function(names: _Names, written: Criterion, text: str, role: Role, field: str) -> Rule:
    """The rule of a function such as `lift(conversions)`."""
    if wrong := mismatch(written.subject, FUNCTION_UNIT[written.function], written.bound):
        raise RuleError(field, wrong)
    if written.function == "incidents":
        return incident_rule(written, text, role, field)
    if written.function == "score":
        return score_rule(written, text, role, field, _score_over(names, written, field))
    return lift_rule(written, text, role, field, spec=names.spec, known=names.indicators)


def _score_over(names: _Names, written: Criterion, field: str) -> Score:
    """The score, with questions that reach back over `for`."""
    score = find_score(names.spec, names.scores, written.indicator, field)
    inputs = [find(names.indicators, each.indicator, field) for each in score.inputs]
    asked = (_asked_for(each, each.window_seconds, written.duration_seconds, field) for each in inputs)
    return replace(score, questions=tuple(asked))


def _question(indicator: Resolved, written: Criterion, role: Role, field: str) -> Question:
    seconds = written.duration_seconds
    if written.mode == "in":
        check_window(indicator, seconds, field)
        # A go criterion may not pass on a part of its window: ask whether data reach back over all of it.
        return coverage_of(indicator, seconds) if role == "go" else present(indicator, seconds)
    return _asked_for(indicator, indicator.window_seconds, seconds, field)


def _asked_for(indicator: Resolved, window_seconds: float, for_seconds: float, field: str) -> Question:
    if for_seconds == 0:
        return present(indicator, window_seconds)
    if for_seconds < indicator.interval_seconds:
        least = format_duration(indicator.interval_seconds)
        message = f"`for {format_duration(for_seconds)}` is shorter than spec.interval: write at least {least}"
        raise RuleError(field, message)
    check_length(for_seconds, field)
    # Days are counted from midnight, and the current one is left out: one day more has to be asked for, and the hour
    # by which days last longer when clocks are put back.
    return over(indicator, window_seconds, for_seconds + DAY + HOUR if counts_days(for_seconds) else for_seconds)


def _objective(
    spec: PilotRolloutSpec, known: Mapping[str, Resolved | RuleError], index: int, objective: Objective
) -> Iterator[Rule]:
    path = f"spec.objectives[{index}]"
    indicator = find(known, objective.indicator, f"{path}.indicator", histograms=objective.quantile is not None)
    if objective.window:
        check_window(indicator, parse_duration(objective.window), f"{path}.window")
    said: tuple[tuple[Role, str | None], ...] = (
        ("objective", objective.objective),
        ("warning", objective.warning),
        ("critical", objective.critical),
    )
    bounds: dict[Role, Bound] = {}
    for role, text in said:
        if text is None:
            continue
        bound = bounds[role] = _bound(indicator, text, f"{path}.{role}")
        if role != "objective":
            check_bound(role, bound, bounds["objective"], f"{path}.{role}")
        yield _bounded(spec, indicator, objective, role=role, text=text, bound=bound, path=path)
    # Last: a useless warning must not cost the critical bound.
    check_warning(bounds.get("warning"), bounds.get("critical"), f"{path}.warning")


def _bounded(
    spec: PilotRolloutSpec, indicator: Resolved, objective: Objective, *, role: Role, text: str, bound: Bound, path: str
) -> Rule:
    """The rule of one bound of an objective."""
    judged, limit, quantile = indicator, bound, ""
    if objective.quantile is not None:
        check_quantile(indicator, bound, role, path)
        judged, limit = over_quantile(indicator, bound, Decimal(str(objective.quantile)), f"{path}.{role}")
        quantile = f"p{objective.quantile} "
    window = parse_duration(objective.window) if objective.window else indicator.window_seconds
    default = OBJECTIVE_INTERVALS * indicator.interval_seconds
    for_seconds = parse_duration(objective.for_) if objective.for_ else default
    rule = ThresholdRule(
        text=f"{indicator.name} {quantile}{text}",
        role=role,
        field=f"{path}.{role}",
        indicator=judged.name,
        op=limit.op,
        threshold=limit.value,
        unit=judged.unit,
        for_seconds=for_seconds,
        on_breach=objective.on_breach if role == "objective" else CONSEQUENCE[role],
        question=_asked_for(judged, window, for_seconds, f"{path}.for"),
        variant=spec.feature.treatment,
    )
    sequential = role == "objective" and is_sequential(judged, objective, limit, path, for_seconds=for_seconds)
    return sequential_rule(rule, judged, objective, control=spec.feature.control) if sequential else rule


def _bound(indicator: Resolved, text: str, field: str) -> Bound:
    try:
        bound = parse_bound(text)
    except CriterionError as error:
        raise RuleError(field, str(error)) from error
    _check_unit(indicator, bound, field)
    return bound


def _check_unit(indicator: Resolved, bound: Bound, field: str) -> None:
    if wrong := mismatch(indicator.name, indicator.unit, bound):
        raise RuleError(field, wrong)
