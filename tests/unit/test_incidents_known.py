"""Which incidents a rollout is judged by, whom a change of one concerns, and what is said while they are not known."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pilotage.controller.incidents import IncidentStore
from pilotage.controller.schedule import Key
from pilotage.controller.store import RolloutStore
from tests.builders import make_rollout
from tests.unit.controller_world import World

SEARCH, CART = Key("shop", "search"), Key("shop", "cart")
EVERYBODY = Key("shop", "")
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def body(version: int, name: str = "db-down", namespace: str = "shop", **spec: Any) -> dict[str, Any]:
    said = {"severity": "critical", "title": "it is down", "startedTime": "2026-03-02T09:00:00Z", **spec}
    return {"metadata": {"name": name, "namespace": namespace, "resourceVersion": str(version)}, "spec": said}


def listed() -> IncidentStore:
    incidents = IncidentStore()
    incidents.recorded_since = LONG_AGO
    return incidents


def names(incidents: IncidentStore, rollout: Key) -> set[str]:
    found = incidents.of(rollout)
    assert found is not None
    return {incident.name for incident in found}


def test_a_rollout_has_its_own_incidents_and_those_of_its_namespace() -> None:
    incidents = listed()
    incidents.put(body(1, "of-search", rollout="search"))
    incidents.put(body(2, "of-all"))
    incidents.put(body(3, "of-another-team", namespace="bank"))
    assert names(incidents, SEARCH) == {"of-search", "of-all"}
    assert names(incidents, CART) == {"of-all"}


def test_until_all_are_listed_nothing_is_known() -> None:
    incidents = IncidentStore()
    incidents.put(body(1))
    assert incidents.of(SEARCH) is None


def test_an_incident_that_can_not_be_read_is_not_taken_for_none() -> None:
    incidents = listed()
    incidents.put(body(1, severity="apocalyptic", rollout="search"))
    assert incidents.of(SEARCH) is None
    assert incidents.of(CART) == ()
    incidents.put(body(2, rollout="search"))
    assert names(incidents, SEARCH) == {"db-down"}


def test_a_change_concerns_whom_it_concerned_before_and_after() -> None:
    incidents = listed()
    assert incidents.put(body(1)) == {EVERYBODY}
    assert incidents.put(body(2)) == frozenset(), "nothing has changed"
    assert incidents.put(body(3, rollout="search")) == {EVERYBODY, SEARCH}
    assert incidents.put(body(4, rollout="search", title="another text")) == frozenset()
    assert incidents.put(body(5, rollout="search", resolvedTime="2026-03-02T10:00:00Z")) == {SEARCH}
    assert incidents.put(body(4, rollout="cart")) == frozenset(), "it is older"
    assert incidents.remove(Key("shop", "db-down"), 4) == frozenset(), "it was made anew since"
    assert incidents.remove(Key("shop", "db-down"), 6) == {SEARCH}
    assert incidents.of(SEARCH) == ()


def test_only_rollouts_whose_criteria_count_incidents_are_asked_to_run() -> None:
    store = RolloutStore()
    for name, go in (("search", ["incidents(open) == 0"]), ("cart", ["incidents(any) < 3 in 7d"]), ("plain", [])):
        made = make_rollout(name).step("few", percent=10).with_spec(go=go).obj().to_wire()
        store.put({**made, "metadata": {**made["metadata"], "resourceVersion": "5"}})
    assert store.counting_incidents(SEARCH) == [SEARCH]
    assert set(store.counting_incidents(EVERYBODY)) == {SEARCH, CART}
    assert store.counting_incidents(Key("shop", "plain")) == []
    assert store.counting_incidents(Key("shop", "gone")) == []
    assert store.counting_incidents(Key("bank", "")) == []


def guarded(**spec: Any) -> World:
    rollout = make_rollout().step("few", percent=10).step("all", percent=100).with_spec(**spec)
    return World(rollout.obj())


async def test_an_open_incident_holds_and_the_resolved_one_lets_go() -> None:
    world = guarded(go=["incidents(critical, open) == 0"])
    world.incidents.recorded_since = LONG_AGO
    world.incidents.put(body(1))
    await world.run(3)
    assert world.rollout.status.step is not None
    assert (world.phase, world.rollout.status.step.name) == ("Holding", "few")
    assert "db-down since 2026-03-02" in world.rollout.status.history[-1].message
    world.incidents.put(body(2, resolvedTime="2026-03-02T10:00:00Z"))
    await world.run(2)
    assert world.rollout.status.step.name == "all"


async def test_while_incidents_are_not_known_nothing_goes_on_and_nothing_goes_back() -> None:
    world = guarded(go=["incidents(critical, open) == 0"], rollback=["incidents(critical, open) > 0"])
    world.incidents.put(body(1))
    await world.run(3)
    assert world.phase in ("Pending", "Holding")
    assert {finding.verdict for finding in world.rollout.status.criteria} == {"unavailable"}


@pytest.mark.parametrize("source", ["rollout", "kind"])
async def test_a_time_before_the_rollout_or_the_kind_was_there_counts_as_unknown(source: str) -> None:
    world = guarded(go=["incidents(critical, open) == 0 for 1h"])
    now = world.clock.now()
    recent = now - timedelta(minutes=10)
    world.incidents.recorded_since = recent if source == "kind" else LONG_AGO
    made = world.kube.objects[world.path]["metadata"]
    made["creationTimestamp"] = (recent if source == "rollout" else LONG_AGO).isoformat()
    world.edit()
    await world.run(3)
    (finding,) = world.rollout.status.criteria
    assert (finding.verdict, finding.since, finding.earliest) == ("pending", recent, recent + timedelta(hours=1))
