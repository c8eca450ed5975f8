"""The record's file on a real cluster: each decision once and in order, wherever the operator is killed."""

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed import Cluster, ProcessGroup, PrometheusServer, wait_until
from testbed.install import Installed
from tests.cluster.api_proxy import ApiProxy, Fault, no_fault
from tests.cluster.flag_world import Background
from tests.cluster.replicas import Replica, start_flag_service, start_operator
from tests.cluster.rollouts import Rollouts

THREE_STEPS = [{"name": f"step-{n}", "percent": 20 * n, "hold": "1s"} for n in range(1, 4)]


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessGroup]:
    with ProcessGroup(prefix="pilotage-record-") as group:
        yield group


@pytest.fixture(scope="module")
def between(installed: Installed, background: Background) -> Iterator[ApiProxy]:
    """Give what is between the operators and the API server."""
    proxy = ApiProxy(installed.operator_kubeconfig)
    background.run(proxy.start())
    yield proxy
    background.run(proxy.stop())


@pytest.fixture(scope="module")
def path(processes: ProcessGroup) -> Path:
    return processes.directory / "decisions.jsonl"


@pytest.fixture(scope="module")
def replicas(
    processes: ProcessGroup, installed: Installed, between: ApiProxy, prometheus: PrometheusServer, path: Path
) -> tuple[Replica, Replica]:
    """Give two replicas that share the file, as on a volume that several pods mount."""
    token = processes.directory / "token"
    token.write_text(installed.flag_service_token())
    said = (
        f"--flag-service={start_flag_service(processes, installed)}",
        f"--flag-service-token-file={token}",
        f"--lease-namespace={installed.namespace}",
        f"--record={path}",
    )
    kubeconfig = between.write_kubeconfig(processes.directory / "kubeconfig")
    first, second = (
        start_operator(processes, name, kubeconfig=kubeconfig, prometheus=prometheus.url, arguments=said)
        for name in ("first", "second")
    )
    wait_until(lambda: first.is_ready() and second.is_ready(), "both replicas to be ready")
    return first, second


@pytest.fixture
def rollouts(
    cluster: Cluster, enrolled: str, replicas: tuple[Replica, Replica], between: ApiProxy
) -> Iterator[Rollouts]:
    yield Rollouts(cluster, enrolled)
    between.fault = no_fault
    for each in replicas:
        each.process.start()
    leader(replicas)
    cluster.kubectl("delete", "pilots", "--all", "-n", enrolled, "--timeout=60s")


def leads(replica: Replica) -> bool:
    try:
        return replica.process.running and replica.leads()
    except OSError:  # it does not listen yet
        return False


def leader(replicas: tuple[Replica, Replica]) -> Replica:
    return wait_until(lambda: [each for each in replicas if leads(each)], "a leader", seconds=30)[0]


def lines(path: Path, name: str) -> list[dict[str, Any]]:
    """What the record says of a rollout, line by line as it was written."""
    text = path.read_text() if path.exists() else ""
    assert text.endswith("\n") or not text
    found = [json.loads(line) for line in text.splitlines()]
    return [line for line in found if line["subject"].endswith(f"/{name}")]


def expect_all_once(path: Path, rollouts: Rollouts, name: str) -> None:
    """The record has what status has, from the first decision on, each once and in order."""
    history = rollouts.status(name)["history"]
    wait_until(lambda: len(lines(path, name)) >= len(history), f"{len(history)} lines", seconds=20)
    time.sleep(0.5)
    told = lines(path, name)
    assert [line["data"]["sequence"] for line in told] == list(range(1, len(history) + 1))
    assert [{key: line["data"][key] for key in history[0]} for line in told] == history
    uid = rollouts.get(name)["metadata"]["uid"]
    assert [line["id"] for line in told] == [f"{uid}.{entry['sequence']}" for entry in history]


def kill(replica: Replica) -> None:
    replica.process.kill()
    replica.process.start()


@pytest.mark.timeout(300)
def test_an_operator_that_dies_between_writing_and_recording_leaves_no_decision_out(
    rollouts: Rollouts, replicas: tuple[Replica, Replica], between: ApiProxy, path: Path
) -> None:
    """Each decision is in status, and whoever wrote it is dead before he knows of it; five times."""
    armed: list[int] = []

    def lose_an_answer(method: str, request: str) -> Fault | None:
        decides = method == "PATCH" and request.endswith("/victim/status")
        return "answer lost" if decides and armed else None

    between.fault = lose_an_answer
    between.before_cut = lambda: os.kill(armed.pop(), signal.SIGKILL)
    for paused in (False, True, False, True, False):
        at_work = leader(replicas)
        armed.append(at_work.process.pid)
        rollouts.apply("victim", steps=[{"name": "first", "percent": 10, "hold": "1h"}], paused=paused)
        wait_until(lambda at_work=at_work: not at_work.process.running, "it to die")  # type: ignore[misc]
        at_work.process.start()
    rollouts.apply("victim", steps=[{"name": "first", "percent": 10}])
    rollouts.wait_for("victim", phase="Completed", seconds=60)
    expect_all_once(path, rollouts, "victim")
    told = [action for action in rollouts.actions("victim") if action not in ("NotInForce", "InForce")]
    assert told[0] == "Start"
    assert told.count("Pause") == 2
    assert told[-1] == "Complete"


@pytest.mark.timeout(300)
def test_leaders_that_are_killed_at_any_moment_record_each_decision_once(
    rollouts: Rollouts, replicas: tuple[Replica, Replica], path: Path
) -> None:
    chance = random.Random(11)
    names = [f"chased-{number}" for number in range(6)]
    rollouts.apply(*names, steps=THREE_STEPS)
    for _ in range(6):
        at_work = leader(replicas)
        time.sleep(chance.uniform(0.0, 1.2))
        kill(at_work)
    for name in names:
        rollouts.wait_for(name, phase="Completed", seconds=60)
    for name in names:
        expect_all_once(path, rollouts, name)


@pytest.mark.timeout(300)
def test_a_leader_that_was_frozen_writes_nothing_twice_when_it_wakes_up(
    rollouts: Rollouts, replicas: tuple[Replica, Replica], path: Path
) -> None:
    rollouts.apply("steady", steps=[{"name": "first", "percent": 10, "hold": "4s"}, *THREE_STEPS[1:]])
    wait_until(lambda: lines(path, "steady"), "the first line", seconds=20)
    frozen = leader(replicas)
    frozen.process.pause()
    try:
        other = next(each for each in replicas if each is not frozen)
        wait_until(lambda: leads(other), "the other to lead", seconds=30)
        rollouts.wait_for("steady", phase="Completed", seconds=40)
        wait_until(lambda: other.metric("pilotage_record_failing") == 1, "the other to say that it can't write")
    finally:
        frozen.process.resume()
    expect_all_once(path, rollouts, "steady")
    wait_until(lambda: other.metric("pilotage_record_failing") == 0, "the other to write")


def test_a_file_that_can_not_be_written_stops_no_rollback(
    rollouts: Rollouts, replicas: tuple[Replica, Replica], path: Path
) -> None:
    def judged(value: int) -> None:
        rollouts.apply(
            "broken",
            indicators=[{"name": "heat", "query": f"vector({value})"}],
            rollback=["heat > 10"],
            steps=[{"name": "half", "percent": 50, "hold": "1h"}],
        )

    judged(5)
    wait_until(lambda: rollouts.is_in_force("broken"), "the step to be in force")
    at_work = leader(replicas)
    kept = path.with_name("kept")
    path.rename(kept)
    path.mkdir()
    try:
        judged(50)
        began_at = time.monotonic()
        rollouts.wait_for("broken", phase="RolledBack")
        print(f"rolled back in {time.monotonic() - began_at:.1f} s without a record")
        wait_until(lambda: at_work.metric("pilotage_record_failing") == 1, "it to be told")
        assert at_work.metric("pilotage_record_waiting") >= 1
        assert at_work.is_ready()
        assert [line for line in at_work.lines() if "the record can't be written" in line["message"]]
    finally:
        path.rmdir()
        kept.rename(path)
    wait_until(lambda: at_work.metric("pilotage_record_failing") == 0, "the record to be written", seconds=40)
    expect_all_once(path, rollouts, "broken")


def test_what_is_on_standard_output_is_what_is_in_the_file(
    rollouts: Rollouts, replicas: tuple[Replica, Replica], path: Path
) -> None:
    rollouts.apply("said", steps=[{"name": "all", "percent": 100}])
    rollouts.wait_for("said", phase="Completed")
    expect_all_once(path, rollouts, "said")
    told = [line for line in leader(replicas).record() if line["subject"].endswith("/said")]
    assert told == lines(path, "said")


def test_a_rollout_that_is_deleted_is_in_the_record_to_its_end(rollouts: Rollouts, path: Path) -> None:
    rollouts.apply("leaving", steps=[{"name": "few", "percent": 10, "hold": "1h"}])
    wait_until(lambda: rollouts.is_in_force("leaving"), "the step to be in force")
    rollouts.delete("leaving", "--timeout=20s")
    assert [line["data"]["action"] for line in lines(path, "leaving")] == ["Start", "Release"]
