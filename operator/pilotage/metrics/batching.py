"""Joins what rollouts ask in the same moment, on the same grid, into one request.

At a thousand rollouts with queries of their own, most of what asking costs, here and in Prometheus, is the requests
themselves (`docs/decisions/0009-rollouts-share-requests.md`). Nobody depends on the others: what went wrong together is
asked again alone at once, and a batch may take only a part of the deadline.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from pilotage.metrics.fetching import Outcome
from pilotage.metrics.streams import Stream

MOST_QUERIES = 20
"""In one request; with 50, Prometheus takes longer for each than alone: `or` compares what came before."""

GATHER_SECONDS = 0.01
BATCH_SECONDS = 3.0

FAILURES = 3
PAUSE_SECONDS = 60.0
"""Where joined requests fail again and again while single ones don't, such as behind a proxy that knows GET alone."""

Grid = tuple[float, float, float, float | None]
Send = Callable[[Sequence[Stream], float, float], Awaitable[Sequence[Outcome] | None]]
"""Sends streams as one request, for a span and by a monotonic second; None if that went wrong."""


@dataclass(slots=True)
class _Waiting:
    """Streams on one grid that will travel together."""

    until: float
    members: dict[Stream, "asyncio.Future[Outcome | None]"] = field(default_factory=dict)

    @property
    def queries(self) -> int:
        return sum(len(stream.queries) for stream in self.members)


class Batcher:
    """Collects streams for a moment."""

    def __init__(self, send: Send) -> None:
        """`send` does the asking."""
        self._send = send
        self._waiting: dict[Grid, _Waiting] = {}
        self._sending: set[asyncio.Task[None]] = set()
        self._failures = 0
        self._failed_at = 0.0

    async def ask(self, stream: Stream, span: float, until: float) -> Outcome | None:
        """The outcome of a stream that was asked with others; None if it has to be asked alone."""
        if self._failures >= FAILURES and time.monotonic() - self._failed_at < PAUSE_SECONDS:
            return None
        grid = (stream.end, stream.step, span, stream.lookback_seconds)
        waiting = self._waiting.get(grid)
        if waiting is None:
            waiting = self._waiting[grid] = _Waiting(until)
            asyncio.get_running_loop().call_later(GATHER_SECONDS, self._seal, grid, waiting)
        future = waiting.members.setdefault(stream, asyncio.get_running_loop().create_future())
        waiting.until = min(until, waiting.until)
        if waiting.queries >= MOST_QUERIES:
            self._seal(grid, waiting)
        return await future

    async def close(self) -> None:
        """Give up what is under way; who waits for it is told to ask alone."""
        self._waiting.clear()
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)

    def _seal(self, grid: Grid, waiting: _Waiting) -> None:
        """Take no more members, and send."""
        if self._waiting.get(grid) is waiting:
            del self._waiting[grid]
            task = asyncio.create_task(self._ask_all(grid[2], waiting))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _ask_all(self, span: float, waiting: _Waiting) -> None:
        outcomes: Sequence[Outcome] | None = None
        try:
            if len(waiting.members) > 1:
                until = min(waiting.until, time.monotonic() + BATCH_SECONDS)
                outcomes = await self._send(tuple(waiting.members), span, until)
                self._failures = 0 if outcomes is not None else self._failures + 1
                self._failed_at = time.monotonic()
        finally:
            for index, future in enumerate(waiting.members.values()):
                if not future.done():
                    future.set_result(None if outcomes is None else outcomes[index])
