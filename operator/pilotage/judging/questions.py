"""What has to be asked of Prometheus for an indicator: its queries filled in, the window, the span and the step."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from pilotage.judging.evidence import Measurement, Question
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
    """

    name: str
    field: str
    measurement: Measurement
    unit: Unit | None
    window_seconds: float
    interval_seconds: float

    @property
    def has_window(self) -> bool:
        """Whether its queries use `$window`."""
        measured = self.measurement
        return any(WINDOW.search(query) for query in (measured.query, measured.errors, measured.total))


WINDOW = re.compile(r"\$window\b")
"""Stands for the window in queries; the source puts it in, as `90s`."""

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


def find(known: Mapping[str, Resolved | RuleError], name: str, field: str) -> Resolved:
    """The indicator of this name.

    Raises:
        RuleError: there is none, or it makes no sense.
    """
    found = known.get(name)
    if isinstance(found, RuleError):
        raise found
    if found is not None:
        return found
    defined = ", ".join(known) or "none"
    message = f"names the indicator {name!r}, which is not defined: add it to spec.indicators (defined: {defined})"
    raise RuleError(field, message)


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
    resolved = Resolved(
        name=indicator.name,
        field=field,
        measurement=_measurement(measure, indicator, names),
        unit=_unit(indicator, measure, f"{field}.unit"),
        window_seconds=parse_duration(window) if window else max(MINUTE, 2 * interval),
        interval_seconds=interval,
    )
    if window and resolved.has_window:
        check_window(resolved, resolved.window_seconds, f"{field}.window")
    return resolved


def _measurement(measure: Measure, indicator: Indicator, names: Mapping[str, str]) -> Measurement:
    def filled(query: str | None) -> str:
        # The API server admits no quotes in these names; escaped all the same, should that ever change.
        return _NAMES.sub(lambda m: names[m[1]].replace("\\", "\\\\").replace('"', '\\"'), query or "")

    label = measure.variant_label if indicator.variant_label == "variant" else indicator.variant_label
    return Measurement(filled(measure.query), filled(measure.errors), filled(measure.total), label)


def _unit(indicator: Indicator, measure: Measure, field: str) -> Unit | None:
    declared = indicator.unit or measure.unit
    if indicator.unit and measure.unit and indicator.unit != measure.unit:
        message = f"says {indicator.unit}, but its template says {measure.unit}: leave unit away"
        raise RuleError(field, message)
    if measure.errors is None:
        return declared
    if declared not in (None, "ratio"):
        raise RuleError(field, f"says {declared}, but errors and total make a ratio: leave unit away")
    return "ratio"
