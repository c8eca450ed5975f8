"""PilotDecisions as the watch brings them: who decided what about which rollout.

They are only read: what became of one stands in the rollout's status and history. One that can't be read is none: it
lets nobody in.
"""

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from pilotage.controller.schedule import Key
from pilotage.controller.store import key_of
from pilotage.resources.decision import PilotDecisionSpec
from pilotage.rollout.people import HumanDecision

_LOG = logging.getLogger(__name__)


class DecisionStore:
    """All decisions, by the rollouts that they are about."""

    def __init__(self) -> None:
        self._kept: dict[Key, tuple[int, Key, HumanDecision]] = {}
        self._unread: dict[Key, int] = {}
        self._about: dict[Key, dict[Key, HumanDecision]] = {}

    def put(self, body: Mapping[str, Any]) -> Key | None:
        """Keep a decision, if it is newer; returns the rollout that it is about, if anything is new about it."""
        key, version, before = key_of(body), int(body["metadata"]["resourceVersion"]), self._kept.get(key_of(body))
        if before is not None and version <= before[0]:
            return None
        made = _read(key, body)
        if made is None:
            self._unread[key] = version
            return None
        self._drop(key)
        rollout = Key(key.namespace, made.spec.rollout)
        self._kept[key] = version, rollout, made
        self._about.setdefault(rollout, {})[key] = made
        return None if before is not None and before[2] == made else rollout

    def remove(self, key: Key, version: int) -> None:
        """It was gone at this resourceVersion. Nothing follows: what it did is done."""
        before = self._kept.get(key)
        if before is None or before[0] <= version:
            self._drop(key)

    def of(self, rollout: Key) -> tuple[HumanDecision, ...]:
        """The decisions about a rollout."""
        return tuple(self._about.get(rollout, {}).values())

    @property
    def versions(self) -> dict[Key, int]:
        """The resourceVersions of all, also of those that can't be read."""
        return {**{key: kept[0] for key, kept in self._kept.items()}, **self._unread}

    def _drop(self, key: Key) -> None:
        self._unread.pop(key, None)
        before = self._kept.pop(key, None)
        if before is None:
            return
        others = self._about[before[1]]
        del others[key]
        if not others:
            del self._about[before[1]]


def _read(key: Key, body: Mapping[str, Any]) -> HumanDecision | None:
    metadata = body["metadata"]
    try:
        spec = PilotDecisionSpec.model_validate(body.get("spec", {}))
    except ValidationError:
        _LOG.exception("PilotDecision %s can't be read", key)
        return None
    return HumanDecision(metadata["uid"], key.name, datetime.fromisoformat(metadata["creationTimestamp"]), spec)
