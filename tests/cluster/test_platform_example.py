"""The platform's example: applied as it is written, watched over by an operator, and shown by the reports."""

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pilotage.tenancy.cost import Month
from pilotage.tenancy.metering import Stretch
from testbed import Cluster, ProcessGroup, wait_until
from testbed.history import History, prometheus_with_history
from testbed.install import Installed
from tests.cluster.replicas import Replica, start_leader
from tests.cluster.tenants import Tenants

EXAMPLE = Path(__file__).parents[2] / "examples" / "platform"
NAMESPACES = ("product-search", "product-search-staging", "recommendations", "development-sandbox")
TENANTS = ("product-search", "recommendations", "development-sandbox")
SCRAPE_SECONDS = 60
AHEAD_SECONDS = 480
"""Prometheus takes samples of up to ten minutes ahead: what it would scrape while the test runs."""

LEVELS = {"product-search": (930e6, 2 * 2.0**40), "recommendations": (40e6, 100 * 2.0**30)}
RATES = {"product-search": 8700.0, "recommendations": 2000.0, "development-sandbox": 120.0}
"""Of the limits: 93 % of the vectors and 87 % of the queries of Product Search, 120 % of the sandbox's."""


PER_SECOND = {"container_cpu_usage_seconds_total": 40.0, "container_network_transmit_bytes_total": 2.0**20}


class Usage:
    """What the tenants use, written ahead of what a scrape would bring; nobody knows the vectors of the sandbox."""

    def __init__(self, history: History) -> None:
        now = datetime.now(UTC)
        self._history = history
        self._begin = datetime(now.year, now.month, now.day, tzinfo=UTC).timestamp() - 2 * 3600
        self._next = 0

    def play(self) -> None:
        """Write on to some minutes from now."""
        end = int((datetime.now(UTC).timestamp() + AHEAD_SECONDS - self._begin) // SCRAPE_SECONDS)
        times = [self._begin + n * SCRAPE_SECONDS for n in range(self._next, end + 1)]
        if not times:
            return
        self._next = end + 1
        for tenant, (vectors, stored) in LEVELS.items():
            self._history.add("vector_db_vectors", [(at, vectors) for at in times], tenant=tenant)
            self._history.add("vector_db_stored_bytes", [(at, stored) for at in times], tenant=tenant)
        for tenant, qps in RATES.items():
            for pod in ("a", "b"):
                samples = [(at, qps / 2 * (at - self._begin)) for at in times]
                self._history.add("vector_db_queries_total", samples, tenant=tenant, pod=pod)
            self._history.add("pilotage_tenant_cost_month_to_date", [(at, 500.0) for at in times], tenant=tenant)
        for name, rate in PER_SECOND.items():
            samples = [(at, rate * (at - self._begin)) for at in times]
            self._history.add(name, samples, namespace="product-search")
        self._history.write()


@dataclass(frozen=True)
class World:
    cluster: Cluster
    installed: Installed
    operator: Replica
    tenants: Tenants
    usage: Usage
    said: str
    """What kubectl said when the example was applied."""

    def report(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command: list[str] = [
            sys.executable,
            "-m",
            "pilotage",
            "report",
            *arguments,
            f"--kubeconfig={self.cluster.kubeconfig}",
        ]
        command.append(f"--accounts={self.installed.namespace}")
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=90)


def applied(cluster: Cluster, *names: str) -> str:
    files = [argument for name in names for argument in ("-f", str(EXAMPLE / name))]
    command = [str(cluster.kubectl_path), f"--kubeconfig={cluster.kubeconfig}", "apply", *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def world(cluster: Cluster, installed: Installed) -> Iterator[World]:
    with prometheus_with_history() as (server, history), ProcessGroup(prefix="pilotage-platform-") as processes:
        usage = Usage(history)
        usage.play()
        operator: Replica = start_leader(processes, installed, prometheus=server.url)
        said = applied(cluster, "templates.yaml", "namespaces.yaml")
        for namespace in NAMESPACES:
            installed.enrol_tenant(namespace)
        said += applied(cluster, "tenants.yaml", "workloads.yaml")
        yield World(cluster, installed, operator, Tenants(cluster), usage, said)
        bugs = operator.metric("pilotage_reconcile_failures_total", kind="bug")
        cluster.kubectl("delete", "tq", *TENANTS, "--ignore-not-found", "--timeout=30s")
        cluster.kubectl("delete", "-f", str(EXAMPLE / "templates.yaml"), "--ignore-not-found")
        cluster.kubectl("delete", "namespace", *NAMESPACES, "--wait=false", "--ignore-not-found")
        assert bugs == 0


@pytest.fixture(autouse=True)
def _fresh(world: World) -> None:
    """On a busy machine these tests may take longer than what was written ahead."""
    world.usage.play()


# Setting up is a cluster, a Prometheus and an operator: the first of these tests waits for all of them.
pytestmark = [pytest.mark.cluster("prometheus"), pytest.mark.timeout(300)]


def test_the_platform_applies_without_a_warning(world: World) -> None:
    assert "warning" not in world.said.lower()
    specs = {name: world.tenants.get(name)["spec"] for name in TENANTS}
    limits = {name: [each["hard"] for each in spec["resources"]] for name, spec in specs.items()}
    assert limits == {
        "product-search": ["1G", "10k", "5Ti", 50000],
        "recommendations": ["100M", "5k", "500Gi", 10000],
        "development-sandbox": ["10M", 100, "50Gi", 1000],
    }
    search = specs["product-search"]
    assert (search["isolation"], len(search["regions"])) == ("dedicated-shard", 3)
    assert [(p["name"], p["value"], p["min"], p["max"]) for p in search["scaling"]] == [
        ("qps", 5000, 3, 20),
        ("cpu", 70, 3, 20),
    ]


def test_the_operator_knows_how_full_each_tenant_is(world: World) -> None:
    found = world.tenants.wait_for("product-search", "vectors", level="soft", used="930000000")
    assert found["percent"] == "93"
    world.tenants.wait_for("development-sandbox", "qps", level="hard", action="throttle")
    assert world.tenants.resource("development-sandbox", "vectors").get("used", "") == ""


def test_both_scaling_policies_keep_their_workloads(world: World) -> None:
    def replicas(name: str) -> int:
        found = world.cluster.kubectl("get", "deployment", name, "-n", "product-search", "-o", "json")
        return int(json.loads(found)["spec"]["replicas"])

    def autoscaler() -> tuple[str, int, int]:
        listed = world.cluster.kubectl("get", "hpa", "-n", "product-search", "-o", "json")
        (found,) = [item["spec"] for item in json.loads(listed)["items"]]
        return found["scaleTargetRef"]["name"], found["minReplicas"], found["maxReplicas"]

    wait_until(lambda: replicas("vector-search") == 3, "three instances", seconds=60, every_seconds=0.5)
    wait_until(lambda: autoscaler() == ("query-encoder", 3, 20), "the HPA", seconds=60, every_seconds=0.5)


def has_account(world: World, tenant: str) -> bool:
    return bool(world.tenants.status(tenant).get("cost", {}).get("month"))


def test_the_governance_report_shows_the_tenants_their_marks_and_what_was_checked(world: World, tmp_path: Path) -> None:
    wait_until(lambda: all(has_account(world, each) for each in TENANTS), "accounts", seconds=60, every_seconds=0.5)
    world.tenants.wait_for("product-search", "qps", level="warning")
    world.tenants.wait_for_condition("product-search", "Ready", "True", "Kept")
    done = world.report("governance", "--organization=Search Platform")
    assert done.returncode == 0, done.stderr
    text = done.stdout
    assert "# Governance of Search Platform" in text
    for name in ("Product Search", "Recommendations", "Development Sandbox"):
        assert f"| {name} |" in text
    assert re.search(r"\| product-search \| vectors \| 930M \| 1G \| \*\*93 %\*\* .*\*\*over 80 %\*\*", text)
    assert re.search(
        r"\| development-sandbox \| qps \| 120 \| 100 requests/s \| \*\*120 %\*\* .*\*\*at the limit\*\*", text
    )
    assert re.search(r"\| development-sandbox \| vectors \| \? \| 10M \| \? .*not known", text)
    assert re.search(r"\| recommendations \| vectors \| 40M \| 100M \| 40 % ", text)
    checked = [line for line in text.splitlines() if " product-search | " in line and " | met | " in line]
    said = "\n".join(checked)
    assert "12 SubjectAccessReviews of 2 subjects, all denied" in said
    assert "2 NetworkPolicy, 2 ResourceQuota, 2 RoleBinding read and as declared" in said
    assert re.search(r"product-search \(uid [0-9a-f]{8}\), product-search-staging \(uid", said)
    sandbox = [line for line in text.splitlines() if line.startswith("| development-sandbox | its usage")]
    assert "usage is not known of vectors, storage" in sandbox[0]
    page = tmp_path / "governance.html"
    done = world.report("governance", f"--output={page}")
    assert done.returncode == 0, done.stderr
    assert page.read_text().count("<svg") >= 1


def test_cost_is_a_metric_of_the_operator_so_that_a_budget_is_a_limit_like_any_other(world: World) -> None:
    wait_until(lambda: has_account(world, "recommendations"), "the account", seconds=60, every_seconds=0.5)
    assert world.operator.metric("pilotage_tenant_cost_budget", tenant="recommendations", currency="USD") == 10_000
    status = world.tenants.status("recommendations")["cost"]
    if status.get("monthToDate"):
        spent = world.operator.metric("pilotage_tenant_cost_month_to_date", tenant="recommendations", currency="USD")
        assert spent == float(status["monthToDate"])
    assert world.tenants.resource("recommendations", "monthly-cost")["percent"] == "5"


def test_a_requirement_that_is_broken_is_shown_as_not_met(world: World) -> None:
    """The role that is given by hand is not the operator's: it repairs its own objects, and nobody else's."""
    search, role = "product-search", "quota-editor"
    world.cluster.kubectl("create", "clusterrole", role, "--verb=patch", "--resource=tenantquotas.pilotage.dev")
    world.cluster.kubectl("create", "clusterrolebinding", role, f"--clusterrole={role}", "--group=search-team")

    def told() -> str:
        lines = world.report("governance").stdout.splitlines()
        return next(line for line in lines if line.startswith(f"| {search} | its people can't raise"))

    try:
        wait_until(lambda: "not met" in told(), "the check to see the right", seconds=30, every_seconds=1)
        assert "search-team may patch tenantquotas" in told()
    finally:
        world.cluster.kubectl("delete", "clusterrolebinding", role)
        world.cluster.kubectl("delete", "clusterrole", role)


def test_the_chargeback_of_the_month_comes_out_as_csv_and_as_json_lines(world: World) -> None:
    now = datetime.now(UTC)
    if not Stretch.of(now.date(), now - timedelta(minutes=2)).steps:
        pytest.skip("the month's first day has no whole five minutes yet")
    wait_until(lambda: all(has_account(world, each) for each in TENANTS), "accounts", seconds=60, every_seconds=0.5)
    month = f"{now:%Y-%m}"
    done = world.report("chargeback", f"--month={month}", "--format=csv")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    meters = {row["SkuId"] for row in rows if row["x_TenantId"] == "product-search"}
    assert meters == {"qps", "storage", "cores", "egress", "api-calls"}
    stored = next(row for row in rows if (row["x_TenantId"], row["SkuId"]) == ("product-search", "storage"))
    hours = float(stored["ConsumedQuantity"]) / 2048  # GiB-hours of 2 TiB
    assert 0 < hours <= 24
    assert abs(float(stored["BilledCost"]) - hours / 24 * 204.8 / Month.of(now).length) < 0.01
    assert "the month is not closed" in done.stderr
    again = world.report("chargeback", f"--month={month}", "--format=csv")
    assert again.stdout == done.stdout
    lines = world.report("chargeback", f"--month={month}", "--format=json").stdout.splitlines()
    assert [json.loads(line)["SkuId"] for line in lines] == [row["SkuId"] for row in rows]


def test_a_month_without_accounts_is_an_error_and_not_an_empty_file(world: World) -> None:
    done = world.report("chargeback", "--month=2020-02")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "there is no account of 2020-02" in done.stderr
