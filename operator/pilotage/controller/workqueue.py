"""The workers' queue: `Schedule` with waiting, back-off and the metrics that client-go's workqueue has."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import Counter, Gauge, Histogram

from pilotage.controller.clock import Clock
from pilotage.controller.schedule import Key, Schedule, Turn, Urgency

BACKOFF_BASE_SECONDS = 0.5
BACKOFF_CAP_SECONDS = 60.0

_SECONDS = (0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_DEPTH = Gauge("workqueue_depth", "Rollouts that are due and wait for a worker.", ["name"])
_ADDS = Counter("workqueue_adds_total", "Runs asked for.", ["name"])
_QUEUED = Histogram("workqueue_queue_duration_seconds", "From due to the start of the run.", ["name"], buckets=_SECONDS)
_WORKED = Histogram("workqueue_work_duration_seconds", "How long a run took.", ["name"], buckets=_SECONDS)
_RETRIES = Counter("workqueue_retries_total", "Runs asked for after a failure.", ["name"])
_LONGEST = Gauge("workqueue_longest_running_processor_seconds", "Age of the oldest run that goes on.", ["name"])


def backoff_seconds(failures: int, *, cap_seconds: float = BACKOFF_CAP_SECONDS, chance: float) -> float:
    """How long to wait after that many failures in a row: doubling, capped, spread over its upper half by `chance`."""
    full = min(cap_seconds, BACKOFF_BASE_SECONDS * 2.0 ** min(failures - 1, 30))
    return full * (0.5 + 0.5 * chance)


class WorkQueue:
    """Hands keys to workers, each to one worker at a time.

    Args:
        clock: what time it is.
        name: label of the metrics.
        pace_seconds: shortest time between two starts for one key.
        at_once: how many runs of one namespace may go on at once; None for any number.
        chance: source of jitter.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        name: str = "rollouts",
        pace_seconds: float = 1.0,
        at_once: int | None = None,
        chance: random.Random | None = None,
    ) -> None:
        self._clock = clock
        self._schedule = Schedule(pace_seconds=pace_seconds, at_once=at_once)
        self._chance = chance or random.Random()  # noqa: S311 - jitter, no secret
        self._failures: dict[Key, int] = {}
        self._started_at: dict[Key, float] = {}
        self._added = asyncio.Event()
        self._turnstile = asyncio.Lock()  # one worker waits for the next deadline, the others for that worker
        self._name = name
        _DEPTH.labels(name).set_function(lambda: self._schedule.depth)
        _LONGEST.labels(name).set_function(lambda: self.longest_run_seconds)

    def add(self, key: Key, urgency: Urgency, *, after_seconds: float = 0.0) -> None:
        """Ask for a run, at once or after some time; a run that is asked for sooner stays."""
        _ADDS.labels(self._name).inc()
        self._schedule.add(key, urgency, self._clock.monotonic() + max(0.0, after_seconds))
        self._added.set()

    def retry(self, key: Key, urgency: Urgency = Urgency.TIMER, *, cap_seconds: float = BACKOFF_CAP_SECONDS) -> float:
        """Ask for a run after a failure; the pause grows with each failure in a row, and is returned."""
        _RETRIES.labels(self._name).inc()
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        pause = backoff_seconds(failures, cap_seconds=cap_seconds, chance=self._chance.random())
        self.add(key, urgency, after_seconds=pause)
        return pause

    def succeeded(self, key: Key) -> None:
        """The next failure of this key is its first."""
        self._failures.pop(key, None)

    def forget(self, key: Key) -> None:
        """The rollout is gone."""
        self._failures.pop(key, None)
        self._schedule.forget(key)

    def clear(self) -> None:
        """Leadership is gone: nothing is due here any more."""
        self._failures.clear()
        self._schedule.clear()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Turn]:
        """Wait for a key's turn; the key is given to nobody else until the block is left."""
        turn = await self._take()
        started_at = self._started_at[turn.key] = self._clock.monotonic()
        _QUEUED.labels(self._name).observe(max(0.0, started_at - turn.ready_at))
        try:
            yield turn
        finally:
            _WORKED.labels(self._name).observe(self._clock.monotonic() - started_at)
            del self._started_at[turn.key]
            self._schedule.done(turn.key)
            self._added.set()

    @property
    def longest_run_seconds(self) -> float:
        """Age of the oldest run that goes on; 0 if there is none."""
        started_at = min(self._started_at.values(), default=None)
        return 0.0 if started_at is None else self._clock.monotonic() - started_at

    @property
    def depth(self) -> int:
        """How many keys are due and wait for a worker."""
        return self._schedule.depth

    async def _take(self) -> Turn:
        async with self._turnstile:
            while True:
                self._added.clear()
                now = self._clock.monotonic()
                turn = self._schedule.take(now)
                if turn is not None:
                    return turn
                next_at = self._schedule.next_at()
                await self._clock.wait(self._added, None if next_at is None else next_at - now)
