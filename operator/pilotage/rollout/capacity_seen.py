"""Capacity, seen: how the workload that serves a rollout's users stands."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CapacitySeen:
    """What was seen of the workload a moment ago.

    Attributes:
        replicas: that are asked for of it.
        ready: that are ready.
        obstacle: what keeps the operator from bringing more about, a fixed text with the remedy; empty if nothing.
    """

    replicas: int
    ready: int
    obstacle: str = ""


AMPLE = CapacitySeen(replicas=100_000, ready=100_000)
"""More than any step may ask for: where a history is replayed, nobody waits for replicas."""
