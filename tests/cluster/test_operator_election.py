"""Who leads: two replicas on a real API server, one of which crashes, or ends as it should."""

import asyncio
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest

from pilotage.controller.clock import SystemClock
from pilotage.controller.elector import Elector
from pilotage.kube import Kube
from testbed import Cluster, ProcessGroup, eventually, wait_until
from tests.cluster.replicas import Replica, start_operator

NOBODY = "http://127.0.0.1:9"


@dataclass
class Pair:
    """Two replicas with a Lease of their own."""

    group: ProcessGroup
    replicas: tuple[Replica, Replica]

    def leader(self) -> Replica:
        [leader] = wait_until(lambda: [each for each in self.replicas if each.leads()], "a leader")
        return leader

    def follower(self) -> Replica:
        leader = self.leader()
        return next(each for each in self.replicas if each is not leader)


@pytest.fixture
def pair(cluster: Cluster, crds: None, namespace: str) -> Iterator[Pair]:  # noqa: ARG001 - the kinds must be there
    lease = (f"--lease-namespace={namespace}", "--lease-name=election")
    with ProcessGroup(prefix="pilotage-election-") as group:
        first, second = (
            start_operator(group, name, kubeconfig=cluster.kubeconfig, prometheus=NOBODY, arguments=lease)
            for name in ("first", "second")
        )
        for each in (first, second):
            wait_until(each.is_ready, "the replica to be ready")
        yield Pair(group, (first, second))


def test_one_of_two_leads_and_both_are_ready(pair: Pair, cluster: Cluster, namespace: str) -> None:
    leader, follower = pair.leader(), pair.follower()
    assert not follower.leads()
    assert follower.is_ready()
    holder = cluster.kubectl("get", "lease", "election", "-n", namespace, "-o", "jsonpath={.spec.holderIdentity}")
    assert holder == leader.process.name
    before = follower.requests()
    time.sleep(3)
    assert follower.requests().keys() == before.keys() == {"GET"}


def test_after_a_crash_the_other_leads_within_ten_seconds(pair: Pair) -> None:
    leader, follower = pair.leader(), pair.follower()
    leader.process.kill()
    killed_at = time.monotonic()
    wait_until(follower.leads, "the follower to lead", every_seconds=0.02)
    seconds = time.monotonic() - killed_at
    print(f"failover after a crash: {seconds:.2f} s")
    assert 3.0 < seconds <= 10.0


def test_after_a_clean_exit_the_other_leads_within_two_seconds(pair: Pair) -> None:
    leader, follower = pair.leader(), pair.follower()
    began_at = time.monotonic()
    leader.process.stop()
    assert leader.process.exit_status == 0
    wait_until(follower.leads, "the follower to lead", every_seconds=0.02)
    seconds = time.monotonic() - began_at
    print(f"failover after a clean exit, from SIGTERM: {seconds:.2f} s")
    assert seconds <= 2.0


def test_a_leader_that_was_frozen_stops_before_it_acts_again(pair: Pair) -> None:
    leader, follower = pair.leader(), pair.follower()
    leader.process.pause()
    wait_until(follower.leads, "the follower to lead")
    leader.process.resume()
    wait_until(lambda: not leader.leads(), "the old leader to follow", seconds=5)
    assert follower.leads()
    assert any(line["message"] == "this replica follows" for line in leader.lines())


async def test_of_two_electors_in_one_race_one_leads_and_the_release_hands_over(
    cluster: Cluster, namespace: str
) -> None:
    kube = await Kube.connect(cluster.kubeconfig)
    name = f"race-{secrets.token_hex(3)}"
    electors = [Elector(kube, SystemClock(), identity=who, namespace=namespace, name=name) for who in "ab"]
    tasks = [asyncio.create_task(elector.run()) for elector in electors]
    try:
        for _ in range(60):
            await asyncio.sleep(0.05)
            assert sum(elector.leads() for elector in electors) <= 1
        [leading] = [index for index, elector in enumerate(electors) if elector.leads()]
        tasks[leading].cancel()
        with suppress(asyncio.CancelledError):
            await tasks[leading]
        assert not electors[leading].leads()

        async def handed_over() -> bool:
            return electors[1 - leading].leads()

        await eventually(handed_over, "the other to lead", seconds=2, every_seconds=0.02)
        lease = await kube.get(f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}")
        assert lease["spec"]["leaseTransitions"] == 1
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await kube.close()
