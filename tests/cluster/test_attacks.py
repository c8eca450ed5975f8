"""Attacks by a tenant with its own ServiceAccount, on the real API server, with the operator and the chart's rights.

Each test is named after the attack. The attacker has what a TenantQuota gives: it may write PilotRollouts in its
namespace. docs/security.md has the table of all attacks, with those that are tried elsewhere.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Gauge

from testbed import KubectlError, ProcessGroup, PrometheusServer, wait_until
from testbed.install import Installed
from tests.cluster.attacker import STEPS, Land, settle
from tests.cluster.replicas import Replica, start_leader
from tests.cluster.tenants import Usage, serve_usage
from tests.prometheus.exporters import Exporter


@pytest.fixture(scope="module")
def usage(prometheus: PrometheusServer) -> Iterator[Usage]:
    with serve_usage() as usage:
        prometheus.set_targets("attacks", [usage.exporter.address])
        prometheus.wait_for_target("attacks")
        yield usage
        prometheus.remove_targets("attacks")


@pytest.fixture(scope="module")
def operator(installed: Installed, prometheus: PrometheusServer, usage: Usage) -> Iterator[Replica]:  # noqa: ARG001
    with ProcessGroup(prefix="pilotage-attacks-") as group:
        # Few workers, so that a small flood keeps as many of them busy as it may.
        yield start_leader(group, installed, prometheus=prometheus.url, arguments=("--workers=4",))


@pytest.fixture(scope="module")
def land(operator: Replica, installed: Installed, usage: Usage) -> Iterator[Land]:
    with settle(installed) as land:
        for name in (land.attackers, land.victims):
            usage.set(name, "vectors", 100)
        yield land
    assert operator.metric("pilotage_reconcile_failures_total", kind="bug") == 0


FORBIDDEN = "Forbidden"
FLOOD = 30


@pytest.mark.parametrize(
    "what",
    [
        "secrets",
        "configmaps",
        "pods",
        "serviceaccounts",
        "rolebindings.rbac.authorization.k8s.io",
        "networkpolicies.networking.k8s.io",
        "resourcequotas",
        "featureflags.core.openfeature.dev",
    ],
)
@pytest.mark.parametrize("verb", ["list", "create", "delete"])
def test_confused_deputy_the_token_that_a_tenant_quota_gives_reaches_rollouts_and_nothing_else(
    land: Land, verb: str, what: str
) -> None:
    for namespace in (land.attackers, land.victims):
        land.refused("auth", "can-i", verb, what, "-n", namespace)


def test_confused_deputy_a_rollout_in_the_victims_namespace_is_refused(land: Land) -> None:
    assert FORBIDDEN in land.refused("create", sent=land.rollout("planted", land.victims))
    assert FORBIDDEN in land.refused("get", "pilots", "-n", land.victims)


@pytest.mark.parametrize(
    "spec",
    [
        {"delivery": {"flags": {"name": "pilot-flags", "namespace": "victim"}}},
        {"audience": {"directory": {"configMap": "users", "namespace": "victim"}}},
        {"indicators": [{"name": "x", "query": "up", "url": "http://169.254.169.254/"}]},
        {"indicators": [{"name": "x", "query": "up", "prometheus": "http://[::1]:9090"}]},
        {"indicators": [{"name": "x", "query": "up", "secretRef": {"name": "token"}}]},
        {"feature": {"flag": "x", "file": "/var/run/secrets/kubernetes.io/serviceaccount/token"}},
        {"webhook": "http://kubernetes.default.svc"},
    ],
    ids=["flags", "directory", "metadata-service", "loopback", "secret", "file", "webhook"],
)  # fmt: skip
def test_confused_deputy_a_reference_to_elsewhere_is_no_field_of_the_api(land: Land, spec: dict[str, Any]) -> None:
    wanted = land.rollout("elsewhere", **spec)
    assert "unknown field" in land.refused("create", "--validate=strict", "--dry-run=server", sent=wanted)
    made = json.loads(land.attack("create", "--validate=ignore", "--dry-run=server", "-o", "json", sent=wanted))
    for stranger in ("victim", "169.254", "[::1]", "token", "kubernetes.default"):
        assert stranger not in json.dumps(made["spec"])


@pytest.mark.parametrize("name", ["../victim/pilot-flags", "victim/pilot-flags", "kube-system%2Fx", "a\nb"])
def test_confused_deputy_a_name_that_is_a_path_is_refused(land: Land, name: str) -> None:
    assert "Invalid value" in land.refused("create", sent=land.rollout("path", delivery={"flags": {"name": name}}))


def test_confused_deputy_the_flags_that_a_rollout_names_are_its_own_namespaces(land: Land) -> None:
    land.cluster.apply(land.rollout("theirs", land.victims, steps=STEPS))
    land.others.wait_for("theirs", phase="Completed", seconds=60)
    before = land.others.kubectl("get", "configmap", "pilot-flags", "-o", "jsonpath={.data}")
    land.create("theirs", feature={"flag": "theirs"}, steps=[{"name": "none", "percent": 1, "hold": "1h"}])
    wait_until(lambda: land.own.is_in_force("theirs"), "the attacker's own flag to be served", seconds=60)
    assert land.others.kubectl("get", "configmap", "pilot-flags", "-o", "jsonpath={.data}") == before


@pytest.mark.parametrize(
    ("api", "kind"),
    [
        ("v1", "Secret"),
        ("rbac.authorization.k8s.io/v1", "ClusterRole"),
        ("pilotage.dev/v1alpha1", "TenantQuota"),
    ],
)
def test_confused_deputy_what_a_rollout_scales_is_a_workload_of_its_namespace_and_nothing_else(
    land: Land, api: str, kind: str
) -> None:
    workload = {"apiVersion": api, "kind": kind, "name": land.victims}
    name = f"scales-{kind.lower()}-{len(api)}"
    steps = [{"name": "all", "percent": 100, "scale": {"minReplicas": 3}}]
    land.create(name, delivery={"workload": workload}, steps=steps)
    wait_until(lambda: land.own.status(name).get("message"), "the operator to say why")
    assert "exposure" not in land.own.status(name)
    assert "scale" in land.own.status(name)["message"]


def test_confused_deputy_what_a_rollout_scales_is_no_path_through_the_api_server(land: Land) -> None:
    workload = {"apiVersion": "../v1", "kind": "Secret", "name": land.victims}
    rollout = land.rollout("path", delivery={"workload": workload}, steps=STEPS)
    refused = land.refused("create", sent=rollout)
    assert "spec.delivery.workload.apiVersion" in refused
    assert "write the kind's group and version" in refused


@pytest.mark.parametrize(
    "change",
    [
        {"spec": {"resources": []}},
        {"spec": {"namespaces": ["default"]}},
        {"spec": {"access": {"metrics": []}}},
        {"metadata": {"finalizers": [], "ownerReferences": []}},
    ],
    ids=["limits", "namespaces", "metrics", "metadata"],
)
def test_forged_quota_a_tenant_does_not_change_its_tenant_quota(land: Land, change: dict[str, Any]) -> None:
    patch = ["--type=merge", "-p", json.dumps(change)]
    assert FORBIDDEN in land.refused("patch", "tq", land.attackers, *patch)
    assert FORBIDDEN in land.refused("delete", "tq", land.attackers)


def test_forged_quota_a_tenant_makes_no_tenant_quota_that_claims_a_victims_namespace(land: Land) -> None:
    claim = {
        "apiVersion": "pilotage.dev/v1alpha1",
        "kind": "TenantQuota",
        "metadata": {"name": "claim"},
        "spec": {"namespaces": [land.victims]},
    }
    assert FORBIDDEN in land.refused("create", sent=claim)


@pytest.mark.parametrize(
    "status",
    [
        {"resources": [{"name": "vectors", "used": "0", "available": "1000"}]},
        {"reservations": []},
        {"reservations": [{"id": "mine", "amounts": []}]},
        {"occupied": []},
    ],
    ids=["usage", "release", "reserve", "occupied"],
)
def test_forged_usage_and_reservations_a_tenant_writes_no_status_of_its_tenant_quota(
    land: Land, status: dict[str, Any]
) -> None:
    patch = ["--subresource=status", "--type=merge", "-p", json.dumps({"status": status})]
    assert FORBIDDEN in land.refused("patch", "tq", land.attackers, *patch)


def test_forged_usage_the_projection_is_read_only_for_the_tenant(land: Land) -> None:
    wait_until(lambda: land.attack("get", "configmap", "tenant-quota", "-n", land.attackers), "the projection")
    assert FORBIDDEN in land.refused("get", "configmap", "pilot-flags", "-n", land.attackers)
    patch = ["--type=merge", "-p", '{"data": {"usage": "vectors 0%"}}']
    assert FORBIDDEN in land.refused("patch", "configmap", "tenant-quota", "-n", land.attackers, *patch)
    assert FORBIDDEN in land.refused("delete", "configmap", "tenant-quota", "-n", land.attackers)


def test_forged_usage_series_of_the_victims_name_make_its_usage_unknown_and_never_smaller(
    land: Land, usage: Usage
) -> None:
    """Who can expose metrics can expose any labels: a second series is no second opinion, it is a reason to doubt."""

    def told() -> dict[str, dict[str, Any]]:
        return {each["name"]: each for each in land.quota(land.victims)["status"].get("resources", ())}

    wait_until(lambda: told().get("vectors", {}).get("used") == "100", "the usage to be known", seconds=60)
    usage.set(land.victims, "vectors", 0, part="forged")
    wait_until(lambda: "unknownSince" in told()["vectors"], "the usage to be unknown", seconds=60)
    assert not told()["vectors"].get("used")
    usage.forget(land.victims, "vectors", part="forged")
    wait_until(lambda: told()["vectors"].get("used") == "100", "the usage to be known again", seconds=60)


def test_forged_decisions_a_tenant_writes_no_status_of_its_rollouts(land: Land) -> None:
    land.create("status", steps=[{"name": "few", "percent": 1, "hold": "1h"}])
    patch = ["--subresource=status", "--type=merge", "-p", '{"status": {"phase": "Completed"}}']
    assert FORBIDDEN in land.refused("patch", "pilot", "status", "-n", land.attackers, *patch)
    sent = land.rollout("forged") | {"status": {"phase": "Completed", "tenant": {"answer": "Reserved"}}}
    made = json.loads(land.attack("create", "-o", "json", sent=sent))
    assert made.get("status", {}).get("phase") != "Completed"


def test_forged_tenant_a_rollout_that_names_the_victims_quota_begins_nothing_and_reserves_nothing(land: Land) -> None:
    land.create("impostor", tenant=land.victims)
    wait_until(lambda: "does not list namespace" in land.own.status("impostor").get("message", ""), "the refusal")
    assert "exposure" not in land.own.status("impostor")
    assert not land.quota(land.victims)["status"].get("reservations")


FORGED = {
    "kopf.zalando.org/last-handled-configuration": '{"spec":{"paused":false}}\n',
    "kopf.zalando.org/decide": '{"success":true,"stopped":"2026-01-01T00:00:00"}',
    "kopf.zalando.org/kopf-managed": "yes",
    "pilotage.dev/approved": "true",
    "pilotage.dev/step": "2",
}


def test_forged_annotations_decide_nothing(land: Land) -> None:
    steps = [{"name": "few", "percent": 1, "hold": "1h"}, {"name": "all", "percent": 100}]
    land.create("notes", steps=steps)
    wait_until(lambda: land.own.is_in_force("notes"), "the first step to be in force", seconds=60)
    before = land.own.status("notes")
    forged = [f"{name}={value}" for name, value in FORGED.items()]
    land.attack("annotate", "pilot", "notes", "-n", land.attackers, *forged)
    judged = before["nextCheckTime"]
    wait_until(lambda: land.own.status("notes").get("nextCheckTime", "") >= judged, "a further look")
    after = land.own.status("notes")
    assert (after["revision"], after["exposure"], after["step"]) == (
        before["revision"],
        before["exposure"],
        before["step"],
    )
    assert land.own.actions("notes") == [each["action"] for each in before["history"]]


def test_forged_annotations_nobody_else_is_named_as_the_author_of_a_spec(land: Land) -> None:
    land.create("author", paused=True)
    name = "pilotage.dev/changed-by"
    # Kubernetes from 1.36 on puts the true name back; before, the API server refuses.
    with suppress(KubectlError):
        land.attack("annotate", "pilot", "author", "-n", land.attackers, "--overwrite", f"{name}=alice")
    assert land.own.get("author")["metadata"].get("annotations", {}).get(name, "") in (
        "",
        f"system:serviceaccount:{land.attackers}:attacker",
    )


@pytest.mark.parametrize("by", ["attacker", "alice"])
def test_self_approval_is_refused_by_the_api_server_whoever_is_named(land: Land, by: str) -> None:
    user = f"system:serviceaccount:{land.attackers}:attacker" if by == "attacker" else by
    decision = {
        "apiVersion": "pilotage.dev/v1alpha1",
        "kind": "PilotDecision",
        "metadata": {"generateName": "self-", "namespace": land.attackers},
        "spec": {"rollout": "x", "action": "proceed", "gate": "launch", "by": user, "reason": "me"},
    }
    said = land.refused("create", sent=decision)
    assert ("lacks the right to decide at this gate" if by == "attacker" else "write your own name") in said


@pytest.mark.parametrize("flag", ['x"} or up{tenant="victim', "x\\", "x|y", ".*", "$window", "x y"])
def test_promql_injection_by_a_name_is_refused_by_the_schema(land: Land, flag: str) -> None:
    assert "Invalid value" in land.refused("create", sent=land.rollout("inject", feature={"flag": flag}))


SECRET = 8675309
"""Of the victim; no part of a time or of a name can look like it."""


def test_promql_widening_reads_no_series_of_the_victim(land: Land, prometheus: PrometheusServer) -> None:
    def fill(registry: CollectorRegistry) -> None:
        secret = Gauge("revenue", "Of tenants.", ["tenant"], registry=registry)
        secret.labels(land.victims).set(SECRET)
        secret.labels(land.attackers).set(7)

    with Exporter(fill=fill) as exporter:
        prometheus.set_targets("revenue", [exporter.address])
        prometheus.wait_for_target("revenue")
        attempts = {
            "honest": "max(revenue)",
            "named": f'max(revenue{{tenant="{land.victims}"}})',
            "regex": 'max(revenue{tenant=~".+",tenant!~"attacker.*"})',
            "any_name": f'max({{__name__=~"reven.*",tenant="{land.victims}"}})',
            "either": f'max(revenue{{tenant="none"}} or revenue{{tenant="{land.victims}"}})',
            "history": f'max(max_over_time(revenue{{tenant="{land.victims}"}}[1h:1s]))',
            "broken": f'max(revenue) or (revenue{{tenant="{land.victims}"}})) or (vector(1)',
        }
        indicators = [{"name": name, "query": query, "unit": "count"} for name, query in attempts.items()]
        land.create("spy", indicators=indicators, go=[f"{name} < 1" for name in attempts], steps=STEPS)

        def found() -> dict[str, dict[str, Any]]:
            return {each["rule"]: each for each in land.own.status("spy").get("criteria", ())}

        wait_until(lambda: found().get("honest < 1", {}).get("value") == "7", "its own series to be read", seconds=60)
        told = found()
        prometheus.remove_targets("revenue")
    assert {rule for rule, each in told.items() if each.get("value")} == {"honest < 1"}
    assert "the operator rejects the query: it can't be read as PromQL" in told["broken < 1"]["message"]
    assert str(SECRET) not in json.dumps(land.own.get("spy")["status"])


MOST = 3
COUNTED = "count/pilotrollouts.pilotage.dev"


@pytest.mark.timeout(400)
def test_exhaustion_by_more_rollouts_than_the_quota_allows_is_refused_by_the_api_server(land: Land) -> None:
    land.own.delete("--all")
    land.limit({COUNTED: MOST})

    def counted() -> bool:
        found = land.own.kubectl("get", "resourcequota", "tenant-compute", "-o", "json", "--ignore-not-found")
        return bool(found) and json.loads(found).get("status", {}).get("hard", {}).get(COUNTED) == str(MOST)

    # The cluster looks for new kinds to count now and then; until it does, it admits none of them.
    wait_until(counted, "the cluster to count rollouts", seconds=150)
    for number in range(MOST):
        wait_until(partial(land.create, f"flood-{number}", paused=True), "a rollout within the quota", seconds=60)
    assert "exceeded quota: tenant-compute" in land.refused("create", sent=land.rollout("one-more"))
    land.others.apply("calm", steps=STEPS)
    land.others.wait_for("calm", phase="Completed", seconds=60)
    land.limit({})
    wait_until(lambda: not counted(), "the limit to go")


@pytest.mark.timeout(300)
def test_exhaustion_by_a_flood_of_rollouts_the_victims_goes_on(land: Land, operator: Replica) -> None:
    """Each of the flood's is judged every second, and asks Prometheus for something that nobody else asks for."""
    steps = [{"name": "few", "percent": 1, "hold": "1h"}]

    def one(number: int) -> dict[str, Any]:
        indicators = [{"name": "x", "query": f"max(revenue + {number})", "unit": "count"}]
        return land.rollout(f"wave-{number}", indicators=indicators, rollback=["x > 1000"], steps=steps)

    wave = [one(number) for number in range(FLOOD)]
    land.attack("apply", "--server-side", sent={"apiVersion": "v1", "kind": "List", "items": wave})
    land.others.apply("among-many", steps=[{"name": "few", "percent": 1, "hold": "2s"}, *STEPS])
    land.others.wait_for("among-many", phase="Completed", seconds=150)
    assert len(land.own.kubectl("get", "pilots", "-o", "name").split()) >= FLOOD
    assert operator.metric("pilotage_reconcile_failures_total", kind="bug") == 0
