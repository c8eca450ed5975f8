"""Which rollout's turn it is: one entry a key, deadlines, classes, and fairness between namespaces. No I/O, no asyncio.

Four rules, each with the incident that it prevents:
- A key has one entry; adding it again makes it sooner or more urgent, never twice. While a key is worked on, it is
  not given out again: what is added meanwhile waits for `done`.
- A run starts at most once a second for each key, so that a hot loop (ours or a user's) costs one run a second. The
  exception is a follow-up: the next half of something that has begun, such as starting a step's clock after delivery
  was verified, or trying a rollback again. Follow-ups are made by runs only, so they can't storm by themselves.
- Follow-ups come before user changes, these before timers, these before the resync. An entry that has waited for its
  class's allowance overtakes fresher ones of a class above: edits of one tenant can't keep the judgements of all others
  from happening.
- Namespaces take turns (fairness.py), and no one has all workers: a tenant with ten thousand rollouts waits for itself.
"""

import heapq
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from pilotage.controller.fairness import Ready
from pilotage.resources.rollout import PilotRollout


class Key(NamedTuple):
    """A rollout's namespace and name; without a name, the namespace as a whole."""

    namespace: str
    name: str

    @classmethod
    def of(cls, rollout: PilotRollout) -> "Key":
        """The rollout's key."""
        return cls(rollout.metadata.namespace, rollout.metadata.name)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def fields_of(key: Key) -> dict[str, str]:
    """The fields that log lines about a rollout carry."""
    return {"namespace": key.namespace, "rollout": key.name}


class Urgency(IntEnum):
    """Class of an entry, the most urgent first."""

    FOLLOW_UP = 0
    CHANGE = 1
    TIMER = 2
    RESYNC = 3


_SEATS = {Urgency.TIMER: 10}
"""Rollouts of a namespace that are judged at one moment ask in one request, and are taken back by one write."""

_ALLOWANCE_SECONDS = {Urgency.FOLLOW_UP: -10.0, Urgency.CHANGE: 0.0, Urgency.TIMER: 1.0, Urgency.RESYNC: 30.0}


@dataclass(frozen=True, slots=True)
class Turn:
    """A key whose turn it is.

    Attributes:
        key: the rollout.
        urgency: the class that it was taken from.
        ready_at: monotonic second at which it became due.
    """

    key: Key
    urgency: Urgency
    ready_at: float


@dataclass(frozen=True, slots=True)
class _Entry:
    at: float
    urgency: Urgency

    def joined(self, other: "_Entry | None") -> "_Entry":
        return self if other is None else _Entry(min(self.at, other.at), min(self.urgency, other.urgency))


class Schedule:
    """Entries by key; see the module's text for the rules. Times are monotonic seconds, given by the caller.

    Args:
        pace_seconds: shortest time between two starts for one key.
        at_once: how many runs of one namespace may go on at once; None for any number.
    """

    def __init__(self, *, pace_seconds: float = 1.0, at_once: int | None = None) -> None:
        self._pace_seconds = pace_seconds
        self._entries: dict[Key, _Entry] = {}
        self._heap: list[tuple[float, Key]] = []
        self._ready: Ready[Key, Urgency] = Ready(_ALLOWANCE_SECONDS, at_once=at_once, seats=_SEATS)
        self._running: dict[Key, _Entry | None] = {}
        self._started_at: dict[Key, float] = {}

    def add(self, key: Key, urgency: Urgency, at: float) -> None:
        """Ask for a run at that time, or sooner if one is asked for already."""
        started_at = self._started_at.get(key)
        if started_at is not None and urgency is not Urgency.FOLLOW_UP:
            at = max(at, started_at + self._pace_seconds)
        asked = _Entry(at, urgency)
        if key in self._running:
            self._running[key] = asked.joined(self._running[key])
            return
        old = self._entries.get(key)
        new = asked.joined(old)
        if new == old:
            return
        self._entries[key] = new
        if old is not None:
            self._ready.discard(key, old.urgency)
        heapq.heappush(self._heap, (new.at, key))

    def take(self, now: float) -> Turn | None:
        """The key whose turn it is, or None; it is running until `done`."""
        self._promote(now)
        taken = self._ready.take()
        if taken is None:
            return None
        key, urgency, ready_at = taken
        del self._entries[key]
        self._running[key] = None
        self._started_at[key] = now
        return Turn(key, urgency, ready_at)

    def done(self, key: Key) -> None:
        """The run has ended; what was asked for meanwhile is asked for now."""
        self._ready.ended(key)
        asked = self._running.pop(key)
        if asked is not None:
            self.add(key, asked.urgency, asked.at)

    def next_at(self) -> float | None:
        """When the next entry becomes due; None if there is none. Entries that are due already are not counted."""
        self._drop_stale()
        return self._heap[0][0] if self._heap else None

    def forget(self, key: Key) -> None:
        """The rollout is gone: nothing is due for it, and nothing is remembered."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._ready.discard(key, entry.urgency)
        self._started_at.pop(key, None)
        if key in self._running:
            self._running[key] = None

    def clear(self) -> None:
        """Forget all that is asked for; runs that go on are still ended by `done`."""
        self._entries.clear()
        self._heap.clear()
        self._ready.clear()
        self._running = dict.fromkeys(self._running)

    @property
    def depth(self) -> int:
        """How many keys are due and wait for a worker."""
        return self._ready.depth

    @property
    def running(self) -> int:
        """How many keys are being worked on."""
        return len(self._running)

    def _promote(self, now: float) -> None:
        while (at := self.next_at()) is not None and at <= now:
            _, key = heapq.heappop(self._heap)
            self._ready.push(key, self._entries[key].urgency, at)

    def _drop_stale(self) -> None:
        """The heap keeps what was asked for before; only what still stands in `_entries` counts."""
        while self._heap:
            at, key = self._heap[0]
            entry = self._entries.get(key)
            if entry is not None and entry.at == at and not self._ready.has(key, entry.urgency):
                return
            heapq.heappop(self._heap)
