"""Writes of status: merge patches that are small and exact, a few at a time."""

import asyncio
import copy
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from pilotage.controller.clock import SystemClock
from pilotage.controller.rollouts import Rollouts, merge_patch
from pilotage.controller.rush import Rush
from pilotage.controller.store import RolloutStore
from pilotage.kube import Kube
from tests.builders import make_rollout
from tests.unit.controller_world import Lead, merge

VALUES = st.recursive(
    st.integers(0, 3) | st.sampled_from(["a", ""]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4)


def without_empty(value: Any) -> Any:
    """A merge patch can't tell an object that is empty from one that is not there, and no status needs it to."""
    if not isinstance(value, dict):
        return value
    kept = {name: without_empty(part) for name, part in value.items()}
    return {name: part for name, part in kept.items() if part != {}}


@given(OBJECTS, OBJECTS)
def test_the_patch_turns_the_old_into_the_new(old: dict[str, Any], new: dict[str, Any]) -> None:
    old, new = without_empty(old), without_empty(new)
    patched = copy.deepcopy(old)
    merge(patched, merge_patch(old, new))
    assert without_empty(patched) == new


@given(OBJECTS)
def test_nothing_is_sent_when_nothing_has_changed(value: dict[str, Any]) -> None:
    assert merge_patch(value, copy.deepcopy(value)) == {}


def test_what_is_gone_is_named_and_what_stays_is_not() -> None:
    old = {"phase": "Progressing", "step": {"name": "few", "verifiedTime": "now"}, "rollback": {"reason": "x"}}
    new = {"phase": "Progressing", "step": {"name": "few"}}
    assert merge_patch(old, new) == {"rollback": None, "step": {"verifiedTime": None}}


async def test_writes_go_a_few_at_a_time_and_what_users_wait_for_does_not_wait_for_them() -> None:
    under_way: list[int] = []
    ended = asyncio.Event()

    class Hanging:
        async def patch(self, *_: Any, **__: Any) -> dict[str, Any]:
            under_way.append(1)
            await ended.wait()
            return {**rollout.to_wire(), "metadata": {**rollout.to_wire()["metadata"], "resourceVersion": "2"}}

    rollout = make_rollout().step("all", percent=100).obj()
    rollouts = Rollouts(cast("Kube", Hanging()), RolloutStore(), Lead(), Rush(SystemClock()))
    status = rollout.status.model_copy(update={"message": "changed"})
    tasks = [asyncio.create_task(rollouts.write_status(rollout, status)) for _ in range(50)]
    await asyncio.sleep(0.01)
    assert len(under_way) == 8
    tasks.append(asyncio.create_task(rollouts.write_status(rollout, status, urgent=True)))
    await asyncio.sleep(0.01)
    assert len(under_way) == 9
    ended.set()
    await asyncio.gather(*tasks)
    assert len(under_way) == 51
