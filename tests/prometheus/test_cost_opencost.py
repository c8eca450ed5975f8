"""Cost as OpenCost's exporter tells it, asked of a real Prometheus: by namespace, of the cluster, and what is left."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from prometheus_client import CollectorRegistry, Gauge

from pilotage.controller.tenants.costs_counting import count
from pilotage.judging.evidence import Answer, Answered, Question
from pilotage.metrics.source import PrometheusSource
from pilotage.tenancy.accounts import Account, Bearer
from pilotage.tenancy.allocation import UNALLOCATED
from pilotage.tenancy.charges import charges_of, total_cents
from pilotage.tenancy.metering import Metered, cluster_meters, opencost_meters
from testbed import PrometheusServer
from testbed.history import History, prometheus_with_history
from tests.prometheus.exporters import Exporter

pytestmark = pytest.mark.cluster("prometheus")
GIB = float(2**30)
NODES = {"node-a": (0.04, 0.005, 0.44), "node-b": (0.02, 0.0025, 0.22)}
"""By node: a core's price, a GiB's, and that of the whole node, all for an hour."""

PODS = (
    ("shop", "search-0", "node-a", 4.0, 16 * GIB),
    ("shop", "search-1", "node-b", 2.0, 8 * GIB),
    ("recs", "ranker-0", "node-b", 1.0, 4 * GIB),
)
# search: 4 * 0.04 + 2 * 0.02 of cores, 16 * 0.005 + 8 * 0.0025 of memory; recs: 0.02 and 0.01.
VOLUMES = (("shop", "pv-1", 500 * GIB), ("spare", "pv-2", 100 * GIB))
SERIES: list[tuple[str, dict[str, str], float]] = [
    *(("node_cpu_hourly_cost", {"node": node, "instance": node}, cpu) for node, (cpu, _, _) in NODES.items()),
    *(("node_ram_hourly_cost", {"node": node, "instance": node}, ram) for node, (_, ram, _) in NODES.items()),
    *(("node_total_hourly_cost", {"node": node, "instance": node}, total) for node, (_, _, total) in NODES.items()),
    *(
        ("container_cpu_allocation", {"namespace": ns, "pod": pod, "container": "main", "node": node}, cores)
        for ns, pod, node, cores, _ in PODS
    ),
    *(
        ("container_memory_allocation_bytes", {"namespace": ns, "pod": pod, "container": "main", "node": node}, size)
        for ns, pod, node, _, size in PODS
    ),
    *(("pv_hourly_cost", {"persistentvolume": name, "volumename": name}, 0.0001) for _, name, _ in VOLUMES),
    *(("kube_persistentvolume_capacity_bytes", {"persistentvolume": name}, size) for _, name, size in VOLUMES),
    ("pod_pvc_allocation", {"namespace": "shop", "pod": "search-0", "persistentvolume": "pv-1"}, 500 * GIB),
    ("kubecost_load_balancer_cost", {"namespace": "shop", "service_name": "search", "ingress_ip": "10.0.0.1"}, 0.025),
    ("kubecost_cluster_management_cost", {"provisioner_name": "cloud"}, 0.10),
    ("kubecost_network_zone_egress_cost", {}, 0.01),
    ("kubecost_network_region_egress_cost", {}, 0.02),
    ("kubecost_network_internet_egress_cost", {}, 0.12),
]
SHOP = {
    "opencost-cpu": 0.20,
    "opencost-memory": 0.10,
    "opencost-gpu": 0.0,
    "opencost-storage": 0.05,
    "opencost-load-balancers": 0.025,
}


def fill(registry: CollectorRegistry, *, job: str, without: str = "") -> None:
    """The series of an exporter, apart from other tests' by a suffix of the namespaces."""
    made: dict[str, Gauge] = {}
    for name, labels, value in SERIES:
        if name == without:
            continue
        renamed = {key: f"{text}-{job}" if key == "namespace" else text for key, text in labels.items()}
        gauge = made.get(name) or Gauge(name, "As OpenCost exports it.", list(labels), registry=registry)
        made[name] = gauge
        (gauge.labels(**renamed) if labels else gauge).set(value)


async def read(source: PrometheusSource, meters: tuple[Metered, ...]) -> dict[str, float | None]:
    questions = {
        each.rate.meter: Question(each.measurement, 2.5, 0, 1) for each in meters if each.measurement is not None
    }
    answers = await source.ask(set(questions.values()), datetime.now(UTC))
    return {meter: _value(answers[question]) for meter, question in questions.items()}


def _value(answer: Answer) -> float | None:
    return answer.by_variant[0][1].values[-1] if isinstance(answer, Answered) else None


@pytest.fixture
async def source(prometheus: PrometheusServer) -> AsyncIterator[PrometheusSource]:
    async with PrometheusSource(prometheus.url) as made:
        yield made


async def until_known(source: PrometheusSource, meters: tuple[Metered, ...], meter: str) -> dict[str, float | None]:
    deadline = time.monotonic() + 30
    while (found := await read(source, meters))[meter] is None:
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.3)
    return found


async def test_a_namespaces_cost_is_what_its_pods_claim_times_what_their_nodes_cost(
    prometheus: PrometheusServer, source: PrometheusSource
) -> None:
    with Exporter(fill=lambda registry: fill(registry, job="a")) as exporter:
        prometheus.set_targets("opencost", [exporter.address])
        try:
            prometheus.wait_for_target("opencost")
            meters = opencost_meters(("shop-a", "other"))
            found = await until_known(source, meters, "opencost-cpu")
            assert {meter: found[meter] for meter in SHOP} == {m: pytest.approx(v) for m, v in SHOP.items()}
            nothing = await read(source, opencost_meters(("other",)))
            assert set(nothing.values()) == {0.0}
            cluster = await read(source, cluster_meters())
            assert cluster["opencost-nodes"] == pytest.approx(0.66)
            assert cluster["opencost-volumes"] == pytest.approx(0.06)
            assert cluster["opencost-management"] == pytest.approx(0.10)
        finally:
            prometheus.remove_targets("opencost")


@pytest.mark.parametrize("without", ["node_cpu_hourly_cost", "node_total_hourly_cost"])
async def test_pods_without_a_price_make_the_cost_unknown_and_not_less(
    prometheus: PrometheusServer, source: PrometheusSource, without: str
) -> None:
    job = f"b{len(without)}"
    with Exporter(fill=lambda registry: fill(registry, job=job, without=without)) as exporter:
        prometheus.set_targets(job, [exporter.address])
        try:
            prometheus.wait_for_target(job)
            meters = opencost_meters((f"shop-{job}",))
            known = await until_known(source, meters, "opencost-memory")
            if without == "node_cpu_hourly_cost":
                assert known["opencost-cpu"] is None
            else:
                assert known["opencost-gpu"] is None, "nothing tells no cost from no OpenCost"
        finally:
            prometheus.remove_targets(job)


START = datetime(2026, 11, 2, tzinfo=UTC)
END = START + timedelta(days=1, hours=2)


def record(history: History) -> None:
    moments = [START + n * timedelta(seconds=60) for n in range(int((END - START).total_seconds() // 60) + 1)]
    for name, labels, value in SERIES:
        history.add(name, [(at.timestamp(), value) for at in moments], **labels)
    egress = {"namespace": "shop", "pod_name": "search-0", "internet": "true", "same_zone": "false"}
    sent = [(at.timestamp(), n * GIB / 60) for n, at in enumerate(moments)]  # a GiB an hour
    history.add("kubecost_pod_network_egress_bytes_total", sent, **egress, same_region="false")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with prometheus_with_history() as (server, history):
        record(history)
        history.write()
        yield server.url


async def test_a_day_of_the_cluster_is_charged_to_the_cent_and_the_rest_is_nobodys(url: str) -> None:
    async def counted(name: str, kind: str, meters: tuple[Metered, ...]) -> Account:
        account = Account(bearer=Bearer.model_validate({"name": name, "kind": kind}), month="2026-11")
        async with PrometheusSource(url) as source:
            found = await count(source.ask, account, meters, (), since=START.date(), now=END)
        assert found.problems == ()
        return found.account

    def first(account: Account) -> Account:
        return account.model_copy(update={"days": account.days[:1]})

    shop = first(await counted("shop", "tenant", opencost_meters(("shop",))))
    recs = first(await counted("recs", "tenant", opencost_meters(("recs",))))
    cluster = first(await counted("cluster", "cluster", cluster_meters()))
    assert [day.date for day in shop.days] == [date(2026, 11, 2)]
    # The first minutes have no rate yet: they are not observed, and charged like the rest.
    amounts = {line.meter: line.amount for line in shop.days[0].lines}
    hourly = {**SHOP, "opencost-network": 0.12}
    for meter, dollars in hourly.items():
        assert abs((amounts[meter] or Decimal(0)) - Decimal(str(dollars)) * 24) < Decimal("0.02"), meter
    charges = charges_of([shop, recs, cluster])
    assert sum(charge.cents for charge in charges) == total_cents(cluster)
    left = sum(charge.cents for charge in charges if charge.bearer == UNALLOCATED)
    # 0.66 + 0.06 + 0.12 + 0.025 + 0.10 an hour in all; shop has 0.495 of it, recs 0.03.
    assert abs(left - 1056) <= 3
