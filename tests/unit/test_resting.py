"""What a new leader may leave to the next resync, and what it looks at now."""

from datetime import UTC, datetime, timedelta

import pytest

from pilotage.controller.resting import may_wait
from pilotage.controller.schedule import Key
from pilotage.controller.store import Kept, RolloutStore
from pilotage.resources.decision import PilotDecisionSpec
from pilotage.rollout.people import HumanDecision
from tests.builders import make_rollout

DECIDED = datetime(2026, 3, 2, 9, 0, 0, 300_000, tzinfo=UTC)
LATER = DECIDED + timedelta(hours=1)


def completed(phase: str = "Completed", *, observed: int = 1) -> Kept:
    made = make_rollout().step("all", percent=100).obj().to_wire()
    made["metadata"] |= {"resourceVersion": "5", "generation": 1, "uid": "u"}
    made["status"] = {"phase": phase, "observedGeneration": observed, "history": [{"time": DECIDED.isoformat()}]}
    store = RolloutStore()
    store.put(made)
    kept = store.peek(Key("shop", "search"))
    assert kept
    return kept


def rollback(after: timedelta) -> HumanDecision:
    created = (DECIDED + after).replace(microsecond=0)  # as the API server writes it
    spec = PilotDecisionSpec(rollout="search", action="rollback", by="sue", reason="it confuses people")
    return HumanDecision("uid", "d1", created, spec)


def test_what_rests_waits() -> None:
    assert may_wait(completed(), (), LATER)
    assert may_wait(completed("RolledBack"), [rollback(-timedelta(seconds=2))], LATER)


@pytest.mark.parametrize("kept", [completed("Progressing"), completed(observed=0)], ids=["on its way", "edited since"])
def test_what_is_on_its_way_or_was_edited_does_not_wait(kept: Kept) -> None:
    assert not may_wait(kept, (), LATER)


def test_what_was_decided_lately_does_not_wait_for_the_last_leader_may_have_told_nobody() -> None:
    assert not may_wait(completed(), (), DECIDED + timedelta(seconds=50))


@pytest.mark.parametrize("after", [timedelta(milliseconds=400), timedelta(minutes=5)])
def test_a_persons_decision_that_came_when_nobody_led_does_not_wait(after: timedelta) -> None:
    assert not may_wait(completed(), [rollback(-timedelta(days=1)), rollback(after)], LATER)
