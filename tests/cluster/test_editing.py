"""Edits of a running rollout, on a real cluster: what is safe is taken at once, all else holds and says why."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from testbed import Cluster, KubectlError, ProcessGroup, PrometheusServer, wait_until
from testbed.install import Installed
from tests.cluster.replicas import Replica, start_leader
from tests.cluster.rollouts import Rollouts

USERS = [{"key": f"user-{number}"} for number in range(50)]
FEW = {"name": "few", "users": 5, "hold": "1h"}
ALL = {"name": "all", "percent": 100}


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessGroup]:
    with ProcessGroup(prefix="pilotage-editing-") as group:
        yield group


@pytest.fixture(scope="module")
def operator(processes: ProcessGroup, installed: Installed, prometheus: PrometheusServer) -> Replica:
    return start_leader(processes, installed, prometheus=prometheus.url)


@pytest.fixture
def rollouts(cluster: Cluster, enrolled: str, operator: Replica) -> Iterator[Rollouts]:
    """Give a namespace whose rollout `search` has five users in, in a step of an hour."""
    cluster.kubectl(*("create", "configmap", "users", "-n", enrolled, f"--from-literal=users.json={json.dumps(USERS)}"))
    made = Rollouts(cluster, enrolled)
    edit(made, FEW)
    wait_until(lambda: made.is_in_force("search"), "the first step to be in force")
    yield made
    cluster.kubectl("delete", "pilots", "--all", "-n", enrolled, "--timeout=30s")
    assert operator.metric("pilotage_reconcile_failures_total", kind="bug") == 0


def edit(rollouts: Rollouts, step: dict[str, Any]) -> None:
    rollouts.apply("search", audience={"directory": {"configMap": "users"}}, steps=[step, ALL])


def enrolled_in(rollouts: Rollouts) -> list[str]:
    status = rollouts.status("search")
    people: list[str] = status["cohort"]["enrolled"][: status["exposure"]["enrolled"]]
    return people


def test_more_users_come_into_the_running_step_at_once_and_its_time_begins_anew(rollouts: Rollouts) -> None:
    before, began = enrolled_in(rollouts), rollouts.status("search")["step"]["verifiedTime"]
    edit(rollouts, {**FEW, "users": 20})
    wait_until(lambda: rollouts.actions("search") == ["Start", "Widen"], "the step to widen")
    wait_until(lambda: rollouts.is_in_force("search"), "its users to be seen to have the feature")
    status = rollouts.status("search")
    assert (status["step"]["name"], len(enrolled_in(rollouts))) == ("few", 20)
    assert enrolled_in(rollouts)[:5] == before
    assert status["step"]["verifiedTime"] > began
    with pytest.raises(KubectlError, match="users 5 is less than the 20 who were let in"):
        edit(rollouts, FEW)


def test_what_the_api_server_can_not_see_holds_says_why_and_takes_nobody_back(rollouts: Rollouts) -> None:
    edit(rollouts, {**FEW, "users": 500})
    status = rollouts.wait_for("search", phase="Holding")
    assert status["message"].startswith(
        "spec.steps[0]: the change of step few is not taken: step few wants 500 users, but only 50 may come in:"
    )
    stalled = next(each for each in status["conditions"] if each["type"] == "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "EditNotTaken")
    assert len(enrolled_in(rollouts)) == 5
    edit(rollouts, FEW)
    rollouts.wait_for("search", phase="Progressing")
    assert rollouts.actions("search") == ["Start", "Stall", "Resume"]


def test_a_shorter_hold_is_taken_at_once(rollouts: Rollouts) -> None:
    edit(rollouts, {**FEW, "hold": "1s"})
    rollouts.wait_for("search", phase="Completed")
    assert rollouts.actions("search") == ["Start", "Advance", "Complete"]
