"""The session's cluster with Pilotage in it: definitions, rights and guard as the chart installs them, but no pods."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from pilotage.kube import Kube
from testbed import Cluster
from testbed.install import Installed, install
from tests.cluster.flag_world import Background, World


@pytest.fixture(scope="session")
def crds(cluster: Cluster) -> None:
    """Install the definitions as `crds/` has them; a field manager of their own leaves alone what the chart adds."""
    folder = str(Path(__file__).parents[2] / "crds")
    cluster.kubectl("apply", "--server-side", "--field-manager=crds", "--force-conflicts", "-f", folder)
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", folder)


@pytest.fixture(scope="session")
def installed(cluster: Cluster) -> Installed:
    """Give what processes beside the cluster need to run with the rights of the chart's ServiceAccounts only.

    A cluster that was there before is not touched if Pilotage is on it: these tests would overwrite it.
    """
    if cluster.provider == "current" and cluster.kubectl("get", "namespace", "pilotage-system", "--ignore-not-found"):
        pytest.exit("Pilotage is installed on the current cluster: use another one for the tests", returncode=3)
    return install(cluster)


@pytest.fixture
def enrolled(installed: Installed, namespace: str) -> str:
    """Give the name of the test's namespace, enrolled: flags may be delivered there."""
    installed.enrol(namespace)
    return namespace


@pytest.fixture
def enrolled_tenant(installed: Installed, namespace: str) -> str:
    """Give the name of the test's namespace, enrolled as a tenant's."""
    installed.enrol_tenant(namespace)
    return namespace


@pytest.fixture
async def operator_kube(installed: Installed) -> AsyncIterator[Kube]:
    """Give a client with the rights of the operator's ServiceAccount."""
    kube = await Kube.connect(installed.operator_kubeconfig)
    yield kube
    await kube.close()


@pytest.fixture
async def flags_kube(installed: Installed) -> AsyncIterator[Kube]:
    """Give a client with the rights of the flag service's ServiceAccount."""
    kube = await Kube.connect(installed.flags_kubeconfig)
    yield kube
    await kube.close()


@pytest.fixture(scope="module")
def background() -> Iterator[Background]:
    """Give an event loop in a thread of its own."""
    running = Background()
    yield running
    running.stop()


@pytest.fixture
def world(installed: Installed, namespace: str, background: Background) -> Iterator[World]:
    """Give the test's namespace, enrolled, with what delivers flags in it."""
    made = World(installed, namespace, background)
    yield made
    made.close()
