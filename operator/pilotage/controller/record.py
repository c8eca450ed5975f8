"""Tells the world about transitions: an Event and a count for each, and the gauges of where a rollout stands."""

import logging
from datetime import timedelta

from pilotage.controller.clock import Clock
from pilotage.controller.events import EventPoster
from pilotage.controller.schedule import Key
from pilotage.controller.telemetry import count_transition, forget_all, forget_rollout, show_rollout
from pilotage.resources.rollout import PilotRollout
from pilotage.resources.status import HistoryEntry

_LOG = logging.getLogger(__name__)

REPLAYED = timedelta(minutes=1)
"""Transitions that are no older are told again by a replica that sees the rollout for the first time."""


class Recorder:
    """Tells each transition once.

    A replica that sees a rollout for the first time tells what happened in the last minute again: its predecessor may
    have died between writing and telling. Events have names that make the second one vanish.
    """

    def __init__(self, poster: EventPoster, clock: Clock) -> None:
        self._poster = poster
        self._clock = clock
        self._told: dict[Key, int] = {}

    def tell(self, rollout: PilotRollout) -> None:
        """Tell what is new in a rollout's history, and show where it stands."""
        key, history = Key(rollout.metadata.namespace, rollout.metadata.name), rollout.status.history
        told = self._told.get(key)
        if told is None:
            old = self._clock.now() - REPLAYED
            told = max((entry.sequence for entry in history if entry.time < old), default=0)
        for entry in history:
            if entry.sequence > told:
                self._poster.post(rollout, entry)
                count_transition(entry)
                _log(key, entry)
        self._told[key] = history[-1].sequence if history else 0
        show_rollout(key, rollout.status)

    def forget(self, key: Key) -> None:
        """The rollout is gone."""
        self._told.pop(key, None)
        forget_rollout(key)

    def forget_all(self) -> None:
        """Another replica leads."""
        self._told.clear()
        forget_all()


def _log(key: Key, entry: HistoryEntry) -> None:
    about = {"namespace": key.namespace, "rollout": key.name, "reason": entry.reason, "step": entry.step}
    _LOG.info("%s: %s", entry.action, entry.message, extra=about)
