"""A clock that stands still until a test moves it."""

import asyncio
from datetime import UTC, datetime, timedelta


class ManualClock:
    """Both clocks move together, by `advance` only; sleepers wake in the order of their deadlines."""

    def __init__(self, start: datetime = datetime(2030, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._elapsed = 0.0
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        return 1000.0 + self._elapsed

    async def sleep(self, seconds: float) -> None:
        await self.wait(asyncio.Event(), seconds)

    async def wait(self, event: asyncio.Event, seconds: float | None) -> None:
        if seconds is not None and seconds <= 0:
            await asyncio.sleep(0)
            return
        alarm = asyncio.Event()
        if seconds is not None:
            self._sleepers.append((self._elapsed + seconds, alarm))
        waiters = [asyncio.create_task(event.wait()), asyncio.create_task(alarm.wait())]
        try:
            await asyncio.wait(waiters, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiter in waiters:
                waiter.cancel()
            self._sleepers = [(at, each) for at, each in self._sleepers if each is not alarm]

    async def advance(self, seconds: float) -> None:
        """Let time pass; whoever wakes up on the way gets to run at its own moment."""
        end = self._elapsed + seconds
        await settle()
        while due := [at for at, _ in self._sleepers if at <= end]:
            self._elapsed = max(self._elapsed, min(due))
            for at, alarm in self._sleepers:
                if at <= self._elapsed:
                    alarm.set()
            await settle()
        self._elapsed = end
        await settle()


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(50):
        await asyncio.sleep(0)
