"""Following flags through faults that a real API server shows only by chance: expired versions, refusals, silence."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from pilotage.flags import documents, flagsets, watching
from pilotage.flags.flagsets import FlagSets, NotEnrolledError
from pilotage.flags.watching import NotAllowedError, Objects, Watch
from pilotage.kube import Kube, KubeError


def thing(name: str, version: int, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "resourceVersion": str(version)}, "data": data}


def event(kind: str, name: str, version: int) -> dict[str, Any]:
    return {"type": kind, "object": thing(name, version)}


class Script:
    """An API server that does what is written: lists, then events or faults."""

    def __init__(self, *steps: Any) -> None:
        self.steps = list(steps)
        self.calls: list[str] = []
        self.done = asyncio.Event()

    def as_kube(self) -> Kube:
        return self  # type: ignore[return-value]  # all of Kube that a watch uses

    def _next(self, call: str) -> Any:
        self.calls.append(call)
        if not self.steps:
            self.done.set()
            return None
        step = self.steps.pop(0)
        if isinstance(step, KubeError):
            raise step
        return step

    async def get(self, _path: str, *, query: Mapping[str, str]) -> dict[str, Any]:
        assert query == {"labelSelector": "x=y"}
        items = self._next("list")
        if items is None:
            await asyncio.Event().wait()
        return {"metadata": {"resourceVersion": "10"}, "items": items}

    async def watch(self, _path: str, *, query: Mapping[str, str]) -> AsyncIterator[dict[str, Any]]:
        events = self._next(f"watch {query['resourceVersion']}")
        if events is None:
            await asyncio.Event().wait()
        for each in events:
            if isinstance(each, KubeError):
                raise each
            yield each


async def follow(script: Script) -> tuple[list[list[str]], list[float]]:
    """What was told of the objects after each change, and the pauses that were made."""
    told: list[list[str]] = []
    pauses: list[float] = []

    def changed(objects: Objects) -> None:
        told.append(sorted(f"{name}@{each['metadata']['resourceVersion']}" for name, each in objects.items()))

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    watch = Watch(script.as_kube(), "/things", selector="x=y", changed=changed, sleep=sleep)
    running = asyncio.create_task(watch.run())
    waiting = asyncio.create_task(script.done.wait())
    await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED, timeout=5)
    waiting.cancel()
    running.cancel()
    try:
        await running
    except asyncio.CancelledError:
        assert script.done.is_set()
    return told, pauses


async def test_a_watch_that_ends_quietly_goes_on_from_its_last_version() -> None:
    script = Script([thing("a", 1)], [event("ADDED", "b", 11), event("BOOKMARK", "", 15)], [event("DELETED", "a", 16)])
    told, pauses = await follow(script)
    assert told == [["a@1"], ["a@1", "b@11"], ["b@11"]]
    assert script.calls == ["list", "watch 10", "watch 15", "watch 16"]
    assert pauses == []


async def test_an_expired_version_is_listed_again() -> None:
    script = Script([thing("a", 1)], [KubeError(410, "Expired")], [thing("a", 2), thing("c", 3)])
    told, pauses = await follow(script)
    assert told == [["a@1"], ["a@2", "c@3"]]
    assert script.calls == ["list", "watch 10", "list", "watch 10"]
    assert len(pauses) == 1
    assert pauses[0] <= watching.FIRST_PAUSE_SECONDS


async def test_while_the_api_server_is_away_nothing_is_forgotten_and_pauses_grow_to_a_limit() -> None:
    script = Script([thing("a", 1)], *[KubeError(0, "Unreachable")] * 12, [thing("a", 2)], [event("MODIFIED", "a", 20)])
    told, pauses = await follow(script)
    assert told == [["a@1"], ["a@2"], ["a@20"]]
    assert len(pauses) == 12
    assert all(0.1 <= pause <= watching.LONGEST_PAUSE_SECONDS for pause in pauses)
    assert max(pauses) >= watching.LONGEST_PAUSE_SECONDS / 2


async def test_a_server_that_names_a_pause_gets_it() -> None:
    _, pauses = await follow(Script(KubeError(429, "TooManyRequests", retry_after_seconds=7), []))
    assert pauses == [7]


async def test_a_kind_that_is_not_installed_has_no_objects_and_is_looked_for_again() -> None:
    told, pauses = await follow(Script(KubeError(404, "NotFound"), [thing("a", 1)]))
    assert told == [[], ["a@1"]]
    assert pauses == [watching.LOOK_AGAIN_SECONDS]


async def test_a_refusal_ends_the_watch() -> None:
    with pytest.raises(NotAllowedError):
        await follow(Script([], KubeError(403, "Forbidden")))


FLAG = json.dumps({"state": "ENABLED", "variants": {"on": True}, "defaultVariant": "on"})


class Namespace:
    """An API server with one namespace's ConfigMaps, whose FeatureFlags can keep it waiting."""

    def __init__(self) -> None:
        self.feature_flags = asyncio.Event()
        self.refused = False
        self.lists = 0

    async def get(self, path: str, *, query: Mapping[str, str]) -> dict[str, Any]:
        if self.refused:
            raise KubeError(403, "Forbidden")
        if path.endswith("/featureflags"):
            await self.feature_flags.wait()
            return {"metadata": {"resourceVersion": "1"}, "items": []}
        assert query == {"labelSelector": "pilotage.dev/flags=true"}
        self.lists += 1
        return {"metadata": {"resourceVersion": "1"}, "items": [thing("pilot-flags", 1, **{"a.json": FLAG})]}

    async def watch(self, _path: str, *, query: Mapping[str, str]) -> AsyncIterator[dict[str, Any]]:
        await asyncio.Event().wait()
        yield {"query": query}

    def as_kube(self) -> Kube:
        return self  # type: ignore[return-value]  # all of Kube that a watch uses


async def test_there_is_no_document_before_all_kinds_were_listed() -> None:
    namespace = Namespace()
    flag_sets = FlagSets(namespace.as_kube())
    async with flag_sets.using("shop") as flag_set:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await flag_set.document_after(None)
        namespace.feature_flags.set()
        assert json.loads(await flag_set.document_after(None))["flags"]["a"] == json.loads(FLAG)
    await flag_sets.close()


async def test_a_namespace_is_watched_once_and_until_it_is_idle() -> None:
    namespace = Namespace()
    namespace.feature_flags.set()
    flag_sets = FlagSets(namespace.as_kube(), idle_seconds=0.05)
    async with flag_sets.using("shop") as one, flag_sets.using("shop") as two:
        assert one is two
        await one.document_after(None)
    async with flag_sets.using("shop") as again:
        assert again is one
        await asyncio.sleep(0.1)  # in use: it is not idle, though it was for a moment
        assert await again.document_after(None)
    await asyncio.sleep(0.1)
    async with flag_sets.using("shop") as later:
        assert later is not one
        await later.document_after(None)
    assert namespace.lists == 2
    await flag_sets.close()


async def test_a_refused_namespace_is_asked_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flagsets, "REFUSED_SECONDS", 0.05)
    namespace = Namespace()
    namespace.refused = True
    namespace.feature_flags.set()
    flag_sets = FlagSets(namespace.as_kube())
    for _ in range(2):
        async with flag_sets.using("shop") as flag_set:
            with pytest.raises(NotEnrolledError):
                await flag_set.document_after(None)
    namespace.refused = False
    await asyncio.sleep(0.1)
    async with flag_sets.using("shop") as flag_set:
        assert await flag_set.document_after(None)
    await flag_sets.close()


async def test_a_mistake_of_ours_in_one_object_does_not_end_the_watching(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flagsets, "_RESTART_SECONDS", 0.01)
    namespace = Namespace()
    namespace.feature_flags.set()
    failures = [ValueError("a bug"), None]
    real = documents.merge

    def merge(*arguments: Any) -> Any:
        if failure := failures.pop(0) if failures else None:
            raise failure
        return real(*arguments)

    monkeypatch.setattr(flagsets, "merge", merge)
    flag_sets = FlagSets(namespace.as_kube())
    async with flag_sets.using("shop") as flag_set, asyncio.timeout(5):
        assert await flag_set.document_after(None)
    await flag_sets.close()
