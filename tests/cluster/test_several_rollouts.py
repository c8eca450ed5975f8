"""Several rollouts on a real cluster: a flag has one of them, some begin after others, and so many advance at once."""

import json
import time
from collections.abc import Iterator

import pytest

from testbed import Cluster, KubectlError, ProcessGroup, PrometheusServer, wait_until
from testbed.install import Installed
from tests.cluster.replicas import Replica, start_leader
from tests.cluster.rollouts import Rollouts

LIMIT = 3
MANY = 12
QUICK = [{"name": "few", "percent": 10, "hold": "1s"}, {"name": "all", "percent": 100, "hold": "1s"}]
LONG = [{"name": "few", "percent": 10, "hold": "1h"}, {"name": "all", "percent": 100}]


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessGroup]:
    with ProcessGroup(prefix="pilotage-several-") as group:
        yield group


@pytest.fixture(scope="module")
def operator(processes: ProcessGroup, installed: Installed, prometheus: PrometheusServer) -> Replica:
    return start_leader(processes, installed, prometheus=prometheus.url, arguments=(f"--max-advancing={LIMIT}",))


@pytest.fixture
def rollouts(cluster: Cluster, enrolled: str, operator: Replica) -> Iterator[Rollouts]:
    yield Rollouts(cluster, enrolled)
    cluster.kubectl("delete", "pilots", "--all", "-n", enrolled, "--timeout=60s")
    assert operator.metric("pilotage_reconcile_failures_total", kind="bug") == 0


def says(rollouts: Rollouts, name: str, message: str) -> None:
    wait_until(lambda: message in rollouts.status(name).get("message", ""), f"{name} to say: {message}")


def test_the_second_that_claims_a_flag_holds_names_the_first_and_starts_when_that_is_gone(rollouts: Rollouts) -> None:
    rollouts.apply("first", feature={"flag": "search"}, steps=LONG)
    wait_until(lambda: rollouts.is_in_force("first"), "the first to be in force")
    rollouts.apply("second", feature={"flag": "search"}, steps=LONG)
    says(rollouts, "second", "rollout first has claimed search in pilot-flags before: delete that, or this one")
    assert rollouts.status("second")["phase"] == "Pending"
    assert "finalizers" not in rollouts.get("second")["metadata"]
    assert rollouts.flag("search")["metadata"]["pilotage.exposure"] == "percent"
    rollouts.delete("first", "--timeout=30s")
    wait_until(lambda: rollouts.is_in_force("second"), "the second to start by itself")
    assert rollouts.actions("second") == ["Hold", "Start"]


def test_a_rollout_that_only_observes_claims_nothing(rollouts: Rollouts) -> None:
    rollouts.apply("shadow", feature={"flag": "search"}, mode="observe", steps=LONG)
    rollouts.wait_for("shadow", phase="Progressing")
    rollouts.apply("real", feature={"flag": "search"}, steps=LONG)
    wait_until(lambda: rollouts.is_in_force("real"), "the one that lets users in to start")


def test_a_rollout_begins_as_soon_as_those_before_it_are_completed(rollouts: Rollouts) -> None:
    rollouts.apply("later", after=["base"], interval="1h", steps=QUICK)
    says(rollouts, "later", "spec.after: there is no rollout base")
    rollouts.apply("base", steps=LONG)
    says(rollouts, "later", "spec.after: rollout base is not completed")
    rollouts.apply("base", steps=[{**LONG[0], "hold": "1s"}, LONG[1]])
    rollouts.wait_for("base", phase="Completed")
    # Judged once an hour: it can only have been woken.
    wait_until(lambda: rollouts.is_in_force("later"), "the one after it to begin")
    assert rollouts.actions("later")[:2] == ["Hold", "Start"]


def test_a_cycle_is_shown_until_somebody_takes_one_out(rollouts: Rollouts) -> None:
    rollouts.apply("one", after=["two"], steps=QUICK)
    rollouts.apply("two", after=["one"], steps=QUICK)
    says(rollouts, "one", "spec.after: one waits for two waits for one: take one of them out")
    says(rollouts, "two", "spec.after: two waits for one waits for two: take one of them out")
    stalled = [each for each in rollouts.status("one")["conditions"] if each["type"] == "Stalled"]
    assert [(each["status"], each["reason"]) for each in stalled] == [("True", "AfterCycle")]
    rollouts.apply("one", after=[], steps=QUICK)
    rollouts.wait_for("two", phase="Completed")


def test_a_rollout_does_not_wait_for_itself(rollouts: Rollouts) -> None:
    with pytest.raises(KubectlError, match="after names this rollout itself: take it out"):
        rollouts.apply("one", after=["one"], steps=QUICK)


def advancing(rollouts: Rollouts) -> int:
    """How many have users in a step that is not proven, as the API server has it at one moment."""
    found = json.loads(rollouts.kubectl("get", "pilots", "-o", "json"))["items"]
    exposed = [each for each in found if each.get("status", {}).get("exposure", {}).get("kind", "off") != "off"]
    return sum(each["status"].get("turn", {}).get("state") == "Taken" for each in exposed)


def test_no_more_than_the_limit_advance_at_once_and_all_arrive(rollouts: Rollouts) -> None:
    names = [f"rollout-{number:02}" for number in range(MANY)]
    rollouts.apply(*names, steps=QUICK)
    seen, deadline = [], time.monotonic() + 240
    while rollouts.phases() != ["Completed"] * MANY:
        seen.append(advancing(rollouts))
        assert time.monotonic() < deadline, rollouts.kubectl("get", "pilots")
    assert 1 < max(seen) <= LIMIT, seen
    waited = [name for name in names if "Hold" in rollouts.actions(name)]
    assert len(waited) >= MANY - LIMIT


def test_a_rollback_waits_for_no_turn(rollouts: Rollouts) -> None:
    heat = {"name": "heat", "query": "vector(5)"}
    rollouts.apply("hot", indicators=[heat], rollback=["heat > 10"], steps=[{**QUICK[0], "hold": "1h"}])
    wait_until(lambda: rollouts.is_in_force("hot"), "it to be in force")
    rollouts.apply("b", "c", "d", steps=LONG)
    wait_until(lambda: advancing(rollouts) == LIMIT, "all turns to be taken")
    rollouts.apply("hot", indicators=[{**heat, "query": "vector(50)"}], rollback=["heat > 10"], steps=QUICK[:1])
    rollouts.wait_for("hot", phase="RolledBack")
    wait_until(lambda: all(rollouts.is_in_force(name) for name in "bcd"), "its turn to go to the next")


def test_a_tenants_limit_holds_its_rollouts(rollouts: Rollouts, cluster: Cluster) -> None:
    name = f"tenant-{rollouts.namespace}"
    cluster.apply(
        {
            "apiVersion": "pilotage.dev/v1alpha1",
            "kind": "TenantQuota",
            "metadata": {"name": name},
            "spec": {"namespaces": [rollouts.namespace], "maxAdvancing": 1},
        }
    )
    try:
        rollouts.apply("a", steps=LONG)
        wait_until(lambda: rollouts.is_in_force("a"), "the first to be in force")
        rollouts.apply("b", steps=LONG)
        says(rollouts, "b", f"no more than 1 rollouts advance at once in tenant {name}, and others come first")
        rollouts.delete("a", "--timeout=30s")
        wait_until(lambda: rollouts.is_in_force("b"), "the second to have its turn")
    finally:
        cluster.kubectl("delete", "tenantquota", name)
