"""Many rollouts: made, changed and read by an administrator's client, many at once."""

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Any

import yaml

from bench.world import World
from pilotage.kube import Kube
from testbed.chart import ENROLMENT

API = "/apis/pilotage.dev/v1alpha1"
_AT_ONCE = 16

Object = dict[str, Any]


class Crowd:
    """Rollouts by number, spread over namespaces.

    Args:
        kube: an administrator's client.
        count: how many rollouts.
        per_namespace: how many of them share a namespace, and so a ConfigMap of flags.
    """

    def __init__(self, kube: Kube, count: int, per_namespace: int) -> None:
        self._kube = kube
        self.names = [f"feature-{number:05}" for number in range(count)]
        self._namespace = {name: f"team-{number // per_namespace:04}" for number, name in enumerate(self.names)}
        self._gate = asyncio.Semaphore(_AT_ONCE)

    @property
    def namespaces(self) -> list[str]:
        """All namespaces, once each."""
        return list(dict.fromkeys(self._namespace.values()))

    def path(self, name: str) -> str:
        """The rollout's path."""
        return f"{API}/namespaces/{self._namespace[name]}/pilotrollouts/{name}"

    def members(self, namespace: str) -> list[str]:
        """The rollouts of a namespace."""
        return [name for name in self.names if self._namespace[name] == namespace]

    async def enrol(self) -> None:
        """Make the namespaces, and let Pilotage act there."""
        bindings = [found for found in yaml.safe_load_all(ENROLMENT.read_text()) if found]
        await self.together(
            self._kube.create("/api/v1/namespaces", {"metadata": {"name": name}}) for name in self.namespaces
        )
        base = "/apis/rbac.authorization.k8s.io/v1/namespaces"
        await self.together(
            self._kube.create(f"{base}/{name}/rolebindings", dict(binding))
            for name in self.namespaces
            for binding in bindings
        )

    async def create(self, specs: dict[str, Object], *, metadata: Object | None = None) -> None:
        """Make a rollout of each spec, with this metadata besides the name."""
        kind = {"apiVersion": "pilotage.dev/v1alpha1", "kind": "PilotRollout"}
        more = metadata or {}
        await self.together(
            self._kube.create(
                self.path(name).rpartition("/")[0], {**kind, "metadata": {"name": name, **more}, "spec": spec}
            )
            for name, spec in specs.items()
        )

    async def merge(self, patches: dict[str, Object], *, subresource: str = "") -> None:
        """Send a merge patch to each of these rollouts."""
        await self.together(
            self._kube.patch(self.path(name) + subresource, patch, content_type="merge")
            for name, patch in patches.items()
        )

    async def read(self) -> dict[str, Object]:
        """All rollouts by name, from the API server's memory: to read a thousand from etcd takes it two seconds."""
        found = await self._kube.get(f"{API}/pilotrollouts", query={"resourceVersion": "0"})
        return {item["metadata"]["name"]: item for item in found["items"]}

    async def together(self, calls: Iterable[Awaitable[Any]]) -> None:
        """Await all, some at once."""

        async def through(call: Awaitable[Any]) -> None:
            async with self._gate:
                await call

        await asyncio.gather(*(through(call) for call in calls))


async def connect(world: World) -> Kube:
    """An administrator's client."""
    return await Kube.connect(world.cluster.kubeconfig)
