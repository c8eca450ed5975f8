"""The dead-man lease, whole: operator, flag service or Prometheus die, and an application's users fall back alone."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import pytest

from testbed import Cluster, ProcessGroup, PrometheusServer, wait_until
from testbed.install import Installed
from tests.cluster.flag_world import Application, application, with_token
from tests.cluster.replicas import Replica, start_leader
from tests.cluster.rollouts import Rollouts

USERS = [f"user-{number:04}" for number in range(300)]
SAID: dict[str, Any] = {
    "delivery": {"leaseSeconds": 6},
    "indicators": [{"name": "heat", "query": "vector(5)"}],
    "rollback": ["heat > 10"],
    "steps": [{"name": "few", "percent": 20, "hold": "1s"}, {"name": "many", "percent": 60, "hold": "1h"}],
}


class Wire:
    """A way to Prometheus that can be cut: connections are then closed at once."""

    def __init__(self, url: str) -> None:
        to = urlsplit(url)
        self._to = (to.hostname or "127.0.0.1", to.port or 80)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.is_cut = False
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True, name="wire").start()

    def cut(self) -> None:
        self.is_cut = True
        for end in list(self._open):
            _hang_up(end)

    def mend(self) -> None:
        self.is_cut = False

    def close(self) -> None:
        self.cut()
        _hang_up(self._socket)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._socket.accept()
            except OSError:
                return
            if self.is_cut:
                _hang_up(near)
                continue
            far = socket.create_connection(self._to)
            self._open |= {near, far}
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(source, sink), daemon=True, name="wire").start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65_536):
                sink.sendall(data)
        except OSError:
            pass
        self._open -= {source, sink}
        _hang_up(source)
        _hang_up(sink)


def _hang_up(end: socket.socket) -> None:
    with suppress(OSError):  # the other side was quicker
        end.shutdown(socket.SHUT_RDWR)
    end.close()


@pytest.fixture(scope="module")
def wire(prometheus: PrometheusServer) -> Iterator[Wire]:
    made = Wire(prometheus.url)
    yield made
    made.close()


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessGroup]:
    with ProcessGroup(prefix="pilotage-lease-") as group:
        yield group


@pytest.fixture(scope="module")
def operator(processes: ProcessGroup, installed: Installed, wire: Wire) -> Replica:
    return start_leader(processes, installed, prometheus=wire.url)


@pytest.fixture
def rollouts(cluster: Cluster, enrolled: str, operator: Replica) -> Iterator[Rollouts]:
    yield Rollouts(cluster, enrolled)
    cluster.kubectl("delete", "pilots", "--all", "-n", enrolled, "--timeout=60s")
    assert operator.metric("pilotage_reconcile_failures_total", kind="bug") == 0


@pytest.fixture
def app(processes: ProcessGroup, rollouts: Rollouts) -> Iterator[Application]:
    """Give an application in the namespace, after the rollout's second step has come to it."""
    rollouts.apply("leased", **SAID)
    wait_until(lambda: _is_in(rollouts, "many"), "the second step to be in force", seconds=60)
    rollouts.kubectl("create", "serviceaccount", "app")
    token = rollouts.kubectl("create", "token", "app", "--audience=pilotage-flags").strip()
    port = int(_argument(processes, "--port="))
    with application(port, "", selector="", channel_credentials=with_token(token)) as opened:
        wait_until(lambda: len(admitted(opened)) > 120, "the users of the second step", seconds=30)
        yield opened


def _argument(processes: ProcessGroup, start: str) -> str:
    command = processes.processes["flags"].argv
    return next(each for each in command if each.startswith(start)).removeprefix(start)


def _is_in(rollouts: Rollouts, step: str) -> bool:
    found = rollouts.status("leased").get("step", {})
    return bool(found.get("name") == step and "verifiedTime" in found)


def admitted(app: Application) -> set[str]:
    return app.admitted(USERS, "leased")


def version(rollouts: Rollouts) -> str:
    return str(
        json.loads(rollouts.kubectl("get", "configmap", "pilot-flags", "-o", "json"))["metadata"]["resourceVersion"]
    )


def expect_back(app: Application, rollouts: Rollouts, many: set[str]) -> None:
    wait_until(lambda: admitted(app) == many, "the users to be back", seconds=60)
    wait_until(lambda: rollouts.actions("leased")[-1] == "InForce", "that to be said", seconds=30)
    assert rollouts.actions("leased") == ["Start", "Advance", "NotInForce", "InForce"]
    assert _is_in(rollouts, "many")
    assert "its clock stood still for" in rollouts.status("leased")["history"][-1]["message"]
    assert rollouts.status("leased")["delivery"]["revision"] == 2, "the same decision, with another lease"


def test_users_fall_back_while_operator_and_flag_service_are_frozen_and_come_back_with_them(
    app: Application, rollouts: Rollouts, processes: ProcessGroup
) -> None:
    many = admitted(app)
    dead = [processes.processes[name] for name in ("operator", "flags")]
    for process in dead:
        process.pause()
    try:
        written = version(rollouts)
        wait_until(lambda: admitted(app) < many, "the users to fall back", seconds=30)
        few = admitted(app)
        assert 30 < len(few) < 90, "those of the step before"
        assert version(rollouts) == written, "nobody has written anything"
        assert rollouts.status("leased")["step"]["name"] == "many", "nor decided"
    finally:
        for process in dead:
            process.resume()
    expect_back(app, rollouts, many)


def test_users_fall_back_when_the_operator_is_killed_and_come_back_with_the_next(
    app: Application, rollouts: Rollouts, operator: Replica
) -> None:
    many = admitted(app)
    began = rollouts.status("leased")["step"]["verifiedTime"]
    operator.process.kill()
    wait_until(lambda: admitted(app) < many, "the users to fall back", seconds=30)
    assert 30 < len(admitted(app)) < 90
    operator.process.start()
    expect_back(app, rollouts, many)
    assert rollouts.status("leased")["step"]["verifiedTime"] > began, "the step's time stood still"


def test_users_fall_back_when_prometheus_is_gone_and_come_back_with_it(
    app: Application, rollouts: Rollouts, wire: Wire
) -> None:
    many = admitted(app)
    wire.cut()
    wait_until(lambda: admitted(app) < many, "the users to fall back", seconds=40)
    assert 30 < len(admitted(app)) < 90
    wait_until(lambda: condition(rollouts)[:2] == ("False", "Lapsed"), "the condition", seconds=20)
    assert condition(rollouts)[2] == "users of step many fall back to few: spec.rollback[0]: heat > 10 can't be asked"
    wire.mend()
    expect_back(app, rollouts, many)
    wait_until(lambda: condition(rollouts)[:2] == ("True", "Renewed"), "the condition", seconds=20)


def condition(rollouts: Rollouts) -> tuple[str, str, str]:
    found = {each["type"]: each for each in rollouts.status("leased")["conditions"]}["LeaseHeld"]
    return found["status"], found["reason"], found["message"]
