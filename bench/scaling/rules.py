"""What is compared: the plain autoscaler, what people make of cooldowns, and ours, each with 2 to 60 replicas."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from bench.scaling.day import VALUE
from bench.scaling.hpa import DEFAULTS, Autoscaler
from pilotage.resources.tenant_scaling import ScalingPolicy
from pilotage.tenancy.autoscalers import behavior_of, targets_of
from pilotage.tenancy.scaling import Changes, Load, load_of, scale

MINIMUM, MAXIMUM = 2, 60
OURS = "Pilotage, engine scale"
PLAIN = "plain HPA"

_BEGIN = datetime(2026, 3, 2, tzinfo=UTC)
_KEPT = 60

NAIVE: Mapping[str, Any] = {
    "scaleUp": {
        "stabilizationWindowSeconds": 300,
        "policies": [{"type": "Pods", "value": 1, "periodSeconds": 15}],
        "tolerance": "200m",
    },
    "scaleDown": {
        "stabilizationWindowSeconds": 600,
        "policies": [{"type": "Pods", "value": 1, "periodSeconds": 15}],
        "tolerance": "500m",
    },
}
"""Thresholds of 1.2 and 0.5 and steps of one, with the cooldowns as stabilization windows."""


class Scaler(Protocol):
    """A rule for one day."""

    def want(self, now: int, replicas: int, ready: int, metric: float | None) -> int:
        """Replicas at a time in seconds; the metric is that of all instances together, None if there is none."""
        ...


class Pilotage:
    """The operator's own code."""

    def __init__(self, policy: ScalingPolicy) -> None:
        self._targets = targets_of(policy, minimum=MINIMUM, maximum=MAXIMUM)
        self._loads: list[Load] = []
        self._changes = Changes()

    def want(self, now: int, replicas: int, ready: int, metric: float | None) -> int:
        """As the keeper asks it: by the average of the ready instances."""
        at = _BEGIN + timedelta(seconds=now)
        if load := load_of(None if metric is None else metric / ready, ready, at):
            self._loads = [*self._loads, load][-_KEPT:]
        wanted = scale(self._targets, replicas, self._loads, self._changes, at)
        self._changes = wanted.changes
        return wanted.replicas


def policy(**said: Any) -> ScalingPolicy:
    """A policy with the defaults of the API."""
    given = {
        "name": "day",
        "target": {"name": "search", "namespace": "shop"},
        "metric": {"query": "load"},
        "value": int(VALUE),
        "min": MINIMUM,
        "max": MAXIMUM,
    }
    return ScalingPolicy.model_validate({**given, **said})


def _autoscaler(behavior: Mapping[str, Any], *, lost_reads_zero: bool = False) -> Callable[[], Scaler]:
    return lambda: Autoscaler(behavior, minimum=MINIMUM, maximum=MAXIMUM, lost_reads_zero=lost_reads_zero)


RULES: Mapping[str, Callable[[], Scaler]] = {
    PLAIN: _autoscaler(DEFAULTS),
    "plain HPA, a lost metric reads 0": _autoscaler(DEFAULTS, lost_reads_zero=True),
    "cooldowns as stabilization": _autoscaler(NAIVE),
    "Pilotage, engine hpa": _autoscaler(behavior_of(policy())),
    OURS: lambda: Pilotage(policy()),
}
