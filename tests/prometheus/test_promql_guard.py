"""Guarded queries on a real Prometheus: they answer as if the tenant's series were all, and mean what they meant.

Two worlds are recorded: series `both_*` of two tenants, and `ours_*`, the same without the other's. A guarded query on
the first must answer what the query itself answers on the second.
"""

import math
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from pilotage.metrics.client import PrometheusClient
from pilotage.metrics.guard import enforce
from testbed.history import History, prometheus_with_history

T = datetime(2026, 3, 2, 9, 0, tzinfo=UTC).timestamp()
OURS = (("tenant", "shop"),)
SECRET = 4242.0

pytestmark = pytest.mark.cluster("prometheus")

Found = dict[frozenset[tuple[str, str]], float]


def record(history: History) -> None:
    times = [T - 900 + 15 * step for step in range(61)]
    for world, tenants in (("both", ("shop", "victim")), ("ours", ("shop",))):
        for tenant in tenants:
            factor = 1.0 if tenant == "shop" else SECRET
            for variant, rate in (("on", 2.0), ("off", 3.0)):
                labels = {"tenant": tenant, "variant": variant, "path": '/a"b\\c\n'}
                history.add(f"{world}_total", [(at, factor * rate * (at - T + 1e6)) for at in times], **labels)
                history.add(f"{world}_gauge", [(at, factor * rate) for at in times], **labels)
                for le, share in (("0.1", 0.5), ("0.5", 0.9), ("+Inf", 1.0)):
                    counted = [(at, factor * share * 10 * (at - T + 1e6)) for at in times]
                    history.add(f"{world}_bucket", counted, le=le, **labels)


@pytest.fixture(scope="module")
def client() -> Iterator[PrometheusClient]:
    with prometheus_with_history() as (prometheus, history):
        record(history)
        history.write()
        made = PrometheusClient(prometheus.url)
        yield made
        made.close()


def ask(client: PrometheusClient, query: str) -> Found:
    """The values by labels, without the metric's name."""
    reply = client.instant(query, at=T, seconds=10)
    return {
        frozenset((k, v) for k, v in each.labels.items() if k != "__name__"): each.values[-1] for each in reply.series
    }


HONEST = (
    "M_gauge",
    "sum(rate(M_total[5m]))",
    "sum by (variant) (increase(M_total[5m])) / sum by (variant) (increase(M_total[5m] offset 1m))",
    "histogram_quantile(0.95, sum by (variant, le) (rate(M_bucket[5m])))",
    "1 - sum(rate(M_total{variant='on'}[5m])) / sum(rate(M_total[5m]))",
    "max_over_time(sum(rate(M_total[1m]))[5m:30s])",
    "avg without (path) (M_gauge) > bool 2",
    "M_gauge * on (variant) group_left () sum by (variant) (M_gauge)",
    "M_gauge and on (variant) (M_gauge{variant='on'})",
    "M_gauge unless M_gauge{variant=\"on\"}",
    "M_gauge{variant='on'} or vector(-1)",
    "topk(1, M_gauge) - scalar(min(M_gauge))",
    "quantile(0.5, M_gauge) ^ 2 % 3",
    "-M_gauge + 2 * 3 ^ 2 ^ 0.5 - (1 - 2)",
    "count_values(\"value\", M_gauge)",
    "label_replace(M_gauge, \"to\", \"$1-\\\"x\\\"\", \"variant\", \"(o.*)\")",
    "M_gauge{path=\"/a\\\"b\\\\c\\n\"}",
    "M_gauge{path=~\"/a.b.c\\n\"}",
    "sum(M_gauge @ end()) + sum(M_gauge @ start() offset -1m)",
    "absent(M_gauge{variant='none'})",
    "{__name__=~\"M_gau.*\"}",
    "clamp_max(M_gauge, 1e2) / 0x10",
    "deriv(M_gauge[5m]) == 0",
)  # fmt: skip


@pytest.mark.parametrize("query", HONEST)
def test_a_guarded_query_means_what_it_meant_and_reads_the_tenants_series_alone(
    client: PrometheusClient, query: str
) -> None:
    wanted = ask(client, query.replace("M_", "ours_"))
    found = ask(client, enforce(query.replace("M_", "both_"), OURS))
    assert wanted
    if "absent" in query:  # the label that is enforced is known to be absent too
        found = {labels - {("tenant", "shop")}: value for labels, value in found.items()}
    assert found.keys() == wanted.keys()
    assert all(math.isclose(found[labels], value, rel_tol=1e-9) for labels, value in wanted.items())


@pytest.mark.parametrize(
    "query",
    [
        'both_gauge{tenant="victim"}',
        'both_gauge{tenant=~".*"}',
        '{tenant="victim"}',
        '{__name__=~".+",tenant!="shop"}',
        'both_gauge{variant="none"} or both_gauge{tenant="victim"}',
        'label_replace(both_gauge{tenant!="shop"}, "tenant", "shop", "", "")',
        'max_over_time(both_gauge{tenant="victim"}[15m])',
        'sum without (tenant) (both_gauge{tenant=~"v.*"})',
        "both_gauge and on () vector(1) unless on (tenant) ours_gauge",
    ],
)
def test_promql_widening_no_query_answers_with_what_is_the_victims(client: PrometheusClient, query: str) -> None:
    assert [value for value in ask(client, query).values() if value >= SECRET], "unguarded, it is an attack"
    assert [value for value in ask(client, enforce(query, OURS)).values() if value >= SECRET] == []
