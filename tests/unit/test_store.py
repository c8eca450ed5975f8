"""The store: small, and the newest version wins whatever the order of arrival."""

import json
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.controller.schedule import Key
from pilotage.controller.store import RolloutStore, TemplateStore, key_of
from tests.builders import make_rollout

KEY = Key("shop", "search")


def body(version: int, *, generation: int = 1, uid: str = "uid-1", **status: Any) -> dict[str, Any]:
    made = make_rollout().step("few", percent=10).obj().to_wire()
    made["metadata"] |= {"resourceVersion": str(version), "generation": generation, "uid": uid}
    made["metadata"]["managedFields"] = [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}] * 20
    made["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": "x" * 2000}
    made["status"] = status
    return made


def test_a_rollout_is_read_back_as_it_was() -> None:
    store = RolloutStore()
    store.put(body(5, phase="Progressing", message="on its way"))
    rollout = store.get(KEY)
    assert rollout is not None
    assert (rollout.metadata.resource_version, rollout.status.phase) == ("5", "Progressing")
    assert rollout.spec.steps[0].percent == 10


def test_what_nobody_reads_is_not_kept() -> None:
    store = RolloutStore()
    store.put(body(5))
    kept = store.peek(KEY)
    assert kept is not None
    text = zlib.decompress(kept.data)
    assert b"managedFields" not in text
    assert b"last-applied" not in text
    assert len(text) < len(json.dumps(body(5))) / 3


@given(st.permutations([3, 4, 5, 9, 10, 11]))
def test_the_newest_version_wins_in_any_order(versions: list[int]) -> None:
    store = RolloutStore()
    for version in versions:
        store.put(body(version))
    kept = store.peek(KEY)
    assert kept is not None
    assert kept.version == 11


@pytest.mark.parametrize(
    ("after", "asks"),
    [
        (body(6, phase="Holding"), False),
        (body(6, generation=2), True),
        (body(6, uid="uid-2"), True),
        (body(5, generation=2), False),
    ],
)
def test_only_what_a_person_changes_asks_for_a_run(after: dict[str, Any], asks: bool) -> None:
    store = RolloutStore()
    assert store.put(body(5))
    assert store.put(after) is asks


def test_a_deletion_that_waits_for_finalizers_asks_for_a_run() -> None:
    store = RolloutStore()
    store.put(body(5))
    deleted = body(6)
    deleted["metadata"]["deletionTimestamp"] = "2030-01-01T00:00:00Z"
    assert store.put(deleted)


def test_what_is_gone_is_not_brought_back_by_an_answer_that_was_on_its_way() -> None:
    store = RolloutStore()
    store.put(body(5))
    assert store.remove(KEY, 7)
    assert not store.put(body(6))
    assert KEY not in store
    assert store.put(body(8, uid="uid-2"))


def test_a_late_deletion_does_not_take_the_new_rollout_of_the_same_name() -> None:
    store = RolloutStore()
    store.put(body(9, uid="uid-2"))
    assert not store.remove(KEY, 7)
    assert KEY in store


@pytest.mark.parametrize(
    ("phase", "observed", "settled"),
    [("Completed", 1, True), ("RolledBack", 1, True), ("Completed", 0, False), ("Progressing", 1, False)],
)
def test_what_rests_is_told_from_what_moves_without_parsing(phase: str, observed: int, settled: bool) -> None:
    store = RolloutStore()
    store.put(body(5, phase=phase, observedGeneration=observed))
    kept = store.peek(KEY)
    assert kept is not None
    assert kept.settled is settled


def test_what_may_be_tried_again_is_looked_at_at_once_after_a_restart() -> None:
    store = RolloutStore()
    back = body(5, phase="RolledBack", observedGeneration=1)
    back["spec"]["onRollback"] = {"retry": {"after": "24h"}}
    store.put(back)
    kept = store.peek(KEY)
    assert kept is not None
    assert not kept.settled


def test_the_users_of_a_template_are_found() -> None:
    store = RolloutStore()
    made = body(5)
    made["spec"]["indicators"] = [{"name": "errors", "templateRef": "http-errors"}, {"name": "p95", "query": "x"}]
    store.put(made)
    assert store.using("http-errors") == [key_of(made)] == [KEY]
    assert store.using("latency") == []


def template(version: int, query: str = "up") -> dict[str, Any]:
    return {"metadata": {"name": "http-errors", "resourceVersion": str(version)}, "spec": {"query": query}}


def test_a_template_asks_for_runs_only_when_its_spec_changes() -> None:
    templates = TemplateStore()
    assert templates.put(template(5))
    assert not templates.put(template(6))
    assert templates.put(template(7, query="down"))
    assert not templates.put(template(6))
    assert templates.specs["http-errors"].query == "down"
    assert templates.remove("http-errors", 8)
    assert templates.versions == {}


def test_a_template_that_can_not_be_read_counts_as_none() -> None:
    templates = TemplateStore()
    templates.put(template(5))
    assert templates.put({**template(6), "spec": {"query": 7}})
    assert templates.specs == {}
    assert templates.versions == {Key("", "http-errors"): 6}
