"""Failover: seconds from the end of the leader until another replica leads, after a crash and after a clean exit."""

import os
import signal
import time
from dataclasses import dataclass
from functools import partial

from bench.world import OPERATOR_PROCESS, World
from testbed import wait_until

_EVERY_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Failover:
    """Seconds, one for each round, in order of size.

    Attributes:
        crash: after kill -9.
        exit: after SIGTERM.
    """

    crash: tuple[float, ...]
    exit: tuple[float, ...]


def measure(world: World, rounds: int) -> Failover:
    """Two replicas; the one that leads ends, and is started again as the follower."""
    leader, follower = OPERATOR_PROCESS, "follower"
    world.start_replica(follower)
    taken: dict[bool, list[float]] = {True: [], False: []}
    for crash in (True, False):
        for _ in range(rounds):
            wait_until(partial(world.is_ready, follower), "the follower to be ready", seconds=60)
            taken[crash].append(_end(world, leader, follower, crash=crash))
            world.processes.processes[leader].start()
            leader, follower = follower, leader
    world.processes.processes[follower].stop()
    return Failover(tuple(sorted(taken[True])), tuple(sorted(taken[False])))


def _end(world: World, leader: str, follower: str, *, crash: bool) -> float:
    process = world.processes.processes[leader]
    began_at = time.monotonic()
    if crash:
        process.kill()
    else:
        os.kill(process.pid, signal.SIGTERM)
    while world.metrics(follower).get("pilotage_leader") != 1:
        time.sleep(_EVERY_SECONDS)
    seconds = time.monotonic() - began_at
    process.stop()
    return seconds
