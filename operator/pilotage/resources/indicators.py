"""Indicators: what is measured, asked from Prometheus; and IndicatorTemplate, written once for many rollouts."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, StringConstraints

from pilotage.resources.base import (
    IndicatorName,
    Message,
    Model,
    ObjectName,
    PromQL,
    Resource,
    Window,
)
from pilotage.resources.cel import Validation, validations

Unit = Literal["ratio", "seconds", "count", "score"]


class Measure(Model):
    """How an indicator is measured: one query, or errors and total asked apart."""

    query: PromQL | None = None
    """query is PromQL that yields one value, or one value for each variant. `$window` stands for the window."""
    errors: PromQL | None = None
    """errors is PromQL that counts bad events in `$window`, best by variant. Asked apart from total, so that no
    error at all is told from no traffic at all."""
    total: PromQL | None = None
    """total is PromQL that counts all events in `$window`, best by variant."""
    unit: Unit | None = None
    """unit of the value: ratio (0 to 1, written as % in criteria), seconds, count or score. Errors and total always
    make a ratio."""
    window: Window | None = None
    """window that `$window` stands for, unless an objective or a criterion names its own. It must hold at least two
    scrapes. 1m if nothing is said, or two intervals where that is longer."""
    variant_label: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$", max_length=63)] = "variant"
    """variantLabel is the label that tells treatment from control, where the answer has one."""


_ONE_MEASURE = "has(self.query) ? !has(self.errors) && !has(self.total) : has(self.errors) && has(self.total)"
_RATIO = Validation(
    "!has(self.errors) || !has(self.unit) || self.unit == 'ratio'",
    "errors and total make a ratio: leave unit away or set it to ratio",
    field=".unit",
)


class Indicator(Measure):
    """One indicator of a rollout."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            Validation(
                f"has(self.templateRef) ? !has(self.query) && !has(self.errors) && !has(self.total) : {_ONE_MEASURE}",
                "give exactly one of: query; errors and total; templateRef",
            ),
            _RATIO,
        )
    )

    name: IndicatorName
    """name that objectives and criteria use."""
    template_ref: ObjectName | None = None
    """templateRef names an IndicatorTemplate whose queries are used."""


class IndicatorTemplateSpec(Measure):
    """What the platform team writes once."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            Validation(_ONE_MEASURE, "give either query, or errors and total"),
            _RATIO,
        )
    )

    description: Message = ""
    """description says what it measures and for whom, in a sentence."""


class IndicatorTemplate(Resource):
    """An SLI's queries, written once by the platform team and used by many rollouts.

    `$window`, `$namespace`, `$rollout` and `$flag` are replaced in the queries.
    """

    kind: ClassVar[str] = "IndicatorTemplate"
    plural: ClassVar[str] = "indicatortemplates"
    short_names: ClassVar[tuple[str, ...]] = ("indicators",)
    namespaced: ClassVar[bool] = False
    printer_columns: ClassVar[tuple[dict[str, Any], ...]] = (
        {"name": "Unit", "type": "string", "jsonPath": ".spec.unit"},
        {"name": "Window", "type": "string", "jsonPath": ".spec.window"},
        {"name": "Description", "type": "string", "jsonPath": ".spec.description", "priority": 1},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    )

    spec: IndicatorTemplateSpec
    """spec says how it is measured."""
