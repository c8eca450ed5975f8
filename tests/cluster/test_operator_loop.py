"""The whole loop: real API server, real Prometheus, real flag service, the chart's rights, and one operator."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from testbed import Cluster, Process, ProcessGroup, PrometheusServer, wait_until
from testbed.install import Installed
from tests.cluster.replicas import Replica, start_leader
from tests.cluster.rollouts import INDICATOR, Rollouts
from tests.cluster.traffic import Traffic, serve_traffic


@pytest.fixture(scope="module")
def traffic(prometheus: PrometheusServer) -> Iterator[Traffic]:
    with serve_traffic() as traffic:
        prometheus.set_targets("loop", [traffic.address])
        prometheus.wait_for_target("loop")
        yield traffic
        prometheus.remove_targets("loop")


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessGroup]:
    with ProcessGroup(prefix="pilotage-loop-") as group:
        yield group


@pytest.fixture
def flag_service(processes: ProcessGroup, operator: Replica) -> Process:  # noqa: ARG001 - it starts it
    return processes.processes["flags"]


@pytest.fixture(scope="module")
def operator(processes: ProcessGroup, installed: Installed, prometheus: PrometheusServer) -> Replica:
    """Give an operator that leads, with a flag service that it asks; both have the chart's rights only."""
    return start_leader(processes, installed, prometheus=prometheus.url)


@pytest.fixture
def rollouts(cluster: Cluster, enrolled: str, operator: Replica) -> Iterator[Rollouts]:
    yield Rollouts(cluster, enrolled)
    cluster.kubectl("delete", "pilots", "--all", "-n", enrolled, "--timeout=30s")
    assert operator.metric("pilotage_reconcile_failures_total", kind="bug") == 0


def test_a_healthy_rollout_goes_step_by_step_to_everybody(rollouts: Rollouts, traffic: Traffic) -> None:
    traffic.fail(0.0)
    rollouts.apply(
        "healthy",
        indicators=[INDICATOR],
        rollback=["error_ratio > 10% for 3s"],
        go=["error_ratio < 1%"],
        steps=[
            {"name": "few", "percent": 10, "hold": "2s"},
            {"name": "many", "percent": 50, "hold": "2s"},
            {"name": "all", "percent": 100, "hold": "1s"},
        ],
    )
    rollouts.cluster.kubectl(
        *("wait", "pilot/healthy", "-n", rollouts.namespace, "--for=condition=Completed", "--timeout=60s")
    )
    actions = [action for action in rollouts.actions("healthy") if action not in ("Hold", "Resume")]
    assert actions == ["Start", "Advance", "Advance", "Complete"]
    status = rollouts.status("healthy")
    assert status["delivery"]["verifiedRevision"] == status["delivery"]["revision"] == 3
    assert rollouts.flag("healthy")["metadata"]["pilotage.exposure"] == "full"
    assert len(rollouts.events("healthy")) == len(status["history"])
    assert {kind for kind, _ in rollouts.events("healthy")} == {"Normal"}


def test_a_step_that_breaks_is_taken_back_within_seconds(
    rollouts: Rollouts, traffic: Traffic, operator: Replica
) -> None:
    traffic.fail(0.0)
    rollouts.apply(
        "broken",
        indicators=[INDICATOR],
        rollback=["error_ratio > 10% for 3s"],
        steps=[{"name": "few", "percent": 10, "hold": "2s"}, {"name": "many", "percent": 50, "hold": "1h"}],
    )
    wait_until(lambda: rollouts.status("broken")["step"].get("verifiedTime"), "the first step to be in force")
    wait_until(lambda: rollouts.status("broken")["step"]["name"] == "many", "the second step", seconds=40)
    kills = operator.metric("pilotage_kill_seconds_count")
    traffic.fail(0.5)
    failed_at = time.monotonic()
    status = rollouts.wait_for("broken", phase="RolledBack", seconds=30)
    print(f"from the first error to verified off: {time.monotonic() - failed_at:.1f} s")
    assert rollouts.flag("broken")["metadata"]["pilotage.exposure"] == "off"
    assert rollouts.actions("broken")[-2:] == ["RollBack", "RolledBack"]
    assert status["rollback"]["fromStep"] == "many"
    assert operator.metric("pilotage_kill_seconds_count") == kills + 1
    seconds = operator.metric("pilotage_kill_seconds_sum") / operator.metric("pilotage_kill_seconds_count")
    print(f"from the decision to verified off: {seconds:.3f} s on average")
    assert seconds < 2.0
    assert ("Warning", "Breach") in rollouts.events("broken")
    traffic.fail(0.0)


def test_every_write_of_status_says_something_new(rollouts: Rollouts, operator: Replica) -> None:
    before = operator.requests()
    rollouts.apply("quiet", steps=[{"name": "few", "percent": 10, "hold": "3s"}, {"name": "all", "percent": 100}])
    rollouts.wait_for("quiet", phase="Completed")
    spent = operator.requests() - before
    # Start, verified, Advance, verified and Complete; the finalizer; two flags.
    assert spent["PATCH"] <= 9, spent
    entries = len(rollouts.status("quiet")["history"])
    assert len(rollouts.events("quiet")) == entries == 3


def test_at_rest_no_call_goes_to_the_api_server(rollouts: Rollouts, operator: Replica) -> None:
    names = [f"rest-{number}" for number in range(50)]
    began_at = time.monotonic()
    rollouts.apply(*names, steps=[{"name": "all", "percent": 100}])
    wait_until(lambda: rollouts.phases() == ["Completed"] * 50, "all to be completed", seconds=60)
    print(f"50 rollouts completed in {time.monotonic() - began_at:.1f} s")
    time.sleep(1.5)
    before = operator.requests()
    time.sleep(5)
    spent = operator.requests() - before
    assert spent.keys() == {"PUT"}, f"besides the Lease: {spent}"
    assert spent["PUT"] <= 7


def test_a_restart_in_the_middle_of_a_step_changes_nothing(rollouts: Rollouts, operator: Replica) -> None:
    rollouts.apply("steady", steps=[{"name": "few", "percent": 10, "hold": "1h"}])
    wait_until(lambda: rollouts.status("steady")["step"].get("verifiedTime"), "the step to be in force")
    wait_until(lambda: rollouts.events("steady"), "the Event")
    before, events, flag = rollouts.get("steady"), rollouts.events("steady"), rollouts.flag("steady")
    operator.process.kill()
    operator.process.start()
    wait_until(lambda: operator.is_ready() and operator.leads(), "the operator to lead again", seconds=30)
    time.sleep(3)
    after = rollouts.get("steady")
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    assert after["status"] == before["status"]
    assert rollouts.events("steady") == events
    assert rollouts.flag("steady") == flag


def test_a_spec_that_means_nothing_is_stalled_within_a_second_and_disturbs_nobody(rollouts: Rollouts) -> None:
    began_at = time.monotonic()
    rollouts.apply(
        "confused",
        indicators=[{"name": "p95", "query": "vector(1)", "unit": "seconds"}],
        rollback=["p95 > 3%"],
        steps=[{"name": "all", "percent": 100}],
    )
    applied_in = time.monotonic() - began_at
    rollouts.cluster.kubectl(
        *("wait", "pilot/confused", "-n", rollouts.namespace, "--for=condition=Stalled", "--timeout=10s")
    )
    print(f"applied in {applied_in:.2f} s, seen Stalled {time.monotonic() - began_at - applied_in:.2f} s later")
    found = rollouts.get("confused")
    [stalled] = [each for each in found["status"]["conditions"] if each["type"] == "Stalled"]
    assert "spec.rollback[0]" in stalled["message"]
    # The creation's time is cut to whole seconds.
    created_at = datetime.fromisoformat(found["metadata"]["creationTimestamp"])
    assert datetime.fromisoformat(stalled["lastTransitionTime"]) - created_at < timedelta(seconds=2)
    rollouts.apply("clear", steps=[{"name": "all", "percent": 100}])
    rollouts.wait_for("clear", phase="Completed", seconds=10)


def test_deletion_leaves_the_stated_final_state_before_the_finalizer_goes(rollouts: Rollouts) -> None:
    rollouts.apply("leaving", steps=[{"name": "few", "percent": 10, "hold": "1h"}])
    rollouts.apply("staying", steps=[{"name": "few", "percent": 10, "hold": "1h"}], onDelete={"exposure": "keep"})
    for name in ("leaving", "staying"):
        wait_until(lambda name=name: rollouts.status(name)["step"].get("verifiedTime"), "the step to be in force")  # type: ignore[misc]
        assert rollouts.get(name)["metadata"]["finalizers"] == ["pilotage.dev/exposure"]
        rollouts.delete(name, "--timeout=20s")
    assert rollouts.flag("leaving")["metadata"]["pilotage.exposure"] == "off"
    assert rollouts.flag("staying")["metadata"]["pilotage.exposure"] == "percent"


def test_where_nothing_was_ever_delivered_deletion_waits_for_nothing(
    cluster: Cluster, namespace: str, operator: Replica
) -> None:
    assert operator.leads()
    stranger = Rollouts(cluster, namespace)
    stranger.apply("uninvited", steps=[{"name": "few", "percent": 10, "hold": "1h"}])
    wait_until(
        lambda: "enrol the namespace" in stranger.status("uninvited").get("delivery", {}).get("message", ""),
        "status to say what is missing",
    )
    stranger.delete("uninvited", "--timeout=20s")


def test_without_the_flag_service_no_clock_starts_and_with_it_all_goes_on(
    rollouts: Rollouts, operator: Replica, flag_service: Process
) -> None:
    flag_service.stop()
    rollouts.apply(
        *(f"blind-{number}" for number in range(5)),
        steps=[{"name": "few", "percent": 10}, {"name": "all", "percent": 100}],
    )
    wait_until(lambda: rollouts.phases() == ["Progressing"] * 5, "all to be decided")
    time.sleep(4)
    status = rollouts.status("blind-0")
    assert status["delivery"]["message"]
    assert "verifiedTime" not in status["step"]
    flag_service.start()
    wait_until(lambda: rollouts.phases() == ["Completed"] * 5, "all to be completed", seconds=60)
    assert operator.metric("pilotage_reconcile_failures_total", kind="bug") == 0


def test_drift_is_mended(rollouts: Rollouts) -> None:
    rollouts.apply("drifting", steps=[{"name": "few", "percent": 10, "hold": "1h"}])
    wait_until(lambda: rollouts.status("drifting")["step"].get("verifiedTime"), "the step to be in force")
    right = rollouts.flag("drifting")
    rollouts.cluster.kubectl("delete", "configmap", "pilot-flags", "-n", rollouts.namespace)
    wait_until(lambda: rollouts.flag("drifting") == right, "the flag to be back", seconds=15)


def test_what_somebody_else_wrote_holds_the_rollout_until_it_is_taken_out(rollouts: Rollouts) -> None:
    rollouts.apply("edited", steps=[{"name": "few", "percent": 10, "hold": "1h"}])
    wait_until(lambda: rollouts.is_in_force("edited"), "the step to be in force")
    began = rollouts.status("edited")["step"]["verifiedTime"]
    theirs = json.dumps({"state": "ENABLED", "variants": {"on": True}, "defaultVariant": "on"})
    rollouts.kubectl("patch", "configmap", "pilot-flags", "-p", json.dumps({"data": {"edited.json": theirs}}))
    status = rollouts.wait_for("edited", phase="Holding", seconds=30)
    assert "the flag edited is also written by kubectl-patch" in status["message"]
    assert rollouts.flag("edited")["defaultVariant"] == "on", "nothing is taken from others by force"
    rollouts.kubectl(*("wait", "pilot/edited", "--for=condition=Delivered=False", "--timeout=20s"))
    wait_until(lambda: ("Warning", "NotInForce") in rollouts.events("edited"), "the Event")
    rollouts.kubectl(
        *("patch", "configmap", "pilot-flags", "--type=json", "-p"), '[{"op": "remove", "path": "/data/edited.json"}]'
    )
    status = rollouts.wait_for("edited", phase="Progressing", seconds=40)
    assert rollouts.actions("edited") == ["Start", "NotInForce", "InForce"]
    stood_still = datetime.fromisoformat(status["step"]["verifiedTime"]) - datetime.fromisoformat(began)
    assert timedelta(seconds=5) <= stood_still < timedelta(minutes=1)
    rollouts.kubectl(*("wait", "pilot/edited", "--for=condition=Delivered", "--timeout=20s"))


def in_seconds(seconds: float) -> str:
    """A local time in UTC, as the calendar takes it."""
    return f"{datetime.now(UTC) + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}"


def test_a_freeze_holds_what_grows_and_nothing_else_and_ends_on_time(rollouts: Rollouts, traffic: Traffic) -> None:
    traffic.fail(0.0)
    frozen = {"freezes": [{"name": "sale", "from": in_seconds(-60), "until": in_seconds(3600)}]}
    few, rest = {"name": "few", "percent": 10, "hold": "1h"}, {"name": "all", "percent": 100}
    rollouts.apply(
        "frozen",
        indicators=[INDICATOR],
        rollback=["error_ratio > 10% for 3s"],
        steps=[few, rest],
    )
    wait_until(lambda: rollouts.is_in_force("frozen"), "the first step to be in force")
    edit = {"spec": {"schedule": frozen, "steps": [{**few, "hold": "3s"}, rest]}}
    rollouts.kubectl("patch", "pilot", "frozen", "--type=merge", "-p", json.dumps(edit))
    status = rollouts.wait_for("frozen", phase="Holding", seconds=30)
    assert status["message"].startswith("frozen by sale: users are let in from ")
    _, line = rollouts.kubectl("get", "pilot", "frozen").splitlines()
    assert "end of freeze sale" in line
    assert status["nextCheckTime"][:19] in line
    traffic.fail(0.5)
    rollouts.wait_for("frozen", phase="RolledBack", seconds=30)
    assert rollouts.flag("frozen")["metadata"]["pilotage.exposure"] == "off"
    traffic.fail(0.0)
    assert [reason for _, reason in rollouts.events("frozen")].count("Frozen") == 1


def test_a_window_opens_on_time(rollouts: Rollouts) -> None:
    opens = in_seconds(12)
    window = {"name": "soon", "from": opens, "until": in_seconds(3600)}
    rollouts.apply("shut", schedule={"windows": [window]}, steps=[{"name": "all", "percent": 100}])
    status = rollouts.wait_for("shut", phase="Pending", seconds=10)
    assert (status["summary"]["waitsFor"], status["nextCheckTime"][:19]) == ("window", opens)
    status = rollouts.wait_for("shut", phase="Completed", seconds=30)
    started_at = datetime.fromisoformat(next(e["time"] for e in status["history"] if e["action"] == "Start"))
    late = started_at - datetime.fromisoformat(f"{opens}Z")
    print(f"the first step began {late.total_seconds():.2f} s after the window opened")
    assert timedelta(0) <= late < timedelta(seconds=2)
    assert [reason for _, reason in rollouts.events("shut")] == ["OutsideWindow", "StepEntered", "Completed"]


def test_what_broke_goes_back_to_a_step_and_is_tried_again_by_itself(rollouts: Rollouts, traffic: Traffic) -> None:
    traffic.fail(0.0)
    rollouts.apply(
        "tried-again",
        indicators=[INDICATOR],
        rollback=["error_ratio > 10% for 3s"],
        steps=[
            {"name": "few", "percent": 10, "hold": "1s"},
            {"name": "some", "percent": 20, "hold": "1s"},
            {"name": "many", "percent": 50, "hold": "20s"},
            {"name": "all", "percent": 100},
        ],
        onRollback={"to": "few", "retry": {"after": "8s"}},
    )
    wait_until(lambda: rollouts.status("tried-again")["step"]["name"] == "few", "the first step")
    few = rollouts.flag("tried-again")["targeting"]
    wait_until(lambda: rollouts.status("tried-again")["step"]["name"] == "many", "the third step", seconds=40)
    traffic.fail(0.5)
    wait_until(lambda: "RollBack" in rollouts.actions("tried-again"), "a rollback")
    traffic.fail(0.0)
    status = rollouts.wait_for("tried-again", phase="RolledBack", seconds=10)
    assert (status["step"]["name"], rollouts.flag("tried-again")["targeting"]) == ("few", few)
    sequence = status["rollback"]["sequence"]
    wait_until(lambda: "Retry" in rollouts.actions("tried-again"), "the next try", seconds=40)
    assert rollouts.status("tried-again")["rollback"]["sequence"] == sequence, "the reason stays"
    acknowledged = json.dumps({"spec": {"acknowledgedRollback": sequence}})
    rollouts.kubectl("patch", "pilot", "tried-again", "--type=merge", "-p", acknowledged)
    status = rollouts.wait_for("tried-again", phase="Completed", seconds=60)
    assert "rollback" not in status
    actions = [action for action in rollouts.actions("tried-again") if action not in ("Hold", "Resume", "Acknowledge")]
    assert actions == [
        *("Start", "Advance", "Advance", "RollBack", "RolledBack"),
        *("Retry", "Advance", "Advance", "Advance", "Complete"),
    ]
    assert rollouts.actions("tried-again").count("Acknowledge") == 1
