"""What is known of a namespace's rollouts says what they ask of its workloads."""

from typing import Any

import pytest

from pilotage.controller.store import RolloutStore
from pilotage.controller.tenants.scaling_demands import RolloutDemands
from pilotage.tenancy.scaling_demands import Demand
from tests.builders import make_rollout

CAPACITY = {"target": "Deployment web", "minimum": 3, "step": "many", "askedTime": "2026-03-02T09:00:00Z"}
BACK = {"direction": "back", "revision": 2}
WEB = ("Deployment", "web")


def known(*, namespace: str = "shop", **status: Any) -> RolloutDemands:
    body = make_rollout().with_spec(delivery={"workload": {"name": "web"}}).step("many", percent=50).obj().to_wire()
    body["metadata"] |= {"namespace": namespace, "resourceVersion": "5", "generation": 1, "uid": "u"}
    body["status"] = status
    store = RolloutStore()
    store.put(body)
    return RolloutDemands(store)


@pytest.mark.parametrize(
    ("status", "demand"),
    [
        ({"phase": "Progressing", "capacity": CAPACITY}, Demand("search", WEB, 3)),
        ({"phase": "RollingBack"}, Demand("search", WEB, leaving=True)),
        ({"phase": "Progressing", "delivery": BACK}, Demand("search", WEB, leaving=True)),
    ],
    ids=["capacity before users", "all users leave", "some users leave"],
)
def test_a_rollout_asks_for_replicas(status: dict[str, Any], demand: Demand) -> None:
    assert known(**status).of("shop") == (demand,)


def test_others_ask_for_nothing() -> None:
    assert known(phase="Progressing").of("shop") == ()
    assert known(namespace="other", phase="RollingBack").of("shop") == ()
