"""Which decisions an operator knows of, whom a new one concerns, and what it does about them."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pilotage.backtest.replay import fresh
from pilotage.controller.decisions import DecisionStore
from pilotage.controller.reconcile import Reconciler
from pilotage.controller.schedule import Key
from pilotage.controller.store import RolloutStore
from pilotage.resources.gates import CHANGED_BY
from tests.builders import make_rollout
from tests.unit.controller_world import World
from tests.unit.test_gates import SECURITY, gated

SEARCH, CART = Key("shop", "search"), Key("shop", "cart")


def body(version: int, name: str = "d1", **spec: Any) -> dict[str, Any]:
    said = {"rollout": "search", "action": "pause", "by": "sue", "reason": "as agreed", **spec}
    created = "2026-03-02T09:00:07Z"
    metadata = {"name": name, "namespace": "shop", "resourceVersion": str(version), "uid": f"uid-{name}"}
    return {"metadata": {**metadata, "creationTimestamp": created}, "spec": said}


def names(decisions: DecisionStore, rollout: Key) -> list[str]:
    return [each.name for each in decisions.of(rollout)]


def test_a_decision_is_known_by_the_rollout_that_it_is_about() -> None:
    decisions = DecisionStore()
    assert decisions.put(body(1)) == SEARCH
    assert decisions.put(body(2, "d2", rollout="cart")) == CART
    assert (names(decisions, SEARCH), names(decisions, CART)) == (["d1"], ["d2"])
    [known] = decisions.of(SEARCH)
    assert (known.uid, known.spec.by) == ("uid-d1", "sue")
    assert known.created_at == datetime(2026, 3, 2, 9, 0, 7, tzinfo=UTC)


def test_what_is_not_new_asks_for_nothing() -> None:
    decisions = DecisionStore()
    decisions.put(body(5))
    assert decisions.put(body(4)) is None
    assert decisions.put(body(5)) is None
    assert decisions.put(body(6)) is None, "a label was changed"


def test_a_decision_that_is_gone_is_known_no_more_unless_it_came_anew() -> None:
    decisions = DecisionStore()
    decisions.put(body(5))
    decisions.remove(Key("shop", "d1"), 4)
    assert names(decisions, SEARCH) == ["d1"]
    decisions.remove(Key("shop", "d1"), 6)
    assert names(decisions, SEARCH) == []
    assert decisions.versions == {}


def test_a_decision_that_can_not_be_read_is_none_and_holds_nobody_up() -> None:
    decisions = DecisionStore()
    assert decisions.put(body(1, action="bless")) is None
    assert names(decisions, SEARCH) == []
    assert decisions.versions == {Key("shop", "d1"): 1}, "or each sweep would fetch it again"
    assert decisions.put(body(2)) == SEARCH


def test_of_all_annotations_only_the_author_is_kept() -> None:
    store = RolloutStore()
    rollout = make_rollout().step(percent=100).obj()
    metadata = {**rollout.metadata.to_wire(), "resourceVersion": "5", "uid": "u"}
    metadata["annotations"] = {CHANGED_BY: "sue", "kubectl.kubernetes.io/last-applied-configuration": "x" * 9000}
    store.put({"metadata": metadata, "spec": rollout.spec.to_wire()})
    kept = store.get(SEARCH)
    assert kept
    assert kept.metadata.annotations == {CHANGED_BY: "sue"}


async def test_a_run_follows_a_decision_and_writes_it_into_the_status() -> None:
    world = World(make_rollout().step("all", percent=100, hold="1h").obj())
    decisions = DecisionStore()
    reconciler = Reconciler(replace(world.reconciler._tools, decisions=decisions.of))
    await reconciler.run(SEARCH)
    decisions.put(body(1))
    await reconciler.run(SEARCH)
    known = world.store.get(SEARCH)
    assert known
    assert known.status.pause
    assert (known.status.phase, known.status.pause.by) == ("Paused", "sue")


def test_a_backtest_takes_people_to_agree() -> None:
    rollout = gated(SECURITY).obj()
    assert [step.gates for step in rollout.spec.steps] == [(), ("security",), ()]
    assert [step.gates for step in fresh(rollout).spec.steps] == [(), (), ()]
