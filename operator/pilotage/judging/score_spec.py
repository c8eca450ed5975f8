"""Reads the scores of a rollout's spec; what makes no sense is said with its field and the remedy."""

from collections.abc import Mapping

from pilotage.judging.criteria import Bound, Criterion, parse_bound
from pilotage.judging.explaining import CriterionError
from pilotage.judging.questions import Resolved, RuleError, find, present, resolve_indicators
from pilotage.judging.rules import CONSEQUENCE, Role
from pilotage.judging.score import Score
from pilotage.judging.score_rule import ScoreRule
from pilotage.judging.threshold import ThresholdRule
from pilotage.judging.units import mismatch
from pilotage.judging.weighing import MOST_POINTS, Input
from pilotage.resources import scores
from pilotage.resources.indicators import IndicatorTemplateSpec
from pilotage.resources.rollout import PilotRolloutSpec


def resolve_scores(
    spec: PilotRolloutSpec, known: Mapping[str, Resolved | RuleError]
) -> tuple[dict[str, Score], tuple[RuleError, ...]]:
    """All scores by name, asking for the present values of their inputs; and what is wrong with the others."""
    made: dict[str, Score] = {}
    wrong: list[RuleError] = []
    for index, written in enumerate(spec.scores):
        try:
            made[written.name] = _score(written, known, f"spec.scores[{index}]", spec.feature.treatment)
        except RuleError as error:
            wrong.append(error)
    return made, tuple(wrong)


def readable_scores(
    spec: PilotRolloutSpec, templates: Mapping[str, IndicatorTemplateSpec], *, namespace: str, name: str
) -> tuple[Score, ...]:
    """The scores that make sense; what is wrong with the others is told with the rules."""
    if not spec.scores:
        return ()
    made, _ = resolve_scores(spec, resolve_indicators(spec, templates, namespace=namespace, name=name))
    return tuple(made.values())


def find_score(spec: PilotRolloutSpec, made: Mapping[str, Score], name: str, field: str) -> Score:
    """The score of this name.

    Raises:
        RuleError: there is none, or it makes no sense.
    """
    if name in made:
        return made[name]
    defined = [written.name for written in spec.scores]
    if name in defined:
        place = f"spec.scores[{defined.index(name)}]"
        raise RuleError(field, f"names the score {name!r}, which makes no sense: see {place}")
    message = f"names the score {name!r}, which is not defined: add it to spec.scores"
    raise RuleError(field, f"{message} (defined: {', '.join(defined) or 'none'})")


def score_rule(written: Criterion, text: str, role: Role, field: str, score: Score) -> ScoreRule:
    """The rule of `score(NAME) OP VALUE [for DURATION]`.

    Args:
        written: the criterion.
        text: as it is written.
        role: what it is for.
        field: its path.
        score: with questions that reach back over `for`.

    Raises:
        RuleError: it would take users away.
    """
    if role in ("rollback", "throttle"):
        message = f"{score.subject} can't take users away, because a mean hides what is bad in it"
        raise RuleError(field, f"{message}: put it under go or noGo, and its worst inputs here")
    by_time = ThresholdRule(
        text=text,
        role=role,
        field=field,
        indicator=score.subject,
        op=written.bound.op,
        threshold=written.bound.value,
        unit="score",
        for_seconds=written.duration_seconds,
        on_breach=CONSEQUENCE[role],
        question=score.questions[0],
        variant=score.variant,
    )
    return ScoreRule(
        text=text,
        role=role,
        field=field,
        indicator=score.subject,
        for_seconds=by_time.for_seconds,
        on_breach=by_time.on_breach,
        score=score,
        by_time=by_time,
    )


def _score(written: scores.Score, known: Mapping[str, Resolved | RuleError], field: str, variant: str) -> Score:
    template = scores.TEMPLATES[written.template] if written.template else scores.ScoreTemplate({}, "", "")
    found = [find(known, each.indicator, f"{field}.inputs[{n}].indicator") for n, each in enumerate(written.inputs)]
    inputs = tuple(
        _input(each, indicator, template, f"{field}.inputs[{n}]")
        for n, (each, indicator) in enumerate(zip(written.inputs, found, strict=True))
    )
    acceptable = _threshold(written.acceptable or template.acceptable, f"{field}.acceptable")
    if acceptable is None:
        raise RuleError(f"{field}.acceptable", "say from how many points on it is acceptable, such as 8")
    excellent = _threshold(written.excellent or template.excellent, f"{field}.excellent")
    if excellent is not None and excellent < acceptable:
        raise RuleError(f"{field}.excellent", f"{excellent:g} is less than acceptable {acceptable:g}: raise it")
    return Score(
        name=written.name,
        inputs=inputs,
        questions=tuple(present(each, each.window_seconds) for each in found),
        variant=variant,
        acceptable=acceptable,
        excellent=excellent,
    )


def _input(written: scores.ScoreInput, indicator: Resolved, template: scores.ScoreTemplate, field: str) -> Input:
    name = written.as_ or written.indicator
    weight = written.weight or template.weights.get(name)
    if weight is None:
        known = ", ".join(template.weights)
        message = f"the template has no input {name}: write `as:` with one of {known}, or give a weight"
        raise RuleError(f"{field}.as", message if known else "without a template, give it a weight, such as 30")
    worst, best = (
        _amount(value, indicator, f"{field}.{end}") for end, value in (("worst", written.worst), ("best", written.best))
    )
    if worst == best:
        raise RuleError(f"{field}.best", "is the same as worst: say which value is worth 10 points")
    critical = _bound(written.critical, indicator, f"{field}.critical") if written.critical else None
    return Input(indicator.name, indicator.unit, float(weight), worst, best, critical)


def _amount(text: int | str, indicator: Resolved, field: str) -> float:
    return _bound(f"== {text}", indicator, field, shown=str(text)).value


def _bound(text: str, indicator: Resolved, field: str, *, shown: str = "") -> Bound:
    try:
        bound = parse_bound(text)
    except CriterionError as error:
        example = f"{shown!r} is no value: write a number with its unit, such as 8, 80% or 500ms"
        raise RuleError(field, example if shown else str(error)) from error
    # The ends of a scale are no comparison: 1 of a ratio means all of it.
    whole = shown and indicator.unit == "ratio" and not bound.suffix and bound.number == 1
    if not whole and (wrong := mismatch(indicator.name, indicator.unit, bound)):
        raise RuleError(field, wrong)
    return bound


def _threshold(text: int | str, field: str) -> float | None:
    if text == "":
        return None
    try:
        points = float(text)
    except ValueError as error:
        raise RuleError(field, f"{text!r} is no number: write points from 0 to 10, such as 8 or 8.5") from error
    if not 0 < points <= MOST_POINTS:
        raise RuleError(field, f"{text} is not between 0 and 10: a score has 10 points at most")
    return points
