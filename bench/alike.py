"""Many rollouts that stand where one stands: one is walked there by the operator, the others get copies.

Copied are status, finalizers and flags, so that nothing is left to do for any of them. To walk ten thousand rollouts
would take the API server an hour, and measure nothing else than one does.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from bench.crowd import Crowd, Object
from bench.world import OPERATOR_PROCESS, World
from pilotage.kube import Kube

_WALK_SECONDS = 60.0
_API = "pilotage.dev/v1alpha1"


async def make_alike(
    world: World, kube: Kube, crowd: Crowd, spec_of: Callable[[str], Object], there: Callable[[Object], bool]
) -> None:
    """Make all rollouts of these specs; the operator is stopped as soon as the first of them is there.

    Args:
        world: whose operator walks.
        kube: an administrator's client.
        crowd: the rollouts.
        spec_of: the spec of a rollout's name; names differ in nothing but the name.
        there: whether a status is where all shall be.
    """
    first, *others = crowd.names
    await crowd.create({first: spec_of(first)})
    model = await _walked(kube, crowd, first, there)
    world.processes.processes[OPERATOR_PROCESS].stop()
    finalizers = model["metadata"]["finalizers"]
    await crowd.create({name: spec_of(name) for name in others}, metadata={"finalizers": finalizers})
    text = json.dumps({"status": model["status"]})
    await crowd.merge({name: json.loads(text.replace(first, name)) for name in others}, subresource="/status")
    await _copy_flags(kube, crowd)


async def _copy_flags(kube: Kube, crowd: Crowd) -> None:
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


async def _walked(kube: Kube, crowd: Crowd, name: str, there: Callable[[Object], bool]) -> Object:
    until = time.monotonic() + _WALK_SECONDS
    while time.monotonic() < until:
        found = await kube.get(crowd.path(name))
        if there(found.get("status", {})):
            return found
        await asyncio.sleep(0.5)
    raise TimeoutError(f"{name} did not get there")


def is_completed(status: Mapping[str, Any]) -> bool:
    """Whether a rollout has reached everybody, and that is in force."""
    delivery = status.get("delivery", {})
    return status.get("phase") == "Completed" and delivery.get("verifiedRevision") == delivery.get("revision")


def is_judged_in_its_step(status: Mapping[str, Any]) -> bool:
    """Whether a rollout's step is in force and its criteria pass."""
    step, criteria = status.get("step") or {}, status.get("criteria") or ()
    passed = bool(criteria) and all(each["verdict"] == "pass" for each in criteria)
    return status.get("phase") != "RolledBack" and "verifiedTime" in step and passed
