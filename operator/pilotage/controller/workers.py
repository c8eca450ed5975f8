"""The workers: take a key's turn, run it, and survive whatever happens in it."""

import asyncio
import logging
from typing import Protocol

from pilotage.controller.clock import is_cancelled
from pilotage.controller.elector import NotLeadingError
from pilotage.controller.schedule import Key, Turn, fields_of
from pilotage.controller.telemetry import FAILURES, RECONCILE_SECONDS
from pilotage.controller.workqueue import WorkQueue

_LOG = logging.getLogger(__name__)
DRAIN_SECONDS = 3.0
"""Runs that have begun may end; others are given up, which a crash at any point allows. A successor waits meanwhile."""


class Runner(Protocol):
    """What a worker calls."""

    async def run(self, key: Key) -> None:
        """One run for one key."""
        ...


class Workers:
    """A fixed number of workers, most of them waiting.

    Args:
        queue: where turns come from.
        runner: what a turn is for.
        count: runs at once. A run mostly waits for others, so that this bounds memory and connections, not the CPU.
    """

    def __init__(self, queue: WorkQueue, runner: Runner, *, count: int) -> None:
        self._queue = queue
        self._runner = runner
        self._count = count
        self._busy = 0
        self._idle = asyncio.Event()
        self._stopping = False

    async def run(self) -> None:
        """Work until cancelled; then finish the runs that have begun."""
        workers = [asyncio.create_task(self._work(), name=f"worker-{number}") for number in range(self._count)]
        try:
            await asyncio.wait(workers, return_when=asyncio.FIRST_COMPLETED)  # gather would cancel them with us
        finally:
            await self._drain()
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _drain(self) -> None:
        self._stopping = True
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                while self._busy:
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            _LOG.warning("%d runs are given up: they did not end within %.0f s", self._busy, DRAIN_SECONDS)

    async def _work(self) -> None:
        while not self._stopping:
            async with self._queue.turn() as turn:
                if self._stopping:
                    return
                self._busy += 1
                try:
                    await self._run(turn)
                finally:
                    self._busy -= 1
                    self._idle.set()

    async def _run(self, turn: Turn) -> None:
        key = turn.key
        try:
            with RECONCILE_SECONDS.time():
                await self._runner.run(key)
        except asyncio.CancelledError:
            if is_cancelled():
                raise
            _LOG.warning("a run was cancelled by something that it called", extra=fields_of(key))
            FAILURES.labels("bug").inc()
            self._queue.retry(key)
        except NotLeadingError:
            _LOG.info("stopped: another replica leads", extra=fields_of(key))
        except Exception:  # noqa: BLE001 - a bug in one run must not end the worker
            _LOG.exception("a run has failed", extra=fields_of(key))
            FAILURES.labels("bug").inc()
            self._queue.retry(key)
