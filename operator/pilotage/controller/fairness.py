"""Who is next among all that are due: namespaces take turns, and within a namespace the most urgent comes first.

Time is counted in rounds. In each round every namespace that has something due gets one turn, and one more for a
follow-up; who comes first within the round is decided by class and waiting time. So a tenant with ten thousand rollouts
that are all due waits for itself: another's next turn comes after at most one turn of each namespace, whatever classes
the ten thousand are of. Some of a namespace that became due at one moment share a turn, where that is allowed for their
class: what they do together costs less than what each does for itself. Nobody keeps all workers either: so many at once
are the most that a namespace has.

After P. Goyal, H. Vin, H. Cheng: "Start-time Fair Queuing" (SIGCOMM 1996), with turns in place of bytes.
"""

import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Generic, NamedTuple, Protocol, TypeVar


class _InNamespace(Protocol):
    @property
    def namespace(self) -> str: ...

    def __hash__(self) -> int: ...


ONE_MOMENT_SECONDS = 0.1

KeyT = TypeVar("KeyT", bound=_InNamespace)
UrgencyT = TypeVar("UrgencyT", bound=IntEnum)


class _Rank(NamedTuple):
    """Place of a namespace in the order; the smallest is next."""

    round: int
    score: float
    urgency: int


@dataclass(slots=True)
class _Line(Generic[KeyT, UrgencyT]):
    """What is due in one namespace.

    Attributes:
        due: since when, by class and key, in the order in which it became due.
        turn: the round of its next turn.
        running: its keys that are worked on.
        rank: its place; None if it has none.
        seats: how many more keys may share its present turn.
        moment: when the first key of its present turn became due.
    """

    due: dict[UrgencyT, dict[KeyT, float]]
    turn: int
    running: int = 0
    rank: _Rank | None = None
    seats: int = 0
    moment: float = 0.0


class Ready(Generic[KeyT, UrgencyT]):
    """Keys that are due. No I/O; times are monotonic seconds.

    Args:
        allowance_seconds: of each class, by how much an entry may be older than one of another class until it comes
            first; the first class is that of follow-ups.
        at_once: how many keys of a namespace may be worked on at once; None for any number.
        seats: of a class, how many keys may share a turn; one where it is not named.
    """

    def __init__(
        self,
        allowance_seconds: Mapping[UrgencyT, float],
        *,
        at_once: int | None = None,
        seats: Mapping[UrgencyT, int] | None = None,
    ) -> None:
        self._allowance_seconds = allowance_seconds
        self._seats = seats or {}
        self._follow_up = next(iter(allowance_seconds))
        self._at_once = at_once
        self._lines: dict[str, _Line[KeyT, UrgencyT]] = {}
        self._heap: list[tuple[_Rank, str]] = []
        self._classes = {int(urgency): urgency for urgency in allowance_seconds}
        self._round = 0
        self._depth = 0

    def push(self, key: KeyT, urgency: UrgencyT, since: float) -> None:
        """The key is due."""
        line = self._lines.get(key.namespace)
        if line is None:
            line = self._lines[key.namespace] = _Line(self._none(), self._round)
        first = not line.due[urgency]
        line.due[urgency][key] = since
        self._depth += 1
        if first:  # else another of its class comes before it
            self._place(key.namespace, line)

    def discard(self, key: KeyT, urgency: UrgencyT) -> None:
        """The key is not due in this class any more, if it was."""
        line = self._lines.get(key.namespace)
        if line is not None and line.due[urgency].pop(key, None) is not None:
            self._depth -= 1
            self._place(key.namespace, line)

    def has(self, key: KeyT, urgency: UrgencyT) -> bool:
        """Whether the key is due in this class."""
        line = self._lines.get(key.namespace)
        return line is not None and key in line.due[urgency]

    def take(self) -> tuple[KeyT, UrgencyT, float] | None:
        """The key whose turn it is, its class, and since when it was due; it runs until `ended`."""
        while self._heap:
            rank, namespace = heapq.heappop(self._heap)
            line = self._lines.get(namespace)
            if line is None or line.rank != rank:
                continue  # its place has changed since
            urgency = self._classes[rank.urgency]
            key, since = next(iter(line.due[urgency].items()))
            del line.due[urgency][key]
            self._depth -= 1
            self._round = max(self._round, rank.round)
            if self._shares(line, urgency, since):
                line.seats -= 1
            else:
                line.turn = max(line.turn, self._round) + 1
                line.seats, line.moment = self._seats.get(urgency, 1) - 1, since
            line.running += 1
            line.rank = None
            self._place(namespace, line)
            return key, urgency, since
        return None

    def ended(self, key: KeyT) -> None:
        """The key's turn is over."""
        line = self._lines[key.namespace]
        line.running -= 1
        if line.rank is None:  # nothing was due, or as many ran as may
            self._place(key.namespace, line)

    def clear(self) -> None:
        """Nothing is due any more; turns go on."""
        self._heap.clear()
        self._depth = 0
        for namespace, line in list(self._lines.items()):
            line.due = self._none()
            line.rank = None
            self._place(namespace, line)

    @property
    def depth(self) -> int:
        """How many keys are due."""
        return self._depth

    def _shares(self, line: _Line[KeyT, UrgencyT], urgency: UrgencyT, since: float) -> bool:
        """Whether a key shares the present turn of its namespace."""
        return line.seats > 0 and urgency in self._seats and since - line.moment <= ONE_MOMENT_SECONDS

    def _none(self) -> dict[UrgencyT, dict[KeyT, float]]:
        return {urgency: {} for urgency in self._allowance_seconds}

    def _place(self, namespace: str, line: _Line[KeyT, UrgencyT]) -> None:
        """Find the namespace's place anew; who rests and owes no turn is forgotten."""
        scores = [
            (since + self._allowance_seconds[urgency], urgency, since)
            for urgency, keys in line.due.items()
            if keys and (since := next(iter(keys.values()))) is not None
        ]
        if not scores and not line.running and line.turn <= self._round:
            del self._lines[namespace]
            return
        rank = None
        if scores and (self._at_once is None or line.running < self._at_once):
            score, urgency, since = min(scores)
            turn = max(line.turn, self._round)
            sooner = 2 if self._shares(line, urgency, since) else 1 if urgency == self._follow_up else 0
            rank = _Rank(turn - sooner, score, int(urgency))
            if rank != line.rank:
                heapq.heappush(self._heap, (rank, namespace))
        line.rank = rank
