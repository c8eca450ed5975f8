"""A rollout that only observes, on a real cluster: it touches nothing, until it is told to."""

from collections.abc import Iterator

import pytest

from testbed import Cluster, KubectlError, ProcessGroup, PrometheusServer, wait_until
from testbed.install import Installed
from tests.cluster.replicas import Replica, start_leader
from tests.cluster.rollouts import Rollouts

STEPS = [{"name": "few", "percent": 10, "hold": "1s"}, {"name": "all", "percent": 100, "hold": "1s"}]


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessGroup]:
    with ProcessGroup(prefix="pilotage-observe-") as group:
        yield group


@pytest.fixture(scope="module")
def operator(processes: ProcessGroup, installed: Installed, prometheus: PrometheusServer) -> Replica:
    return start_leader(processes, installed, prometheus=prometheus.url)


@pytest.fixture
def rollouts(cluster: Cluster, enrolled: str, operator: Replica) -> Iterator[Rollouts]:
    yield Rollouts(cluster, enrolled)
    cluster.kubectl("delete", "pilots", "--all", "-n", enrolled, "--timeout=30s")
    assert operator.metric("pilotage_reconcile_failures_total", kind="bug") == 0


def flags_of(rollouts: Rollouts) -> str:
    return rollouts.kubectl("get", "configmap", "pilot-flags", "--ignore-not-found", "-o", "name")


def test_it_goes_to_the_end_and_writes_nothing_but_its_status(rollouts: Rollouts, operator: Replica) -> None:
    before = operator.requests()
    rollouts.apply("shadow", mode="observe", steps=STEPS)
    status = rollouts.wait_for("shadow", phase="Completed")
    spent = operator.requests() - before
    assert rollouts.actions("shadow") == ["Start", "Advance", "Complete"]
    # Start, its clock, Advance, its clock, Complete; an Event each; and the Lease.
    assert spent["PATCH"] == 5, spent
    assert spent["POST"] == len(rollouts.events("shadow")) == 3
    assert spent.keys() <= {"PATCH", "POST", "PUT"}
    assert not flags_of(rollouts)
    assert "finalizers" not in rollouts.get("shadow")["metadata"]
    assert status["message"].startswith("observing, nobody is let in: ")
    shown = rollouts.kubectl("get", "pilots").splitlines()[1].split()
    assert shown[:5] == ["shadow", "Completed", "2/2", "all", "0"]
    assert "observing" in shown
    rollouts.delete("shadow", "--timeout=10s")


def test_a_rollback_is_recorded_and_takes_nobody_back(rollouts: Rollouts, operator: Replica) -> None:
    kills = operator.metric("pilotage_kill_seconds_count")
    rollouts.apply(
        "shadow",
        mode="observe",
        indicators=[{"name": "heat", "query": "vector(5)"}],
        rollback=["heat > 10"],
        steps=[{"name": "few", "percent": 10, "hold": "1h"}],
    )
    wait_until(lambda: rollouts.is_in_force("shadow"), "its clock to run")
    rollouts.apply(
        "shadow",
        mode="observe",
        indicators=[{"name": "heat", "query": "vector(50)"}],
        rollback=["heat > 10"],
        steps=[{"name": "few", "percent": 10, "hold": "1h"}],
    )
    status = rollouts.wait_for("shadow", phase="RolledBack")
    assert [entry["action"] for entry in status["history"]] == ["Start", "RollBack", "RolledBack"]
    assert status["history"][1]["message"].startswith("would take users back: ")
    [told] = [line for line in operator.record() if line["type"] == "dev.pilotage.observed.rollback.v1"]
    assert told["data"]["evidence"] == ["heat > 10: breach 50"]
    assert operator.metric("pilotage_kill_seconds_count") == kills
    assert not flags_of(rollouts)


def test_with_enforce_it_lets_in_the_first_step_and_there_is_no_way_back(rollouts: Rollouts) -> None:
    steps = [{"name": "few", "percent": 10, "hold": "1h"}, {"name": "all", "percent": 100}]
    rollouts.apply("shadow", mode="observe", steps=STEPS)
    rollouts.wait_for("shadow", phase="Completed")
    rollouts.apply("shadow", mode="enforce", steps=steps)
    wait_until(lambda: rollouts.status("shadow").get("mode") == "enforce", "it to start")
    wait_until(lambda: rollouts.is_in_force("shadow"), "the first step to be in force")
    assert rollouts.actions("shadow")[-2:] == ["Restart", "Start"]
    assert rollouts.flag("shadow")["metadata"]["pilotage.exposure"] == "percent"
    with pytest.raises(KubectlError, match="mode can't go back to observe once users may be in"):
        rollouts.apply("shadow", mode="observe", steps=steps)


def test_a_criterion_on_trial_is_shown_and_told_and_decides_nothing(rollouts: Rollouts) -> None:
    rollouts.apply(
        "trial",
        indicators=[{"name": "heat", "query": "vector(50)"}],
        observe=[{"role": "rollback", "criterion": "heat > 10"}, {"role": "go", "criterion": "heat < 10"}],
        steps=[{"name": "few", "percent": 10, "hold": "3s"}, {"name": "all", "percent": 100}],
    )
    status = rollouts.wait_for("trial", phase="Completed")
    assert rollouts.actions("trial") == ["Start", "Observe", "Advance", "Complete"]
    assert status["history"][1]["message"].startswith("spec.observe[0].criterion would take users back: heat > 10")
    assert {(found["role"], found["verdict"], found["mode"]) for found in status["criteria"]} == {
        ("rollback", "breach", "observe"),
        ("go", "breach", "observe"),
    }


@pytest.mark.parametrize(
    ("observe", "message"),
    [
        ([{"role": "rollback", "criterion": "cold > 10"}], "observe[0]: the indicator of `cold > 10` is not defined"),
        ([{"role": "rollback", "criterion": "heat"}], "write a criterion as INDICATOR OP VALUE"),
        ([{"role": "warning", "criterion": "heat > 10"}], 'supported values: "go", "noGo", "rollback", "throttle"'),
        ([{"role": "go"}], 'missing required field "criterion"'),
    ],
)
def test_a_criterion_on_trial_that_makes_no_sense_is_refused(
    rollouts: Rollouts, observe: list[dict[str, str]], message: str
) -> None:
    with pytest.raises(KubectlError) as refused:
        rollouts.apply("trial", indicators=[{"name": "heat", "query": "vector(1)"}], observe=observe, steps=STEPS)
    assert message in refused.value.stderr
