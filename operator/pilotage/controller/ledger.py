"""The record: each decision as a line of a file, in order and once, whatever happens to the process or to the disk.

What is not written yet waits in memory, and in status.history, which is what survives. Nothing waits for the record but
a rollout that is being deleted, and that not for long: a disk that is full stops no rollback. It is told by metrics and
logged once, and tried again for ever.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from pilotage.controller.clock import Clock
from pilotage.controller.ledger_file import LedgerFile, Line, Written
from pilotage.controller.schedule import Key, fields_of
from pilotage.controller.telemetry import RECORD_FAILING, RECORD_FAILURES, RECORD_LINES, RECORD_WAITING
from pilotage.resources.rollout import PilotRollout

_LOG = logging.getLogger(__name__)
_MOST_WAITING = 10_000
"""More are left to status.history, and taken from there when there is room."""

_BATCH = 500
_LONGEST_PAUSE_SECONDS = 30.0
_FIRST_PAUSE_SECONDS = 0.5
_SETTLE_SECONDS = 2.0


class Ledger:
    """Writes the record while this replica leads.

    Args:
        file: where to.
        clock: what time it is.
        leads: whether this replica leads: who does not, lets go of the file when all is written.
    """

    def __init__(self, file: LedgerFile, clock: Clock, leads: Callable[[], bool]) -> None:
        self._file = file
        self._clock = clock
        self._leads = leads
        self._waiting: deque[Written] = deque()
        self._offered: dict[str, int] = {}
        self._wake, self._empty = asyncio.Event(), asyncio.Event()
        self._empty.set()
        self._failures = 0

    def offer(self, rollout: PilotRollout) -> None:
        """Have what is new in a rollout's history written soon; never waits."""
        lines = [Line(rollout.metadata, entry) for entry in rollout.status.history]
        self.offer_lines(lines, fields_of(Key.of(rollout)))

    def offer_lines(self, lines: Sequence[Written], about: Mapping[str, str]) -> None:
        """Have what is new of one object written soon; never waits.

        Args:
            lines: all that its status tells, in order.
            about: names the object in the log.
        """
        offered = self._offered.get(lines[0].meta.uid, 0) if lines else 0
        if lines and lines[-1].entry.sequence < offered:
            said = "its status was reset: until it counts further than %d, its decisions are not recorded"
            _LOG.warning(said, offered, extra=dict(about))
        for line in lines:
            if line.entry.sequence <= offered:
                continue
            if len(self._waiting) >= _MOST_WAITING:
                break
            self._waiting.append(line)
            self._offered[line.meta.uid] = line.entry.sequence
        self._tell_waiting()

    def cease(self) -> None:
        """Another replica leads: write what waits, and let go of the file."""
        self._offered.clear()
        self._wake.set()

    async def settle(self) -> None:
        """Return when all is written; or soon, where it can't be written."""
        if not self._failures:
            await self._clock.wait(self._empty, _SETTLE_SECONDS)

    async def run(self) -> None:
        """Write until cancelled."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._waiting:
                    if not await self._write():
                        await self._clock.sleep(self._pause_seconds)
                if not self._leads():
                    await asyncio.to_thread(self._file.close)
        finally:
            self._file.close()

    @property
    def _pause_seconds(self) -> float:
        return min(_FIRST_PAUSE_SECONDS * 2.0 ** min(self._failures - 1, 10), _LONGEST_PAUSE_SECONDS)

    async def _write(self) -> bool:
        """Write a batch; tells whether that went well."""
        batch = [self._waiting[place] for place in range(min(len(self._waiting), _BATCH))]
        try:
            written = await asyncio.to_thread(self._file.write, batch)
        except OSError as error:
            self._fail(error)
            return False
        if self._failures:
            _LOG.info("the record is written again")
        self._failures = 0
        RECORD_FAILING.set(0)
        RECORD_LINES.inc(written)
        for _ in batch:
            self._waiting.popleft()
        self._tell_waiting()
        return True

    def _fail(self, error: OSError) -> None:
        """It is tried again for ever; by the replica that leads, which finds all of it in status.history."""
        if not self._failures:
            _LOG.error("the record can't be written, it is tried again: %s", error)
        self._failures += 1
        RECORD_FAILING.set(1)
        RECORD_FAILURES.inc()
        if not self._leads():
            self._waiting.clear()
            self._offered.clear()
            self._tell_waiting()

    def _tell_waiting(self) -> None:
        RECORD_WAITING.set(len(self._waiting))
        if self._waiting:
            self._empty.clear()
            self._wake.set()
        else:
            self._empty.set()
