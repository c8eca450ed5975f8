"""`kubectl apply` takes scores, burn rates and readiness that make sense, and refuses the others by field."""

from typing import Any

import pytest

from testbed import Cluster
from tests.cluster.admission import apply, refusal, rollout, told

pytestmark = pytest.mark.usefixtures("crds")

INPUT = {"indicator": "errors", "weight": 30, "worst": "5%", "best": 0}
SCORE: dict[str, Any] = {"name": "customer", "acceptable": 8, "inputs": [INPUT]}
RATE = {"indicator": "errors", "budget": "0.1%"}


def score(**changes: Any) -> dict[str, Any]:
    return {"scores": [{**SCORE, **changes}]}


def scored(**changes: Any) -> dict[str, Any]:
    made = {name: value for name, value in {**INPUT, **changes}.items() if value is not None}
    return score(inputs=[made])


ACCEPTED: dict[str, dict[str, Any]] = {
    "a score": score(),
    "a template": score(template="technical", acceptable="8.5", excellent="9.5"),
    "a template's weights and thresholds": {
        "scores": [
            {
                "name": "customer",
                "template": "customer",
                "inputs": [{"indicator": "errors", "as": "completion", "worst": "5.5%", "best": "0"}],
            }
        ]
    },
    "a critical input": scored(critical="> 5%"),
    "eight scores of eight inputs": {
        "indicators": [{"name": f"i{n}", "query": "up"} for n in range(32)],
        "scores": [
            {**SCORE, "name": f"s{n}", "inputs": [{**INPUT, "indicator": f"i{m}"} for m in range(8)]} for n in range(8)
        ],
    },
    "burn rates": {"burnRates": [RATE]},
    "windows of its own": {"burnRates": [{**RATE, "windows": [{"long": "3d", "short": "6h", "factor": "1"}]}]},
    "readiness": {"readiness": {"blockers": ["errors > 5%"], "warnings": ["score(customer) < 8", "errors > 1%"]}},
    "empty readiness": {"readiness": {}},
    "an assignment": {"audience.assignment": {"indicator": "errors"}},
}


@pytest.mark.parametrize("changes", ACCEPTED.values(), ids=ACCEPTED)
def test_what_makes_sense_is_accepted(cluster: Cluster, changes: dict[str, Any]) -> None:
    apply(cluster, "default", rollout(changes), "--dry-run=server")


def test_the_windows_of_the_workbook_are_filled_in(cluster: Cluster) -> None:
    (stored,) = apply(cluster, "default", rollout({"burnRates": [RATE]}), "--dry-run=server")["spec"]["burnRates"]
    assert stored["windows"] == [
        {"long": "1h", "short": "5m", "factor": "14.4"},
        {"long": "6h", "short": "30m", "factor": 6},
    ]


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "a score without weights": (
        scored(weight=None),
        "spec.scores[0].inputs",
        "without a template, each input needs a weight, such as 30",
    ),
    "a score without a threshold": (
        {"scores": [{"name": "customer", "inputs": [INPUT]}]},
        "spec.scores[0].acceptable",
        "without a template, say from how many points on it is acceptable, such as 8",
    ),
    "a score of an unknown indicator": (
        scored(indicator="joy"),
        "spec.scores",
        "scores[0] customer: indicator joy is not defined: add it to indicators",
    ),
    "a score of one indicator twice": (score(inputs=[INPUT, INPUT]), "spec.scores[0].inputs[1]", "Duplicate value"),
    "two scores of one name": ({"scores": [SCORE, SCORE]}, "spec.scores[1]", "Duplicate value"),
    "a value in words": (scored(worst="bad"), "spec.scores[0].inputs[0].worst", "write a value with its unit, such as"),
    "a negative weight": (scored(weight=0), "spec.scores[0].inputs[0].weight", "should be greater than or equal to 1"),
    "no points": (score(acceptable="0"), "spec.scores[0].acceptable", "write a number above 0"),
    "an unknown template": (score(template="team"), "spec.scores[0].template", 'Unsupported value: "team"'),
    "a score that rolls back": (
        {"rollback": ["errors > 5%", "score(customer) < 5"]},
        "spec.rollback",
        "rollback can't name a score: a mean hides what is bad in it: put the score under go or noGo",
    ),
    "a score that throttles": ({"throttle": ["score(customer) < 5"]}, "spec.throttle", "throttle can't name a score"),
    "a budget of all": (
        {"burnRates": [{**RATE, "budget": "100%"}]},
        "spec.burnRates[0].budget",
        "write the share of events that may be bad, more than 0% and less than 100%, such as 0.1%",
    ),
    "no budget": ({"burnRates": [{**RATE, "budget": "0.0%"}]}, "spec.burnRates[0].budget", "write the share of events"),
    "a burn rate of an unknown indicator": (
        {"burnRates": [RATE, {**RATE, "indicator": "joy"}]},
        "spec.burnRates",
        "burnRates[1]: indicator joy is not defined: add it to indicators",
    ),
    "a factor in words": (
        {"burnRates": [{**RATE, "windows": [{"long": "1h", "short": "5m", "factor": "fast"}]}]},
        "spec.burnRates[0].windows[0].factor",
        'write a number above 0, such as 6, or a string such as "14.4"',
    ),
    "a blocker of an unknown indicator": (
        {"readiness": {"blockers": ["errors > 1%", "lift(joy) < 0% significant"]}},
        "spec.readiness.blockers",
        "readiness.blockers[1]: indicator joy is not defined: add it to indicators",
    ),
    "a warning that does not parse": (
        {"readiness": {"warnings": ["errors are high"]}},
        "spec.readiness.warnings[0]",
        "write a criterion as INDICATOR OP VALUE[UNIT]",
    ),
    "an assignment by an unknown indicator": (
        {"audience.assignment": {"indicator": "joy"}},
        "spec.audience.assignment.indicator",
        "assignment.indicator is not defined: add it to indicators",
    ),
}


@pytest.mark.parametrize(("changes", "field", "message"), REFUSED.values(), ids=REFUSED)
def test_apply_refuses_and_names_the_field(cluster: Cluster, changes: dict[str, Any], field: str, message: str) -> None:
    said = refusal(cluster, "default", rollout(changes), "--dry-run=server")
    assert told(said, field, message), said
    assert "evaluat" not in said, "a rule failed instead of refusing"
