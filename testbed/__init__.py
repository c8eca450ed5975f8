"""A real Kubernetes, a real Prometheus, on loopback, within seconds and without Docker.

    >>> from testbed import open_cluster, start_prometheus     # doctest: +SKIP
    >>> with open_cluster() as cluster:                        # doctest: +SKIP
    ...     print(cluster.kubectl("get", "namespaces"))

`python -m testbed --help` has the commands; README.md the whole story.
"""

from testbed.cluster import Cluster, KubectlError
from testbed.controlplane import ALL_COMPONENTS, start_cluster
from testbed.errors import SetupError
from testbed.processes import Process, ProcessGroup
from testbed.prometheus import PrometheusServer, start_prometheus
from testbed.providers import open_cluster
from testbed.waiting import DeadlineExceededError, eventually, wait_until

__all__ = [
    "ALL_COMPONENTS",
    "Cluster",
    "DeadlineExceededError",
    "KubectlError",
    "Process",
    "ProcessGroup",
    "PrometheusServer",
    "SetupError",
    "eventually",
    "open_cluster",
    "start_cluster",
    "start_prometheus",
    "wait_until",
]
