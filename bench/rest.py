"""Many rollouts that are completed: how soon a fresh operator knows them all, and what they cost while nothing happens.

One rollout is walked to its end by the operator; the others get copies of its status and of its flag, so that nothing
is left to do for any of them.
"""

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any

from bench.crowd import Crowd
from bench.world import Meter, Spent, World
from pilotage.kube import Kube

_WALK_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Rest:
    """What was measured.

    Attributes:
        ready_seconds: from the start of the process until it is ready, that is until everything is listed.
        start: from then on, the first seconds.
        spent: after that.
    """

    ready_seconds: float
    start: Spent
    spent: Spent


async def complete_all(world: World, kube: Kube, crowd: Crowd) -> None:
    """Make all rollouts, completed; the operator walks the first of them, and is then stopped."""
    first, *others = crowd.names
    await crowd.create({first: _spec_of(first)})
    model = await _walked(kube, crowd, first)
    world.processes.processes["operator"].stop()
    await crowd.create({name: _spec_of(name) for name in others})
    text = json.dumps({"status": model["status"]})
    await crowd.merge({name: json.loads(text.replace(first, name)) for name in others}, subresource="/status")
    finalizers = {"metadata": {"finalizers": model["metadata"]["finalizers"]}}
    await crowd.merge(dict.fromkeys(others, finalizers))


async def copy_flags(kube: Kube, crowd: Crowd) -> None:
    """Give each namespace the flags that its rollouts have decided."""
    first = crowd.names[0]
    base = "/api/v1/namespaces/{}/configmaps/pilot-flags"
    text = (await kube.get(base.format(crowd.namespaces[0])))["data"][f"{first}.json"]
    labels = {"app.kubernetes.io/managed-by": "pilotage", "pilotage.dev/flags": "true"}

    def config_map(namespace: str) -> dict[str, Any]:
        data = {f"{name}.json": text.replace(first, name) for name in crowd.members(namespace)}
        metadata = {"name": "pilot-flags", "labels": labels}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}

    await crowd.together(
        kube.patch(
            base.format(namespace), config_map(namespace), content_type="apply", field_manager="bench", force=True
        )
        for namespace in crowd.namespaces
    )


async def measure(world: World, *, settle_seconds: float, seconds: float) -> Rest:
    """Start the operator anew, and see what it spends."""
    began_at = time.monotonic()
    await asyncio.to_thread(world.processes.processes["operator"].start)
    await asyncio.to_thread(world.wait_until_ready)
    ready_seconds = time.monotonic() - began_at
    await asyncio.to_thread(world.wait_until_leading)
    meter = await asyncio.to_thread(Meter, world)
    await asyncio.sleep(settle_seconds)
    start = await asyncio.to_thread(meter.read)
    meter = await asyncio.to_thread(Meter, world)
    await asyncio.sleep(seconds)
    return Rest(ready_seconds, start, await asyncio.to_thread(meter.read))


def _spec_of(name: str) -> dict[str, Any]:
    """A rollout with all that a usual one has, at its end."""
    return {
        "feature": {"flag": name},
        "interval": "1s",
        "indicators": [{"name": "error_ratio", "errors": f"vector(0) # {name}", "total": "vector(1)"}],
        "rollback": ["error_ratio > 1%"],
        "steps": [{"name": "limited", "percent": 10}, {"name": "everyone", "percent": 100}],
    }


async def _walked(kube: Kube, crowd: Crowd, name: str) -> dict[str, Any]:
    until = time.monotonic() + _WALK_SECONDS
    while time.monotonic() < until:
        found = await kube.get(crowd.path(name))
        status = found.get("status", {})
        delivery = status.get("delivery", {})
        if status.get("phase") == "Completed" and delivery.get("verifiedRevision") == delivery.get("revision"):
            return found
        await asyncio.sleep(0.5)
    raise TimeoutError(f"{name} was not completed")
