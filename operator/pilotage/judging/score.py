"""Scores: several indicators as one number from 0 to 10, with what each brings to it and what is missing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from pilotage.judging.evidence import Answer, Answered, Evidence, Question, Series, Unavailable
from pilotage.judging.threshold import finite, tolerance_seconds
from pilotage.judging.units import format_value
from pilotage.judging.weighing import ROUNDING, Input, Weighed, weigh, weigh_series
from pilotage.resources.scores import Rating, ScoreInputStatus, ScoreStatus

_RECENT = 8
"""Of a series, so many values are looked at for the newest one that is finite and not from the future."""


@dataclass(frozen=True, slots=True)
class Score:
    """A health score of a rollout.

    Attributes:
        name: as criteria use it.
        inputs: of which it is made.
        questions: one for each input, all over the same span in the same steps.
        variant: whose series count, where an answer tells variants apart.
        acceptable: from so many points on.
        excellent: from so many points on; None if never.
    """

    name: str
    inputs: tuple[Input, ...]
    questions: tuple[Question, ...]
    variant: str
    acceptable: float
    excellent: float | None = None

    @property
    def subject(self) -> str:
        """As criteria write it."""
        return f"score({self.name})"

    def rating(self, value: float | None) -> Rating:
        """What so many points mean."""
        if value is None:
            return "unknown"
        if self.excellent is not None and value >= self.excellent - ROUNDING:
            return "excellent"
        return "acceptable" if value >= self.acceptable - ROUNDING else "poor"

    def present(self, evidence: Evidence, now: datetime) -> ScoreStatus:
        """The score now, with what each input brings to it; inputs without a recent value are missing."""
        values = {each.indicator: value for each, value in self._newest(evidence, now) if value is not None}
        weighed = weigh(self.inputs, values)
        known = sum(each.weight for each in self.inputs if each.indicator in values)
        return ScoreStatus(
            name=self.name,
            value="" if weighed.value is None else format_value(weighed.value, "score", apart_from=self.acceptable),
            rating=self.rating(weighed.value),
            inputs=tuple(_brought(each, values.get(each.indicator), known) for each in self.inputs),
            message=self.explain(weighed, values),
        )

    def explain(self, weighed: Weighed, values: Mapping[str, float]) -> str:
        """What a reader of the number must know; empty if there is nothing to say."""
        if weighed.broken:
            (broken,) = (each for each in self.inputs if each.indicator == weighed.broken)
            value = format_value(values[broken.indicator], broken.unit)
            return f"{broken.indicator} {value} is critical ({broken.critical}): the score is 0"
        if not weighed.missing:
            return ""
        critical = [each.indicator for each in self.inputs if each.critical and each.indicator in weighed.missing]
        if critical:
            return f"no data for {', '.join(critical)}, which is critical"
        names = ", ".join(weighed.missing)
        if weighed.value is None:
            return f"no data for {names}, which is more than half of the weight"
        return f"no data for {names}; the others count for the whole"

    def series(self, evidence: Evidence, now: datetime) -> Series:
        """The score at each step that it can be told for, ascending; empty if there is none."""
        answers = ((each.indicator, evidence.answers[question]) for each, question in self._asked)
        series = ((indicator, _series(answer, self.variant, now)) for indicator, answer in answers)
        found = {indicator: each for indicator, each in series if each is not None}
        return weigh_series(self.inputs, found, self.questions[0].step_seconds)

    def failures(self, evidence: Evidence) -> Iterator[str]:
        """Why inputs could not be asked for."""
        for question in self.questions:
            answer = evidence.answers[question]
            if isinstance(answer, Unavailable):
                yield answer.reason

    @property
    def _asked(self) -> Iterator[tuple[Input, Question]]:
        return zip(self.inputs, self.questions, strict=True)

    def _newest(self, evidence: Evidence, now: datetime) -> Iterator[tuple[Input, float | None]]:
        for each, question in self._asked:
            value = _newest(evidence.answers[question], self.variant, now)
            fresh = value is not None and now.timestamp() - value[0] <= tolerance_seconds(question)
            yield each, value[1] if value and fresh else None


def _series(answer: Answer, variant: str, now: datetime) -> Series | None:
    return finite(answer.series_of(variant), now) if isinstance(answer, Answered) else None


def _newest(answer: Answer, variant: str, now: datetime) -> tuple[float, float] | None:
    """Time and value."""
    series = answer.series_of(variant) if isinstance(answer, Answered) else None
    recent = Series(series.times[-_RECENT:], series.values[-_RECENT:]) if series else None
    known = finite(recent, now)
    return (known.times[-1], known.values[-1]) if known else None


def _brought(each: Input, value: float | None, known: float) -> ScoreInputStatus:
    if value is None:
        return ScoreInputStatus(indicator=each.indicator)
    return ScoreInputStatus(
        indicator=each.indicator,
        value=format_value(value, each.unit)[:32],
        points=format_value(each.points(value), "score"),
        weight=format_value(each.weight / known, "ratio"),
    )
