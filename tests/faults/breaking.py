"""What breaks the operator, the API server and its watches: each for as long as its block lasts."""

import itertools
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from testbed import wait_until
from tests.cluster.api_proxy import Fault, WatchFault, no_fault
from tests.faults.scenario import Break
from tests.faults.stage import Stage

RESTARTS = 20
FAULTS: tuple[Fault, ...] = (409, 429, 500, "lost", "answer lost")


def _writes(method: str, path: str) -> bool:
    return method in ("PATCH", "POST", "PUT") and "/leases" not in path


@contextmanager
def killed_after_each_action(stage: Stage, _namespace: str) -> Iterator[None]:
    """Each write of the operator is its last: it is killed once the API server has it, and does not learn of it."""
    process, over = stage.operator.process, threading.Event()

    def die() -> None:
        os.kill(process.pid, signal.SIGKILL)

    def supervise() -> None:
        while not over.is_set():
            if not process.running:
                stage.counts["kills"] += 1
                process.start()
            time.sleep(0.02)

    stage.proxy.before_cut = die
    stage.proxy.fault = lambda method, path: "answer lost" if _writes(method, path) else None
    thread = threading.Thread(target=supervise, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stage.proxy.fault = no_fault
        over.set()
        thread.join()
        process.start()
        stage.leader()


@contextmanager
def restarted_again_and_again(stage: Stage, _namespace: str) -> Iterator[None]:
    """Killed twenty times, each time soon after it leads again."""
    chance = random.Random(4)

    def restart() -> None:
        for _ in range(RESTARTS):
            stage.operator.process.kill()
            stage.operator.process.start()
            stage.counts["restarts"] += 1
            stage.leader()
            time.sleep(chance.uniform(0.0, 1.0))

    thread = threading.Thread(target=restart, daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join()


@contextmanager
def _second_replica(stage: Stage) -> Iterator[None]:
    replica = stage.start_replica("second", stage.installed.operator_kubeconfig)
    try:
        yield
    finally:
        wait_until(stage.leader, "a leader")
        stage.end_replica(replica)
        stage.leader()


@contextmanager
def leader_frozen(stage: Stage, _namespace: str) -> Iterator[None]:
    """The leader is stopped (SIGSTOP) until after the other has taken over."""
    with _second_replica(stage):
        stage.operator.process.pause()
        try:
            yield
        finally:
            stage.operator.process.resume()


@contextmanager
def lease_lost_before_the_effect(stage: Stage, _namespace: str) -> Iterator[None]:
    """The leader decides; its writes to flags are held up on the way, and so are its renewals of the Lease.

    The other takes over and goes on. What was held up comes to the API server when all is over.
    """
    held = threading.Event()

    def spoil(method: str, path: str) -> Fault | None:
        if method == "PATCH" and "/configmaps/" in path:
            held.set()
            return "late"
        return "lost" if held.is_set() and "/leases/" in path else None

    with _second_replica(stage):
        stage.proxy.fault = spoil
        try:
            yield
        finally:
            stage.proxy.fault = no_fault
            stage.counts["late writes"] += stage.background.run(stage.proxy.let_late_ones_pass())
            time.sleep(3)  # whatever they have done can be seen by now


@contextmanager
def apiserver_restarted(stage: Stage, _namespace: str) -> Iterator[None]:
    """Killed, and started again at once."""
    server = stage.cluster.components["kube-apiserver"]
    server.kill()
    server.start()
    yield


@contextmanager
def apiserver_killed(stage: Stage, _namespace: str) -> Iterator[None]:
    """Killed, and started again when the block ends."""
    server = stage.cluster.components["kube-apiserver"]
    server.kill()
    try:
        yield
    finally:
        server.start()
        wait_until(lambda: stage.cluster.kubectl("get", "--raw", "/readyz"), "the API server to be ready", seconds=60)


@contextmanager
def apiserver_refusing(stage: Stage, _namespace: str) -> Iterator[None]:
    """Every second write, by chance, is answered with 409, 429 or 500, or it is lost, or its answer is."""
    chance, faults = random.Random(9), itertools.cycle(FAULTS)

    def spoil(method: str, path: str) -> Fault | None:
        return next(faults) if _writes(method, path) and chance.random() < 0.5 else None

    stage.proxy.fault = spoil
    try:
        yield
    finally:
        stage.proxy.fault = no_fault


def apiserver_slow(delay_seconds: float) -> Break:
    """Each answer to the operator comes so much later."""

    @contextmanager
    def slow(stage: Stage, _namespace: str) -> Iterator[None]:
        stage.proxy.delay_seconds = delay_seconds
        try:
            yield
        finally:
            stage.proxy.delay_seconds = 0.0

    return slow


def watches(fault: WatchFault, *, every_seconds: float = 0.0) -> Break:
    """All watches of the operator have this fault; now and again for a moment if `every_seconds` is given."""

    @contextmanager
    def spoilt(stage: Stage, _namespace: str) -> Iterator[None]:
        over = threading.Event()

        def strike() -> None:
            while not over.is_set():
                stage.proxy.watch_fault = fault
                if every_seconds:
                    time.sleep(0.2)
                    stage.proxy.watch_fault = None
                over.wait(every_seconds or 1.0)

        thread = threading.Thread(target=strike, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            stage.proxy.watch_fault = None

    return spoilt
