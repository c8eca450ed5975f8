"""Tenants: a real API server, a real Prometheus, the chart's rights, and an operator that watches over quotas."""

import json
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pilotage.delivery.dataplane import FlagServiceClient
from pilotage.rollout.flagd import Evaluator
from testbed import Cluster, ProcessGroup, PrometheusServer, wait_until
from testbed.install import Installed
from tests.cluster.flag_world import Background
from tests.cluster.replicas import Replica, start_leader
from tests.cluster.tenants import Tenants, Usage, measured, serve_usage


@pytest.fixture(scope="module")
def usage(prometheus: PrometheusServer) -> Iterator[Usage]:
    with serve_usage() as usage:
        prometheus.set_targets("tenants", [usage.exporter.address])
        prometheus.wait_for_target("tenants")
        yield usage
        prometheus.remove_targets("tenants")


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessGroup]:
    with ProcessGroup(prefix="pilotage-tenants-") as group:
        yield group


@pytest.fixture(scope="module")
def envoy_gateway(cluster: Cluster) -> Iterator[None]:
    """Install the kind that Envoy Gateway brings, before an operator looks for it."""
    definition = str(Path(__file__).parent / "data" / "backendtrafficpolicies.yaml")
    cluster.kubectl("apply", "--server-side", "-f", definition)
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", definition)
    yield
    cluster.kubectl("delete", "-f", definition, "--timeout=30s")


@pytest.fixture(scope="module")
def operator(
    processes: ProcessGroup,
    installed: Installed,
    prometheus: PrometheusServer,
    envoy_gateway: None,  # noqa: ARG001 - it is there first
) -> Iterator[Replica]:
    """Give an operator that leads; it has the chart's rights only."""
    yield start_leader(processes, installed, prometheus=prometheus.url)
    processes.stop()


@pytest.fixture
def tenants(cluster: Cluster, operator: Replica) -> Iterator[Tenants]:
    made = Tenants(cluster)
    yield made
    made.close()
    assert operator.metric("pilotage_reconcile_failures_total", kind="bug") == 0


@pytest.fixture
def name() -> str:
    return f"tenant-{secrets.token_hex(4)}"


def test_usage_goes_up_and_down_and_each_transition_is_told_once(
    tenants: Tenants, usage: Usage, operator: Replica, name: str
) -> None:
    usage.set(name, "vectors", 500)
    tenants.apply(name, resources=[measured("vectors", soft=850, unit="count")])
    status = tenants.wait_for(name, "vectors", level="within", used="500")
    assert (status["percent"], status["available"], status["action"]) == ("50", "500", "none")
    usage.set(name, "vectors", 840)
    tenants.wait_for(name, "vectors", level="warning", used="840")
    usage.set(name, "vectors", 900)
    tenants.wait_for(name, "vectors", level="soft", action="alert")
    usage.set(name, "vectors", 1100)
    status = tenants.wait_for(name, "vectors", level="hard", action="hold")
    assert "1.1k of 1k" in status["message"]
    assert tenants.condition(name, "WithinHard") == ("False", "HardLimit")
    assert tenants.condition(name, "Enforcing") == ("True", "Holding")
    wait_until(lambda: operator.metric("pilotage_tenant_quota_percent", tenant=name) == 110, "the gauge")
    usage.set(name, "vectors", 990)  # inside the band of 5 %: nothing changes
    wait_until(lambda: operator.metric("pilotage_tenant_quota_used", tenant=name) == 990, "the gauge to follow")
    assert tenants.resource(name, "vectors")["level"] == "hard"
    usage.set(name, "vectors", 300)
    tenants.wait_for(name, "vectors", level="within", action="none")
    actions = ["Warn", "ExceedSoft", "Warn", "ExceedHard", "Hold", "Recover", "Release"]
    told = [each for each in tenants.actions(name) if each not in ("UsageUnknown", "UsageKnown")]  # before a scrape
    assert told == actions
    wait_until(lambda: len(tenants.events(name)) >= len(actions), "the Events")
    assert len(tenants.events(name)) == len(tenants.actions(name))
    told = [line["type"] for line in operator.record() if line["subject"] == name]
    assert told == [f"dev.pilotage.tenant.{action.lower()}.v1" for action in tenants.actions(name)]


def test_usage_that_can_not_be_told_is_unknown_and_never_zero(
    tenants: Tenants, usage: Usage, operator: Replica, name: str
) -> None:
    names = {fault: f"{name}-{fault}" for fault in ("missing", "negative", "doubled", "nan")}
    for each in names.values():
        usage.set(each, "qps", 1200)
        tenants.apply(each, resources=[measured("qps")])
    for each in names.values():
        tenants.wait_for(each, "qps", level="hard", used="1200")
    usage.forget(names["missing"], "qps")
    usage.set(names["negative"], "qps", -5)
    usage.set(names["doubled"], "qps", 7, part="other")
    usage.set(names["nan"], "qps", float("nan"))
    for each in names.values():
        tenants.wait_for_condition(each, "UsageKnown", "False", "NoData")
        status = tenants.resource(each, "qps")
        assert (status["used"], status["percent"], status["available"]) == ("", "", "")
        assert (status["level"], status["action"]) == ("hard", "hold")
        assert status["unknownSince"]
        assert "qps ?" in tenants.status(each)["summary"]["usage"]
        assert tenants.actions(each)[-3:] == ["ExceedHard", "Hold", "UsageUnknown"]
        assert operator.metric("pilotage_tenant_quota_unknown", tenant=each) == 1
        assert f'pilotage_tenant_quota_used{{resource="qps",tenant="{each}"}}' not in operator.get("/metrics")


def test_one_line_of_kubectl_tells_utilisation(tenants: Tenants, usage: Usage, name: str) -> None:
    usage.set(name, "vectors", 840)
    usage.set(name, "qps", 400)
    tenants.apply(
        name, displayName="Product Search", resources=[measured("qps"), measured("vectors"), measured("storage")]
    )
    tenants.wait_for(name, "vectors", level="warning")
    tenants.wait_for(name, "qps", level="within")
    wait_until(lambda: "storage ?" in tenants.status(name)["summary"]["usage"], "storage to be unknown")
    header, line = tenants.cluster.kubectl("get", "tq", name).splitlines()
    assert header.split()[:5] == ["NAME", "TENANT", "STATE", "USAGE", "COST"]
    assert "Product Search" in line
    assert "vectors 84%, qps 40%" in line
    assert "enforce" in line


def test_the_projection_is_repaired_and_goes_with_its_tenant(
    tenants: Tenants, usage: Usage, enrolled_tenant: str, name: str
) -> None:
    usage.set(name, "qps", 400)
    tenants.apply(name, namespaces=[enrolled_tenant], resources=[measured("qps")])
    wait_until(lambda: tenants.config_map(enrolled_tenant, "tenant-quota"), "the projection")
    tenants.wait_for(name, "qps", used="400")
    quota = json.loads(tenants.config_map(enrolled_tenant, "tenant-quota")["data"]["quota.json"])
    assert quota["tenant"] == name
    patch = json.dumps({"data": {"usage": "nothing", "extra": "kept"}})
    tenants.cluster.kubectl("patch", "configmap", "tenant-quota", "-n", enrolled_tenant, "--type=merge", f"-p={patch}")
    wait_until(
        lambda: "qps" in tenants.config_map(enrolled_tenant, "tenant-quota")["data"]["usage"], "the repair", seconds=60
    )
    tenants.wait_for_condition(name, "Ready", "True", "Kept")
    (stands,) = tenants.status(name)["namespaces"]
    assert (stands["name"], stands["state"], stands["claimedBy"]) == (enrolled_tenant, "Enrolled", [])
    tenants.apply(name, namespaces=[], resources=[measured("qps")])
    wait_until(lambda: not tenants.config_map(enrolled_tenant, "tenant-quota"), "the namespace to be cleared")
    wait_until(lambda: tenants.status(name)["namespaces"] == [], "the namespace to be forgotten")
    tenants.apply(name, namespaces=[enrolled_tenant], resources=[measured("qps")])
    wait_until(lambda: tenants.config_map(enrolled_tenant, "tenant-quota"), "the projection once more")
    tenants.cluster.kubectl("delete", "tq", name)
    wait_until(
        lambda: not tenants.config_map(enrolled_tenant, "tenant-quota"), "the garbage collector to take it", seconds=60
    )


def test_a_configmap_of_somebody_else_is_not_touched(tenants: Tenants, enrolled_tenant: str, name: str) -> None:
    tenants.cluster.kubectl("create", "configmap", "tenant-quota", "-n", enrolled_tenant, "--from-literal=mine=yes")
    tenants.apply(name, namespaces=[enrolled_tenant])
    tenants.wait_for_condition(name, "FieldConflict", "True", "NotOurs")
    assert tenants.condition(name, "Ready") == ("False", "FieldConflict")
    assert tenants.config_map(enrolled_tenant, "tenant-quota")["data"] == {"mine": "yes"}


def test_a_namespace_that_is_missing_or_not_enrolled_is_told(tenants: Tenants, namespace: str, name: str) -> None:
    tenants.apply(name, namespaces=[namespace, "test-there-is-none"])

    def states() -> list[str]:
        return [each["state"] for each in tenants.status(name).get("namespaces", ())]

    # The operator may not look whether a namespace exists where it has no rights: RBAC answers first.
    wait_until(lambda: states() == ["Forbidden", "Forbidden"], "the namespaces to be looked at")
    assert tenants.condition(name, "Ready") == ("False", "NamespaceMissing")


def test_of_two_tenants_that_claim_one_namespace_both_say_so_and_neither_acts_there(
    tenants: Tenants, enrolled_tenant: str, name: str
) -> None:
    other = f"{name}-other"
    tenants.apply(name, namespaces=[enrolled_tenant])
    wait_until(lambda: tenants.config_map(enrolled_tenant, "tenant-quota"), "the projection")
    tenants.apply(other, namespaces=[enrolled_tenant])
    for each in (name, other):
        tenants.wait_for_condition(each, "Ready", "False", "NamespaceClaimed")
    (claim,) = tenants.status(name)["namespaces"]
    assert (claim["state"], claim["claimedBy"]) == ("Conflict", [other])
    wait_until(lambda: not tenants.config_map(enrolled_tenant, "tenant-quota"), "the projection to be withdrawn")
    tenants.apply(other, namespaces=[])
    tenants.wait_for_condition(name, "Ready", "True", "Kept")
    found = tenants.config_map(enrolled_tenant, "tenant-quota")
    assert found["data"]["tenant"] == name
    assert [each for each in tenants.actions(name) if each in ("Conflict", "Settled")] == ["Conflict", "Settled"]


def test_at_rest_a_tenant_costs_no_write(tenants: Tenants, usage: Usage, operator: Replica, name: str) -> None:
    usage.set(name, "qps", 400)
    tenants.apply(name, resources=[measured("qps")])
    tenants.wait_for(name, "qps", used="400")
    runs = _runs(operator)
    version, before = tenants.get(name)["metadata"]["resourceVersion"], operator.requests()
    wait_until(lambda: _runs(operator) >= runs + 5, "five more runs")
    assert tenants.get(name)["metadata"]["resourceVersion"] == version
    assert (operator.requests() - before)["PATCH"] == 0


def limited(namespace: str, route: str = "search", **more: Any) -> dict[str, Any]:
    """A resource whose violation throttles the writes of a route."""
    target = {"kind": "HTTPRoute", "name": route, "namespace": namespace}
    return measured("qps", onHard="throttle", throttle={"targets": [target], "methods": ["POST"]}, **more)


def policies(tenants: Tenants, namespace: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(tenants.cluster.kubectl("get", "btp", "-n", namespace, "-o", "json"))[
        "items"
    ]
    return found


def targets(policy: dict[str, Any]) -> list[str]:
    return [each["name"] for each in policy["spec"]["targetRefs"]]


@pytest.fixture
def flag_is_on(
    processes: ProcessGroup, background: Background, installed: Installed, enrolled_tenant: str
) -> Callable[[], bool | None]:
    """Ask what the flag service gives to OpenFeature clients of the namespace; None where it has no such flag."""
    installed.enrol(enrolled_tenant)
    (port,) = [each.partition("=")[2] for each in processes.processes["flags"].argv if each.startswith("--port=")]

    async def ask() -> bool | None:
        client = FlagServiceClient(f"127.0.0.1:{port}", token_file=processes.directory / "token")
        try:
            (flags,) = await client.flag_sets(enrolled_tenant)
        finally:
            await client.close()
        if "tenant-throttle" not in flags:
            return None
        return Evaluator(flags["tenant-throttle"]).variant({"targetingKey": "anybody"}) == "on"

    return lambda: background.run(ask())


def test_a_throttle_reaches_services_flags_and_the_gateway_and_is_taken_back(
    tenants: Tenants, usage: Usage, enrolled_tenant: str, name: str, flag_is_on: Callable[[], bool | None]
) -> None:
    namespace = enrolled_tenant
    usage.set(name, "qps", 400)
    tenants.apply(name, namespaces=[namespace], resources=[limited(namespace)])
    wait_until(lambda: tenants.config_map(namespace, "tenant-throttle")["data"]["state"] == "open", "the decision")
    wait_until(lambda: flag_is_on() is False, "the flag to be served")
    assert policies(tenants, namespace) == []
    usage.set(name, "qps", 1200)
    tenants.wait_for(name, "qps", level="hard", action="throttle")
    wait_until(lambda: tenants.config_map(namespace, "tenant-throttle")["data"]["state"] == "throttled", "the throttle")
    decision = json.loads(tenants.config_map(namespace, "tenant-throttle")["data"]["decision"])
    assert decision["limits"] == [
        {
            "resource": "qps",
            "requests": 1000,
            "unit": "Second",
            "methods": ["POST"],
            "reason": decision["limits"][0]["reason"],
        }
    ]
    wait_until(lambda: flag_is_on() is True, "the flag to be on")
    (policy,) = wait_until(lambda: policies(tenants, namespace), "the gateway's policy")
    assert policy["spec"] == {
        "targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "search"}],
        "rateLimit": {
            "type": "Local",
            "local": {
                "rules": [
                    {
                        "clientSelectors": [{"methods": [{"value": "POST"}]}],
                        "limit": {"requests": 1000, "unit": "Second"},
                    }
                ]
            },
        },
    }
    assert policy["metadata"]["ownerReferences"][0]["kind"] == "TenantQuota"
    tenants.apply(name, namespaces=[namespace], resources=[limited(namespace, route="other")])
    wait_until(lambda: [targets(each) for each in policies(tenants, namespace)] == [["other"]], "the other route alone")
    usage.set(name, "qps", 100)
    tenants.wait_for(name, "qps", level="within", action="none")
    wait_until(lambda: not policies(tenants, namespace), "the policy to go")
    wait_until(lambda: flag_is_on() is False, "the flag to be off")
    assert tenants.config_map(namespace, "tenant-throttle")["data"]["state"] == "open"
    assert tenants.condition(name, "Ready") == ("True", "Kept")


def test_a_dry_run_says_what_it_would_do_and_throttles_nothing(
    tenants: Tenants, usage: Usage, enrolled_tenant: str, name: str
) -> None:
    usage.set(name, "qps", 1200)
    tenants.apply(name, namespaces=[enrolled_tenant], mode="dryRun", resources=[limited(enrolled_tenant)])
    tenants.wait_for(name, "qps", level="hard")
    assert tenants.condition(name, "Enforcing") == ("False", "DryRun")
    assert tenants.status(name)["summary"]["action"] == "(throttle)"
    wait_until(lambda: tenants.config_map(enrolled_tenant, "tenant-throttle"), "the decision")
    assert tenants.config_map(enrolled_tenant, "tenant-throttle")["data"]["state"] == "open"
    assert policies(tenants, enrolled_tenant) == []


def test_a_policy_that_somebody_else_has_made_is_not_touched(
    tenants: Tenants, usage: Usage, enrolled_tenant: str, name: str
) -> None:
    theirs = {
        "apiVersion": "gateway.envoyproxy.io/v1alpha1",
        "kind": "BackendTrafficPolicy",
        "metadata": {"name": f"tq-{name}-httproute-search", "namespace": enrolled_tenant},
        "spec": {"rateLimit": {"type": "Local"}},
    }
    tenants.cluster.apply(theirs)
    usage.set(name, "qps", 1200)
    tenants.apply(name, namespaces=[enrolled_tenant], resources=[limited(enrolled_tenant)])
    tenants.wait_for_condition(name, "FieldConflict", "True", "NotOurs")
    (policy,) = policies(tenants, enrolled_tenant)
    assert policy["spec"] == theirs["spec"]


def _runs(operator: Replica) -> float:
    """How often tenants were looked at."""
    samples = [line for line in operator.get("/metrics").splitlines() if 'name="tenants"' in line]
    found = [line for line in samples if line.startswith("workqueue_work_duration_seconds_count")]
    return float(found[0].rsplit(" ", 1)[1])


def test_a_template_answers_for_all_tenants_at_once(tenants: Tenants, usage: Usage, name: str) -> None:
    template = {
        "apiVersion": "pilotage.dev/v1alpha1",
        "kind": "IndicatorTemplate",
        "metadata": {"name": name},
        "spec": {"query": 'sum by (tenant) (tenant_usage{tenant=~"$tenant",resource="$kind"})'}
        | {"groupBy": {"label": "tenant", "value": "$tenant"}},
    }
    for each, value in ((name, 100), (f"{name}-other", 200)):
        usage.set(each, "calls", value)
        resource = {"name": "calls", "hard": 1000, "maxAge": "10s"}
        resource["usage"] = {"templateRef": name, "params": {"kind": "calls"}}
        tenants.apply(each, resources=[resource])
    wait_until(lambda: "no IndicatorTemplate" in tenants.resource(name, "calls").get("message", ""), "the remedy")
    tenants.cluster.apply(template)
    try:
        assert tenants.wait_for(name, "calls", used="100")
        assert tenants.wait_for(f"{name}-other", "calls", used="200")
    finally:
        tenants.cluster.kubectl("delete", "indicatortemplate", name)
