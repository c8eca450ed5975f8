"""Neighbours: what the shell knows of several rollouts, kept up with every change, and whom it wakes."""

from typing import Any

import pytest

from pilotage.controller.neighbours import Neighbours, Tenancy, facts_of
from pilotage.controller.schedule import Key
from pilotage.resources.rollout import PilotRollout
from pilotage.resources.status import PilotRolloutStatus, TurnStatus
from pilotage.rollout.several import Line, Predecessor
from tests.builders import make_rollout
from tests.pilot import NOW


class Neighbourhood:
    """Rollouts of one namespace, as the store would tell of them."""

    def __init__(self, limit: int | None = None) -> None:
        self.neighbours = Neighbours(limit)
        self.woken: list[str] = []
        self.neighbours.wake = lambda keys: self.woken.extend(key.name for key in keys)
        self.rollouts: dict[str, PilotRollout] = {}

    def put(self, name: str, *, created: str = "2026-03-01T00:00:00Z", status: Any = None, **spec: Any) -> None:
        rollout = make_rollout(name).with_spec(**spec).step("all", percent=100).obj()
        rollout = rollout.model_copy(update={"status": PilotRolloutStatus.model_validate(status or {})})
        body = rollout.to_wire()
        body["metadata"]["creationTimestamp"] = created
        self.rollouts[name] = rollout
        self.woken.clear()
        self.neighbours.put(Key("shop", name), facts_of(body))

    def remove(self, name: str) -> None:
        self.woken.clear()
        self.neighbours.remove(Key("shop", name))

    def rival_of(self, name: str) -> str:
        return self.neighbours.seen_by(self.rollouts[name]).rival

    def line_of(self, name: str) -> Line:
        return self.neighbours.seen_by(self.rollouts[name]).cluster


FLAG = {"flag": "search"}
COHORT = {"seed": "s:", "order": ["on", "off"], "hashGeneration": "cbor", "bucketBy": "targetingKey"}
BEGUN = {"cohort": COHORT, "phase": "Progressing", "mode": "enforce"}


def turn(state: str, minute: int = 0) -> dict[str, Any]:
    limit = {"limit": "cluster"} if state == "Awaited" else {}
    return {"turn": {"state": state, "since": f"2026-03-02T09:{minute:02}:00Z", **limit}}


def test_the_older_claim_comes_first_then_the_name() -> None:
    them = Neighbourhood()
    them.put("younger", created="2026-03-02T00:00:00Z", feature=FLAG)
    them.put("b", feature=FLAG)
    them.put("a", feature=FLAG)
    them.put("other")
    assert [them.rival_of(name) for name in ("a", "b", "younger", "other")] == ["", "a", "a", ""]


def test_who_has_begun_comes_before_who_is_older() -> None:
    them = Neighbourhood()
    them.put("younger", created="2026-03-02T00:00:00Z", status=BEGUN, feature=FLAG)
    them.put("older", feature=FLAG)
    assert (them.rival_of("older"), them.rival_of("younger")) == ("younger", "")


def test_other_documents_other_namespaces_and_observers_claim_another_flag_or_none() -> None:
    them = Neighbourhood()
    them.put("first", mode="observe", feature=FLAG)
    them.put("second", delivery={"flags": {"name": "other-flags"}}, feature=FLAG)
    them.put("third", feature=FLAG)
    assert them.rival_of("third") == ""
    them.put("first", mode="enforce", feature=FLAG)
    assert them.rival_of("third") == "first"
    them.put("first", mode="observe", status={**BEGUN, "mode": "observe"}, feature=FLAG)
    assert them.rival_of("third") == ""
    assert them.woken == ["third"]


def test_when_the_first_goes_those_who_wait_for_the_flag_are_woken() -> None:
    them = Neighbourhood()
    them.put("first", status=BEGUN, feature=FLAG)
    them.put("second", feature=FLAG)
    assert them.woken == []
    them.remove("first")
    assert (them.woken, them.rival_of("second")) == (["second"], "")


def test_followers_are_woken_when_what_they_wait_for_is_completed_or_gone() -> None:
    them = Neighbourhood()
    them.put("later", after=["base", "index"])
    seen = them.neighbours.seen_by(them.rollouts["later"])
    assert seen.predecessors == (Predecessor("base"), Predecessor("index"))
    them.put("base", status={"phase": "Progressing"})
    assert them.woken == ["later"]
    them.put("base", status={"phase": "Holding"})
    assert them.woken == []
    them.put("base", status={"phase": "Completed"})
    assert them.woken == ["later"]
    seen = them.neighbours.seen_by(them.rollouts["later"])
    assert seen.predecessors[0] == Predecessor("base", exists=True, phase="Completed")
    them.remove("base")
    assert them.woken == ["later"]


def test_cycles_are_found_across_rollouts() -> None:
    them = Neighbourhood()
    for name, before in (("a", "b"), ("b", "c"), ("c", "a"), ("d", "a")):
        them.put(name, after=[before])
    assert them.neighbours.seen_by(them.rollouts["b"]).cycle == ("b", "c", "a", "b")
    assert them.neighbours.seen_by(them.rollouts["d"]).cycle == ()


def test_turns_are_counted_without_oneself_and_places_in_line_by_time() -> None:
    them = Neighbourhood(limit=3)
    them.put("a", status=turn("Taken"))
    them.put("b", status=turn("Taken"))
    them.put("late", status=turn("Awaited", 9))
    them.put("soon", status=turn("Awaited", 1))
    them.put("new")
    lines = {name: (them.line_of(name).advancing, them.line_of(name).ahead) for name in them.rollouts}
    assert lines == {"a": (1, 2), "b": (1, 2), "late": (2, 1), "soon": (2, 0), "new": (2, 2)}


def test_what_is_decided_counts_before_it_is_written_and_no_longer_than_it_is_true() -> None:
    them = Neighbourhood(limit=1)
    them.put("a")
    them.put("b", status=turn("Awaited"))
    taken = PilotRolloutStatus(turn=TurnStatus(since=NOW))
    them.neighbours.decided(Key("shop", "a"), taken)
    assert them.line_of("b").advancing == 1
    them.neighbours.decided(Key("shop", "a"), PilotRolloutStatus())
    assert (them.line_of("b").advancing, them.woken) == (0, ["b"])
    them.neighbours.decided(Key("shop", "a"), taken)
    them.neighbours.forget_decided()
    assert them.line_of("b").advancing == 0
    them.neighbours.decided(Key("shop", "a"), taken)
    them.put("a", status=turn("Taken"))
    them.put("a", status={"phase": "Completed"})
    assert (them.line_of("b").advancing, them.woken) == (0, ["b"])


def test_a_free_turn_is_told_to_as_many_as_may_take_one() -> None:
    them = Neighbourhood(limit=2)
    them.put("a", status=turn("Taken"))
    for minute in range(5):
        them.put(f"w{minute}", status=turn("Awaited", minute))
    them.remove("a")
    assert them.woken == ["w0", "w1"]


@pytest.mark.parametrize("limit", [None, 2])
def test_a_tenants_turns_are_those_of_its_namespaces(limit: int | None) -> None:
    them = Neighbourhood()
    them.neighbours.tenant_of = lambda namespace: (
        Tenancy("shops", limit, ("shop", "shop-b")) if "shop" in namespace else None
    )
    them.put("a", status=turn("Taken"))
    them.put("b")
    body = them.rollouts["a"].to_wire()
    for name in ("shop-b", "else"):
        body["metadata"]["namespace"] = name
        them.neighbours.put(Key(name, "a"), facts_of(body))
    line = them.neighbours.seen_by(them.rollouts["b"]).tenant
    assert (line.limit, line.advancing, line.where) == ((2, 2, "tenant shops") if limit else (None, 0, "the cluster"))
