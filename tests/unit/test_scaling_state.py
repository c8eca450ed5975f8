"""How a scaling policy stands: bounds, what is told once, and whose a workload's replicas are."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage.controller.tenants.scaling import is_capped, tick_of
from pilotage.delivery.scale import (
    FIELD_MANAGER,
    ScaleRefusedError,
    WorkloadRef,
    autoscaler_of,
    declared_by,
    plural_of,
    targets,
)
from pilotage.resources.tenant import TenantQuota
from pilotage.resources.tenant_scaling import ScalingPolicy, ScalingStatus
from pilotage.tenancy.scaling import Changes, Wanted
from pilotage.tenancy.scaling_demands import Demand
from pilotage.tenancy.scaling_state import (
    Bounds,
    bounds_of,
    changes_of,
    fresh,
    happened,
    metered,
    scaled,
    settled,
    stopped,
)

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
ARGO = Path(__file__).parents[2] / "examples" / "argocd" / "application.yaml"
POLICY = ScalingPolicy.model_validate(
    {
        "name": "qps",
        "target": {"name": "search", "namespace": "shop"},
        "metric": {"query": "avg(q)"},
        "value": 100,
        "min": 3,
        "max": 20,
        "engine": "scale",
    }
)
REF = WorkloadRef("shop", "search")
APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def decided(reason: Any = "Steady", replicas: int = 5, changes: Changes | None = None) -> ScalingStatus:
    """The status after a decision of the rule about five replicas."""
    status = fresh(POLICY, None, Bounds(3, 20))
    wanted = Wanted(replicas, reason, "why", changes or Changes())
    return scaled(status, wanted, value="90", replicas=replicas, ready=replicas)


def test_a_rollouts_demand_raises_the_minimum_up_to_the_policys_maximum() -> None:
    asked = [Demand("a", ("Deployment", "search"), 8)]
    assert bounds_of(POLICY, None, asked, capped=False) == Bounds(8, 20)
    assert bounds_of(POLICY, None, [Demand("a", ("Deployment", "search"), 99)], capped=False) == Bounds(20, 20)
    assert bounds_of(POLICY, None, [Demand("a", None, leaving=True)], capped=False) == Bounds(3, 20, leaving=True)


def test_a_quota_that_scales_lets_replicas_only_fall_and_never_below_the_minimum() -> None:
    assert bounds_of(POLICY, decided(replicas=7), [], capped=True) == Bounds(3, 7)
    assert bounds_of(POLICY, decided(replicas=2), [], capped=True) == Bounds(3, 3)
    assert bounds_of(POLICY, None, [], capped=True) == Bounds(3, 20)


def test_while_users_are_taken_back_a_lowered_maximum_takes_nothing_away() -> None:
    before = decided().model_copy(update={"maximum": 30})
    leaving = [Demand("a", None, leaving=True)]
    assert bounds_of(POLICY, before, leaving, capped=False) == Bounds(3, 30, leaving=True)
    assert bounds_of(POLICY, before, [], capped=False) == Bounds(3, 20)


@pytest.mark.parametrize(
    ("level", "action", "capped"), [("hard", "scale", True), ("within", "scale", False), ("hard", "hold", False)]
)
def test_the_action_scale_is_in_force_where_a_level_asks_for_it(level: str, action: str, capped: bool) -> None:
    resource = {"name": "cost", "hard": 10, "usage": {"query": "q"}, "onHard": action}
    tenant = TenantQuota.model_validate(
        {
            "metadata": {"name": "a"},
            "spec": {"resources": [resource]},
            "status": {"resources": [{"name": "cost", "level": level}]},
        }
    )
    assert is_capped(tenant) is capped


def test_cooldowns_survive_in_status() -> None:
    changes = Changes(NOW, NOW - timedelta(hours=1), NOW - timedelta(minutes=1), 4)
    assert changes_of(decided(changes=changes)) == changes
    assert changes_of(fresh(POLICY, decided(changes=changes), Bounds(3, 20))) == changes


def test_a_policy_that_is_pointed_at_something_else_begins_anew() -> None:
    other = POLICY.model_copy(update={"target": POLICY.target.model_copy(update={"name": "other"})})
    status = fresh(other, decided(changes=Changes(NOW)), Bounds(3, 20))
    assert (status.target, changes_of(status)) == ("shop/Deployment/other", Changes())


def test_numbers_that_move_by_themselves_write_nothing() -> None:
    before = decided("Steady")
    for reason in ("Cooling", "WindowOpen"):
        assert settled(before, decided(reason).model_copy(update={"value": "91"})) is before
    assert settled(before, decided("Rising", 6)).replicas == 6


def test_policies_are_looked_at_as_often_as_kubernetes_does_or_five_times_in_a_cooldown() -> None:
    quick = POLICY.model_copy(update={"up": POLICY.up.model_copy(update={"cooldown": "20s"})})
    assert [tick_of([POLICY]), tick_of([POLICY, quick])] == [15.0, 4.0]
    assert tick_of([quick.model_copy(update={"down": POLICY.down.model_copy(update={"cooldown": "1s"})})]) == 1.0


def test_each_change_and_each_stop_is_told_once() -> None:
    steady, frozen = decided(), decided("MetricLost")
    refused = stopped(decided(), refused=True, reason="AutoscalerPresent", message="no")
    assert [each.action for each in happened(steady, decided("Rising", 6), wrote=True)] == ["Scale"]
    assert [each.action for each in happened(steady, frozen, wrote=False)] == ["Freeze"]
    assert [each.action for each in happened(steady, refused, wrote=False)] == ["RefuseScaling"]
    assert [each.action for each in happened(frozen, steady, wrote=False)] == ["ResumeScaling"]
    for state in (steady, frozen, refused):
        assert happened(state, state, wrote=False) == ()


def test_when_a_metric_was_lost_and_came_back_is_kept() -> None:
    lost = metered(decided(), NOW, lost=True)
    assert metered(lost, NOW + timedelta(hours=1), lost=True) is lost
    back = metered(lost, NOW + timedelta(hours=2), lost=False)
    assert (back.metric_lost_time, back.metric_found_time) == (None, NOW + timedelta(hours=2))


def owner(operation: str, manager: str, *fields: str) -> dict[str, Any]:
    owned: dict[str, dict[str, Any]] = {f"f:{field}": {} for field in fields}
    return {"operation": operation, "manager": manager, "fieldsV1": {"f:spec": owned}}


@pytest.mark.parametrize(
    ("metadata", "who"),
    [
        ({}, ""),
        ({"managedFields": [owner("Apply", "argocd-controller", "replicas")]}, "argocd-controller"),
        ({"managedFields": [owner("Apply", "argocd-controller", "template")]}, ""),
        ({"managedFields": [owner("Apply", FIELD_MANAGER, "replicas")]}, ""),
        ({"managedFields": [owner("Update", "kubectl-create", "replicas")]}, ""),
        ({"annotations": {APPLIED: '{"spec":{"replicas":3}}'}}, "kubectl apply"),
        ({"annotations": {APPLIED: '{"spec":{"paused":true}}'}}, ""),
    ],
)
def test_who_declares_replicas_is_who_applies_a_manifest_with_them(metadata: dict[str, Any], who: str) -> None:
    assert declared_by(metadata) == who


@settings(max_examples=50)
@given(
    st.text(max_size=60) | st.sampled_from(["[]", "1", "null", '{"spec":3}', '{"spec":null}', '{"spec":"replicas"}'])
)
def test_whatever_stands_in_an_annotation_is_borne(text: str) -> None:
    assert declared_by({"annotations": {APPLIED: text}}) in ("", "kubectl apply")


@pytest.mark.parametrize(
    ("target", "same"),
    [
        ({"kind": "Deployment", "name": "search", "apiVersion": "apps/v1"}, True),
        ({"kind": "Deployment", "name": "search", "apiVersion": "apps/v1beta2"}, True),
        ({"name": "search"}, True),
        ({"kind": "StatefulSet", "name": "search", "apiVersion": "apps/v1"}, False),
        ({"kind": "Deployment", "name": "search", "apiVersion": "example.com/v1"}, False),
        ({"kind": "Deployment", "name": "other", "apiVersion": "apps/v1"}, False),
    ],
)
def test_an_autoscaler_is_known_by_its_target(target: dict[str, str], same: bool) -> None:
    assert targets({"spec": {"scaleTargetRef": target}}, REF) is same


def test_what_keda_made_is_known_by_its_scaled_object() -> None:
    owners = [{"kind": "ScaledObject", "name": "tq-a-qps", "uid": "7"}]
    found = autoscaler_of(
        {"metadata": {"name": "keda-hpa-x", "ownerReferences": owners}}, "HorizontalPodAutoscalerList"
    )
    assert (found.title, found.maker, found.owners) == (
        "HorizontalPodAutoscaler keda-hpa-x",
        "tq-a-qps",
        frozenset("7"),
    )


def test_a_kind_without_a_scale_subresource_is_refused() -> None:
    resources = [{"name": "daemonsets", "kind": "DaemonSet"}, {"name": "deployments", "kind": "Deployment"}]
    resources.append({"name": "deployments/scale", "kind": "Scale"})
    assert plural_of({"resources": resources}, REF) == "deployments"
    for kind in ("DaemonSet", "Unknown"):
        with pytest.raises(ScaleRefusedError, match="no scale subresource"):
            plural_of({"resources": resources}, WorkloadRef("shop", "search", kind))


def test_the_snippet_for_argo_cd_ignores_replicas_in_the_diff_and_in_the_sync() -> None:
    spec = yaml.safe_load(ARGO.read_text())["spec"]
    ignored = {each["kind"]: each["jqPathExpressions"] for each in spec["ignoreDifferences"]}
    assert ignored == {"Deployment": [".spec.replicas"], "StatefulSet": [".spec.replicas"]}
    assert "RespectIgnoreDifferences=true" in spec["syncPolicy"]["syncOptions"]
