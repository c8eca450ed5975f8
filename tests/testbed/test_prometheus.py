"""The testbed's Prometheus scrapes what tests register, and keeps its data over a restart."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from prometheus_client import CollectorRegistry, Counter, start_http_server

from testbed import PrometheusServer, SetupError, ports, start_prometheus, wait_until


@contextmanager
def _application(requests: int) -> Iterator[str]:
    """Serve the metrics of an application that had this many requests."""
    registry = CollectorRegistry()
    Counter("shop_requests", "Requests.", registry=registry).inc(requests)
    port = ports.free_port()
    server, thread = start_http_server(port, "127.0.0.1", registry)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_targets_can_be_added_and_removed_while_it_runs(prometheus: PrometheusServer) -> None:
    with _application(requests=42) as address:
        prometheus.set_targets("shop", [address], labels={"variant": "treatment"})
        prometheus.wait_for_target("shop")
        (series,) = prometheus.query('shop_requests_total{job="shop"}')
        prometheus.remove_targets("shop")
    assert series["metric"]["variant"] == "treatment"
    assert series["value"][1] == "42"
    wait_until(lambda: not prometheus.query('up{job="shop"}'), "the removed target's series to end")


@pytest.mark.cluster("prometheus")
def test_targets_that_are_known_at_the_start_are_scraped_and_outlive_a_restart() -> None:
    with _application(requests=7) as address, start_prometheus({"shop": [address]}) as server:
        server.wait_for_target("shop")
        before = server.query("count_over_time(up[1h])")
        server.restart()
        after = server.query("count_over_time(up[1h])")
    assert int(after[0]["value"][1]) >= int(before[0]["value"][1])


@pytest.mark.cluster("prometheus")
def test_a_flag_that_it_does_not_know_ends_the_start_with_its_own_words() -> None:
    with pytest.raises(SetupError, match="unknown long flag '--no-such-flag'"):
        start_prometheus(flags=["--no-such-flag"])
