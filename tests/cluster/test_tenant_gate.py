"""The tenant's gate on a real API server: the last headroom, crashes between promise and step, states of the tenant.

The operator has the rights of the chart's ServiceAccount only, and a proxy before it that spoils requests on demand.
What a tenant uses is asked from a real Prometheus; tests change the query.
"""

import json
import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from testbed import Cluster, ProcessGroup, PrometheusServer, wait_until
from testbed.install import Installed
from tests.cluster.api_proxy import ApiProxy, no_fault
from tests.cluster.flag_world import Background
from tests.cluster.replicas import Replica, start_leader
from tests.cluster.rollouts import Rollouts
from tests.cluster.tenants import Tenants

FIVE_OF_HUNDRED: dict[str, Any] = {
    "audience": {"population": {"users": 100}},
    "steps": [{"name": "five", "users": 5, "hold": "1h"}],
}
"""A step that needs 6 where a user needs 1: 5 x 1 x 1.2."""


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessGroup]:
    with ProcessGroup(prefix="pilotage-gate-") as group:
        yield group


@pytest.fixture(scope="module")
def between(installed: Installed, background: Background) -> Iterator[ApiProxy]:
    """Give what is between the operator and the API server."""
    proxy = ApiProxy(installed.operator_kubeconfig)
    background.run(proxy.start())
    yield proxy
    background.run(proxy.stop())


@pytest.fixture(scope="module")
def operator(processes: ProcessGroup, installed: Installed, between: ApiProxy, prometheus: PrometheusServer) -> Replica:
    return start_leader(
        processes,
        installed,
        prometheus=prometheus.url,
        kubeconfig=between.write_kubeconfig(processes.directory / "kubeconfig"),
    )


@pytest.fixture
def rollouts(cluster: Cluster, enrolled: str, operator: Replica, between: ApiProxy) -> Iterator[Rollouts]:
    yield Rollouts(cluster, enrolled)
    between.fault = no_fault
    if not operator.process.running:
        restart(operator)
    cluster.kubectl("delete", "pilots", "--all", "-n", enrolled, "--timeout=180s")
    assert operator.metric("pilotage_reconcile_failures_total", kind="bug") == 0


class Tenant:
    """The TenantQuota of the test's namespace, with one resource of 100."""

    def __init__(self, tenants: Tenants, namespace: str) -> None:
        self.tenants, self.namespace = tenants, namespace
        self.name = f"tenant-{secrets.token_hex(4)}"
        self.uses("vector(40)")

    def uses(self, query: str, *, hard: int = 100, settle: str = "10m", **spec: Any) -> None:
        """Say what it uses, as a query."""
        need = {"perUser": 1, "settle": settle}
        qps = {"name": "qps", "hard": hard, "usage": {"query": query}, "maxAge": "10s", "need": need}
        self.tenants.apply(self.name, namespaces=[self.namespace], resources=[qps], **spec)

    def wait_until_used(self, used: str) -> None:
        self.tenants.wait_for(self.name, "qps", used=used)

    @property
    def reserved(self) -> dict[str, Decimal]:
        """What the ledger promises, by rollout."""
        told = self.tenants.status(self.name).get("reservations", [])
        return {each["rollout"]: Decimal(each["amounts"][0]["amount"]) for each in told}


@pytest.fixture
def tenant(cluster: Cluster, rollouts: Rollouts) -> Iterator[Tenant]:
    made = Tenants(cluster)
    tenant = Tenant(made, rollouts.namespace)
    tenant.wait_until_used("40")
    yield tenant
    made.close()


def restart(operator: Replica) -> None:
    operator.process.kill()
    before = len(operator.lines())
    operator.process.start()
    wait_until(lambda: any(line["message"] == "this replica leads" for line in operator.lines()[before:]), "a leader")


def statuses(rollouts: Rollouts) -> dict[str, dict[str, Any]]:
    found = json.loads(rollouts.kubectl("get", "pilots", "-o", "json"))["items"]
    return {each["metadata"]["name"]: each.get("status", {}) for each in found}


def reason(status: dict[str, Any]) -> str:
    """Why it is where it is."""
    ready = [each["reason"] for each in status.get("conditions", ()) if each["type"] == "Ready"]
    return ready[0] if ready else ""


def entered(rollouts: Rollouts) -> set[str]:
    return {name for name, status in statuses(rollouts).items() if "step" in status}


def held(rollouts: Rollouts, why: str) -> set[str]:
    return {name for name, status in statuses(rollouts).items() if reason(status) == why}


@pytest.mark.timeout(300)
def test_fifty_rollouts_that_ask_for_the_last_headroom_at_once_never_overbook_it(
    rollouts: Rollouts, tenant: Tenant, operator: Replica
) -> None:
    tenant.uses("vector(100)")
    tenant.wait_until_used("100")
    rollouts.apply(*(f"rollout-{number:02}" for number in range(50)), **FIVE_OF_HUNDRED)
    wait_until(lambda: len(held(rollouts, "QuotaHeadroomInsufficient")) == 50, "fifty to be held", seconds=120)
    assert entered(rollouts) == set()
    tenant.uses("vector(40)")  # sixty are free: ten of them fit
    wait_until(lambda: len(entered(rollouts)) == 10, "ten to go on", seconds=120)
    wait_until(lambda: len(held(rollouts, "QuotaHeadroomInsufficient")) == 40, "forty to be held", seconds=120)
    assert set(tenant.reserved) == entered(rollouts)
    assert sum(tenant.reserved.values()) == 60
    told = tenant.tenants.resource(tenant.name, "qps")
    assert (told["reserved"], told["available"]) == ("60", "0")
    name = min(held(rollouts, "QuotaHeadroomInsufficient"))
    status = rollouts.status(name)
    assert "qps needs 6, 0 of 100 is free, 6 is missing; held by " in status["message"]
    assert status["message"].count(f"{rollouts.namespace}/rollout-") == 5
    assert status["tenant"]["needs"][0]["missing"] == "6"
    before = operator.requests()["PATCH"]
    time.sleep(3)  # forty are judged each second, and wait for room
    assert operator.requests()["PATCH"] - before < 40
    tenant.uses("vector(40)", hard=112)  # two more
    wait_until(lambda: len(entered(rollouts)) == 12, "two more to go on by themselves", seconds=120)
    assert sum(tenant.reserved.values()) == 72


def test_an_operator_that_dies_between_promise_and_step_keeps_the_one_and_takes_the_other(
    rollouts: Rollouts, tenant: Tenant, operator: Replica, between: ApiProxy
) -> None:
    tenant.uses("vector(90)")
    tenant.wait_until_used("90")
    between.fault = lambda method, path: "lost" if method == "PATCH" and path.endswith("/victim/status") else None
    rollouts.apply("victim", **FIVE_OF_HUNDRED)
    wait_until(lambda: tenant.reserved == {"victim": 6}, "the promise", seconds=120)
    operator.process.kill()
    assert "step" not in rollouts.status("victim")
    rollouts.apply("rival", **FIVE_OF_HUNDRED)
    between.fault = no_fault
    restart(operator)
    wait_until(lambda: held(rollouts, "QuotaHeadroomInsufficient") == {"rival"}, "the rival to be held", seconds=120)
    wait_until(lambda: rollouts.is_in_force("victim"), "the victim's step to be in force", seconds=120)
    assert tenant.reserved == {"victim": 6}
    assert rollouts.actions("victim") == ["Start"]


def test_a_promise_to_a_rollout_that_was_deleted_while_nobody_looked_is_given_back(
    rollouts: Rollouts, tenant: Tenant, operator: Replica, between: ApiProxy
) -> None:
    tenant.uses("vector(90)")
    tenant.wait_until_used("90")
    between.fault = lambda method, path: "lost" if method == "PATCH" and path.endswith("/leaving/status") else None
    rollouts.apply("leaving", **FIVE_OF_HUNDRED)
    wait_until(lambda: tenant.reserved == {"leaving": 6}, "the promise", seconds=120)
    operator.process.kill()
    rollouts.delete("leaving", "--timeout=20s")
    rollouts.apply("rival", **FIVE_OF_HUNDRED)
    between.fault = no_fault
    restart(operator)
    wait_until(lambda: rollouts.is_in_force("rival"), "the rival to go on", seconds=120)
    assert tenant.reserved == {"rival": 6}


def test_a_promise_whose_write_was_not_answered_is_one_promise(
    rollouts: Rollouts, tenant: Tenant, operator: Replica, between: ApiProxy
) -> None:
    tenant.uses("vector(90)")
    tenant.wait_until_used("90")

    def die_when_promised() -> None:
        if tenant.reserved:
            between.fault = no_fault
            operator.process.kill()

    between.before_cut = die_when_promised
    between.fault = lambda method, path: "answer lost" if method == "PATCH" and "/tenantquotas/" in path else None
    rollouts.apply("only", **FIVE_OF_HUNDRED)
    wait_until(lambda: not operator.process.running, "the operator to die with the promise written", seconds=120)
    assert tenant.reserved == {"only": 6}
    restart(operator)
    wait_until(lambda: rollouts.is_in_force("only"), "the step to be in force", seconds=120)
    assert tenant.reserved == {"only": 6}


def test_what_was_reserved_is_free_again_when_it_shows_in_usage_and_when_users_are_taken_back(
    rollouts: Rollouts, tenant: Tenant
) -> None:
    tenant.uses("vector(40)", settle="1s")
    said = {**FIVE_OF_HUNDRED, "rollback": ["heat > 10"]}
    rollouts.apply("shown", "broken", indicators=[{"name": "heat", "query": "vector(5)"}], **said)
    wait_until(lambda: tenant.reserved == {"shown": 6, "broken": 6}, "the promises", seconds=120)
    wait_until(lambda: rollouts.is_in_force("shown") and rollouts.is_in_force("broken"), "the steps", seconds=120)
    rollouts.apply("broken", indicators=[{"name": "heat", "query": "vector(50)"}], **said)
    rollouts.wait_for("broken", phase="RolledBack", seconds=120)
    wait_until(lambda: "broken" not in tenant.reserved, "the promise to be given back", seconds=120)
    tenant.uses("vector(46)", settle="1s")
    wait_until(lambda: tenant.reserved == {}, "the other to show in usage", seconds=120)
    assert rollouts.is_in_force("shown")


def test_unknown_usage_holds_a_step_and_never_a_rollback(rollouts: Rollouts, tenant: Tenant) -> None:
    steps = [{"name": "five", "users": 5, "hold": "2s"}, {"name": "ten", "users": 10, "hold": "1h"}]
    said = {**FIVE_OF_HUNDRED, "steps": steps, "rollback": ["heat > 10"], "go": ["heat < 6"]}
    rollouts.apply("blind", indicators=[{"name": "heat", "query": "vector(7)"}], **said)
    wait_until(lambda: rollouts.is_in_force("blind"), "the first step", seconds=120)
    tenant.uses("nothing_measures_this")
    tenant.tenants.wait_for_condition(tenant.name, "UsageKnown", "False", "NoData")
    rollouts.apply("blind", indicators=[{"name": "heat", "query": "vector(5)"}], **said)
    wait_until(lambda: held(rollouts, "UsageUnknown") == {"blind"}, "the next step to be held", seconds=120)
    rollouts.apply("blind", indicators=[{"name": "heat", "query": "vector(50)"}], **said)
    rollouts.wait_for("blind", phase="RolledBack", seconds=120)
    assert rollouts.flag("blind")["metadata"]["pilotage.exposure"] == "off"


def test_rollouts_of_a_suspended_tenant_go_back_and_wait_and_those_of_an_archived_one_are_closed(
    rollouts: Rollouts, tenant: Tenant
) -> None:
    rollouts.apply("pilot", **FIVE_OF_HUNDRED)
    wait_until(lambda: rollouts.is_in_force("pilot"), "the step", seconds=120)
    tenant.uses("vector(40)", state="suspended")
    wait_until(lambda: held(rollouts, "TenantSuspended") == {"pilot"}, "the rollout to wait", seconds=120)
    wait_until(
        lambda: rollouts.flag("pilot")["metadata"]["pilotage.exposure"] == "off", "users to be back", seconds=120
    )
    tenant.uses("vector(40)")
    wait_until(lambda: rollouts.is_in_force("pilot"), "it to go on by itself", seconds=120)
    tenant.uses("vector(40)", state="archived")
    status = rollouts.wait_for("pilot", phase="RolledBack", seconds=120)
    assert status["rollback"]["reason"] == "TenantArchived"
    assert rollouts.flag("pilot")["metadata"]["pilotage.exposure"] == "off"


def test_a_tenant_in_violation_holds_its_rollouts_until_it_is_over(rollouts: Rollouts, tenant: Tenant) -> None:
    tenant.uses("vector(150)")
    tenant.tenants.wait_for(tenant.name, "qps", level="hard", action="hold")
    rollouts.apply("held", **FIVE_OF_HUNDRED)
    wait_until(lambda: held(rollouts, "TenantViolation") == {"held"}, "the rollout to be held", seconds=120)
    tenant.uses("vector(20)")
    wait_until(lambda: rollouts.is_in_force("held"), "it to go on by itself", seconds=120)


def test_no_field_of_a_rollout_takes_it_out_of_its_tenant_or_into_another(rollouts: Rollouts, tenant: Tenant) -> None:
    tenant.uses("vector(100)")
    tenant.wait_until_used("100")
    rollouts.apply("silent", **FIVE_OF_HUNDRED)
    rollouts.apply("modest", **FIVE_OF_HUNDRED, needs=[{"resource": "qps", "perUser": 0}])
    rollouts.apply("stranger", **FIVE_OF_HUNDRED, tenant="somebody-else")
    wait_until(
        lambda: held(rollouts, "QuotaHeadroomInsufficient") == {"silent", "modest"}, "both to be held", seconds=60
    )
    wait_until(lambda: held(rollouts, "TenantMismatch") == {"stranger"}, "the third to be stalled", seconds=120)
    assert "does not list namespace" in rollouts.status("stranger")["message"]
    assert tenant.reserved == {}


def test_what_users_with_the_feature_use_more_than_the_others_is_what_the_next_ones_are_promised(
    rollouts: Rollouts, tenant: Tenant
) -> None:
    variants = (
        'label_replace(vector(20), "variant", "on", "", "")',
        'label_replace(vector(95), "variant", "off", "", "")',
    )
    rollouts.apply(
        "measured",
        audience={"population": {"users": 100}},
        indicators=[{"name": "qps-by-variant", "query": " or ".join(variants)}],
        needs=[{"resource": "qps", "perUser": 2, "indicator": "qps-by-variant"}],
        steps=[{"name": "five", "users": 5, "hold": "1s"}, {"name": "ten", "users": 10, "hold": "1h"}],
    )
    wait_until(lambda: rollouts.status("measured").get("step", {}).get("name") == "ten", "the next step", seconds=120)
    told = tenant.tenants.status(tenant.name)["reservations"]
    promised = {each["step"]: each["amounts"][0]["amount"] for each in told}
    assert promised == {"five": "12", "ten": "18"}, "2 x 5 x 1.2, then (20/5 - 95/95) x 5 x 1.2"


def test_a_grant_lets_a_step_in_until_it_expires_by_itself(rollouts: Rollouts, tenant: Tenant) -> None:
    def grant(seconds: int) -> None:
        end = datetime.now(UTC) + timedelta(seconds=seconds)
        said = {"resource": "qps", "amount": 10, "reason": "launch", "expiresTime": end.isoformat(timespec="seconds")}
        tenant.uses("vector(100)", grants=[said])

    grant(3600)
    tenant.wait_until_used("100")
    rollouts.apply("early", **FIVE_OF_HUNDRED)
    wait_until(lambda: entered(rollouts) == {"early"}, "the step to be taken", seconds=120)
    grant(3)
    wait_until(lambda: tenant.tenants.resource(tenant.name, "qps").get("hard") == "100", "its end", seconds=120)
    tenant.uses("vector(90)")  # ten are free, of which six are promised
    tenant.wait_until_used("90")
    rollouts.apply("late", **FIVE_OF_HUNDRED)
    wait_until(lambda: held(rollouts, "QuotaHeadroomInsufficient") == {"late"}, "the next to be held", seconds=120)
    assert entered(rollouts) == {"early"}
