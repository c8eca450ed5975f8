"""Watches of a real API server that are given up: over TLS, through a relay that can fall silent."""

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pilotage.kube import Kube
from testbed import Cluster, eventually
from tests.faults.relay import Relay

pytestmark = pytest.mark.cluster("etcd", "kube-apiserver", "kubectl")


@pytest.fixture
async def relay(cluster: Cluster) -> AsyncIterator[Relay]:
    """Give a relay to the API server."""
    made = Relay(urlsplit(cluster.server).port or 443)
    await made.start()
    yield made
    await made.stop()


async def test_a_watch_that_is_given_up_does_not_wait_for_a_server_that_has_fallen_silent(
    cluster: Cluster, relay: Relay, tmp_path: Path
) -> None:
    through = tmp_path / "kubeconfig"
    through.write_text(cluster.kubeconfig.read_text().replace(urlsplit(cluster.server).netloc, relay.address))
    async with await Kube.connect(through) as kube:
        watch = kube.watch("/api/v1/namespaces")
        assert (await anext(watch))["type"] == "ADDED"
        assert relay.callers == 1
        relay.delay_seconds = 60.0
        await watch.aclose()  # type: ignore[attr-defined]

        async def all_hung_up() -> bool:
            return relay.callers == 0

        await eventually(all_hung_up, "the connection to be closed", seconds=5)
