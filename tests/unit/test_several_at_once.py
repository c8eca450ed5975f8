"""Many rollouts whose runs overlap in one leader: what one decides counts for the others before it is written."""

import asyncio
import random
from typing import Any, cast

import pytest

from pilotage.controller.effects import Effects
from pilotage.controller.events import EventPoster
from pilotage.controller.evidence import Gatherer
from pilotage.controller.incidents import IncidentStore
from pilotage.controller.neighbours import Neighbours
from pilotage.controller.reconcile import Reconciler, Tools
from pilotage.controller.record import Recorder
from pilotage.controller.rollouts import Rollouts
from pilotage.controller.rush import Rush
from pilotage.controller.schedule import Key
from pilotage.controller.store import RolloutStore
from pilotage.controller.workqueue import WorkQueue
from pilotage.kube import Kube, KubeError
from tests.builders import make_rollout
from tests.unit.controller_world import FaultyKube, FaultyTarget, FixedSource, ImpatientClock, Lead

LIMIT, MANY = 3, 12


class SlowKube(FaultyKube):
    """Lets all others run before it answers, and fails for some."""

    unlucky: frozenset[str] = frozenset()

    async def patch(self, path: str, body: dict[str, Any], *, content_type: str, field_manager: str) -> dict[str, Any]:
        for _ in range(5):
            await asyncio.sleep(0)
        if any(f"/{name}/" in path for name in self.unlucky):
            raise KubeError(500, "InternalError")
        return await super().patch(path, body, content_type=content_type, field_manager=field_manager)


class Crowd:
    """Rollouts of one namespace, and the leader that runs them."""

    def __init__(self, names: list[str], **spec: Any) -> None:
        self.kube, self.neighbours, clock, lead = SlowKube(), Neighbours(LIMIT), ImpatientClock(), Lead()
        store = RolloutStore(self.neighbours)
        self.paths: dict[str, str] = {}
        for name in names:
            body = make_rollout(name).with_spec(**spec).step("few", percent=10, hold="1h").obj().to_wire()
            body["metadata"] |= {"resourceVersion": "100", "creationTimestamp": "2026-03-01T00:00:00Z"}
            self.paths[name] = f"/apis/pilotage.dev/v1alpha1/namespaces/shop/pilotrollouts/{name}"
            self.kube.objects[self.paths[name]] = body
            store.put(body)
        kube = cast("Kube", self.kube)
        rush = Rush(clock)
        rollouts = Rollouts(kube, store, lead, rush)
        self.reconciler = Reconciler(
            Tools(
                store=store,
                templates={},
                queue=WorkQueue(clock, chance=random.Random(1)),
                gatherer=Gatherer(kube, FixedSource(), IncidentStore(), clock),
                effects=Effects(FaultyTarget(unknown=True), rollouts, lead, clock, rush),
                rollouts=rollouts,
                recorder=Recorder(EventPoster(kube, clock, instance="test", rush=Rush(clock)), clock),
                clock=clock,
                neighbours=self.neighbours,
            )
        )

    async def run(self) -> None:
        await asyncio.gather(*(self.reconciler.run(Key("shop", name)) for name in self.paths))

    def having(self, state: str) -> list[str]:
        """The rollouts whose turn is so, as the API server has it."""
        turns = {name: self.kube.objects[path]["status"].get("turn", {}) for name, path in self.paths.items()}
        return [name for name, turn in turns.items() if turn.get("state") == state]


@pytest.fixture
def names() -> list[str]:
    return [f"rollout-{number:02}" for number in range(MANY)]


async def test_runs_that_overlap_do_not_take_one_turn_twice(names: list[str]) -> None:
    crowd = Crowd(names)
    await crowd.run()
    assert (crowd.having("Taken"), crowd.having("Awaited")) == (names[:LIMIT], names[LIMIT:])
    await crowd.run()
    assert len(crowd.having("Taken")) == LIMIT


async def test_a_turn_whose_decision_could_not_be_written_is_nobody_elses_until_that_is_known(names: list[str]) -> None:
    crowd = Crowd(names)
    crowd.kube.unlucky = frozenset(names[:1])
    await crowd.run()
    await crowd.run()
    assert crowd.having("Taken") == names[1:LIMIT], "the API server may have it, although it said that it has not"
    crowd.kube.unlucky = frozenset()
    await crowd.run()
    assert crowd.having("Taken") == names[:LIMIT]


async def test_of_two_that_claim_one_flag_at_the_same_moment_one_begins(names: list[str]) -> None:
    crowd = Crowd(names, feature={"flag": "search"})
    await crowd.run()
    assert (crowd.having("Taken"), crowd.having("Awaited")) == (names[:1], [])
