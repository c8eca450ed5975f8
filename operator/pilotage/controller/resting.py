"""What rests: completed or taken back, and in force; and whatever else no deadline asks for.

A resync costs a comparison for each, and no run.

Nobody is asked to judge a rollout at rest, so only two things can be news: its object, which the watch tells, and what
the flag service serves for it, which is compared with what was served when it was last seen in force. A namespace is
looked at as a whole, with one call of the flag service.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from zlib import crc32

from pilotage.controller.record import REPLAYED
from pilotage.controller.schedule import Key
from pilotage.controller.store import Kept, RolloutStore
from pilotage.delivery.target import Place
from pilotage.rollout.people import HumanDecision

RESYNC_SECONDS = 600.0
"""How often a rollout at rest is looked at: that its flag still says what was decided. It costs no API call."""

SLOT_SECONDS = 15.0
"""Namespaces are looked at in turns, many in one: waking up costs a process at rest more than a look does."""

_LEAST_SECONDS = 1.0
"""A timer may fire a moment early: that is no reason to look twice."""

_TO_A_SECOND = timedelta(seconds=1)
"""The API server cuts times of creation to seconds."""


def resync_after(namespace: str, now: float) -> float:
    """Seconds until a namespace's next resync: namespaces are spread over the period's slots, at any time the same way.

    Args:
        namespace: whose rollouts are looked at together.
        now: seconds of any clock.
    """
    slot = crc32(namespace.encode()) % int(RESYNC_SECONDS / SLOT_SECONDS)
    left = (slot * SLOT_SECONDS - now) % RESYNC_SECONDS
    return left if left >= _LEAST_SECONDS else left + RESYNC_SECONDS


def may_wait(kept: Kept, decisions: Iterable[HumanDecision], now: datetime) -> bool:
    """Whether a new leader may leave a rollout to its next resync.

    Not what was decided lately, which the last leader may have told nobody; and not what a person has decided since: no
    one may have led then, and it may be a rollback.

    Args:
        kept: the rollout.
        decisions: the decisions about it.
        now: of the clock that `decided_at` was read from.
    """
    at_rest = kept.settled and kept.decided_at < now - REPLAYED
    return at_rest and all(each.created_at + _TO_A_SECOND <= kept.decided_at for each in decisions)


@dataclass(frozen=True, slots=True)
class Rest:
    """What was seen of a rollout when it came to rest.

    Attributes:
        version: resourceVersion of its object.
        place: where its flag lives.
        flag: the flag's key.
        served: digest of what the flag service serves for it.
    """

    version: int
    place: Place
    flag: str
    served: str


class Resting:
    """Rollouts that no deadline asks for, by namespace, and how they were seen at rest; None for who was not."""

    def __init__(self) -> None:
        self._seen: dict[str, dict[Key, Rest | None]] = {}

    def put(self, key: Key, rest: Rest | None) -> None:
        """It rests, or only waits."""
        self._seen.setdefault(key.namespace, {})[key] = rest

    def leave(self, key: Key) -> None:
        """It is to be looked at; what is known of it stays."""
        self._seen.setdefault(key.namespace, {}).setdefault(key)

    def drop(self, key: Key) -> None:
        """It is on its way again, or gone."""
        namespace = self._seen.get(key.namespace, {})
        namespace.pop(key, None)
        if not namespace:
            self._seen.pop(key.namespace, None)

    def __contains__(self, namespace: object) -> bool:
        return namespace in self._seen

    def of(self, namespace: str) -> dict[Key, Rest]:
        """Those of a namespace that were seen at rest."""
        return {key: rest for key, rest in self._seen.get(namespace, {}).items() if rest}

    def unlike(self, namespace: str, served: Mapping[Key, str], store: RolloutStore) -> list[Key]:
        """Those of a namespace that are not as they were seen at rest.

        Args:
            namespace: where.
            served: digests of what the flag service serves for them now; nothing for whom nobody can tell.
            store: the rollouts as they are now.
        """
        return [
            key
            for key, rest in self._seen.get(namespace, {}).items()
            if rest is None
            or (kept := store.peek(key)) is None
            or (rest.version, rest.served) != (kept.version, served.get(key))
        ]
