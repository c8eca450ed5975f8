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
from pilotage.resources.bounds import Amount
from pilotage.resources.cel import Validation, reads, validations

Unit = Literal["ratio", "seconds", "count", "score"]

LabelName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$", max_length=63)]
"""The name of a label in Prometheus."""


class History(Model):
    """What the noise of a service is learned from: counts of something about as small as those who get the feature."""

    errors: PromQL
    """errors is PromQL that counts bad events in `$window`, for example of a tenth of the pods."""
    total: PromQL
    """total is PromQL that counts all events of the same in `$window`."""


class Measure(Model):
    """How an indicator is measured: one query, or errors (or good) and total asked apart."""

    query: PromQL | None = None
    """query is PromQL that yields one value, or one value for each variant. `$window` stands for the window."""
    errors: PromQL | None = None
    """errors is PromQL that counts bad events in `$window`, best by variant. Asked apart from total, so that no
    error at all is told from no traffic at all."""
    good: PromQL | None = None
    """good is PromQL that counts good events in `$window`, such as conversions, best by variant; in the place of
    errors, where good events are few. The value is then their share."""
    total: PromQL | None = None
    """total is PromQL that counts all events in `$window`, best by variant."""
    buckets: PromQL | None = None
    """buckets is PromQL that counts by `le` the events in `$window` of a histogram, best by variant too, such as
    `sum by (variant, le) (increase(http_request_duration_seconds_bucket[$window]))`. It has no single value: `above`
    makes a ratio of it, and so does an objective with `quantile`."""
    above: Amount | None = None
    """above makes the indicator the share of events above it, such as 500ms: a boundary of the buckets, with the unit
    of the histogram's values (seconds if unit is not given)."""
    unit: Unit | None = None
    """unit of the value: ratio (0 to 1, written as % in criteria), seconds, count or score. Errors (or good) and
    total always make a ratio."""
    window: Window | None = None
    """window that `$window` stands for, unless an objective or a criterion names its own. It must hold at least two
    scrapes. 1m if nothing is said, or two intervals where that is longer."""
    history: History | None = None
    """history is what the sequential judge learns the service's noise from, over the last 72 h; errors and total of the
    whole service, thinned to the treatment's share, if not given: right only where noise hits all pods alike."""
    variant_label: LabelName = "variant"
    """variantLabel is the label that tells treatment from control, where the answer has one."""


_NO_COUNTS = "!has(self.errors) && !has(self.good) && !has(self.total)"
_NO_BUCKETS = "!has(self.buckets) && !has(self.above)"
_ONE_MEASURE = (
    f"has(self.query) ? {_NO_COUNTS} && {_NO_BUCKETS} : has(self.buckets) ? {_NO_COUNTS}"
    f" : has(self.errors) != has(self.good) && has(self.total) && {_NO_BUCKETS}"
)
_RATIO = Validation(
    "!has(self.total) || !has(self.unit) || self.unit == 'ratio'",
    "errors (or good) and total make a ratio: leave unit away or set it to ratio",
    field=".unit",
)


class Indicator(Measure):
    """One indicator of a rollout."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            Validation(
                f"has(self.templateRef) ? !has(self.query) && !has(self.buckets) && {_NO_COUNTS} : {_ONE_MEASURE}",
                "give exactly one of: query; errors and total; good and total; buckets; templateRef",
            ),
            _RATIO,
        )
    )

    name: IndicatorName
    """name that objectives and criteria use."""
    template_ref: ObjectName | None = None
    """templateRef names an IndicatorTemplate whose queries are used."""


_GROUP_VALUE_PATTERN = r"^[$](namespace|rollout|flag|tenant)([/:][$](namespace|rollout|flag)){0,2}$"


class GroupBy(Model):
    """The label by which one query answers for all rollouts."""

    label: LabelName
    """label that tells in the answer which rollout a series belongs to; the queries aggregate by it."""
    value: Annotated[
        str,
        StringConstraints(pattern=_GROUP_VALUE_PATTERN, max_length=64),
        # No other separators: names hold neither, so that different names never make the same value.
        reads(
            _GROUP_VALUE_PATTERN,
            "write $flag, $rollout, $namespace, or some of them with `/` or `:` in between; $tenant for tenants",
        ),
    ]
    """value that the label has for a rollout: `$flag`, `$rollout`, `$namespace`, or several with `/` or `:` in between,
    such as `$namespace/$rollout`. Where TenantQuotas use the template: `$tenant`."""


_GROUPED = Validation(
    "!has(self.groupBy) || ['$namespace', '$rollout', '$flag', '$tenant'].all(n, !self.groupBy.value.contains(n)"
    " || ![self.?query.orValue(''), self.?errors.orValue(''), self.?good.orValue(''), self.?total.orValue(''),"
    " self.?buckets.orValue('')]"
    ".exists(q, q.replace('=~\"' + self.groupBy.value + '\"', '').contains(n)))",
    "one query answers for all: where it names a rollout, write the matcher with =~ and groupBy.value, such as"
    ' flag=~"$flag", or leave it out',
    field=".groupBy",
)


class IndicatorTemplateSpec(Measure):
    """What the platform team writes once."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            Validation(_ONE_MEASURE, "give one of: query; errors and total; good and total; buckets"),
            _RATIO,
            _GROUPED,
        )
    )

    group_by: GroupBy | None = None
    """groupBy lets one query answer for all rollouts that use this template, each by the series that carry its value in
    a label; else each rollout asks for itself. In the queries, `label=~"value"` stands for all values at once."""

    description: Message = ""
    """description says what it measures and for whom, in a sentence."""


class IndicatorTemplate(Resource):
    """An SLI's queries, written once by the platform team and used by many rollouts.

    `$window`, `$namespace`, `$rollout` and `$flag` are replaced in the queries; where a TenantQuota uses it, `$window`,
    `$tenant`, `$namespaces` and the names of its params.
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
