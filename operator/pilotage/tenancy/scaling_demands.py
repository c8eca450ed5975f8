"""What rollouts ask of the replicas of a workload: capacity before users come, and none taken away while they leave."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Demand:
    """What one rollout asks.

    Attributes:
        rollout: name of the rollout.
        workload: kind and name of what serves its users; None if it names none.
        minimum: replicas that its step needs; 0 for no demand.
        leaving: users are being taken back, and some may still have the feature.
    """

    rollout: str
    workload: tuple[str, str] | None = None
    minimum: int = 0
    leaving: bool = False


def minimum_of(demands: Iterable[Demand], kind: str, name: str) -> int:
    """The replicas that the rollouts need of a workload: all of them at once, so the most that any asks."""
    return max((each.minimum for each in demands if each.workload == (kind, name)), default=0)


def is_left(demands: Iterable[Demand], kind: str, name: str) -> bool:
    """Whether users are leaving a workload; a rollout that names none may be about any of its namespace."""
    return any(each.leaving and each.workload in (None, (kind, name)) for each in demands)
