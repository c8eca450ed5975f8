"""What breaks around the operator: Prometheus and its data, the flag service, the clock, and what people do."""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

from testbed import Process, wait_until
from tests.faults.exporter import Spoilt
from tests.faults.scenario import Break
from tests.faults.stage import Stage

_HOUR = 3600
_EVERYBODY = {
    "state": "ENABLED",
    "variants": {"on": True, "off": False},
    "defaultVariant": "on",
    "targeting": {"if": [True, "on", "on"]},
}


@contextmanager
def prometheus_down(stage: Stage, _namespace: str) -> Iterator[None]:
    """Killed, and started again when the block ends."""
    stage.prometheus.process.kill()
    try:
        yield
    finally:
        stage.prometheus.process.start()
        stage.prometheus.wait_for_target("faults")


@contextmanager
def prometheus_hanging(stage: Stage, _namespace: str) -> Iterator[None]:
    """Stopped (SIGSTOP): it takes requests and answers none."""
    stage.prometheus.process.pause()
    try:
        yield
    finally:
        stage.prometheus.process.resume()


def prometheus_slow(delay_seconds: float) -> Break:
    """Its answers come so much later."""

    @contextmanager
    def slow(stage: Stage, _namespace: str) -> Iterator[None]:
        stage.relay.delay_seconds = delay_seconds
        try:
            yield
        finally:
            stage.relay.delay_seconds = 0.0

    return slow


@contextmanager
def prometheus_warning(stage: Stage, namespace: str) -> Iterator[None]:
    """A part of the data is said to be in a store that is away: Prometheus gives its own part, and warns."""
    path = stage.prometheus.directory / "prometheus.yml"
    written = path.read_text()
    away = {"url": "http://127.0.0.1:9/read", "read_recent": True, "required_matchers": {"world": namespace}}
    path.write_text(json.dumps({**json.loads(written), "remote_read": [away]}))
    os.kill(stage.prometheus.process.pid, signal.SIGHUP)
    try:
        yield
    finally:
        path.write_text(written)
        os.kill(stage.prometheus.process.pid, signal.SIGHUP)


def data_spoilt(how: Spoilt) -> Break:
    """What is exported of the namespace's rollouts is spoilt."""

    @contextmanager
    def spoilt(stage: Stage, namespace: str) -> Iterator[None]:
        stage.exporter.spoil(namespace, how)
        try:
            yield
        finally:
            stage.exporter.spoil(namespace, "")

    return spoilt


def flag_service_down(*numbers: int) -> Break:
    """These replicas of the flag service are killed."""

    @contextmanager
    def down(stage: Stage, namespace: str) -> Iterator[None]:
        killed: list[Process] = [stage.processes.processes[f"flags-{number}"] for number in numbers]
        for process in killed:
            process.kill()
        try:
            yield
        finally:
            for process in killed:
                process.start()
            wait_until(lambda: stage.served(namespace) != [], "the flag service to answer", seconds=60)

    return down


def clock_stepped(hours: int) -> Break:
    """The operator's wall clock is off by so much; a step back ends it."""

    @contextmanager
    def stepped(stage: Stage, _namespace: str) -> Iterator[None]:
        stage.clock.write_text(str(hours * _HOUR))
        try:
            yield
        finally:
            stage.clock.write_text("0")

    return stepped


@contextmanager
def flag_edited(stage: Stage, namespace: str) -> Iterator[None]:
    """Somebody lets everybody in by hand; later the edit is taken out."""
    theirs = {f"{name}.json": json.dumps(_EVERYBODY) for name in ("climb", "fall-0")}
    _patch(stage, namespace, "configmap", "pilot-flags", {"data": theirs})
    try:
        yield
    finally:
        _patch(stage, namespace, "configmap", "pilot-flags", {"data": {"climb.json": None}})


@contextmanager
def flag_deleted(stage: Stage, namespace: str) -> Iterator[None]:
    """Somebody removes the flags from their document."""
    _patch(stage, namespace, "configmap", "pilot-flags", {"data": {"climb.json": None, "fall-0.json": None}})
    yield


@contextmanager
def configmap_deleted(stage: Stage, namespace: str) -> Iterator[None]:
    """Somebody deletes the document with all flags."""
    stage.cluster.kubectl("delete", "configmap", "pilot-flags", "-n", namespace)
    yield


@contextmanager
def finalizer_removed(stage: Stage, namespace: str) -> Iterator[None]:
    """Somebody removes it from all rollouts; it must come back by itself."""
    names = stage.onlooker.names("pilotrollouts", namespace)
    for name in names:
        _patch(stage, namespace, "pilot", name, {"metadata": {"finalizers": []}})

    def back() -> bool:
        versions = [stage.onlooker.versions("pilotrollouts", namespace, name)[-1][1] for name in names]
        return all(each["metadata"].get("finalizers") for each in versions)

    wait_until(back, "the finalizers to be back", seconds=60)
    yield


def status_changed(status: dict[str, object] | None) -> Break:
    """Somebody who may (an administrator) writes this into all status; None: it is wiped."""

    @contextmanager
    def changed(stage: Stage, namespace: str) -> Iterator[None]:
        for name in stage.onlooker.names("pilotrollouts", namespace):
            _patch(stage, namespace, "pilot", name, {"status": status}, "--subresource=status")
        yield

    return changed


@contextmanager
def namespace_deleted(stage: Stage, namespace: str) -> Iterator[None]:
    """With all that is in it."""
    time.sleep(1)
    stage.cluster.kubectl("delete", "namespace", namespace, "--wait=false")
    yield


def _patch(stage: Stage, namespace: str, kind: str, name: str, patch: object, *arguments: str) -> None:
    said = ("--type=merge", "-p", json.dumps(patch), *arguments)
    stage.cluster.kubectl("patch", kind, name, "-n", namespace, *said)
