"""A world for one rollout, in which any part can fail: what the real parts can't be made to show on demand."""
# ruff: noqa: ARG002 - the signatures are those of the real parts

import copy
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from pilotage.controller.effects import Effects
from pilotage.controller.elector import NotLeadingError
from pilotage.controller.events import EventPoster
from pilotage.controller.evidence import Gatherer
from pilotage.controller.incidents import IncidentStore
from pilotage.controller.reconcile import Reconciler, Tools
from pilotage.controller.record import Recorder
from pilotage.controller.rollouts import Rollouts
from pilotage.controller.rush import Rush
from pilotage.controller.schedule import Key, Urgency
from pilotage.controller.store import RolloutStore
from pilotage.controller.workqueue import WorkQueue
from pilotage.delivery.target import DeliveryConflictError, DeliveryError, Place, Verified, Way
from pilotage.judging.evidence import Answer, Answered, NoData, Question, Series
from pilotage.kube import Kube, KubeError
from pilotage.resources.rollout import PilotRollout
from pilotage.rollout.exposure import Exposure
from tests.builders import make_rollout
from tests.unit.manual_clock import ManualClock


@dataclass
class FaultyKube:
    """Holds objects by path, compares resourceVersions, and fails when told."""

    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    failures: list[KubeError] = field(default_factory=list)
    calls: list[tuple[str, str]] = field(default_factory=list)
    version: int = 100

    async def get(self, path: str, *, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        assert query is None
        self._call("GET", path)
        return copy.deepcopy(self._found(path))

    async def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self._call("POST", path)
        name = f"{path}/{body['metadata']['name']}"
        if name in self.objects:
            raise KubeError(409, "AlreadyExists")
        self.objects[name] = copy.deepcopy(body)
        return body

    async def patch(self, path: str, body: dict[str, Any], *, content_type: str, field_manager: str) -> dict[str, Any]:
        assert (content_type, field_manager) == ("merge", "pilotage")
        self._call("PATCH", path)
        found = self._found(path.removesuffix("/status"))
        if body["metadata"].pop("resourceVersion") != found["metadata"]["resourceVersion"]:
            raise KubeError(409, "Conflict")
        if not path.endswith("/status"):
            assert not body.keys() & {"spec", "status"}
        merge(found, {name: part for name, part in body.items() if name in ("metadata", "status")})
        self.version += 1
        found["metadata"]["resourceVersion"] = str(self.version)
        return copy.deepcopy(found)

    def paths(self, verb: str) -> list[str]:
        return [path for called, path in self.calls if called == verb]

    def _call(self, verb: str, path: str) -> None:
        self.calls.append((verb, path))
        if self.failures:
            raise self.failures.pop(0)

    def _found(self, path: str) -> dict[str, Any]:
        if path not in self.objects:
            raise KubeError(404, "NotFound")
        return self.objects[path]


def merge(target: dict[str, Any], patch: Mapping[str, Any]) -> None:
    """RFC 7386."""
    for name, value in patch.items():
        if value is None:
            target.pop(name, None)
        elif isinstance(value, dict):
            if not isinstance(target.get(name), dict):
                target[name] = {}
            merge(target[name], value)
        else:
            target[name] = value


@dataclass
class FaultyTarget:
    """Serves what it was last given; can be cut off, slow to follow, or undone by somebody."""

    served: Exposure | None = None
    writes: list[tuple[str, Exposure]] = field(default_factory=list)
    released: list[Exposure] = field(default_factory=list)
    write_failures: list[DeliveryError] = field(default_factory=list)
    unknown: bool = False
    follows: bool = True
    others: tuple[str, ...] = ()
    verified: int = 0
    asked: list[int] = field(default_factory=list)

    async def apply(self, place: Place, want: Exposure) -> str:
        return self._write("apply", want)

    async def check_claim(self, place: Place, flag: str) -> None:
        if self.others and not self.writes:
            raise DeliveryConflictError(f"{place.name}: the flag {flag} is also written by {', '.join(self.others)}")

    async def kill(self, ways: Sequence[Way]) -> str:
        [way] = ways
        return self._write("kill", way.want)

    async def verify(self, place: Place, want: Exposure, probes: Sequence[str]) -> Verified:
        self.verified += 1
        served = self._serves()
        later = self.served is not None and self.served.revision > want.revision
        taken_back = later and self.served is not None and self.served.kind == "off"
        message = "" if self.served == want else "it serves something else"
        return Verified(self.served == want, message, served, taken_back=taken_back)

    async def serves(self, flags: Sequence[tuple[Place, str]]) -> list[str]:
        self.asked.append(len(flags))
        return [self._serves() for _ in flags]

    async def release(self, place: Place, final: Exposure) -> None:
        if self.write_failures:
            raise self.write_failures.pop(0)
        self.released.append(final)
        self.served = final

    def _serves(self) -> str:
        if self.unknown:
            raise DeliveryError("the flag service can't be reached")
        return repr(self.served)

    def _write(self, how: str, want: Exposure) -> str:
        if self.write_failures:
            raise self.write_failures.pop(0)
        self.writes.append((how, want))
        if self.follows:
            self.served = want
        return "ConfigMap/pilot-flags"


@dataclass
class FixedSource:
    """Answers every question the same."""

    answer: Answer = field(default_factory=lambda: NoData("nothing there"))
    asked: list[set[Question]] = field(default_factory=list)

    async def ask(self, questions: Collection[Question], now: datetime) -> dict[Question, Answer]:
        self.asked.append(set(questions))
        return dict.fromkeys(questions, self.answer)


@dataclass
class Lead:
    """Leads as long as it is told."""

    leads: bool = True
    guard_seconds: float = 3.0

    def require(self) -> None:
        if not self.leads:
            raise NotLeadingError


class WatchedQueue(WorkQueue):
    """Remembers what was asked for."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock, chance=random.Random(1))
        self.asked: list[tuple[Urgency, float]] = []

    def add(self, key: Key, urgency: Urgency, *, after_seconds: float = 0.0) -> None:
        self.asked.append((urgency, round(after_seconds, 3)))
        super().add(key, urgency, after_seconds=after_seconds)


class World:
    """One rollout and everything around it."""

    def __init__(self, rollout: PilotRollout) -> None:
        self.clock = ImpatientClock()
        self.kube, self.target, self.source, self.lead = FaultyKube(), FaultyTarget(), FixedSource(), Lead()
        self.store, self.queue = RolloutStore(), WatchedQueue(self.clock)
        self.incidents = IncidentStore()
        self.key = Key(rollout.metadata.namespace, rollout.metadata.name)
        self.path = f"/apis/pilotage.dev/v1alpha1/namespaces/{self.key.namespace}/pilotrollouts/{self.key.name}"
        body = rollout.to_wire()
        body["metadata"] |= {"resourceVersion": "100"}
        self.kube.objects[self.path] = body
        self.store.put(body)
        kube = cast("Kube", self.kube)
        rush = Rush(self.clock)
        rollouts = Rollouts(kube, self.store, self.lead, rush)
        self.poster = EventPoster(kube, self.clock, instance="test", rush=Rush(self.clock))
        self.reconciler = Reconciler(
            Tools(
                store=self.store,
                templates={},
                queue=self.queue,
                gatherer=Gatherer(kube, self.source, self.incidents, self.clock),
                effects=Effects(self.target, rollouts, self.lead, self.clock, rush),
                rollouts=rollouts,
                recorder=Recorder(self.poster, self.clock),
                clock=self.clock,
            )
        )

    async def run(self, times: int = 1) -> None:
        """Runs, one after the other."""
        for _ in range(times):
            self.queue.asked.clear()
            await self.reconciler.run(self.key)

    @property
    def rollout(self) -> PilotRollout:
        """What the API server has."""
        return PilotRollout.model_validate(self.kube.objects[self.path])

    @property
    def phase(self) -> str | None:
        """The phase that the API server has."""
        return self.rollout.status.phase

    def edit(self, **spec: Any) -> None:
        """A user changes the spec, and the watch brings it."""
        body = self.kube.objects[self.path]
        body["spec"] |= spec
        body["metadata"]["generation"] += 1
        self._changed()

    def delete(self) -> None:
        """A user deletes it; its finalizers keep it."""
        self.kube.objects[self.path]["metadata"]["deletionTimestamp"] = "2030-01-01T00:00:00Z"
        self._changed()

    def remove_finalizers(self) -> None:
        """Somebody takes all finalizers away."""
        self.kube.objects[self.path]["metadata"]["finalizers"] = []
        self._changed()

    def _changed(self) -> None:
        self.kube.version += 1
        self.kube.objects[self.path]["metadata"]["resourceVersion"] = str(self.kube.version)
        self.store.put(self.kube.objects[self.path])


class ImpatientClock(ManualClock):
    """Sleeping takes no time to wait for, but it passes."""

    async def sleep(self, seconds: float) -> None:
        self._elapsed += seconds


def two_steps() -> World:
    return World(make_rollout().step("few", percent=10, hold="1h").step("all", percent=100).obj())


def judged() -> World:
    """A rollout that a bad ratio takes back."""
    rollout = make_rollout().indicator("error_ratio").step("few", percent=10, hold="1h")
    return World(rollout.with_spec(rollback=["error_ratio > 1% for 1m"], interval="10s").obj())


def answer_with(world: World, ratio: float) -> None:
    end = world.clock.now().timestamp()
    times = tuple(end - 10.0 * back for back in reversed(range(40)))
    world.source.answer = Answered((("on", Series(times, (ratio,) * 40)),))


async def break_it(world: World) -> None:
    """Users are in, and then the ratio is bad."""
    answer_with(world, 0.001)
    await world.run(2)
    assert world.phase == "Progressing"
    answer_with(world, 0.5)
