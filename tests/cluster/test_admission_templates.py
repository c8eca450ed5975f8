"""IndicatorTemplates: what the platform team may write, cluster-wide."""

import json
from typing import Any

import pytest

from pilotage.resources.indicators import IndicatorTemplate
from testbed import Cluster
from tests.cluster.admission import apply, refusal, template, told

pytestmark = pytest.mark.usefixtures("crds")

REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "query and errors": (
        {"query": "up", "errors": "e", "total": "t"},
        "spec",
        "give one of: query; errors and total; good and total; buckets",
    ),
    "errors without total": ({"errors": "e"}, "spec", "give one of: query; errors and total; good and total; buckets"),
    "nothing to measure": ({"unit": "score"}, "spec", "give one of: query; errors and total; good and total; buckets"),
    "errors in seconds": (
        {"errors": "e", "total": "t", "unit": "seconds"},
        "spec.unit",
        "errors (or good) and total make a ratio: leave unit away or set it to ratio",
    ),
    "an unknown unit": ({"query": "up", "unit": "ms"}, "spec.unit", 'supported values: "ratio", "seconds", "count"'),
    "a window without a unit": (
        {"query": "up", "window": "60"},
        "spec.window",
        "write a duration as numbers with units",
    ),
    "a window of no length": ({"query": "up", "window": "0m"}, "spec.window", "a window must be longer than zero"),
    "an empty query": ({"query": ""}, "spec.query", "should be at least 1 chars long"),
    "a query that is too long": ({"query": "q" * 2049}, "spec.query", "may not be more than 2048 bytes"),
    "a label with a dash": ({"query": "up", "variantLabel": "a-b"}, "spec.variantLabel", "in body should match"),
    "one query for all that asks for one flag": (
        {"query": 'sum by (flag) (x{flag="$flag"})', "groupBy": {"label": "flag", "value": "$flag"}},
        "spec.groupBy",
        'write the matcher with =~ and groupBy.value, such as flag=~"$flag", or leave it out',
    ),
    "a total for all that asks for one rollout": (
        {"errors": "e", "total": "t{r='$rollout'}", "groupBy": {"label": "r", "value": "$namespace/$rollout"}},
        "spec.groupBy",
        "write the matcher with =~",
    ),
    "a group of a fixed name": (
        {"query": "x", "groupBy": {"label": "flag", "value": "search"}},
        "spec.groupBy.value",
        "write $flag, $rollout, $namespace, or some of them",
    ),
    "a group whose names run into each other": (
        {"query": "x", "groupBy": {"label": "flag", "value": "$namespace-$flag"}},
        "spec.groupBy.value",
        "with `/` or `:` in between",
    ),
    "a group without a label": (
        {"query": "x", "groupBy": {"value": "$flag"}},
        "spec.groupBy.label",
        "Required value",
    ),
    "an unknown field": ({"query": "up", "unitt": "ratio"}, "", 'unknown field "spec.unitt"'),
}


@pytest.mark.parametrize(("spec", "field", "message"), REFUSED.values(), ids=REFUSED)
def test_apply_refuses_and_names_the_field(cluster: Cluster, spec: dict[str, Any], field: str, message: str) -> None:
    said = refusal(cluster, "default", template(spec), "--dry-run=server")
    assert told(said, field, message), said


@pytest.mark.parametrize(
    "spec",
    [
        {"query": "histogram_quantile(0.95, rate(x_bucket[$window]))", "unit": "seconds", "window": "5m"},
        {
            "errors": "e",
            "total": "t",
            "unit": "ratio",
            "variantLabel": "arm",
            "description": "Share of failed requests.",
        },
        {
            "errors": 'sum by (flag, variant) (increase(errors_total{flag=~"$flag",shop="$namespace"}[$window]))',
            "total": "sum by (flag, variant) (increase(requests_total[$window]))",
            "groupBy": {"label": "flag", "value": "$flag"},
        },
    ],
    ids=["query", "errors and total", "one query for all"],
)
def test_what_makes_sense_is_stored_with_its_defaults(cluster: Cluster, spec: dict[str, Any]) -> None:
    name = "test-stored-with-its-defaults"
    apply(cluster, "default", template(spec, name))
    try:
        stored = json.loads(cluster.kubectl("get", "indicators", name, "-o", "json"))
    finally:
        cluster.kubectl("delete", "indicatortemplate", name)
    assert stored["spec"] == {"variantLabel": "variant", "description": "", **spec}
    assert IndicatorTemplate.model_validate(stored).spec.to_wire() == stored["spec"]
