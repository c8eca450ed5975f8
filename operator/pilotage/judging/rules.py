"""Rules: what a rollout's spec wants judged, each with the question that answers it and the field that it stands in."""

import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from pilotage.judging.criteria import Bound, Criterion, CriterionError, Operator, parse_bound, parse_criterion
from pilotage.judging.evidence import Question
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
from pilotage.judging.units import mismatch
from pilotage.resources.durations import DAY, format_duration, parse_duration
from pilotage.resources.indicators import IndicatorTemplateSpec, Unit
from pilotage.resources.rollout import Objective, PilotRolloutSpec

Role = Literal["objective", "warning", "critical", "go", "noGo", "rollback", "throttle"]
Consequence = Literal["rollback", "hold", "throttle"]

OBJECTIVE_INTERVALS = 6
"""An objective without `for` must be missed for this many intervals: one scrape, however bad, decides nothing."""

OPPOSITE: Mapping[Operator, Operator] = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}
_COMPARE: Mapping[Operator, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_CONSEQUENCE: Mapping[Role, Consequence] = {
    "warning": "hold",
    "critical": "rollback",
    "go": "hold",
    "noGo": "hold",
    "rollback": "rollback",
    "throttle": "throttle",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """One criterion, objective, warning or critical bound, ready to be judged.

    Attributes:
        text: as it is written, such as `error_ratio > 1% for 10m`.
        role: what it is for.
        field: its path, such as `spec.rollback[0]`.
        indicator: the indicator's name.
        op: the operator as written.
        threshold: in base units (1% is 0.01, 50ms is 0.05).
        unit: the indicator's.
        for_seconds: how long it must apply (or hold) without a break; 0 if the present value decides.
        on_breach: what follows from a breach; `hold` for go criteria.
        question: what is asked of Prometheus.
        variant: whose series is judged, where the answer tells variants apart.
        step: the step whose exit it guards; None if it guards all.
        in_seconds: the window of `in DURATION`; 0 without one.
    """

    text: str
    role: Role
    field: str
    indicator: str
    op: Operator
    threshold: float
    unit: Unit | None
    for_seconds: float
    on_breach: Consequence
    question: Question
    variant: str
    step: str | None = None
    in_seconds: float = 0.0

    @property
    def kind(self) -> Literal["must-hold", "must-not-apply"]:
        """`must-hold` (go) is met only by `for` without a break; `must-not-apply` breaks only by `for` without one."""
        return "must-hold" if self.role == "go" else "must-not-apply"

    @property
    def bad_op(self) -> Operator:
        """The operator of a bad value: an objective `< 1%` and a go criterion `>= 99%` are turned around."""
        return OPPOSITE[self.op] if self.role in ("objective", "go") else self.op

    def is_bad(self, value: float) -> bool:
        """Whether the value misses the objective or the go criterion, or meets the bound that must not apply."""
        return _COMPARE[self.bad_op](value, self.threshold)

    @property
    def counts_days(self) -> bool:
        """Whether `for` is counted in whole UTC days: from two days on."""
        return _counts_days(self.for_seconds)


def read_rules(
    spec: PilotRolloutSpec, templates: Mapping[str, IndicatorTemplateSpec], *, namespace: str, name: str
) -> tuple[Rule, ...]:
    """All rules of a rollout, in this order: objectives (each with warning and critical), go, the steps' go, the rest.

    Args:
        spec: the rollout's spec.
        templates: IndicatorTemplates by name.
        namespace: for `$namespace` in queries.
        name: for `$rollout`.

    Raises:
        RuleError: a rule that makes no sense, with its field and the remedy.
    """
    rules, wrong = readable_rules(spec, templates, namespace=namespace, name=name)
    if wrong:
        raise wrong[0]
    return rules


def readable_rules(
    spec: PilotRolloutSpec, templates: Mapping[str, IndicatorTemplateSpec], *, namespace: str, name: str
) -> tuple[tuple[Rule, ...], tuple[RuleError, ...]]:
    """The rules that make sense, and what is wrong with the others: one mistake must not blind all guards."""
    known = resolve_indicators(spec, templates, namespace=namespace, name=name)
    made: list[Rule] = []
    wrong = [found for found in known.values() if isinstance(found, RuleError)]
    for index, objective in enumerate(spec.objectives):
        try:
            made += _objective(spec, known, index, objective)
        except RuleError as error:
            wrong.append(error)
    for role, field, text, step in _criteria(spec):
        try:
            made.append(replace(_criterion(known, text, role, field, variant=spec.feature.treatment), step=step))
        except RuleError as error:
            wrong.append(error)
    return tuple(made), tuple(wrong)


def _criteria(spec: PilotRolloutSpec) -> Iterator[tuple[Role, str, str, str | None]]:
    """Each criterion as (role, path, text, step)."""
    lists: list[tuple[Role, str, tuple[str, ...], str | None]] = [("go", "spec.go", spec.go, None)]
    lists += [("go", f"spec.steps[{number}].go", step.go, step.name) for number, step in enumerate(spec.steps)]
    lists += [
        ("noGo", "spec.noGo", spec.no_go, None),
        ("rollback", "spec.rollback", spec.rollback, None),
        ("throttle", "spec.throttle", spec.throttle, None),
    ]
    for role, path, texts, step in lists:
        for index, text in enumerate(texts):
            yield role, f"{path}[{index}]", text, step


def _criterion(known: Mapping[str, Resolved | RuleError], text: str, role: Role, field: str, *, variant: str) -> Rule:
    try:
        written = parse_criterion(text)
    except CriterionError as error:
        raise RuleError(field, str(error)) from error
    indicator = find(known, written.indicator, field)
    _check_unit(indicator, written.bound, field)
    seconds = written.duration_seconds
    return Rule(
        text=text,
        role=role,
        field=field,
        indicator=indicator.name,
        op=written.bound.op,
        threshold=written.bound.value,
        unit=indicator.unit,
        for_seconds=seconds if written.mode == "for" else 0.0,
        on_breach=_CONSEQUENCE[role],
        question=_question(indicator, written, role, field),
        variant=variant,
        in_seconds=seconds if written.mode == "in" else 0.0,
    )


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
    # Days are counted from midnight, and the current one is left out: one day more has to be asked for.
    return over(indicator, window_seconds, for_seconds + DAY if _counts_days(for_seconds) else for_seconds)


def _counts_days(for_seconds: float) -> bool:
    return for_seconds >= 2 * DAY and for_seconds % DAY == 0


def _objective(
    spec: PilotRolloutSpec, known: Mapping[str, Resolved | RuleError], index: int, objective: Objective
) -> Iterator[Rule]:
    path = f"spec.objectives[{index}]"
    indicator = find(known, objective.indicator, f"{path}.indicator")
    window = parse_duration(objective.window) if objective.window else indicator.window_seconds
    if objective.window:
        check_window(indicator, window, f"{path}.window")
    default = OBJECTIVE_INTERVALS * indicator.interval_seconds
    for_seconds = parse_duration(objective.for_) if objective.for_ else default
    question = _asked_for(indicator, window, for_seconds, f"{path}.for")
    bounds: tuple[tuple[Role, str | None], ...] = (
        ("objective", objective.objective),
        ("warning", objective.warning),
        ("critical", objective.critical),
    )
    target = _bound(indicator, objective.objective, f"{path}.objective")
    for role, text in bounds:
        if text is None:
            continue
        field = f"{path}.{role}"
        bound = _bound(indicator, text, field)
        if role != "objective":
            _check_against_objective(role, bound, target, field)
        yield Rule(
            text=f"{indicator.name} {text}",
            role=role,
            field=field,
            indicator=indicator.name,
            op=bound.op,
            threshold=bound.value,
            unit=indicator.unit,
            for_seconds=for_seconds,
            on_breach=objective.on_breach if role == "objective" else _CONSEQUENCE[role],
            question=question,
            variant=spec.feature.treatment,
        )


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


def _check_against_objective(role: Role, bound: Bound, target: Bound, field: str) -> None:
    """An objective says what is good, warning and critical what is bad: the other way round is a mistake."""
    if bound.op[0] in "<>" and bound.op[0] == target.op[0]:
        turned = Bound(OPPOSITE[bound.op], bound.number, bound.suffix)
        message = f"{role} says when it is violated, and {bound} is what the objective calls good: write `{turned}`"
        raise RuleError(field, message)
    milder = {">": bound.value < target.value, "<": bound.value > target.value}.get(bound.op[0], False)
    if role == "critical" and milder:
        message = (
            f"critical {bound} would roll back while the objective {target} still holds: put it beyond the objective"
        )
        raise RuleError(field, message)
