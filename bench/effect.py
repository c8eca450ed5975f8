"""From the edit of a flag to its effect: milliseconds until an application evaluates the other variant.

The application is the OpenFeature SDK with flagd's provider, evaluating in its own process; the edit is a patch of the
ConfigMap. Counted is from before the patch is sent.
"""

import asyncio
import json
import time

from openfeature import api
from openfeature.evaluation_context import EvaluationContext

from bench.world import World
from examples.shop.flags import FlagSource, connect
from pilotage.kube import Kube

_FLAG = "edited"
_NAMESPACE = "effect"
_GIVE_UP_SECONDS = 10.0
_EVERY_SECONDS = 0.0005
_PAUSE_SECONDS = 0.05


async def measure(world: World, kube: Kube, edits: int) -> tuple[float, ...]:
    """Milliseconds of each edit, in order of size."""
    await kube.create("/api/v1/namespaces", {"metadata": {"name": _NAMESPACE}})
    await kube.create(f"/api/v1/namespaces/{_NAMESPACE}/serviceaccounts", {"metadata": {"name": "app"}})
    world.installed.enrol(_NAMESPACE)
    await _write(kube, on=False)
    token = world.processes.directory / "app-token"
    token.write_text(_token(world))
    connect(FlagSource("localhost", world.flags_port, _NAMESPACE, token))
    try:
        return tuple(sorted([await _edit(kube, on=number % 2 == 0) for number in range(edits)]))
    finally:
        api.shutdown()


async def _edit(kube: Kube, *, on: bool) -> float:
    client = api.get_client()
    began_at = time.monotonic()
    await _write(kube, on=on)
    while client.get_boolean_value(_FLAG, not on, EvaluationContext("somebody")) is not on:
        if time.monotonic() - began_at > _GIVE_UP_SECONDS:
            raise TimeoutError("the edit never reached the application")
        await asyncio.sleep(_EVERY_SECONDS)
    seconds = time.monotonic() - began_at
    await asyncio.sleep(_PAUSE_SECONDS)
    return seconds * 1000


async def _write(kube: Kube, *, on: bool) -> None:
    definition = {
        "state": "ENABLED",
        "variants": {"on": True, "off": False},
        "defaultVariant": "on" if on else "off",
    }
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "pilot-flags", "labels": {"pilotage.dev/flags": "true"}},
        "data": {f"{_FLAG}.json": json.dumps(definition)},
    }
    path = f"/api/v1/namespaces/{_NAMESPACE}/configmaps/pilot-flags"
    await kube.patch(path, body, content_type="apply", field_manager="bench", force=True)


def _token(world: World) -> str:
    return world.cluster.kubectl("create", "token", "app", "-n", _NAMESPACE, "--audience=pilotage-flags").strip()
