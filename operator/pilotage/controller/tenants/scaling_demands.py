"""What the rollouts of a namespace ask of its workloads' replicas, by what is known of them."""

from pilotage.controller.store import RolloutStore
from pilotage.rollout.capacity import demand_of
from pilotage.tenancy.scaling_demands import Demand


class RolloutDemands:
    """Asks the store."""

    def __init__(self, rollouts: RolloutStore) -> None:
        self._rollouts = rollouts

    def of(self, namespace: str) -> tuple[Demand, ...]:
        """The demands of a namespace's rollouts."""
        found = []
        for key in self._rollouts:
            kept = self._rollouts.peek(key) if key.namespace == namespace else None
            if kept is None or not kept.asks_for_replicas:
                continue
            rollout = self._rollouts.get(key)
            if rollout is not None and (demand := demand_of(rollout)) is not None:
                found.append(demand)
        return tuple(found)
