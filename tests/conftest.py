"""What every test may ask for: a real cluster, a real Prometheus, a namespace of its own.

Cluster and Prometheus start when the first test asks for them and serve the whole session. A test keeps apart from the
others by its namespace (`namespace`) and by its own job names in Prometheus; cluster-wide objects that it creates, it
deletes.
"""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from testbed import Cluster, PrometheusServer, SetupError, open_cluster, start_prometheus
from testbed.binaries import provide
from testbed.providers import choose

# A deadline for each example measures how busy the machine is, not the code.
settings.register_profile("pilotage", deadline=None)
settings.load_profile("pilotage")

# Garbage collection and the deletion of namespaces are the controller-manager's work; pods are nobody's here.
COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager")
# What must be there for a fixture. A test that runs more than that says so: `@pytest.mark.cluster("kwok")`.
PROGRAMS = {"cluster": ("kubectl",), "prometheus": ("prometheus",), "helm": ("helm",)}


@pytest.hookimpl(tryfirst=True)  # before pytest looks at `-m`
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that use programs of the testbed, so that `-m "not cluster"` is quick and needs none."""
    for item in items:
        for name in PROGRAMS.keys() & _fixtures(item):
            item.add_marker(pytest.mark.cluster(*PROGRAMS[name]))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build what is missing now: a first build takes minutes, and the timeout of a test is no place for it."""
    if session.config.option.collectonly:
        return
    programs = {program for item in session.items for mark in item.iter_markers("cluster") for program in mark.args}
    capture = session.config.pluginmanager.getplugin("capturemanager")
    try:
        if any("cluster" in _fixtures(item) for item in session.items) and choose() == "testbed":
            programs |= set(COMPONENTS)
        with capture.global_and_fixture_disabled():
            provide(sorted(programs))
    except SetupError as error:
        pytest.exit(f"the testbed can't start: {error}", returncode=3)


def _fixtures(item: pytest.Item) -> set[str]:
    return set(getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Give the session's cluster: etcd, kube-apiserver and kube-controller-manager, with RBAC on.

    Which cluster it is follows `CLUSTER` (see testbed/README.md). Pods stay pending: a test that needs running pods
    starts a cluster of its own with `start_cluster()`.
    """
    with open_cluster(COMPONENTS) as started:
        yield started


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """Give the name of a fresh namespace; it is deleted after the test, without waiting for the end of that."""
    name = f"test-{secrets.token_hex(4)}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="session")
def prometheus() -> Iterator[PrometheusServer]:
    """Give the session's Prometheus, which scrapes every second.

    A test registers what it wants scraped with `prometheus.set_targets("my-job", ["127.0.0.1:8000"])`, waits with
    `prometheus.wait_for_target("my-job")`, and drops it at the end with `prometheus.remove_targets("my-job")`.
    """
    with start_prometheus() as started:
        yield started


@pytest.fixture(scope="session")
def helm() -> Path:
    """Give the path of helm 4."""
    return provide(["helm"])["helm"]
