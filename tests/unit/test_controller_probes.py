"""Probes and metrics over HTTP."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable

import aiohttp
import pytest
from prometheus_client import REGISTRY, Metric
from prometheus_client.registry import Collector

from pilotage.controller import telemetry
from pilotage.controller.probes import Probes
from pilotage.controller.schedule import Key
from pilotage.resources.status import ExposureStatus, PilotRolloutStatus

STATE = {"wrong": "", "missing": ""}


@pytest.fixture
async def address() -> AsyncIterator[str]:
    STATE.update(wrong="", missing="")
    probes = Probes("127.0.0.1", 0, healthy=lambda: STATE["wrong"], ready=lambda: STATE["missing"])
    await probes.start()
    yield f"http://127.0.0.1:{probes.port}"
    await probes.stop()


async def get(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text()


async def test_health_and_readiness_are_two_things(address: str) -> None:
    assert await get(f"{address}/healthz") == await get(f"{address}/readyz") == (200, "ok\n")
    STATE["missing"] = "the watch is interrupted"
    assert await get(f"{address}/healthz") == (200, "ok\n")
    assert await get(f"{address}/readyz") == (503, "the watch is interrupted\n")
    STATE["wrong"] = "a run hangs for 301 s"
    assert await get(f"{address}/healthz") == (503, "a run hangs for 301 s\n")


class Slow(Collector):
    """As many gauges are: it is not done before the test says so."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go_on = threading.Event()

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        self.begun.set()
        assert self.go_on.wait(10)
        return []


async def test_the_operator_goes_on_while_its_metrics_are_written_down(address: str) -> None:
    slow = Slow()
    REGISTRY.register(slow)
    try:
        scrape = asyncio.create_task(get(f"{address}/metrics"))
        await asyncio.to_thread(slow.begun.wait, 10)
        assert await get(f"{address}/healthz") == (200, "ok\n")
        assert not scrape.done()
        slow.go_on.set()
        assert (await scrape)[0] == 200
    finally:
        slow.go_on.set()
        REGISTRY.unregister(slow)


async def test_the_gauges_of_a_rollout_go_when_it_goes(address: str) -> None:
    key = Key("shop", "search")
    telemetry.show_rollout(key, PilotRolloutStatus(exposure=ExposureStatus(kind="users", users=20)))
    line = 'pilotage_admitted_users{namespace="shop",rollout="search"} 20.0'
    assert line in (await get(f"{address}/metrics"))[1]
    telemetry.forget_rollout(key)
    assert 'rollout="search"' not in (await get(f"{address}/metrics"))[1]
    telemetry.forget_rollout(key)


async def test_a_number_that_is_not_known_is_not_shown(address: str) -> None:
    key = Key("shop", "unknown")
    telemetry.show_rollout(key, PilotRolloutStatus(exposure=ExposureStatus(kind="users", users=20)))
    telemetry.show_rollout(key, PilotRolloutStatus(exposure=ExposureStatus(kind="full")))
    assert 'pilotage_admitted_users{namespace="shop",rollout="unknown"}' not in (await get(f"{address}/metrics"))[1]
    telemetry.forget_all()
    assert "pilotage_step_index{" not in (await get(f"{address}/metrics"))[1]
