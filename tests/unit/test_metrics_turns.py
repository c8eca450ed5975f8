"""Whose query is next: a tenant whose queries hang waits for itself."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from pilotage.metrics.turns import Turns


def work(name: str, done: list[str], held: threading.Event | None = None) -> Callable[[], str]:
    def run() -> str:
        if held is not None:
            held.wait(30)
        done.append(name)
        return name

    return run


async def begun(turns: Turns, owner: str, *works: Callable[[], str]) -> list["asyncio.Task[str]"]:
    tasks = [asyncio.create_task(turns.run(owner, each)) for each in works]
    await asyncio.sleep(0)
    return tasks


async def test_exhaustion_by_queries_that_hang_another_tenant_finds_a_thread() -> None:
    turns, held, done = Turns(4, "test"), threading.Event(), list[str]()
    slow = await begun(turns, "flood", *(work("flood", done, held) for _ in range(100)))
    assert await turns.run("mine", work("mine", done)) == "mine"
    assert done == ["mine"]
    held.set()
    await asyncio.gather(*slow)
    assert done.count("flood") == 100
    turns.shut_down()


async def test_owners_take_turns() -> None:
    turns, held, done = Turns(1, "test"), threading.Event(), list[str]()
    first = await begun(turns, "a", work("a0", done, held))
    others = await begun(turns, "a", *(work(f"a{n}", done) for n in (1, 2, 3)))
    others += await begun(turns, "b", work("b1", done), work("b2", done))
    held.set()
    await asyncio.gather(*first, *others)
    assert done == ["a0", "a1", "b1", "a2", "b2", "a3"]
    turns.shut_down()


async def test_what_is_given_up_while_it_waits_takes_no_thread() -> None:
    turns, held, done = Turns(1, "test"), threading.Event(), list[str]()
    first = await begun(turns, "a", work("first", done, held))
    [given_up] = await begun(turns, "a", work("given up", done))
    given_up.cancel()
    held.set()
    await asyncio.gather(*first)
    assert await turns.run("a", work("last", done)) == "last"
    assert done == ["first", "last"]
    turns.shut_down()


async def test_a_failure_gives_its_thread_back() -> None:
    turns = Turns(1, "test")

    def fail() -> str:
        raise ValueError("no")

    for _ in range(3):
        with pytest.raises(ValueError, match="no"):
            await turns.run("a", fail)
    turns.shut_down()
