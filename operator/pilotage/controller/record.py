"""Tells the world about transitions: a line of the record, an Event and a count for each; and where rollouts stand."""

import logging
from datetime import timedelta
from typing import BinaryIO

from pilotage.controller.clock import Clock
from pilotage.controller.events import EventPoster
from pilotage.controller.ledger import Ledger
from pilotage.controller.schedule import Key, fields_of
from pilotage.controller.telemetry import count_transition, forget_all, forget_rollout, show_rollout
from pilotage.resources.cloudevents import decision_event, to_line
from pilotage.resources.rollout import PilotRollout
from pilotage.resources.status import HistoryEntry

_LOG = logging.getLogger(__name__)

REPLAYED = timedelta(minutes=1)
"""Transitions that are no older are told again by a replica that sees the rollout for the first time."""


class Recorder:
    """Tells each transition once.

    A replica that sees a rollout for the first time tells what happened in the last minute again: its predecessor may
    have died between writing and telling. Events have names that make the second one vanish, lines on standard output
    have ids that show it; the ledger knows by itself what it has.

    Args:
        poster: of Events.
        clock: what time it is.
        out: where lines of the record go as they come, such as standard output; without it, transitions are logged.
        ledger: the record's file; None without one.
    """

    def __init__(
        self, poster: EventPoster, clock: Clock, *, out: BinaryIO | None = None, ledger: Ledger | None = None
    ) -> None:
        self._poster = poster
        self._clock = clock
        self._out = out
        self._ledger = ledger
        self._told: dict[Key, int] = {}

    def tell(self, rollout: PilotRollout) -> None:
        """Tell what is new in a rollout's history, and show where it stands."""
        key, history = Key.of(rollout), rollout.status.history
        told = self._told.get(key)
        if told is None:
            old = self._clock.now() - REPLAYED
            told = max((entry.sequence for entry in history if entry.time < old), default=0)
        for entry in history:
            if entry.sequence > told:
                self._poster.post(rollout, entry)
                count_transition(entry)
                self._say(rollout, entry)
        self._told[key] = history[-1].sequence if history else 0
        if self._ledger is not None:
            self._ledger.offer(rollout)
        show_rollout(key, rollout.status)

    async def settle(self) -> None:
        """Return when all that was told is in the record's file; or soon, where it can't be written."""
        if self._ledger is not None:
            await self._ledger.settle()

    def forget(self, key: Key) -> None:
        """The rollout is gone."""
        self._told.pop(key, None)
        forget_rollout(key)

    def forget_all(self) -> None:
        """Another replica leads."""
        self._told.clear()
        if self._ledger is not None:
            self._ledger.cease()
        forget_all()

    def _say(self, rollout: PilotRollout, entry: HistoryEntry) -> None:
        if self._out is None:
            _log(Key.of(rollout), entry)
            return
        try:
            self._out.write(to_line(decision_event(rollout.metadata, entry)))
            self._out.flush()
        except OSError:  # nobody reads it any more; the decision stands in status, and is carried out
            _log(Key.of(rollout), entry)


def _log(key: Key, entry: HistoryEntry) -> None:
    about = {**fields_of(key), "reason": entry.reason, "step": entry.step}
    _LOG.info("%s: %s", entry.action, entry.message, extra=about)
