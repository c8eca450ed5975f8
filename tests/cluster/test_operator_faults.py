"""What breaks while a rollout is on its way: the operator, its requests, and what people do to its objects.

Whatever it is, the history has no gap, no repeat and no step too many, and there is one Event for each entry.
"""

import itertools
import json
import random
import time
from collections.abc import Iterator

import pytest

from testbed import Cluster, ProcessGroup, PrometheusServer, wait_until
from testbed.install import Installed
from tests.cluster.api_proxy import ApiProxy, Fault, no_fault
from tests.cluster.flag_world import Background
from tests.cluster.replicas import Replica, start_flag_service, start_operator
from tests.cluster.rollouts import Rollouts

THREE_STEPS = [{"name": f"step-{n}", "percent": 20 * n, "hold": "1s"} for n in range(1, 4)]
FAULTS: tuple[Fault, ...] = (409, 429, 500, "lost", "answer lost")


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessGroup]:
    with ProcessGroup(prefix="pilotage-faults-") as group:
        yield group


@pytest.fixture(scope="module")
def between(installed: Installed, background: Background) -> Iterator[ApiProxy]:
    """Give what is between the operator and the API server."""
    proxy = ApiProxy(installed.operator_kubeconfig)
    background.run(proxy.start())
    yield proxy
    background.run(proxy.stop())


@pytest.fixture(scope="module")
def operator(processes: ProcessGroup, installed: Installed, between: ApiProxy, prometheus: PrometheusServer) -> Replica:
    token = processes.directory / "token"
    token.write_text(installed.flag_service_token())
    replica = start_operator(
        processes,
        "operator",
        kubeconfig=between.write_kubeconfig(processes.directory / "kubeconfig"),
        prometheus=prometheus.url,
        arguments=(
            f"--flag-service={start_flag_service(processes, installed)}",
            f"--flag-service-token-file={token}",
            f"--lease-namespace={installed.namespace}",
        ),
    )
    wait_until(lambda: replica.is_ready() and replica.leads(), "the operator to lead")
    return replica


@pytest.fixture
def rollouts(cluster: Cluster, enrolled: str, operator: Replica, between: ApiProxy) -> Iterator[Rollouts]:
    yield Rollouts(cluster, enrolled)
    between.fault = no_fault
    if not operator.process.running:
        restart(operator)
    cluster.kubectl("delete", "pilots", "--all", "-n", enrolled, "--timeout=30s")
    assert operator.metric("pilotage_reconcile_failures_total", kind="bug") == 0


def restart(operator: Replica) -> None:
    operator.process.kill()
    before = len(operator.lines())
    operator.process.start()
    wait_until(lambda: any(line["message"] == "this replica leads" for line in operator.lines()[before:]), "a leader")


def expect_a_whole_history(rollouts: Rollouts, name: str, actions: list[str]) -> None:
    history = rollouts.status(name)["history"]
    assert [entry["action"] for entry in history] == actions
    assert [entry["sequence"] for entry in history] == list(range(1, len(history) + 1))
    wait_until(lambda: len(rollouts.events(name)) >= len(history), f"{len(history)} Events", seconds=20)
    assert len(rollouts.events(name)) == len(history)


def test_a_leader_that_is_killed_again_and_again_skips_and_repeats_nothing(
    rollouts: Rollouts, operator: Replica
) -> None:
    rollouts.apply("victim", steps=THREE_STEPS)
    chance = random.Random(4)
    for _ in range(5):
        restart(operator)
        time.sleep(chance.uniform(0.0, 0.8))
    rollouts.wait_for("victim", phase="Completed")
    expect_a_whole_history(rollouts, "victim", ["Start", "Advance", "Advance", "Complete"])
    assert rollouts.status("victim")["delivery"]["revision"] == len(THREE_STEPS)


def test_requests_that_fail_or_whose_answer_is_lost_leave_the_story_as_it_is(
    rollouts: Rollouts, between: ApiProxy
) -> None:
    turns = itertools.chain.from_iterable(zip(FAULTS, itertools.repeat(None), strict=False))
    faults = itertools.cycle(turns)

    def spoil(method: str, path: str) -> Fault | None:
        return next(faults) if method in ("PATCH", "POST") and "/leases" not in path else None

    between.fault = spoil
    rollouts.apply("spoilt", steps=THREE_STEPS)
    rollouts.wait_for("spoilt", phase="Completed", seconds=60)
    expect_a_whole_history(rollouts, "spoilt", ["Start", "Advance", "Advance", "Complete"])


@pytest.mark.parametrize("fault", ["lost", "answer lost"])
def test_a_rollback_that_was_decided_before_a_crash_is_carried_out_after_it(
    rollouts: Rollouts, operator: Replica, between: ApiProxy, fault: Fault
) -> None:
    said = {"rollback": ["heat > 10"], "steps": [{"name": "half", "percent": 50, "hold": "1h"}]}
    rollouts.apply("broken", indicators=[{"name": "heat", "query": "vector(5)"}], **said)
    wait_until(lambda: rollouts.is_in_force("broken"), "the step to be in force")
    between.fault = lambda method, path: fault if method == "PATCH" and "/configmaps/" in path else None
    rollouts.apply("broken", indicators=[{"name": "heat", "query": "vector(50)"}], **said)
    rollouts.wait_for("broken", phase="RollingBack")
    operator.process.kill()
    assert rollouts.flag("broken")["metadata"]["pilotage.exposure"] == ("percent" if fault == "lost" else "off")
    between.fault = no_fault
    restart(operator)
    rollouts.wait_for("broken", phase="RolledBack", seconds=10)
    assert rollouts.flag("broken")["metadata"]["pilotage.exposure"] == "off"
    expect_a_whole_history(rollouts, "broken", ["Start", "RollBack", "RolledBack"])


def test_the_last_event_of_a_leader_that_died_is_posted_by_the_next(
    rollouts: Rollouts, operator: Replica, between: ApiProxy
) -> None:
    between.fault = lambda method, path: "lost" if method == "POST" and path.endswith("/events") else None
    rollouts.apply("silent", steps=[{"name": "all", "percent": 100}])
    rollouts.wait_for("silent", phase="Completed")
    operator.process.kill()
    between.fault = no_fault
    restart(operator)
    expect_a_whole_history(rollouts, "silent", ["Start", "Complete"])


def test_of_two_rollouts_that_claim_one_flag_the_second_takes_no_user_from_the_first(rollouts: Rollouts) -> None:
    claim = {"feature": {"flag": "shared"}, "steps": [{"name": "half", "percent": 50, "hold": "1h"}]}
    rollouts.apply("first", **claim)
    wait_until(lambda: rollouts.is_in_force("first"), "the step to be in force")
    right = rollouts.flag("shared")
    rollouts.apply("second", **claim)
    said = "also written by pilotage/first"
    wait_until(lambda: said in rollouts.status("second")["delivery"]["message"], "the conflict")
    rollouts.apply("second", **claim, audience={"exclude": ["anna"]})
    wait_until(lambda: rollouts.status("second")["delivery"]["direction"] == "back", "the exclusion to be decided")
    time.sleep(2)
    assert rollouts.flag("shared") == right
    rollouts.delete("second", "--timeout=20s")
    assert rollouts.flag("shared") == right
    assert rollouts.get("first")["status"]["delivery"]["revision"] == 1


def test_a_namespace_goes_although_our_rights_in_it_go_before_its_rollouts(
    rollouts: Rollouts, cluster: Cluster
) -> None:
    rollouts.apply("leaving", steps=[{"name": "half", "percent": 50, "hold": "1h"}])
    wait_until(lambda: rollouts.is_in_force("leaving"), "the step to be in force")
    cluster.kubectl("delete", "namespace", rollouts.namespace, "--wait=false")
    wait_until(
        lambda: not cluster.kubectl("get", "namespace", rollouts.namespace, "--ignore-not-found"),
        "the namespace to be gone",
        seconds=40,
    )
    cluster.kubectl("create", "namespace", rollouts.namespace)


def test_a_finalizer_that_somebody_removed_comes_back_and_deletion_still_takes_users_back(rollouts: Rollouts) -> None:
    rollouts.apply("bare", steps=[{"name": "half", "percent": 50, "hold": "1h"}])
    wait_until(lambda: rollouts.is_in_force("bare"), "the step to be in force")
    rollouts.kubectl("patch", "pilot", "bare", "--type=merge", "-p", json.dumps({"metadata": {"finalizers": []}}))
    wait_until(lambda: "finalizers" in rollouts.get("bare")["metadata"], "the finalizer to be back", seconds=10)
    rollouts.delete("bare", "--timeout=20s")
    assert rollouts.flag("bare")["metadata"]["pilotage.exposure"] == "off"
