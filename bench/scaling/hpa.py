"""Kubernetes' HorizontalPodAutoscaler by its documented algorithm (autoscaling/v2), for one metric.

desired = ceil(ready * metric / target) unless the ratio is within the tolerance; then the stabilization windows (the
lowest recommendation of the window on the way up, the highest on the way down), then the rates of `policies`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from bench.scaling.day import VALUE

TOLERANCE = 0.1
DEFAULTS: Mapping[str, Any] = {
    "scaleUp": {
        "stabilizationWindowSeconds": 0,
        "selectPolicy": "Max",
        "policies": [
            {"type": "Percent", "value": 100, "periodSeconds": 15},
            {"type": "Pods", "value": 4, "periodSeconds": 15},
        ],
    },
    "scaleDown": {
        "stabilizationWindowSeconds": 300,
        "selectPolicy": "Max",
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
    },
}


class Autoscaler:
    """One HPA.

    Args:
        behavior: as in its spec.
        minimum: replicas at least.
        maximum: replicas at most.
        lost_reads_zero: whether a lost metric is read as 0, as KEDA does unless it is told otherwise.
    """

    def __init__(
        self, behavior: Mapping[str, Any], *, minimum: int, maximum: int, lost_reads_zero: bool = False
    ) -> None:
        self._up, self._down = behavior["scaleUp"], behavior["scaleDown"]
        self._minimum, self._maximum = minimum, maximum
        self._lost_reads_zero = lost_reads_zero
        self._recommended: list[tuple[int, int]] = []
        self._changed: list[tuple[int, int]] = []

    def want(self, now: int, replicas: int, ready: int, metric: float | None) -> int:
        """Replicas at a time in seconds; the metric is that of all instances together, None if there is none."""
        if metric is None and not self._lost_reads_zero:
            return replicas
        wanted = self._stabilized(now, replicas, self._by_ratio(replicas, ready, metric or 0.0))
        if wanted > replicas:
            wanted = min(wanted, max(replicas, *self._limits(now, replicas, self._up["policies"], 1)))
        elif wanted < replicas:
            wanted = max(wanted, min(replicas, *self._limits(now, replicas, self._down["policies"], -1)))
        if wanted != replicas:
            self._changed = [*(each for each in self._changed if each[0] > now - 3600), (now, wanted - replicas)]
        return wanted

    def _by_ratio(self, replicas: int, ready: int, metric: float) -> int:
        ratio = metric / ready / VALUE
        over, under = (_tolerance(rules) for rules in (self._up, self._down))
        wanted = replicas if -under <= ratio - 1 <= over else math.ceil(metric / VALUE)
        return min(max(wanted, self._minimum), self._maximum)

    def _stabilized(self, now: int, replicas: int, recommended: int) -> int:
        up, down = (rules["stabilizationWindowSeconds"] for rules in (self._up, self._down))
        kept = [each for each in self._recommended if each[0] > now - max(up, down)]
        self._recommended = [*kept, (now, recommended)]
        lowest = min(count for at, count in self._recommended if at > now - up or at == now)
        highest = max(count for at, count in self._recommended if at > now - down or at == now)
        return lowest if replicas < lowest else min(replicas, highest)

    def _limits(self, now: int, replicas: int, policies: Sequence[Mapping[str, Any]], sign: int) -> list[int]:
        found = []
        for policy in policies:
            began = now - policy["periodSeconds"]
            base = replicas - sum(by for at, by in self._changed if at > began and by * sign > 0)
            share = base * (1 + sign * policy["value"] / 100)
            by_percent = math.ceil(share) if sign > 0 else math.floor(share)
            found.append(by_percent if policy["type"] == "Percent" else base + sign * policy["value"])
        return found


def _tolerance(rules: Mapping[str, Any]) -> float:
    """A quantity such as `200m`, or a number."""
    written = str(rules.get("tolerance", TOLERANCE))
    return float(written.removesuffix("m")) / (1000 if written.endswith("m") else 1)
