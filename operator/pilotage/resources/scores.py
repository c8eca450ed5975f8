"""Health scores: several indicators as one number from 0 to 10, by weights; in the spec and as they were last seen."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from pilotage.resources.base import ATOMIC, IndicatorName, Message, Model, keyed_by
from pilotage.resources.bounds import Amount, Bound, Factor
from pilotage.resources.cel import Validation, validations

TemplateName = Literal["customer", "technical", "business"]

Rating = Literal["excellent", "acceptable", "poor", "unknown"]


@dataclass(frozen=True, slots=True)
class ScoreTemplate:
    """What a score is made of unless its spec says otherwise.

    Attributes:
        weights: by the name of an input, in percent.
        acceptable: in points.
        excellent: in points.
    """

    weights: Mapping[str, int]
    acceptable: str
    excellent: str


TEMPLATES: Mapping[str, ScoreTemplate] = {
    "customer": ScoreTemplate(
        {"satisfaction": 30, "retention": 30, "adoption": 20, "completion": 20}, acceptable="8.0", excellent="9.0"
    ),
    "technical": ScoreTemplate(
        {"availability": 40, "performance": 30, "reliability": 20, "security": 10}, acceptable="8.5", excellent="9.5"
    ),
    "business": ScoreTemplate(
        {"cost_efficiency": 40, "revenue_potential": 30, "market_fit": 30}, acceptable="7.5", excellent="9.0"
    ),
}


class ScoreInput(Model):
    """One indicator of a score, and what it is worth."""

    indicator: IndicatorName
    """indicator that is scaled to points."""
    as_: Annotated[IndicatorName | None, Field(alias="as")] = None
    """as is the template's name for it, where the indicator has another: `as: satisfaction`."""
    weight: Annotated[int | None, Field(ge=1, le=1000)] = None
    """weight beside the other inputs, in percent as a rule; the template's if not given."""
    worst: Amount
    """worst is the value that is worth 0 points, and all beyond it."""
    best: Amount
    """best is the value that is worth 10 points, and all beyond it; below worst where less is better."""
    critical: Bound | None = None
    """critical is a bound whose violation makes the whole score 0, such as `< 99%`; without a value of a critical input
    there is no score."""


class Score(Model):
    """A health score."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            Validation(
                "has(self.template) || self.inputs.all(i, has(i.weight))",
                "without a template, each input needs a weight, such as 30",
                field=".inputs",
            ),
            Validation(
                "has(self.template) || has(self.acceptable)",
                "without a template, say from how many points on it is acceptable, such as 8",
                field=".acceptable",
            ),
        )
    )

    name: IndicatorName
    """name that criteria use: `score(customer) >= 8.0`."""
    template: TemplateName | None = None
    """template for weights, acceptable and excellent, by the names of the inputs: customer (satisfaction 30,
    retention 30, adoption 20, completion 20; 8.0, 9.0), technical (availability 40, performance 30, reliability 20,
    security 10; 8.5, 9.5) or business (cost_efficiency 40, revenue_potential 30, market_fit 30; 7.5, 9.0)."""
    inputs: Annotated[
        tuple[ScoreInput, ...], Field(min_length=1, max_length=8, json_schema_extra=keyed_by("indicator"))
    ]
    """inputs of the score; where some have no data, the others count, as long as they are half of the weight."""
    acceptable: Factor | None = None
    """acceptable from so many points on, 0 to 10; the template's if not given."""
    excellent: Factor | None = None
    """excellent from so many points on; the template's if not given, else never."""


Scores = Annotated[tuple[Score, ...], Field(max_length=8, json_schema_extra=keyed_by("name"))]

_Points = Annotated[str, StringConstraints(max_length=32)]
_Named = Annotated[str, StringConstraints(max_length=63)]


class ScoreInputStatus(Model):
    """What one indicator brought to a score."""

    indicator: _Named
    """indicator that was scaled."""
    value: _Points = ""
    """value with its unit; empty without data."""
    points: _Points = ""
    """points that it is worth, 0 to 10; empty without data."""
    weight: _Points = ""
    """weight that it had, in percent of those that had data; empty without data."""


class ScoreStatus(Model):
    """A score as it was seen last."""

    name: _Named
    """name of the score."""
    value: _Points = ""
    """value, 0 to 10; empty where nothing can be said."""
    rating: Rating
    """rating is excellent, acceptable, poor, or unknown."""
    inputs: Annotated[tuple[ScoreInputStatus, ...], Field(max_length=8, json_schema_extra=ATOMIC)] = ()
    """inputs with what each is worth."""
    message: Message = ""
    """message says what is missing, or which critical input is beyond its bound."""
