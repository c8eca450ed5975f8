"""What of a rollout that is underway can't be edited: `kubectl apply` refuses it, and says what to do instead."""

import json
from typing import Any

import pytest

from testbed import Cluster
from tests.cluster.admission import apply, refusal, rollout, told

pytestmark = pytest.mark.usefixtures("crds")

POWER, MOBILE = ["power-users"], ["mobile-users"]
FIRST = {"name": "first", "users": 10, "cohorts": POWER}
SOME = {"name": "some", "percent": 20, "cohorts": POWER}
ALL = {"name": "everyone", "percent": 100}
TRAIL = [
    {"kind": "users", "step": "first", "users": 10, "enrolled": 10, "cohorts": POWER, "asked": {"users": 10}},
    {
        "kind": "percent",
        "step": "some",
        "share": 200000000,
        "cohorts": POWER,
        "criteria": ["orders > 10"],
        "asked": {"percent": "20"},
    },
]


def decide(cluster: Cluster, namespace: str, **status: Any) -> None:
    """Write a status as the operator does."""
    now = "2026-03-02T09:00:00Z"
    said = {"phase": "Progressing", "step": {"index": 1, "name": "some", "enteredTime": now}, "trail": TRAIL, **status}
    cluster.kubectl(
        *("patch", "pilot", "search", f"--namespace={namespace}", "--subresource=status", "--type=merge"),
        f"--patch={json.dumps({'status': said})}",
    )


def steps(*wanted: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return rollout({"steps": list(wanted), "audience.directory": {"configMap": "users"}, **changes})


@pytest.fixture
def search(cluster: Cluster, namespace: str) -> str:
    """Give the namespace of a rollout in the second of three steps."""
    apply(cluster, namespace, steps(FIRST, SOME, ALL))
    decide(cluster, namespace)
    return namespace


REFUSED: dict[str, tuple[list[dict[str, Any]], str]] = {
    "the current step under another name": (
        [FIRST, {**SOME, "name": "others"}, ALL],
        "steps[1] must stay some, which has begun: undo the change, or raise feature.revision to start over",
    ),
    "the current step taken out": ([FIRST, ALL], "steps[1] must stay some, which has begun"),
    "nothing after the first step": ([FIRST], "steps[1] must stay some, which has begun"),
    "a done step taken out": ([SOME, ALL], "steps[0] must stay first, which has begun"),
    "a step before the current one": (
        [FIRST, {"name": "between", "users": 15, "cohorts": POWER}, SOME, ALL],
        "steps[1] must stay some, which has begun",
    ),
    "a smaller percent": (
        [{**FIRST, "users": 1}, {**SOME, "percent": 15}, ALL],
        "steps[1] some: percent is less than the 20 that was let in; take users back by a rollback, not by a step",
    ),
    "fewer users in a done step": (
        [{**FIRST, "users": 9}, SOME, ALL],
        "steps[0] first: users 9 is less than the 10 who were let in; take users back by a rollback, not by a step",
    ),
    "another cohort": (
        [{**FIRST, "cohorts": MOBILE}, {**SOME, "cohorts": MOBILE}, ALL],
        "steps[0] first: cohorts leave out users who were let in; take users back by a rollback, not by a step",
    ),
}


@pytest.mark.parametrize(("wanted", "message"), REFUSED.values(), ids=REFUSED)
def test_apply_refuses_what_would_undo_what_was_done(
    cluster: Cluster, search: str, wanted: list[dict[str, Any]], message: str
) -> None:
    said = refusal(cluster, search, steps(*wanted))
    assert told(said, "spec.steps", message), said
    assert "evaluat" not in said, "a rule failed instead of refusing"


def test_what_is_safe_can_be_edited_at_any_time(cluster: Cluster, search: str) -> None:
    for wanted in (
        [FIRST, {**SOME, "hold": "3d", "go": ["errors < 1%"]}, ALL],
        [{**FIRST, "hold": "1h"}, {**SOME, "percent": 30}, ALL],
        [{**FIRST, "hold": "1h"}, SOME, ALL],
        [FIRST, {**SOME, "cohorts": [*POWER, *MOBILE]}, {"name": "half", "percent": 50}, ALL],
        [FIRST, {"name": "some", "percent": 20}],
    ):
        apply(cluster, search, steps(*wanted))


def test_with_a_new_revision_all_steps_can_change(cluster: Cluster, search: str) -> None:
    apply(cluster, search, steps({"name": "other", "users": 1}, **{"feature.revision": 2}))


@pytest.mark.parametrize("status", [{"phase": "Completed"}, {"step": None}, {"mode": "observe"}])
def test_what_is_over_or_reached_nobody_can_change(cluster: Cluster, search: str, status: dict[str, Any]) -> None:
    decide(cluster, search, **status)
    apply(cluster, search, steps({"name": "other", "users": 1}))


def test_status_is_written_whatever_the_spec_says_and_what_was_wrong_can_be_put_back(
    cluster: Cluster, search: str
) -> None:
    decide(cluster, search, step=None)
    apply(
        cluster,
        search,
        steps({"name": "other", "users": 5, "cohorts": POWER}, {**SOME, "name": "x", "percent": 10}, ALL),
    )
    decide(cluster, search)
    decide(cluster, search, message="the rollout is in step some, which is no longer there")
    said = refusal(cluster, search, steps(FIRST, {**SOME, "name": "y"}, ALL))
    assert told(said, "spec.steps", "steps[1] must stay some, which has begun"), said
    apply(cluster, search, steps(FIRST, SOME, ALL))
