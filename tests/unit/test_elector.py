"""The elector and who works under its lease: what is told, and when."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from pilotage.controller.clock import SystemClock
from pilotage.controller.elector import Elector
from pilotage.kube import KubeError


class Steps(SystemClock):
    """A clock that moves by sleeping, or as a test says."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def now(self) -> datetime:
        return datetime(2030, 1, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        await asyncio.sleep(0)


class SlowServer:
    """Keeps one Lease; answers to renewals take some seconds."""

    def __init__(self, clock: Steps, answers_in: list[float]) -> None:
        self._clock = clock
        self._answers_in = answers_in
        self.done = asyncio.Event()

    async def get(self, path: str) -> dict[str, Any]:
        raise KubeError(404, "NotFound", path=path)

    async def create(self, _path: str, body: dict[str, Any]) -> dict[str, Any]:
        return {**body, "metadata": {**body["metadata"], "resourceVersion": "1"}}

    async def replace(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if self.done.is_set():
            raise KubeError(0, "Unreachable", path=path)
        if not self._answers_in:
            self.done.set()
            await asyncio.Event().wait()
        self._clock.seconds += self._answers_in.pop(0)
        return body


async def told(answers_in: list[float]) -> list[str]:
    """What is told of leading while renewals take so long."""
    clock, events = Steps(), list[str]()
    server = SlowServer(clock, answers_in)
    elector = Elector(server, clock, identity="a", namespace="n", name="l")  # type: ignore[arg-type]
    elector.on_started, elector.on_stopped = lambda: events.append("started"), lambda: events.append("stopped")
    task = asyncio.create_task(elector.run())
    await server.done.wait()
    found = list(events)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    return found


async def test_renewals_in_time_tell_nothing_new() -> None:
    assert await told([0.5, 1.5, 1.0]) == ["started"]


async def test_a_lease_that_ran_out_while_its_renewal_was_under_way_is_told_as_lost_and_won_again() -> None:
    """In between, writes were stopped, and the runs that wanted to make them: all must be looked at again."""
    assert await told([0.5, 3.5, 0.1]) == ["started", "stopped", "started"]


class CuttingServer:
    """Keeps one Lease by its resourceVersion; a renewal is carried out, and its answer never arrives."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] = {}
        self.cut = asyncio.Event()

    async def get(self, path: str) -> dict[str, Any]:
        if not self.lease:
            raise KubeError(404, "NotFound", path=path)
        return self.lease

    async def create(self, _path: str, body: dict[str, Any]) -> dict[str, Any]:
        self.lease = {**body, "metadata": {**body["metadata"], "resourceVersion": "1"}}
        return self.lease

    async def replace(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        version = self.lease["metadata"]["resourceVersion"]
        if body["metadata"]["resourceVersion"] != version:
            raise KubeError(409, "Conflict", path=path)
        self.lease = {**body, "metadata": {**body["metadata"], "resourceVersion": str(int(version) + 1)}}
        if not self.cut.is_set():
            self.cut.set()
            await asyncio.Event().wait()
        return self.lease


async def test_a_lease_is_given_back_also_by_who_ends_in_the_middle_of_a_renewal() -> None:
    server = CuttingServer()
    elector = Elector(server, Steps(), identity="a", namespace="n", name="l")  # type: ignore[arg-type]
    task = asyncio.create_task(elector.run())
    await server.cut.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert server.lease["spec"]["holderIdentity"] == ""


async def test_a_lease_that_another_has_taken_is_left_to_it() -> None:
    server = CuttingServer()
    elector = Elector(server, Steps(), identity="a", namespace="n", name="l")  # type: ignore[arg-type]
    task = asyncio.create_task(elector.run())
    await server.cut.wait()
    server.lease = {
        "metadata": {**server.lease["metadata"], "resourceVersion": "9"},
        "spec": {**server.lease["spec"], "holderIdentity": "b"},
    }
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert server.lease["spec"]["holderIdentity"] == "b"
