"""Many rollouts while nothing happens: how soon a fresh operator knows them all, and what they cost.

Completed ones are at rest. Others stand in a step and are judged every 30 s: by queries of their own, or by a template
that answers for all of them.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from bench.alike import is_completed, is_judged_in_its_step, make_alike
from bench.crowd import API, Crowd, Object
from bench.world import OPERATOR_PROCESS, Meter, Spent, World
from pilotage.kube import Kube

JUDGED_SECONDS = 30.0
TEMPLATE = "error-ratio"

_COUNTED = "sum by ({by}) (increase(app_{what}_total{{feature{match}}}[$window]))"


@dataclass(frozen=True, slots=True)
class Rest:
    """What was measured.

    Attributes:
        ready_seconds: from the start of the process until it is ready, that is until everything is listed.
        spent: some time after that.
    """

    ready_seconds: float
    spent: Spent


async def make_completed(world: World, kube: Kube, crowd: Crowd) -> None:
    """Rollouts at their end."""
    await make_alike(world, kube, crowd, _completed_spec, is_completed)


async def make_judged(world: World, kube: Kube, crowd: Crowd, *, template: bool) -> None:
    """Rollouts at 30 % for a week, judged every 30 s."""
    if template:
        spec = {**_indicator("feature, variant", '=~"$flag"'), "groupBy": {"label": "feature", "value": "$flag"}}
        body = {"apiVersion": "pilotage.dev/v1alpha1", "kind": "IndicatorTemplate", "metadata": {"name": TEMPLATE}}
        await kube.create(f"{API}/indicatortemplates", {**body, "spec": spec})

    def spec_of(name: str) -> Object:
        own = _indicator("variant", f'="{name}"')
        return {
            "feature": {"flag": name},
            "interval": f"{JUDGED_SECONDS:.0f}s",
            "indicators": [{"name": "error_ratio", **({"templateRef": TEMPLATE} if template else own)}],
            "rollback": ["error_ratio > 1%"],
            "steps": [{"name": "limited", "percent": 30, "hold": "7d"}],
        }

    await make_alike(world, kube, crowd, spec_of, is_judged_in_its_step)


async def measure(world: World, *, settle_seconds: float, seconds: float) -> Rest:
    """Start the operator anew, and see what it spends."""
    began_at = time.monotonic()
    await asyncio.to_thread(world.processes.processes[OPERATOR_PROCESS].start)
    await asyncio.to_thread(world.wait_until_ready)
    ready_seconds = time.monotonic() - began_at
    await asyncio.to_thread(world.wait_until_leading)
    await asyncio.sleep(settle_seconds)
    return Rest(ready_seconds, await spend(world, seconds))


async def spend(world: World, seconds: float) -> Spent:
    """See what the operator spends from now on."""
    meter = await asyncio.to_thread(Meter, world)
    await asyncio.sleep(seconds)
    return await asyncio.to_thread(meter.read)


def _completed_spec(name: str) -> dict[str, Any]:
    """A rollout with all that a usual one has, at its end."""
    return {
        "feature": {"flag": name},
        "interval": "1s",
        "indicators": [{"name": "error_ratio", "errors": f"vector(0) # {name}", "total": "vector(1)"}],
        "rollback": ["error_ratio > 1%"],
        "steps": [{"name": "limited", "percent": 10}, {"name": "everyone", "percent": 100}],
    }


def _indicator(by: str, match: str) -> dict[str, Any]:
    parts = {"errors": "errors", "total": "requests"}
    return {**{part: _COUNTED.format(by=by, what=what, match=match) for part, what in parts.items()}, "window": "1m"}
