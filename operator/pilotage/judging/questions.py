"""What has to be asked of Prometheus for an indicator: its queries filled in, the window, the span and the step."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from pilotage.judging.criteria import parse_bound
from pilotage.judging.evidence import Group, Measurement, Question
from pilotage.judging.explaining import CriterionError
from pilotage.judging.units import mismatch
from pilotage.resources.durations import DAY, HOUR, MINUTE, format_duration, parse_duration
from pilotage.resources.indicators import Indicator, IndicatorTemplateSpec, Measure, Unit
from pilotage.resources.rollout import PilotRolloutSpec

LONGEST_SECONDS = 400 * DAY
"""Hourly steps over 400 days are 9,600 points; Prometheus gives at most 11,000."""

_MOST_STEPS = 500
_STEPS = (1, 2, 5, 10, 15, 20, 30, 60, 120, 180, 300, 600, 900, 1800, 3600)


class RuleError(ValueError):
    """A rule that makes no sense: the field's path and a sentence with the remedy."""

    def __init__(self, field: str, message: str) -> None:
        """Keep field and message apart: status shows both."""
        self.field = field
        self.message = message
        super().__init__(f"{field}: {message}")


@dataclass(frozen=True, slots=True)
class Resolved:
    """An indicator with its template read in and the rollout's names filled in.

    Attributes:
        name: the indicator's name.
        field: its path in the spec, such as `spec.indicators[0]`.
        measurement: the queries.
        unit: None where nothing is declared.
        window_seconds: what `$window` stands for unless a rule says otherwise.
        interval_seconds: of the rollout.
        history: counts of something as small as treatment, where it is said.
    """

    name: str
    field: str
    measurement: Measurement
    unit: Unit | None
    window_seconds: float
    interval_seconds: float
    history: Measurement | None = None

    @property
    def has_window(self) -> bool:
        """Whether its queries use `$window`."""
        return any(WINDOW.search(query) for query in self.measurement.queries)


WINDOW = re.compile(r"\$window\b")
"""Stands for the window in queries; the source puts it in, as `90s`."""

GROUP = re.compile(r"\$group\b")
"""Stands for the group's value in the matchers of a grouped query; the source puts in any value, or the one."""

_NAMES = re.compile(r"\$(namespace|rollout|flag)\b")


def resolve_indicators(
    spec: PilotRolloutSpec, templates: Mapping[str, IndicatorTemplateSpec], *, namespace: str, name: str
) -> dict[str, Resolved | RuleError]:
    """All indicators of a rollout by name; where one makes no sense, what is wrong with it."""
    names = {"namespace": namespace, "rollout": name, "flag": spec.feature.flag}
    interval = parse_duration(spec.interval)
    known: dict[str, Resolved | RuleError] = {}
    for index, indicator in enumerate(spec.indicators):
        try:
            known[indicator.name] = _resolve(indicator, f"spec.indicators[{index}]", templates, names, interval)
        except RuleError as error:
            known[indicator.name] = error
    return known


def indicator_question(
    spec: PilotRolloutSpec,
    templates: Mapping[str, IndicatorTemplateSpec],
    indicator: str,
    *,
    namespace: str,
    name: str,
    field: str = "spec.audience.population.indicator",
) -> Question:
    """The question for an indicator's present value, such as the population.

    Raises:
        RuleError: the indicator is unknown or makes no sense; `field` is where it was named.
    """
    known = resolve_indicators(spec, templates, namespace=namespace, name=name)
    found = find(known, indicator, field)
    return present(found, found.window_seconds)


def find(known: Mapping[str, Resolved | RuleError], name: str, field: str, *, histograms: bool = False) -> Resolved:
    """The indicator of this name.

    Args:
        known: indicators by name.
        name: the wanted one's.
        field: where it is named.
        histograms: whether it may be a histogram, which has no single value.

    Raises:
        RuleError: there is none, or it makes no sense here.
    """
    found = known.get(name)
    if isinstance(found, RuleError):
        raise found
    if found is not None and found.measurement.buckets and found.measurement.above is None and not histograms:
        message = (
            f"{name} is a histogram, which has no single value: give the indicator `above`, or bound it by objectives"
            " with quantile"
        )
        raise RuleError(field, message)
    if found is not None:
        return found
    defined = ", ".join(known) or "none"
    message = f"names the indicator {name!r}, which is not defined: add it to spec.indicators (defined: {defined})"
    raise RuleError(field, message)


def find_count(known: Mapping[str, Resolved | RuleError], name: str, field: str, *, of: str) -> Resolved:
    """The indicator of this name, which counts.

    Args:
        known: indicators by name.
        name: the wanted one's.
        field: where it is named.
        of: what it counts, and by what, for people.

    Raises:
        RuleError: there is none, or it is no count.
    """
    found = find(known, name, field)
    if found.unit not in (None, "count"):
        raise RuleError(field, f"{found.name} is in {found.unit}: name an indicator that counts {of}")
    return found


def present(indicator: Resolved, window_seconds: float) -> Question:
    """Asks for the present value."""
    return Question(indicator.measurement, window_seconds, 0.0, indicator.interval_seconds)


def over(indicator: Resolved, window_seconds: float, span_seconds: float) -> Question:
    """Asks for the value at each step of a span, and once more at the span's beginning.

    Where steps are longer than the window, the window is widened to the step and one interval: nothing falls between.
    """
    step = step_for(span_seconds, indicator.interval_seconds)
    window = max(window_seconds, step + indicator.interval_seconds) if step >= window_seconds else window_seconds
    return Question(indicator.measurement, window, math.ceil(span_seconds / step) * step, step)


def coverage_of(indicator: Resolved, window_seconds: float) -> Question:
    """Asks for the value over a long window now and at twenty steps back, to see whether data reach that far."""
    step = max(indicator.interval_seconds, window_seconds / 20)
    return Question(indicator.measurement, window_seconds, math.ceil(window_seconds / step) * step, step)


def step_for(span_seconds: float, interval_seconds: float) -> float:
    """The step of a range query: the interval, coarser where that would be more than 500 steps, an hour from 1d on."""
    if span_seconds >= DAY:
        return HOUR
    finest = span_seconds / _MOST_STEPS
    if interval_seconds >= finest:
        return interval_seconds
    return next((float(step) for step in _STEPS if step >= finest), HOUR)


def check_window(indicator: Resolved, window_seconds: float, field: str) -> None:
    """Refuse a window that can't be judged by.

    Raises:
        RuleError: it holds fewer than two intervals, is longer than 400 days, or `$window` is not in the queries.
    """
    if not indicator.has_window:
        raise RuleError(field, f"sets a window, but the queries of {indicator.name} don't use $window: write it there")
    least = 2 * indicator.interval_seconds
    if window_seconds < least:
        message = (
            f"the window {format_duration(window_seconds)} is shorter than two intervals: events would fall between two"
            f" judgements; write at least {format_duration(least)}, or shorten spec.interval"
        )
        raise RuleError(field, message)
    check_length(window_seconds, field)


def check_length(seconds: float, field: str) -> None:
    """Refuse durations that no Prometheus answers in one query.

    Raises:
        RuleError: longer than 400 days.
    """
    if seconds > LONGEST_SECONDS:
        message = f"{format_duration(seconds)} is longer than {format_duration(LONGEST_SECONDS)}: shorten it"
        raise RuleError(field, message)


def _resolve(
    indicator: Indicator,
    field: str,
    templates: Mapping[str, IndicatorTemplateSpec],
    names: Mapping[str, str],
    interval: float,
) -> Resolved:
    measure: Measure = indicator
    if indicator.template_ref is not None:
        if indicator.template_ref not in templates:
            message = f"there is no IndicatorTemplate {indicator.template_ref!r}: create it, or correct the name"
            raise RuleError(f"{field}.templateRef", message)
        measure = templates[indicator.template_ref]
    window = indicator.window or measure.window
    if measure.buckets and (indicator.history or measure.history):
        raise RuleError(f"{field}.history", "is for errors and total: a histogram learns from its own buckets")
    resolved = Resolved(
        name=indicator.name,
        field=field,
        measurement=_measurement(measure, indicator, names, field),
        unit=_unit(indicator, measure, f"{field}.unit"),
        window_seconds=parse_duration(window) if window else max(MINUTE, 2 * interval),
        interval_seconds=interval,
        history=_history(measure, indicator, names),
    )
    if window and resolved.has_window:
        check_window(resolved, resolved.window_seconds, f"{field}.window")
    return resolved


def _measurement(measure: Measure, indicator: Indicator, names: Mapping[str, str], field: str) -> Measurement:
    group_by = measure.group_by if isinstance(measure, IndicatorTemplateSpec) else None

    def filled(query: str | None) -> str:
        opened = (query or "").replace(f'=~"{group_by.value}"', '=~"$group"') if group_by else query or ""
        return _named(opened, names)

    label = measure.variant_label if indicator.variant_label == "variant" else indicator.variant_label
    group = Group(group_by.label, _NAMES.sub(lambda m: names[m[1]], group_by.value)) if group_by else None
    return Measurement(
        query=filled(measure.query),
        errors=filled(measure.errors),
        good=filled(measure.good),
        total=filled(measure.total),
        variant_label=label,
        group=group,
        buckets=filled(measure.buckets),
        above=_above(measure, indicator, field),
    )


def _above(measure: Measure, indicator: Indicator, field: str) -> float | None:
    """The bound of a histogram in its unit; the indicator's own goes before its template's."""
    said = indicator.above if indicator.above is not None else measure.above
    if said is None:
        return None
    if not measure.buckets:
        raise RuleError(f"{field}.above", "is for histograms: give buckets, or leave above away")
    try:
        bound = parse_bound(f"> {said}")
    except CriterionError as error:
        raise RuleError(f"{field}.above", f"{said!r} is no value with its unit, such as 500ms") from error
    if wrong := mismatch(indicator.name, indicator.unit or measure.unit or "seconds", bound):
        raise RuleError(f"{field}.above", wrong)
    return bound.value


def _history(measure: Measure, indicator: Indicator, names: Mapping[str, str]) -> Measurement | None:
    said = indicator.history or measure.history
    return Measurement(errors=_named(said.errors, names), total=_named(said.total, names)) if said else None


def _named(query: str, names: Mapping[str, str]) -> str:
    # The API server admits no quotes in these names; escaped all the same, should that ever change.
    return _NAMES.sub(lambda m: names[m[1]].replace("\\", "\\\\").replace('"', '\\"'), query)


def _unit(indicator: Indicator, measure: Measure, field: str) -> Unit | None:
    declared = indicator.unit or measure.unit
    if indicator.unit and measure.unit and indicator.unit != measure.unit:
        message = f"says {indicator.unit}, but its template says {measure.unit}: leave unit away"
        raise RuleError(field, message)
    if measure.buckets is not None:
        if declared == "ratio":
            raise RuleError(field, "says ratio, but unit is that of the histogram's values: seconds, count or score")
        return "ratio" if indicator.above is not None or measure.above is not None else declared or "seconds"
    if measure.total is None:
        return declared
    if declared not in (None, "ratio"):
        counted = "good" if measure.good else "errors"
        raise RuleError(field, f"says {declared}, but {counted} and total make a ratio: leave unit away")
    return "ratio"
