"""Ways back that are taken together: how many writes, in which order, and who fails."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from pilotage.controller.elector import NotLeadingError
from pilotage.controller.together import Together
from pilotage.delivery.target import DeliveryError, Place, Way
from pilotage.rollout.exposure import Exposure

OFF = Exposure(flag="checkout", treatment="on", control="off", kind="off", seed="7f3a:", revision=4)


def way(number: int, document: str = "flags") -> Way:
    return Way(Place("team", document, f"pilotage/{number}"), replace(OFF, flag=f"flag-{number}"))


@dataclass
class Writes:
    """Takes writes, and fails those with a flag that can't be written, or all of them."""

    made: list[list[str]] = field(default_factory=list)
    broken: frozenset[str] = frozenset()
    error: Exception | None = None
    under_way: int = 0

    async def __call__(self, ways: Sequence[Way]) -> str:
        flags = [each.want.flag for each in ways]
        self.made.append(flags)
        self.under_way += 1
        assert self.under_way == 1, "two writes to one document at once"
        await asyncio.sleep(0.01)
        self.under_way -= 1
        if self.error:
            raise self.error
        if self.broken & set(flags):
            raise DeliveryError("no")
        return "ConfigMap/flags"


async def test_those_who_come_at_once_go_together_and_those_who_come_later_with_the_next() -> None:
    writes = Writes()
    together = Together(writes)
    first = [asyncio.create_task(together.take_back(way(number))) for number in range(10)]
    await asyncio.sleep(0.005)
    later = [asyncio.create_task(together.take_back(way(number))) for number in range(10, 15)]
    assert await asyncio.gather(*first, *later) == ["ConfigMap/flags"] * 15
    assert [len(made) for made in writes.made] == [10, 5]
    await together.take_back(way(20))
    assert writes.made[-1] == ["flag-20"]


async def test_one_that_can_not_be_written_keeps_no_other_from_it() -> None:
    writes = Writes(broken=frozenset({"flag-1"}))
    together = Together(writes)
    found = await asyncio.gather(*(together.take_back(way(number)) for number in range(3)), return_exceptions=True)
    assert [str(each) for each in found] == ["ConfigMap/flags", "no", "ConfigMap/flags"]
    assert [len(made) for made in writes.made] == [3, 1, 1, 1]


async def test_who_does_not_lead_tries_nobody_alone() -> None:
    writes = Writes(error=NotLeadingError())
    together = Together(writes)
    found = await asyncio.gather(*(together.take_back(way(number)) for number in range(3)), return_exceptions=True)
    assert [type(each) for each in found] == [NotLeadingError] * 3
    assert len(writes.made) == 1


async def test_documents_do_not_wait_for_each_other() -> None:
    both = asyncio.Barrier(2)

    async def write(_: Sequence[Way]) -> str:
        async with asyncio.timeout(5):
            await both.wait()
        return "done"

    together = Together(write)
    assert await asyncio.gather(*(together.take_back(way(1, name)) for name in ("these", "those"))) == ["done", "done"]


async def test_who_gives_up_waiting_takes_nothing_from_the_others() -> None:
    writes = Writes()
    together = Together(writes)
    tasks = [asyncio.create_task(together.take_back(way(number))) for number in range(3)]
    await asyncio.sleep(0.005)
    tasks[1].cancel()
    assert await tasks[0] == await tasks[2] == "ConfigMap/flags"
    with pytest.raises(asyncio.CancelledError):
        await tasks[1]
