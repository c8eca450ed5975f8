"""The shop, its users and what they remember."""

import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from openfeature import api
from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider

from examples.shop.metrics import ShopMetrics
from examples.shop.seen import Seen
from examples.shop.service import FEATURES, Shop
from examples.shop.users import COUNT, make_users, to_directory

Client = TestClient[web.Request, web.Application]


def test_the_users_are_the_same_in_every_process_and_each_has_a_key_of_its_own() -> None:
    users = make_users()
    assert users == make_users()
    assert len({user.key for user in users}) == COUNT == 3000
    assert users[0].key == "user-0001"
    assert users[0].attributes() == {"orders": 0, "device": "mobile", "country": "fr"}


def test_there_are_enough_users_in_the_cohorts_that_the_manifests_name() -> None:
    users = make_users()
    assert sum(user.orders > 10 for user in users) >= 50
    assert sum(user.device == "mobile" and user.country in ("de", "at", "ch") for user in users) >= 50


def test_the_directory_fits_into_a_config_map() -> None:
    text = to_directory(make_users())
    assert len(text) < 1024 * 1024
    assert json.loads(text)[1] == {"key": "user-0002", "orders": 10, "device": "mobile", "country": "de"}


def test_every_counter_is_there_at_zero_before_the_first_request() -> None:
    text = ShopMetrics(["search"]).exposition().decode()
    for name in ("http_requests_total", "http_errors_total", "conversions_total", "exposed_users"):
        for variant in ("on", "off"):
            assert f'{name}{{app="shop",feature="search",variant="{variant}"}} 0.0' in text


def test_a_user_is_counted_once_under_the_variant_that_came_last() -> None:
    metrics = ShopMetrics(["search"])
    for variant in ("off", "off", "on"):
        metrics.exposed("search", variant, "user-0001")
    metrics.exposed("search", "off", "user-0002")
    text = metrics.exposition().decode()
    assert 'exposed_users{app="shop",feature="search",variant="on"} 1.0' in text
    assert 'exposed_users{app="shop",feature="search",variant="off"} 1.0' in text


@pytest.fixture
async def shop() -> AsyncIterator[Client]:
    """A shop in which one-click checkout is on for everybody and semantic search for nobody."""
    flags = {
        "one-click-checkout": InMemoryFlag("on", {"on": True, "off": False}),
        "semantic-search": InMemoryFlag("off", {"on": True, "off": False}),
    }
    api.set_provider(InMemoryProvider(flags))
    async with TestClient(TestServer(Shop(make_users(10), seed=1).application())) as client:
        yield client
    api.clear_providers()


async def _failures(shop: Client, path: str, visits: int = 30) -> int:
    return sum([(await shop.get(path, params={"user": "user-0001"})).status == 500 for _ in range(visits)])


async def test_each_path_has_its_own_flag(shop: Client) -> None:
    answers = [await (await shop.get(path, params={"user": "user-0001"})).json() for path in FEATURES]
    assert answers == [
        {"feature": "semantic-search", "variant": "off"},
        {"feature": "one-click-checkout", "variant": "on"},
    ]


async def test_a_fault_strikes_the_treatment_and_leaves_control_alone(shop: Client) -> None:
    for feature in FEATURES.values():
        await shop.post("/faults", json={"feature": feature, "error_ratio": 1.0})
    assert await _failures(shop, "/checkout") == 30
    assert await _failures(shop, "/search") == 0
    text = await (await shop.get("/metrics")).text()
    assert 'http_errors_total{app="shop",feature="one-click-checkout",variant="on"} 30.0' in text
    assert 'http_errors_total{app="shop",feature="semantic-search",variant="off"} 0.0' in text


async def test_a_fault_can_be_mended(shop: Client) -> None:
    await shop.post("/faults", json={"feature": "one-click-checkout", "error_ratio": 1.0})
    await shop.post("/faults", json={"feature": "one-click-checkout"})
    assert await _failures(shop, "/checkout") == 0


async def test_a_fault_of_an_unknown_feature_is_refused_with_the_names_that_there_are(shop: Client) -> None:
    answer = await shop.post("/faults", json={"feature": "teleport"})
    assert answer.status == 400
    assert "write one of ['one-click-checkout', 'semantic-search']" in await answer.text()


def test_the_crowd_remembers_who_came_in_who_dropped_out_and_when() -> None:
    seen = Seen()
    seen.answer("a", "on", failed=False, at=1.0)
    seen.answer("b", "on", failed=True, at=2.0)
    seen.answer("a", "on", failed=False, at=3.0)
    seen.answer("a", "off", failed=False, at=4.0)
    seen.answer("c", "off", failed=False, at=5.0)
    seen.answer("b", "off", failed=False, at=6.0)
    assert seen.to_wire() == {
        "answers": {"on": 3, "off": 3},
        "failures": {"on": 1},
        "unanswered": 0,
        "inside": 0,
        "ever": 2,
        "most": 2,
        "dropped": 2,
        "first_dropped_at": 4.0,
        "last_dropped_at": 6.0,
        "last_treatment_at": 3.0,
    }
