"""Time as a thing that is handed in, so that tests step it instead of waiting."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Wall clock for what is written down, monotonic clock for what is measured, and sleep."""

    def now(self) -> datetime:
        """The moment, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since some start; never steps back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let this many seconds pass."""
        ...

    async def wait(self, event: asyncio.Event, seconds: float | None) -> None:
        """Return when the event is set, or after this many seconds (None: only then)."""
        ...


def is_cancelled() -> bool:
    """Whether a CancelledError means the current task: gRPC raises it in calls whose channel somebody else closed."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The moment, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since the machine's start."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Let this many seconds pass."""
        await asyncio.sleep(seconds)

    async def wait(self, event: asyncio.Event, seconds: float | None) -> None:
        """Return when the event is set, or after this many seconds (None: only then)."""
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            return
