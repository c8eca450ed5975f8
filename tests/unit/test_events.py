"""Events: one for each transition, never in the way."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, cast
from uuid import uuid4

import pytest

from pilotage.controller.events import EventPoster, event_of
from pilotage.controller.record import Recorder
from pilotage.controller.rush import Rush
from pilotage.controller.telemetry import EVENTS
from pilotage.kube import Kube, KubeError
from pilotage.resources.rollout import PilotRollout
from pilotage.resources.status import HistoryEntry, PilotRolloutStatus
from tests.builders import make_rollout
from tests.unit.controller_world import FaultyKube, ImpatientClock

Act = Literal["Start", "Advance", "RollBack", "Throttle", "Stall", "Complete"]


def entry(sequence: int, action: Act = "Advance", at: datetime = datetime(2030, 1, 1, tzinfo=UTC)) -> HistoryEntry:
    return HistoryEntry(time=at, sequence=sequence, action=action, reason="StepEntered", message="on it goes")


def rollout_with(*entries: HistoryEntry) -> PilotRollout:
    rollout = make_rollout().step("few", percent=10).obj()
    return rollout.model_copy(update={"status": PilotRolloutStatus(history=entries)})


def posted(kube: FaultyKube) -> list[str]:
    return sorted(path.rsplit(".", 1)[1] for path in kube.objects)


async def drained(poster: EventPoster) -> None:
    task = asyncio.create_task(poster.run())
    await poster.drain()
    task.cancel()


@pytest.mark.parametrize(("action", "kind"), [("RollBack", "Warning"), ("Throttle", "Warning"), ("Start", "Normal")])
def test_what_takes_users_away_is_a_warning(action: Act, kind: str) -> None:
    event = event_of(rollout_with(), entry(3, action), instance="pod-1")
    assert event["type"] == kind
    assert event["regarding"]["uid"] == "uid-search"
    assert event["metadata"]["name"] == "search.uid-search.3"


def test_the_name_of_an_event_fits_however_long_the_rollouts_is() -> None:
    metadata = rollout_with().metadata.model_copy(update={"name": "a" * 253, "uid": str(uuid4())})
    event = event_of(rollout_with().model_copy(update={"metadata": metadata}), entry(10**9), instance="pod-1")
    assert len(event["metadata"]["name"]) <= 253


async def test_each_transition_is_told_once() -> None:
    kube, clock = FaultyKube(), ImpatientClock()
    poster = EventPoster(cast("Kube", kube), clock, instance="pod-1", rush=Rush(clock))
    recorder = Recorder(poster, clock)
    recorder.tell(rollout_with(entry(1)))
    recorder.tell(rollout_with(entry(1)))
    recorder.tell(rollout_with(entry(1), entry(2)))
    await drained(poster)
    assert posted(kube) == ["1", "2"]
    assert len(kube.paths("POST")) == 2


async def test_a_successor_tells_what_happened_last_again_and_nobody_sees_it_twice() -> None:
    kube, clock = FaultyKube(), ImpatientClock()
    old, fresh = clock.now() - timedelta(hours=1), clock.now() - timedelta(seconds=5)
    history = rollout_with(entry(1, at=old), entry(2, at=fresh))
    for instance in ("pod-1", "pod-2"):
        poster = EventPoster(cast("Kube", kube), clock, instance=instance, rush=Rush(clock))
        Recorder(poster, clock).tell(history)
        await drained(poster)
    assert posted(kube) == ["2"]
    assert len(kube.paths("POST")) == 2


async def test_an_event_that_fails_is_tried_again_and_then_dropped() -> None:
    kube = FaultyKube(failures=[KubeError(0, "Timeout"), KubeError(503, "Refused")])
    poster = EventPoster(cast("Kube", kube), ImpatientClock(), instance="pod-1", rush=Rush(ImpatientClock()))
    poster.post(rollout_with(), entry(1))
    await drained(poster)
    assert posted(kube) == ["1"]
    kube.failures = [KubeError(503, "Refused")] * 8
    poster.post(rollout_with(), entry(2))
    await drained(poster)
    assert posted(kube) == ["1"]


async def test_what_is_refused_for_good_is_not_tried_again() -> None:
    kube = FaultyKube(failures=[KubeError(403, "Forbidden")])
    poster = EventPoster(cast("Kube", kube), ImpatientClock(), instance="pod-1", rush=Rush(ImpatientClock()))
    poster.post(rollout_with(), entry(1))
    await drained(poster)
    assert len(kube.paths("POST")) == 1


def test_telling_never_waits() -> None:
    class Nobody:
        async def create(self, *_: Any) -> None:
            await asyncio.sleep(60)

    poster = EventPoster(cast("Kube", Nobody()), ImpatientClock(), instance="pod-1", rush=Rush(ImpatientClock()))
    before = EVENTS.labels("dropped")._value.get()
    for sequence in range(5100):
        poster.post(rollout_with(), entry(sequence))
    assert EVENTS.labels("dropped")._value.get() == before + 100
