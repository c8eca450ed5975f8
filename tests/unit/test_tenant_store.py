"""What is known of TenantQuotas: the newest wins, and a namespace is one tenant's or nobody's."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pilotage.controller.tenants.store import TenantStore


def body(name: str, version: int, *namespaces: str, generation: int = 1, **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "uid": f"uid-{name}", "resourceVersion": str(version), "generation": generation}
    return {"metadata": metadata, "spec": {"namespaces": list(namespaces), **spec}}


def test_the_newest_wins_in_whatever_order_they_come() -> None:
    store = TenantStore()
    assert store.put(body("a", 5, "shop"))
    assert not store.put(body("a", 4, "cafe", generation=2))
    assert store.claiming("shop") == ("a",)
    assert store.claiming("cafe") == ()


def test_our_own_status_asks_for_no_run_and_a_persons_change_does() -> None:
    store = TenantStore()
    assert store.put(body("a", 1))
    assert not store.put(body("a", 2))
    assert store.put(body("a", 3, generation=2))


def test_what_was_deleted_does_not_come_back_with_an_event_that_was_on_its_way() -> None:
    store = TenantStore()
    store.put(body("a", 5, "shop"))
    assert store.remove("a", 6)
    assert not store.put(body("a", 5, "shop"))
    assert store.get("a") is None
    assert store.claiming("shop") == ()
    assert store.put(body("a", 7, "shop"))  # made anew
    assert not store.remove("a", 6)
    assert store.of_namespace("shop") is not None


def test_a_namespace_that_two_claim_is_nobodys() -> None:
    store = TenantStore()
    store.put(body("a", 1, "shop"))
    assert (found := store.of_namespace("shop")) is not None
    assert found.metadata.name == "a"
    store.put(body("b", 2, "shop", "cafe"))
    assert store.of_namespace("shop") is None
    assert store.claiming("shop") == ("a", "b")
    store.put(body("b", 3, "cafe", generation=2))
    assert store.claiming("shop") == ("a",)


def test_what_can_not_be_read_is_known_and_is_nobodys_quota() -> None:
    store = TenantStore()
    store.put(body("a", 1, "shop"))
    assert store.put(body("a", 2, "shop", state="of a newer version"))
    assert store.get("a") is None
    assert "a" in store
    assert store.of_namespace("shop") is None


NAMES = st.sampled_from(["a", "b", "c"])
NAMESPACES = st.frozensets(st.sampled_from(["x", "y", "z"]), max_size=3)


@given(st.lists(st.tuples(NAMES, st.one_of(st.none(), NAMESPACES)), max_size=30))
def test_claims_are_those_of_the_specs_whatever_has_happened(changes: list[tuple[str, frozenset[str] | None]]) -> None:
    store, meant = TenantStore(), dict[str, frozenset[str]]()
    for version, (name, namespaces) in enumerate(changes, start=1):
        if namespaces is None:
            store.remove(name, version)
            meant.pop(name, None)
        else:
            store.put(body(name, version, *sorted(namespaces), generation=version))
            meant[name] = namespaces
    for namespace in ("x", "y", "z"):
        assert store.claiming(namespace) == tuple(sorted(n for n, listed in meant.items() if namespace in listed))
