"""The workers: nothing that happens in a run ends them, and an exit waits for runs that have begun."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from pilotage.controller.clock import SystemClock
from pilotage.controller.elector import NotLeadingError
from pilotage.controller.schedule import Key, Urgency
from pilotage.controller.workers import Workers
from pilotage.controller.workqueue import WorkQueue

KEY, OTHER = Key("shop", "a"), Key("shop", "b")


@dataclass
class Runs:
    """Does what a test says, and remembers the keys."""

    do: Callable[[Key], Coroutine[Any, Any, None]]
    begun: list[Key] = field(default_factory=list)

    async def run(self, key: Key) -> None:
        self.begun.append(key)
        await self.do(key)


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("error", [ValueError("a bug"), asyncio.CancelledError(), NotLeadingError()])
async def test_no_error_of_a_run_ends_the_worker(error: BaseException) -> None:
    async def fail(key: Key) -> None:
        if key == KEY:
            raise error

    queue, runs = WorkQueue(SystemClock()), Runs(fail)
    task = asyncio.create_task(Workers(queue, runs, count=1).run())
    queue.add(KEY, Urgency.CHANGE)
    await asyncio.sleep(0.05)
    queue.add(OTHER, Urgency.CHANGE)
    await asyncio.sleep(0.05)
    assert runs.begun == [KEY, OTHER]
    assert not task.done()
    await stop(task)


async def test_an_exit_waits_for_the_runs_that_have_begun_and_begins_no_others() -> None:
    ended: list[Key] = []

    async def work(key: Key) -> None:
        await asyncio.sleep(0.2)
        ended.append(key)

    queue, runs = WorkQueue(SystemClock()), Runs(work)
    task = asyncio.create_task(Workers(queue, runs, count=1).run())
    queue.add(KEY, Urgency.CHANGE)
    queue.add(OTHER, Urgency.CHANGE)
    await asyncio.sleep(0.05)
    await stop(task)
    assert ended == runs.begun == [KEY]


async def test_an_exit_gives_up_a_run_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pilotage.controller.workers.DRAIN_SECONDS", 0.1)

    async def hang(_: Key) -> None:
        await asyncio.sleep(60)

    queue = WorkQueue(SystemClock())
    task = asyncio.create_task(Workers(queue, Runs(hang), count=1).run())
    queue.add(KEY, Urgency.CHANGE)
    await asyncio.sleep(0.05)
    async with asyncio.timeout(2):
        await stop(task)
