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
- Within a class, namespaces take turns: one tenant with a thousand rollouts waits for itself.
"""

import heapq
from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple


class Key(NamedTuple):
    """A rollout's namespace and name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Urgency(IntEnum):
    """Class of an entry, the most urgent first."""

    FOLLOW_UP = 0
    CHANGE = 1
    TIMER = 2
    RESYNC = 3


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


@dataclass(slots=True)
class _Ready:
    """Keys of one class that are due; namespaces take turns."""

    since: dict[Key, float] = field(default_factory=dict)
    turns: dict[str, deque[Key]] = field(default_factory=dict)

    def push(self, key: Key, at: float) -> None:
        self.since[key] = at
        self.turns.setdefault(key.namespace, deque()).append(key)

    def pop(self) -> tuple[Key, float]:
        while True:
            namespace = next(iter(self.turns))
            waiting = self.turns.pop(namespace)
            key = waiting.popleft()
            if waiting:
                self.turns[namespace] = waiting  # to the end: the others come first
            if key in self.since:  # else it has left for another class, or for good
                return key, self.since.pop(key)


class Schedule:
    """Entries by key; see the module's text for the rules. Times are monotonic seconds, given by the caller.

    Args:
        pace_seconds: shortest time between two starts for one key.
    """

    def __init__(self, *, pace_seconds: float = 1.0) -> None:
        self._pace_seconds = pace_seconds
        self._entries: dict[Key, _Entry] = {}
        self._heap: list[tuple[float, Key]] = []
        self._ready: dict[Urgency, _Ready] = {urgency: _Ready() for urgency in Urgency}
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
            self._ready[old.urgency].since.pop(key, None)
        heapq.heappush(self._heap, (new.at, key))

    def take(self, now: float) -> Turn | None:
        """The key whose turn it is, or None; it is running until `done`."""
        self._promote(now)
        waiting = [
            (min_since + _ALLOWANCE_SECONDS[u], u) for u in Urgency if (min_since := self._oldest(u)) is not None
        ]
        if not waiting:
            return None
        urgency = min(waiting)[1]
        key, ready_at = self._ready[urgency].pop()
        del self._entries[key]
        self._running[key] = None
        self._started_at[key] = now
        return Turn(key, urgency, ready_at)

    def done(self, key: Key) -> None:
        """The run has ended; what was asked for meanwhile is asked for now."""
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
            self._ready[entry.urgency].since.pop(key, None)
        self._started_at.pop(key, None)
        if key in self._running:
            self._running[key] = None

    def clear(self) -> None:
        """Forget all that is asked for; runs that go on are still ended by `done`."""
        self._entries.clear()
        self._heap.clear()
        self._ready = {urgency: _Ready() for urgency in Urgency}
        self._running = dict.fromkeys(self._running)

    @property
    def depth(self) -> int:
        """How many keys are due and wait for a worker."""
        return sum(len(ready.since) for ready in self._ready.values())

    @property
    def running(self) -> int:
        """How many keys are being worked on."""
        return len(self._running)

    def _oldest(self, urgency: Urgency) -> float | None:
        return next(iter(self._ready[urgency].since.values()), None)

    def _promote(self, now: float) -> None:
        while (at := self.next_at()) is not None and at <= now:
            _, key = heapq.heappop(self._heap)
            self._ready[self._entries[key].urgency].push(key, at)

    def _drop_stale(self) -> None:
        """The heap keeps what was asked for before; only what still stands in `_entries` counts."""
        while self._heap:
            at, key = self._heap[0]
            entry = self._entries.get(key)
            if entry is not None and entry.at == at and key not in self._ready[entry.urgency].since:
                return
            heapq.heappop(self._heap)
