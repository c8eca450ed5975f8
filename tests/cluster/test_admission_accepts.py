"""What the API server takes: all that can be said, the defaults that it fills in, the largest rollout there can be."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pilotage.resources.rollout import PilotRollout
from testbed import Cluster
from tests.cluster.admission import Object, apply, refusal, rollout, told

pytestmark = pytest.mark.usefixtures("crds")

FULL = Path(__file__).parent / "data" / "full.yaml"

WINDOWS = (
    {"rrule": "FREQ=DAILY"},
    {"rrule": "FREQ=WEEKLY;BYDAY=MO,TU", "start": "09:00", "from": "2026-03-02"},
    {"rrule": "FREQ=WEEKLY;INTERVAL=2", "start": "23:59", "from": "2026-03-02"},
    {"rrule": "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1"},
    {"rrule": "FREQ=YEARLY;BYMONTH=11;BYDAY=4FR,-1SA;UNTIL=20301231;WKST=MO"},
)


def test_everything_that_can_be_said_is_stored_as_it_was_said(cluster: Cluster, namespace: str) -> None:
    wanted = yaml.safe_load(FULL.read_text())
    stored = apply(cluster, namespace, wanted)
    assert stored["spec"] == wanted["spec"]
    assert PilotRollout.model_validate(stored).spec.to_wire() == wanted["spec"]


def test_the_defaults_are_filled_in_as_the_models_have_them(cluster: Cluster, namespace: str) -> None:
    least: Object = {"feature": {"flag": "search"}, "steps": [{"name": "everyone", "percent": 100}]}
    wanted = {**rollout(), "spec": least}
    stored = apply(cluster, namespace, wanted)
    assert stored["spec"] == {
        "feature": {"flag": "search", "treatment": "on", "control": "off", "rest": "rest", "revision": 1},
        "audience": {"bucketBy": "targetingKey", "include": [], "exclude": [], "cohorts": [], "control": "rest"},
        "delivery": {"flags": {"name": "pilot-flags", "hashGeneration": "cbor"}},
        "after": [],
        "interval": "15s",
        "indicators": [],
        "needs": [],
        "objectives": [],
        "timeZone": "UTC",
        "schedule": {"windows": [], "freezes": []},
        "steps": [
            {"name": "everyone", "percent": 100, "cohorts": [], "hold": "0s", "go": [], "gates": [], "needs": []}
        ],
        "go": [],
        "noGo": [],
        "rollback": [],
        "throttle": [],
        "burnRates": [],
        "scores": [],
        "gates": [],
        "onRollback": {"to": "zero", "mode": "atOnce", "included": "off"},
        "mode": "enforce",
        "observe": [],
        "onDelete": {"exposure": "auto"},
        "paused": False,
    }
    assert "status" not in stored
    assert stored["spec"] == PilotRollout.model_validate({"metadata": {"name": "x"}, "spec": least}).spec.to_wire()


def test_defaults_reach_what_was_given_in_part(cluster: Cluster, namespace: str) -> None:
    changes = {"delivery": {"flags": {"name": "shop"}}, "objectives": [{"indicator": "errors", "objective": "< 1%"}]}
    spec = apply(cluster, namespace, rollout(changes))["spec"]
    assert spec["delivery"] == {"flags": {"name": "shop", "hashGeneration": "cbor"}}
    assert spec["objectives"][0]["onBreach"] == "hold"
    assert spec["indicators"][0]["variantLabel"] == "variant"


@pytest.mark.parametrize(
    "changes",
    [
        {
            "steps": [
                {"name": "a", "percent": "0.000001"},
                {"name": "b", "percent": "99.5"},
                {"name": "c", "percent": 100},
            ]
        },
        {
            "steps": [{"name": "all-power-users", "cohorts": ["power-users"]}, {"name": "half", "percent": 50}],
            "audience.directory": {"configMap": "users"},
        },
        {"steps": [{"name": "a", "users": 10}, {"name": "b", "percent": 5}, {"name": "c", "users": 10}]},
        {"interval": "1s"},
        {"interval": "1h"},
        {"interval": "0h59m60s"},
        {"audience.cohorts.0.criteria": "plan in ['gold', 'silver'] or orders>=10 and beta == true"},
        {"go": ["errors<1%", "errors <= 0.5% for 90d", "errors == 0 in 1h30m"]},
        *({"timeZone": zone} for zone in ("UTC", "Etc/GMT+5", "America/Argentina/Buenos_Aires", "Africa/Porto-Novo")),
        {
            "indicators.0": {"name": "errors", "buckets": "x[$window]", "unit": "count", "above": 4096},
            "objectives": [{"indicator": "errors", "quantile": "99.9", "objective": "< 0.5"}],
        },
        {"go": ["lift(errors) < -5% significant", "score(customer)>=8.0 for 7d", "incidents(open,critical) == 0"]},
        {"steps.1.go": ["lift(errors)<=10% significant", "score(errors) > 8", "incidents(any) <= 5 in 7d"]},
        {"feature.flag": "Search_v2.beta"},
        *({"schedule.windows": [{"name": "w", "duration": "8h", **said}]} for said in WINDOWS),
        {"onRollback": {"to": "first", "mode": "stepwise", "pace": "10m", "retry": {"after": "24h", "limit": 100}}},
        {"onRollback": {"retry": {"acknowledgement": "required"}}, "acknowledgedRollback": 12},
        {"schedule.freezes": [{"name": "f", "from": "2026-12-18T12:00", "until": "2026-12-18"}]},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_makes_sense_is_accepted(cluster: Cluster, changes: dict[str, Any]) -> None:
    apply(cluster, "default", rollout(changes), "--dry-run=server")


def test_what_may_change_can_change(cluster: Cluster, namespace: str) -> None:
    apply(cluster, namespace, rollout({"feature.revision": 1}))
    changes = {"feature.revision": 2, "steps.0.users": 20, "paused": True}
    spec = apply(cluster, namespace, rollout(changes))["spec"]
    assert (spec["feature"]["revision"], spec["steps"][0]["users"], spec["paused"]) == (2, 20, True)


def largest() -> Object:
    """As much of everything as the bounds allow, so that every rule has the most to do."""
    names = [f"{'n' * 60}{place:02d}" for place in range(32)]
    criteria = [f"{names[-1]} > {'9' * 15}.{'9' * 9}% for {'999999ms' * 3}" for _ in range(16)]
    cohorts = names[:16]
    spec: Object = {
        "feature": {"flag": "f" * 100},
        "audience": {
            "directory": {"configMap": "users"},
            "include": [f"{'i' * 120}{place:03d}" for place in range(200)],
            "exclude": [f"{'x' * 120}{place:03d}" for place in range(1000)],
            "cohorts": [{"name": name, "criteria": f"a == '{'c' * 64}' or b == '{'d' * 64}'"} for name in cohorts],
        },
        "indicators": [{"name": name, "query": "q" * 2048} for name in names],
        "objectives": [{"indicator": name, "objective": "< 1%"} for name in names],
        "steps": [
            {"name": name, "percent": "99.123456", "cohorts": cohorts, "hold": "1d", "go": criteria} for name in names
        ],
        **dict.fromkeys(("go", "noGo", "rollback", "throttle"), criteria),
    }
    return {**rollout(), "spec": spec}


def test_the_largest_rollout_stays_within_the_budget_of_the_rules(cluster: Cluster, namespace: str) -> None:
    """The server estimates the cost when the definition is created, and counts it when an object is validated."""
    apply(cluster, namespace, largest(), "--server-side")


def test_the_largest_rollout_is_still_told_what_is_wrong(cluster: Cluster) -> None:
    wanted = largest()
    wanted["spec"]["steps"][-1]["cohorts"] = ["vips"]
    said = refusal(cluster, "default", wanted, "--server-side", "--dry-run=server")
    assert told(said, "spec.steps", "cohort vips is not defined: add it to audience.cohorts"), said[:2000]
