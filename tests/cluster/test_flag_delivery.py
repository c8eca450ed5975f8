"""Delivery by flags on a real API server: who writes, who may not, and what is left."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pilotage.delivery.target import DeliveryConflictError, DeliveryError, Place, Way
from pilotage.kube import REQUESTS
from pilotage.rollout.exposure import SHARE_TOTAL, Exposure
from testbed import Cluster, KubectlError, wait_until
from tests.cluster.flag_world import World

BASE = Exposure("checkout", "on", "off", "users", enrolled=("user-1", "user-2"), seed="7f3a:", revision=1)
OFF = replace(BASE, kind="off", enrolled=(), revision=9)
PROBES = tuple(f"probe-{number}" for number in range(40))


@pytest.fixture
def feature_flags(cluster: Cluster) -> Iterator[None]:
    file = str(Path(__file__).parent / "data" / "featureflags.yaml")
    cluster.kubectl("apply", "-f", file)
    cluster.kubectl("wait", "--for=condition=Established", "crd/featureflags.core.openfeature.dev")
    wait_until(
        lambda: "featureflags" in cluster.kubectl("get", "--raw", "/apis/core.openfeature.dev/v1beta1"), "the kind"
    )
    yield
    cluster.kubectl("delete", "-f", file)


def test_an_exposure_becomes_a_config_map_that_the_rollout_owns(world: World) -> None:
    target = world.target()
    assert world.run(target.apply(world.place(), BASE)) == "ConfigMap/pilot-flags"
    found = world.config_map()
    assert found["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "pilotage", "pilotage.dev/flags": "true"}
    assert world.definition()["variants"] == {"on": True, "off": False}
    assert [(field["manager"], field["operation"]) for field in found["metadata"]["managedFields"]] == [
        ("pilotage/one", "Apply")
    ]
    assert world.definition()["metadata"]["pilotage.revision"] == 1


def test_applying_the_same_again_writes_nothing(world: World) -> None:
    target = world.target()
    world.run(target.apply(world.place(), BASE))
    before = world.config_map()["metadata"]["resourceVersion"]
    world.run(target.apply(world.place(), BASE))
    world.run(target.kill([Way(world.place(), BASE)]))
    assert world.config_map()["metadata"]["resourceVersion"] == before


def test_two_rollouts_share_a_config_map(world: World) -> None:
    target = world.target()
    other = replace(BASE, flag="search", revision=5)
    world.run(target.apply(world.place(), BASE))
    world.run(target.apply(world.place("two"), other))
    world.run(target.kill([Way(world.place(), OFF)]))
    assert sorted(world.config_map()["data"]) == ["checkout.json", "search.json"]
    assert world.definition("search")["metadata"]["pilotage.revision"] == 5
    assert world.definition("checkout")["metadata"]["pilotage.revision"] == 9


def patches() -> float:
    """How many this process has sent, whatever came of them."""
    sent = (sample for metric in REQUESTS.collect() for sample in metric.samples if sample.labels["method"] == "PATCH")
    return sum(sample.value for sample in sent if sample.name == "rest_client_requests_total")


def test_two_are_taken_back_by_one_write_and_grow_again_each_for_itself(world: World) -> None:
    target = world.target()
    ways = [Way(world.place(), OFF), Way(world.place("two"), replace(OFF, flag="search"))]
    world.run(target.apply(world.place(), BASE))
    world.run(target.apply(world.place("two"), replace(BASE, flag="search")))
    before = patches()
    assert world.run(target.kill(ways)) == "ConfigMap/pilot-flags"
    assert patches() == before + 1
    assert world.definition()["targeting"] == world.definition("search")["targeting"] == {"if": [True, "off", "off"]}
    assert world.run(target.verify(world.place(), BASE, PROBES)).taken_back
    world.run(target.apply(world.place(), replace(BASE, revision=10)))
    assert world.definition()["metadata"]["pilotage.revision"] == 10
    assert world.definition("search")["metadata"]["pilotage.revision"] == 9
    edit(world, {**world.definition(), "state": "DISABLED"})
    with pytest.raises(DeliveryConflictError, match="also written by argocd"):
        world.run(target.apply(world.place(), replace(BASE, revision=11)))


def test_somebody_who_writes_a_flag_that_was_taken_back_with_others_keeps_it(world: World) -> None:
    target = world.target()
    world.run(target.apply(world.place(), BASE))
    world.run(target.kill([Way(world.place(), OFF), Way(world.place("two"), replace(OFF, flag="search"))]))
    edit(world, {**world.definition(), "state": "DISABLED"})
    with pytest.raises(DeliveryConflictError, match="also written by argocd"):
        world.run(target.apply(world.place(), replace(BASE, revision=10)))


def test_several_that_can_not_go_in_one_write_can_go_one_by_one(world: World) -> None:
    target = world.target()
    ways = [Way(world.place(), OFF), Way(world.place("two"), replace(OFF, flag="search"))]
    with pytest.raises(DeliveryError, match="pilot-flags"):
        world.run(target.kill(ways))  # there is no ConfigMap yet
    for way in ways:
        world.run(target.kill([way]))
    assert sorted(world.config_map()["data"]) == ["checkout.json", "search.json"]


def edit(world: World, definition: dict[str, Any]) -> None:
    """What `kubectl edit --server-side --field-manager=argocd` does."""
    manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "pilot-flags", "namespace": world.namespace},
        "data": {"checkout.json": json.dumps(definition)},
    }
    world.cluster.apply(manifest, arguments=("--server-side", "--field-manager=argocd", "--force-conflicts"))


def test_growth_waits_while_another_manager_writes_the_flag_and_a_kill_does_not(world: World) -> None:
    target = world.target()
    grown = replace(BASE, enrolled=("user-1", "user-2", "user-3"), revision=2)
    world.run(target.apply(world.place(), BASE))
    edit(world, {**world.definition(), "state": "DISABLED"})
    with pytest.raises(DeliveryConflictError, match="also written by argocd: take it out there"):
        world.run(target.apply(world.place(), grown))
    assert world.definition()["state"] == "DISABLED"
    world.run(target.kill([Way(world.place(), OFF)]))
    assert world.definition()["targeting"] == {"if": [True, "off", "off"]}
    world.run(target.apply(world.place(), replace(grown, revision=10)))
    assert world.definition()["metadata"]["pilotage.revision"] == 10


class Blind:
    """Reads the ConfigMap as it was before the other manager came."""

    def __init__(self, world: World) -> None:
        self._operator = world.operator
        self._before = world.config_map()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._operator, name)

    async def get(self, path: str) -> dict[str, Any]:
        return self._before if path.endswith("/pilot-flags") else await self._operator.get(path)


def test_a_conflict_that_comes_between_reading_and_writing_is_found_by_the_server(world: World) -> None:
    target = world.target()
    world.run(target.apply(world.place(), BASE))
    target._kube = Blind(world)  # type: ignore[assignment]
    edit(world, {**world.definition(), "state": "DISABLED"})
    with pytest.raises(DeliveryConflictError, match="checkout is also written by argocd"):
        world.run(target.apply(world.place(), replace(BASE, revision=2)))


def test_what_somebody_takes_over_at_the_same_moment_is_left_to_them(world: World) -> None:
    target = world.target()
    world.run(target.apply(world.place(), BASE))
    world.run(target.release(world.place(), OFF))
    target._kube = Blind(world)  # type: ignore[assignment]
    edit(world, {**world.definition(), "state": "DISABLED"})
    with pytest.raises(DeliveryError, match="changes too often to be written"):
        world.run(target.apply(world.place(), replace(BASE, revision=1)))
    assert world.definition()["state"] == "DISABLED"


def test_growth_that_would_take_the_feature_from_somebody_is_refused(world: World) -> None:
    target = world.target()
    share = replace(BASE, kind="percent", share=SHARE_TOTAL // 2, revision=2)
    world.run(target.apply(world.place(), share))
    for smaller in (
        replace(share, share=SHARE_TOTAL // 3, revision=3),
        replace(share, seed="other:", revision=3),
        replace(share, criteria=("orders > 10",), revision=3),
    ):
        with pytest.raises(DeliveryError, match="would take checkout from users who have it"):
            world.run(target.apply(world.place(), smaller))
    assert world.definition()["metadata"]["pilotage.revision"] == 2
    world.run(target.kill([Way(world.place(), replace(share, share=SHARE_TOTAL // 3, revision=3))]))
    assert world.definition()["metadata"]["pilotage.revision"] == 3


def test_without_a_flag_service_verify_reads_the_object_back(world: World) -> None:
    target = world.target()
    assert "is not served yet" in world.run(target.verify(world.place(), BASE, PROBES)).message
    world.run(target.apply(world.place(), BASE))
    assert world.run(target.verify(world.place(), BASE, PROBES)).in_force
    other = world.run(target.verify(world.place(), replace(BASE, revision=2), PROBES))
    assert not other.in_force
    assert "at revision 1, not 2" in other.message


def test_release_leaves_the_final_state_and_nobody_owns_it(world: World) -> None:
    target = world.target()
    world.run(target.apply(world.place(), BASE))
    world.run(target.apply(world.place("two"), replace(BASE, flag="search")))
    world.run(target.release(world.place(), replace(BASE, kind="full", revision=7)))
    assert world.definition()["metadata"]["pilotage.revision"] == 7
    assert [field["manager"] for field in world.config_map()["metadata"]["managedFields"]] == ["pilotage/two"]
    again = replace(BASE, kind="full", revision=8)
    world.run(target.apply(world.place("three"), again))
    assert world.definition()["metadata"]["pilotage.revision"] == 8


def test_the_last_one_to_release_leaves_no_owner_at_all(world: World) -> None:
    target = world.target()
    world.run(target.apply(world.place(), BASE))
    world.run(target.release(world.place(), OFF))
    assert "managedFields" not in world.config_map()["metadata"]
    assert world.definition()["targeting"] == {"if": [True, "off", "off"]}


def test_what_nobody_owns_any_more_is_taken_over_by_the_next(world: World) -> None:
    target = world.target()
    world.run(target.apply(world.place(), BASE))
    world.run(target.release(world.place(), OFF))
    # An entry that stays without an owner gets `before-first-apply` for one when the next flag is applied beside it.
    world.run(target.apply(world.place("two"), replace(BASE, flag="search")))
    world.run(target.apply(world.place("three"), replace(BASE, revision=1)))
    assert world.definition()["metadata"]["pilotage.revision"] == 1
    world.run(target.release(world.place("two"), replace(OFF, flag="search")))
    world.run(target.release(world.place("three"), OFF))
    world.run(target.apply(world.place("four"), replace(BASE, revision=1)))
    assert world.definition()["metadata"]["pilotage.exposure"] == BASE.kind


def test_a_namespace_that_is_going_does_not_hold_a_release_up(world: World) -> None:
    """A finalizer of a rollout that waits for its flag would hold its namespace for ever."""
    held = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "held", "finalizers": ["test.local/hold"]}}
    world.cluster.apply(held, arguments=("--namespace", world.namespace))
    world.cluster.kubectl("delete", "namespace", world.namespace, "--wait=false")
    wait_until(lambda: _is_terminating(world), "a namespace that takes no new objects")
    world.run(world.target().release(world.place(), OFF))
    world.cluster.kubectl("patch", "configmap", "held", "-n", world.namespace, "--type=json", "-p", _LET_GO)


_LET_GO = '[{"op": "remove", "path": "/metadata/finalizers"}]'


def _is_terminating(world: World) -> bool:
    try:
        world.cluster.kubectl("create", "configmap", "late", "-n", world.namespace)
    except KubectlError as error:
        return "being terminated" in error.stderr
    return False


def test_a_config_map_of_somebody_else_is_not_written_even_by_force(world: World) -> None:
    world.cluster.kubectl("create", "configmap", "pilot-flags", "-n", world.namespace, "--from-literal=theirs=1")
    target = world.target()
    both = [Way(world.place(), BASE), Way(world.place("two"), replace(BASE, flag="search"))]
    for call in (target.apply(world.place(), BASE), target.kill(both[:1]), target.kill(both)):
        with pytest.raises(DeliveryError, match=r"not Pilotage's: make the rollout anew with another name in spec"):
            world.run(call)
    assert world.config_map()["data"] == {"theirs": "1"}


def test_without_rights_the_message_names_the_remedy(world: World) -> None:
    target = world.target()
    elsewhere = Place("default", "pilot-flags", "pilotage/one")
    kill = target.kill([Way(elsewhere, BASE)])
    for call in (target.apply(elsewhere, BASE), kill, target.release(elsewhere, BASE)):
        with pytest.raises(DeliveryError, match="bind ClusterRole pilotage-delivery"):
            world.run(call)


def feature_flag(world: World) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        world.cluster.kubectl(
            "get", "featureflag", "pilot-flags", "-n", world.namespace, "-o", "json", "--show-managed-fields"
        )
    )
    return found


@pytest.mark.usefixtures("feature_flags")
def test_where_the_kind_is_installed_a_feature_flag_is_written_beside_what_others_own(world: World) -> None:
    """The flags of other people in the same object stay theirs."""
    theirs = {
        "apiVersion": "core.openfeature.dev/v1beta1",
        "kind": "FeatureFlag",
        "metadata": {"name": "pilot-flags", "namespace": world.namespace},
        "spec": {"flagSpec": {"flags": {"banner": {
            "state": "ENABLED", "variants": {"red": "r", "blue": "b"}, "defaultVariant": "red"}}}},
    }  # fmt: skip
    world.cluster.apply(theirs, arguments=("--server-side", "--field-manager=argocd"))
    target = world.target()
    assert world.run(target.apply(world.place(), BASE)) == "FeatureFlag/pilot-flags"
    assert feature_flag(world)["spec"]["flagSpec"]["flags"]["checkout"]["metadata"]["pilotage.revision"] == 1
    grown = replace(BASE, kind="percent", share=SHARE_TOTAL // 10, criteria=("orders > 10",), revision=2)
    world.run(target.apply(world.place(), grown))
    world.run(target.apply(world.place(), replace(grown, kind="full", revision=3)))
    assert world.run(target.verify(world.place(), replace(grown, kind="full", revision=3), PROBES)).in_force
    world.run(target.kill([Way(world.place(), OFF)]))
    flags = feature_flag(world)["spec"]["flagSpec"]["flags"]
    assert flags["checkout"]["targeting"] == {"if": [True, "off", "off"]}
    assert flags["banner"] == theirs["spec"]["flagSpec"]["flags"]["banner"]  # type: ignore[index]
    world.run(target.release(world.place(), OFF))
    assert [field["manager"] for field in feature_flag(world)["metadata"]["managedFields"]] == ["argocd"]
    with pytest.raises(KubectlError):
        world.config_map()


@pytest.mark.usefixtures("feature_flags")
def test_a_conflict_on_a_feature_flag_names_the_other_manager(world: World) -> None:
    target = world.target()
    world.run(target.apply(world.place(), BASE))
    theirs = {
        "apiVersion": "core.openfeature.dev/v1beta1",
        "kind": "FeatureFlag",
        "metadata": {"name": "pilot-flags", "namespace": world.namespace},
        "spec": {"flagSpec": {"flags": {"checkout": {
            "state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "on"}}}},
    }  # fmt: skip
    world.cluster.apply(theirs, arguments=("--server-side", "--field-manager=flux", "--force-conflicts"))
    with pytest.raises(
        DeliveryConflictError, match="FeatureFlag/pilot-flags: the flag checkout is also written by flux"
    ):
        world.run(target.apply(world.place(), replace(BASE, kind="full", revision=2)))


def test_a_kind_that_is_installed_later_is_found_within_a_minute(world: World, request: pytest.FixtureRequest) -> None:
    seconds = 0.0
    target = world.target(monotonic=lambda: seconds)
    assert world.run(target.apply(world.place(), BASE)) == "ConfigMap/pilot-flags"
    request.getfixturevalue("feature_flags")
    seconds = 59.0
    grown = replace(BASE, enrolled=(*BASE.enrolled, "user-3"), revision=2)
    assert world.run(target.apply(world.place(), grown)) == "ConfigMap/pilot-flags"
    seconds = 61.0
    assert world.run(target.kill([Way(world.place(), OFF)])) == "FeatureFlag/pilot-flags"
