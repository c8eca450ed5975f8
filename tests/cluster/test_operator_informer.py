"""kopf as informer against a real API server: it brings everything, writes nothing, and what it misses is swept."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pilotage.controller.clock import SystemClock
from pilotage.controller.informer import Informer
from pilotage.controller.listing import list_all, sweep
from pilotage.controller.schedule import Key
from pilotage.controller.store import RolloutStore, TemplateStore, key_of
from pilotage.kube import Kube, KubeError
from pilotage.resources.rollout import PilotRollout
from testbed import Cluster, eventually
from tests.cluster.api_proxy import ApiProxy
from tests.cluster.deletion import delete


@dataclass
class Watched:
    """An informer that fills two stores."""

    kube: Kube
    namespace: str
    rollouts: RolloutStore = field(default_factory=RolloutStore)
    templates: TemplateStore = field(default_factory=TemplateStore)
    events: list[tuple[str | None, str]] = field(default_factory=list)

    def take(self, plural: str, kind: str | None, body: dict[str, Any]) -> None:
        version = int(body["metadata"]["resourceVersion"])
        if plural == "tenantquotas":
            return  # cluster-wide: another test's
        if plural == "indicatortemplates":
            self.templates.put(body)
        elif kind == "DELETED":
            self.rollouts.remove(key_of(body), version)
        else:
            self.rollouts.put(body)
        if body["metadata"].get("namespace") == self.namespace:
            self.events.append((kind, body["metadata"]["name"]))

    @property
    def path(self) -> str:
        return f"/apis/pilotage.dev/v1alpha1/namespaces/{self.namespace}/pilotrollouts"

    async def create(self, name: str) -> dict[str, Any]:
        return await self.kube.create(
            self.path,
            {
                "apiVersion": "pilotage.dev/v1alpha1",
                "kind": "PilotRollout",
                "metadata": {"name": name, "namespace": self.namespace},
                "spec": {"feature": {"flag": name}, "steps": [{"name": "all", "percent": 100}]},
            },
        )


@pytest.fixture
async def watched(cluster: Cluster, crds: None, namespace: str) -> AsyncIterator[Watched]:  # noqa: ARG001 - the kinds must be there
    kube = await Kube.connect(cluster.kubeconfig)
    yield Watched(kube, namespace)
    await kube.close()


async def test_what_is_there_and_what_comes_is_brought_and_nothing_is_written(watched: Watched) -> None:
    before = [await watched.create(f"early-{number}") for number in range(3)]
    informer = Informer(watched.kube, SystemClock(), watched.take)
    task = asyncio.create_task(informer.run())
    early = {Key(watched.namespace, f"early-{number}") for number in range(3)}

    async def listed() -> bool:
        return early <= set(watched.rollouts)

    await eventually(listed, "those that were there", seconds=10)
    await watched.create("late")

    async def came() -> bool:
        return Key(watched.namespace, "late") in watched.rollouts

    await eventually(came, "the late one", seconds=10)
    await delete(watched.kube, f"{watched.path}/late")

    async def went() -> bool:
        return not await came()

    await eventually(went, "it to go", seconds=10)
    await asyncio.sleep(1.5)  # kopf's workers end: had they anything to write, they would have written it
    for created in before:
        found = await watched.kube.get(f"{watched.path}/{created['metadata']['name']}")
        assert found == created
    assert informer.running
    await stop(task)
    assert not informer.running


async def test_all_that_exists_is_listed_before_anything_is_watched(watched: Watched) -> None:
    for number in range(3):
        await watched.create(f"early-{number}")
    await list_all(watched.kube, SystemClock(), watched.take)
    assert watched.events == [(None, f"early-{number}") for number in range(3)]


async def test_a_sweep_finds_what_vanished_what_came_and_what_changed_unseen_and_leaves_the_rest(
    watched: Watched,
) -> None:
    await list_all(watched.kube, SystemClock(), watched.take)  # other tests' rollouts
    for name in ("gone", "changed", "stays"):
        watched.rollouts.put(await watched.create(name))
    await delete(watched.kube, f"{watched.path}/gone")
    label = {"metadata": {"labels": {"a": "b"}}}
    changed = await watched.kube.patch(f"{watched.path}/changed", label, content_type="merge")
    await watched.create("new")
    await sweep(watched.kube, PilotRollout, watched.rollouts, watched.take)
    assert sorted(watched.events) == [("DELETED", "gone"), ("MODIFIED", "changed"), ("MODIFIED", "new")]
    assert {key.name for key in watched.rollouts if key.namespace == watched.namespace} == {"changed", "new", "stays"}
    assert watched.rollouts.versions[key_of(changed)] == int(changed["metadata"]["resourceVersion"])

    watched.events.clear()
    await sweep(watched.kube, PilotRollout, watched.rollouts, watched.take)
    assert watched.events == []


async def test_a_sweep_that_can_not_list_forgets_nothing(watched: Watched, tmp_path: Path, cluster: Cluster) -> None:
    watched.rollouts.put(await watched.create("stays"))
    proxy = ApiProxy(cluster.kubeconfig_for_service_account(watched.namespace, "default"))
    await proxy.start()
    try:
        async with await Kube.connect(proxy.write_kubeconfig(tmp_path / "kubeconfig")) as kube:
            proxy.fault = lambda _method, _path: "lost"
            with pytest.raises(KubeError):
                await sweep(kube, PilotRollout, watched.rollouts, watched.take)
    finally:
        await proxy.stop()
    assert [key.name for key in watched.rollouts] == ["stays"]


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
