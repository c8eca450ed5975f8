"""kopf as informer against a real API server: it brings everything, writes nothing, and what it misses is swept."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from pilotage.controller.clock import SystemClock
from pilotage.controller.informer import Informer
from pilotage.controller.listing import sweep, wait_until_listed
from pilotage.controller.schedule import Key
from pilotage.controller.store import RolloutStore, TemplateStore, key_of
from pilotage.kube import Kube, KubeError
from testbed import Cluster, eventually


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
    await wait_until_listed(watched.kube, SystemClock(), watched.rollouts, watched.templates)
    assert {Key(watched.namespace, f"early-{number}") for number in range(3)} <= set(watched.rollouts)
    await watched.create("late")

    async def came() -> bool:
        return Key(watched.namespace, "late") in watched.rollouts

    await eventually(came, "the late one", seconds=10)
    await watched.kube.delete(f"{watched.path}/late")

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


async def test_what_vanished_unseen_is_swept_and_what_is_new_stays(watched: Watched) -> None:
    for name in ("gone", "stays"):
        watched.rollouts.put(await watched.create(name))
    await watched.kube.delete(f"{watched.path}/gone")
    forgotten: list[Key] = []
    await sweep(watched.kube, watched.rollouts, watched.templates, forgotten.append)
    assert forgotten == [Key(watched.namespace, "gone")]
    assert list(watched.rollouts) == [Key(watched.namespace, "stays")]


async def test_a_sweep_that_can_not_list_forgets_nothing(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    watched.rollouts.put(await watched.create("stays"))

    async def fail(_: str) -> None:
        raise KubeError(0, "Timeout")

    monkeypatch.setattr(watched.kube, "list_metadata", fail)
    with suppress(KubeError):
        await sweep(watched.kube, watched.rollouts, watched.templates, lambda _: None)
    assert len(watched.rollouts) == 1


async def test_a_list_is_read_in_chunks_and_holds_metadata_only(watched: Watched) -> None:
    for number in range(5):
        await watched.create(f"one-{number}")
    version, listed = await watched.kube.list_metadata(watched.path, chunk=2)
    assert [each["name"] for each in listed] == [f"one-{number}" for number in range(5)]
    assert int(version) >= int(listed[-1]["resourceVersion"])
    assert "spec" not in listed[0]


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
