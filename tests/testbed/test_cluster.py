"""The testbed's cluster behaves as a real one: it answers, and it refuses."""

from testbed import Cluster, PrometheusServer


def test_the_cluster_answers(cluster: Cluster, namespace: str) -> None:
    assert namespace in cluster.kubectl("get", "namespaces")


def test_a_prometheus_scrapes_targets_that_are_added_while_it_runs(prometheus: PrometheusServer) -> None:
    address = prometheus.url.removeprefix("http://")
    prometheus.set_targets("itself", [address])
    prometheus.wait_for_target("itself")
    prometheus.remove_targets("itself")
